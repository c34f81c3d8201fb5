"""Packing: the documented place of every bit, and there and back again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from codegen.pack import pack_board, pack_items, unpack_board, unpack_items


@given(
    bits=arrays(bool, st.tuples(st.integers(0, 300), st.integers(0, 5))),
    words=st.sampled_from([1, 2, 4, 8]),
)
def test_items_come_back(bits, words):
    blocks = pack_items(bits, words)
    assert blocks.shape == (-(-len(bits) // (64 * words)), bits.shape[1], words)
    assert blocks.dtype == np.uint64
    np.testing.assert_array_equal(unpack_items(blocks, len(bits)), bits)


@given(board=arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 200))))
def test_boards_come_back(board):
    rows = pack_board(board)
    assert rows.shape == (len(board), -(-board.shape[1] // 64))
    assert rows.dtype == np.uint64
    np.testing.assert_array_equal(unpack_board(rows, board.shape[1]), board)


@pytest.mark.parametrize("words", [1, 2, 8])
@pytest.mark.parametrize("item", [0, 1, 63, 64, 127, 128, 512, 1029])
def test_item_is_one_bit_of_one_word(item, words):
    bits = np.zeros((1030, 3), dtype=bool)
    bits[item, 2] = True
    blocks = pack_items(bits, words)
    block, lane = divmod(item, 64 * words)
    assert blocks[block, 2, lane // 64] == 1 << lane % 64
    assert np.count_nonzero(blocks) == 1


@pytest.mark.parametrize("x", [0, 1, 63, 64, 99])
def test_cell_is_one_bit_of_one_word(x):
    board = np.zeros((3, 100), dtype=bool)
    board[1, x] = True
    rows = pack_board(board)
    assert rows[1, x // 64] == 1 << x % 64
    assert np.count_nonzero(rows) == 1


def test_unused_lanes_and_bits_are_zero():
    assert pack_items(np.ones((65, 1), dtype=bool), 4).tolist() == [[[2**64 - 1, 1, 0, 0]]]
    assert pack_board(np.ones((1, 70), dtype=bool)).tolist() == [[2**64 - 1, 0b111111]]


def test_lanes_past_the_last_item_are_not_unpacked():
    blocks = np.full((1, 2, 1), 2**64 - 1, dtype=np.uint64)
    assert unpack_items(blocks, 3).tolist() == [[True, True]] * 3
