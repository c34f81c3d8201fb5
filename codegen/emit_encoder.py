"""Print an encoder as C, so that a compiled circuit takes an item's own numbers (see encode.c)."""

from collections.abc import Iterable
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from codegen.encoder import Encoder

_TILE = 64  # features that are compared at once
MAX_ANSWER_BITS = 31  # an answer is an int32_t
_NUMBERS = {"u8": "uint8_t", "f32": "float"}


def emit_encoder(encoder: Encoder, n_outputs: int) -> str:
    """C text, in terms of NAME, LANES, V and NAME_block, of NAME_predict_u8 and NAME_predict_f32.

    They take items of encoder.n_features bytes or floats. n_outputs: of the circuit, at most MAX_ANSWER_BITS.
    """
    if n_outputs > MAX_ANSWER_BITS:
        raise ValueError(f"Expected a circuit whose outputs are a number of at most {MAX_ANSWER_BITS} bits, got {n_outputs}.")
    first, place, thresholds = _tiles(encoder)
    # x > t for bytes x is x > floor(t); below 0 every byte is above, and from 255 on none.
    whole = np.floor(thresholds)
    always = ((whole < 0) * (np.uint64(1) << np.arange(_TILE, dtype=np.uint64))).sum(axis=1, dtype=np.uint64)
    sizes = {"N_FEATURES": encoder.n_features, "N_IN": encoder.n_inputs, "N_OUT": n_outputs, "TILES": len(first)}
    as_bytes = (_braced(map(str, row)) for row in np.clip(whole, 0, 255).astype(np.uint8).tolist())
    as_floats = (_braced(f"{value.hex()}f" for value in row) for row in thresholds.tolist())
    tables = [
        *(f"#define {name} {size}" for name, size in sizes.items()),
        _table("size_t NAME_first[TILES]", map(str, first.tolist())),
        _table("uint32_t NAME_place[TILES][64]", (_braced(map(str, row)) for row in place.tolist())),
        _table("uint8_t NAME_thresholds_u8[TILES][64]", as_bytes),
        _table("uint64_t NAME_always_u8[TILES]", (f"UINT64_C({value:#x})" for value in always.tolist())),
        _table("float NAME_thresholds_f32[TILES][64]", as_floats),
        _table("uint64_t NAME_always_f32[TILES]", ["0"] * len(first)),
    ]
    folder = files("codegen")
    common, body = (folder.joinpath(name).read_text() for name in ("encode_common.c", "encode.c"))
    bodies = [body.replace("TYPE", kind).replace("NUMBER", number) for kind, number in _NUMBERS.items()]
    return "\n".join([*tables, common, *bodies])


def _tiles(encoder: Encoder) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The tiles: int64 (tile,), their first features; int64 (tile, 64), the input of each of their bits, n_inputs for none;
    and float64 (tile, 64), thresholds, each exactly a float32.

    A feature's first input is in one tile, its second in another, and so on.
    """
    feature = encoder.feature.astype(np.int64)
    order = np.argsort(feature, kind="stable")
    starts = np.searchsorted(feature[order], feature[order])
    turn = np.empty(len(feature), dtype=np.int64)  # of each input, how many before it read its feature
    turn[order] = np.arange(len(feature)) - starts
    n_places = encoder.n_features // _TILE + 1  # where a tile of the first inputs can be
    keys = turn * n_places + feature // _TILE
    found, tile = np.unique(keys, return_inverse=True)
    found = found if len(found) else np.zeros(1, dtype=np.int64)  # C has no arrays of nothing
    place = np.full((len(found), _TILE), encoder.n_inputs, dtype=np.int64)
    thresholds = np.zeros((len(found), _TILE))
    place[tile, feature % _TILE] = np.arange(len(feature))
    thresholds[tile, feature % _TILE] = encoder.threshold
    return found % n_places * _TILE, place, thresholds


def _table(declaration: str, values: Iterable[str]) -> str:
    return f"static const {declaration} = {_braced(values)};"


def _braced(values: Iterable[str]) -> str:
    return f"{{{', '.join(values)}}}"
