"""Items and boards to machine words and back: bit i of a word belongs to the i-th item (lane), or to the cell i places east.

Two layouts, both little-endian in the bits:

- blocks, uint64 (block, signal, word): a block is `words` x 64 items; what the evaluators read and write.
- board rows, uint64 (row, ceil(width / 64)): cell x of a row is bit x % 64 of word x // 64; unused bits are zero.
"""

import numpy as np
from numpy.typing import NDArray

WORD = 64


def pack_items(bits: NDArray[np.bool_], words: int) -> NDArray[np.uint64]:
    """bool (item, signal) -> uint64 (block, signal, words). Lanes past the last item are false."""
    n_items, n_signals = bits.shape
    block = WORD * words
    n_blocks = -(-n_items // block)
    padded = np.zeros((n_blocks * block, n_signals), dtype=bool)
    padded[:n_items] = bits
    planes = padded.reshape(n_blocks, block, n_signals).transpose(0, 2, 1)
    return _as_words(np.packbits(planes, axis=2, bitorder="little"))


def unpack_items(blocks: NDArray[np.uint64], n_items: int) -> NDArray[np.bool_]:
    """uint64 (block, signal, words) -> bool (item, signal) of the first n_items items."""
    _, n_signals, words = blocks.shape
    planes = np.unpackbits(_as_bytes(blocks), axis=2, bitorder="little")  # (block, signal, lane)
    return planes.transpose(0, 2, 1).reshape(len(blocks) * WORD * words, n_signals)[:n_items].astype(bool)


def pack_board(board: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """bool (height, width) -> uint64 (height, ceil(width / 64))."""
    height, width = board.shape
    padded = np.zeros((height, -(-width // WORD) * WORD), dtype=bool)
    padded[:, :width] = board
    return _as_words(np.packbits(padded, axis=1, bitorder="little"))


def unpack_board(rows: NDArray[np.uint64], width: int) -> NDArray[np.bool_]:
    """uint64 (height, ceil(width / 64)) -> bool (height, width)."""
    return np.unpackbits(_as_bytes(rows), axis=1, count=width, bitorder="little").astype(bool)


def aligned_words(n_words: int) -> NDArray[np.uint64]:
    """uint64 (n_words,), zeros that start at a 64-byte boundary, so that whole vectors do not cross cache lines."""
    raw = np.zeros(n_words + 8, dtype=np.uint64)
    skip = -(raw.ctypes.data // 8) % 8
    return raw[skip : skip + n_words]


def _as_words(octets: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(octets).view("<u8").astype(np.uint64)


def _as_bytes(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(words).astype("<u8").view(np.uint8)
