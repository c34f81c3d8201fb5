"""Print what surrounds a circuit as C: from items' own numbers to its bit planes, and from its planes to answers and scores."""

from collections.abc import Iterable
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from codegen.encoder import Encoder
from codegen.readout import Readout

_TILE = 64  # features that are compared at once
_TILES_AT_ONCE = 16  # squares of bits that are filled together, while an item's numbers are in the first-level cache
MAX_ANSWER_BITS = 31  # an answer is an int32_t
_NUMBERS = {"u8": "uint8_t", "f32": "float"}


def emit_items(encoder: Encoder, n_outputs: int, readout: Readout | None = None) -> str:
    """C text, in terms of NAME, LANES, V, NAME_block and NAME_compare_u8, of functions on items of encoder.n_features bytes or
    floats.

    n_outputs: of the circuit. readout: its outputs are the answer and then counts, as lower_readout.lower_answer gives them;
    None if they are all the answer. TYPE is u8 or f32; NAME_predict_TYPE is defined for answers of at most MAX_ANSWER_BITS
    bits, NAME_answers_TYPE, which gives the bits, always, and NAME_scores_TYPE with a readout; NAME_predict takes one item.
    """
    n_answer = n_outputs if readout is None else readout.n_answers
    first, place, thresholds = _tiles(encoder)
    # x > t for bytes x is x > floor(t); below 0 every byte is above, and from 255 on none.
    whole = np.floor(thresholds)
    always = ((whole < 0) * (np.uint64(1) << np.arange(_TILE, dtype=np.uint64))).sum(axis=1, dtype=np.uint64)
    sizes = {"N_FEATURES": encoder.n_features, "N_IN": encoder.n_inputs, "N_OUT": n_outputs, "N_ANSWER": n_answer}
    sizes |= {"TILES": len(first), "TILES_AT_ONCE": _TILES_AT_ONCE, "ITEMS_AT_ONCE": 8, "FEW_ITEMS": 4}
    parts = ["encode.c", "answers.c"]
    if n_answer <= MAX_ANSWER_BITS:
        parts.append("predict.c")
    if readout is not None:
        sizes |= {"N_GROUPS": readout.n_groups, "COUNT_BITS": (n_outputs - n_answer) // readout.n_groups}
        parts.append("scores.c")
    as_bytes = (_braced(map(str, row)) for row in np.clip(whole, 0, 255).astype(np.uint8).tolist())
    as_floats = (_braced(f"{value!r}f" for value in row) for row in thresholds.tolist())
    tables = [
        *(f"#define {name} {size}" for name, size in sizes.items()),
        *([] if readout is None else [f"#define TEMPERATURE {float(readout.temperature)!r}"]),
        _table("size_t NAME_first[TILES]", map(str, first.tolist())),
        _table("uint32_t NAME_place[TILES][64]", (_braced(map(str, row)) for row in place.tolist())),
        _table("uint8_t NAME_thresholds_u8[TILES][64]", as_bytes),
        *_always("u8", always),
        _table("float NAME_thresholds_f32[TILES][64]", as_floats),
        *_always("f32", np.zeros_like(always)),
    ]
    folder = files("codegen")
    of_type = "\n".join(folder.joinpath(part).read_text() for part in parts)
    bodies = [of_type.replace("TYPE", kind).replace("NUMBER", number) for kind, number in _NUMBERS.items()]
    one = [folder.joinpath("predict_one.c").read_text()] if n_answer <= MAX_ANSWER_BITS else []
    return "\n".join([*tables, folder.joinpath("planes.c").read_text(), *bodies, *one])


def stack_words(encoder: Encoder, n_outputs: int) -> int:
    """About how many words of lanes the functions on items have on the stack: squares, planes and numbers."""
    return (_TILES_AT_ONCE + 1) * _TILE + 2 * (encoder.n_inputs + 1) + n_outputs + _TILE // 2


def _tiles(encoder: Encoder) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The tiles, as few as reach all inputs: int64 (tile,), their first features; int64 (tile, 64), the input of each of their
    bits, n_inputs for none; and float64 (tile, 64), thresholds, each exactly a float32.

    A feature's first input is in one tile, its second in another, and so on.
    """
    feature = encoder.feature.astype(np.int64)
    order = np.argsort(feature, kind="stable")
    turn = np.empty(len(feature), dtype=np.int64)  # of each input, how many before it read its feature
    turn[order] = np.arange(len(feature)) - np.searchsorted(feature[order], feature[order])
    last = max(0, encoder.n_features - _TILE)  # behind it a tile would reach beyond the features
    first: list[int] = []
    members: list[NDArray[np.int64]] = []  # the inputs of each tile
    for of_turn in range(turn.max(initial=-1) + 1):
        inputs = order[turn[order] == of_turn]
        while len(inputs):
            first.append(min(int(feature[inputs[0]]), last))
            n = np.searchsorted(feature[inputs], first[-1] + _TILE)
            members.append(inputs[:n])
            inputs = inputs[n:]
    if not first:  # C has no arrays of nothing
        first, members = [0], [order]
    place = np.full((len(first), _TILE), encoder.n_inputs, dtype=np.int64)
    thresholds = np.zeros((len(first), _TILE))
    for tile, inputs in enumerate(members):
        place[tile, feature[inputs] - first[tile]] = inputs
        thresholds[tile, feature[inputs] - first[tile]] = encoder.threshold[inputs]
    return np.array(first), place, thresholds


def _always(kind: str, masks: NDArray[np.uint64]) -> list[str]:
    """NAME_always_KIND(tile): the comparisons that are true of every item, which most encoders have none of."""
    if not masks.any():
        return [f"#define NAME_always_{kind}(tile) 0"]
    table = _table(f"uint64_t NAME_always_{kind}_table[TILES]", (f"UINT64_C({mask:#x})" for mask in masks.tolist()))
    return [table, f"#define NAME_always_{kind}(tile) NAME_always_{kind}_table[tile]"]


def _table(declaration: str, values: Iterable[str]) -> str:
    return f"static const {declaration} = {_braced(values)};"


def _braced(values: Iterable[str]) -> str:
    return f"{{{', '.join(values)}}}"
