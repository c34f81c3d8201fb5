"""A circuit as C to paste into another project: NAME.c, NAME.h, and NAME_test.c, which holds them to the oracle's answers."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.backends import NumpyCircuit, optimisation, pipeline
from codegen.circuit import Circuit
from codegen.emit_c import ANY, LANES, count_operators, emit_c, waiting_signals
from codegen.emit_items import MAX_ANSWER_BITS, stack_words
from codegen.lower_readout import Compilable, compilable, lowered
from codegen.netlist import Netlist
from codegen.pack import pack_board
from codegen.passes import run
from codegen.readout import from_binary
from codegen.stencil import is_stencil

_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
# The self-test's items are more than a block of the widest words and a part of one, its rows of cells more than two words.
_N_ITEMS = 600
_BOARD = (70, 131)
_STEPS = 5
_BOARD_WORK = 1 << 14  # words; ample


@dataclass(frozen=True)
class Artefact:
    """files: file name to text. learned, netlist: what they compute, before any pass and as printed. operators: a word, as
    emit_c.count_operators.

    stack_bytes: about how much of the stack a call takes at most, on the widest words that the text may be compiled for.
    compile: the compiler and flags to begin with.
    """

    files: dict[str, str]
    learned: Netlist
    netlist: Netlist
    operators: int
    stack_bytes: int
    compile: str


def check_prefix(name: str) -> str:
    """The prefix as given, or ValueError if C would not take it."""
    if not _PREFIX.fullmatch(name):
        raise ValueError(f"Expected a prefix of letters, digits and underscores that begins with a letter, got {name!r}.")
    return name


def artefact(circuit: Circuit, name: str = "circuit", isa: str = ANY) -> Artefact:
    """The C of a circuit under a prefix, the same bytes for the same circuit.

    isa: a key of emit_c.LANES, or ANY for text that takes the widest words of whatever it is compiled for. The circuit's
    encoder and readout are included; a circuit without an encoder reads numbers above 0 as true. Raises ValueError for a
    prefix that is no C identifier of letters, digits and underscores, or another instruction set.
    """
    check_prefix(name)
    if isa not in (ANY, *LANES):
        raise ValueError(f"Expected an instruction set of {', '.join([ANY, *LANES])}; got {isa!r}.")
    whole = compilable(circuit)
    netlist, _ = run(whole.netlist, pipeline(isa))
    words = max(LANES.values())  # of a signal of all items that are evaluated at once
    stack_bytes = 8 * words * (waiting_signals(netlist) + stack_words(whole.encoder, netlist.n_outputs))
    code = emit_c(netlist, isa, name, encoder=whole.encoder, readout=whole.readout)
    compile_command = f"cc {optimisation(netlist)} -march=native"
    texts = {
        f"{name}.c": f'#include "{name}.h"\n\n{code}',
        f"{name}.h": _header(circuit, whole, netlist, name, isa, stack_bytes, compile_command),
        f"{name}_test.c": _self_test(circuit, whole, name),
    }
    return Artefact(texts, whole.netlist, netlist, count_operators(netlist, isa), stack_bytes, compile_command)


def _header(
    circuit: Circuit, whole: Compilable, netlist: Netlist, name: str, isa: str, stack_bytes: int, compile_command: str
) -> str:
    prefix = name.upper()
    has_numbers = whole.n_answers <= MAX_ANSWER_BITS
    sizes = {"FEATURES": whole.encoder.n_features, "INPUTS": netlist.n_inputs, "OUTPUTS": netlist.n_outputs}
    sizes["ANSWER_BITS"] = whole.n_answers
    comment = [f"items: n_items x {prefix}_FEATURES numbers, one item after the other."]
    of_items = [("answers", "uint8_t *bits")]
    if has_numbers:
        comment.append(
            "answers: n_items; each its answer bits as a binary number, the first the lowest: the class of a classifier."
        )
        of_items.insert(0, ("predict", "int32_t *answers"))
    comment.append(f"bits: n_items x {prefix}_ANSWER_BITS, each 0 or 1.")
    if whole.readout is not None:
        sizes["CLASSES"] = whole.readout.n_classes
        comment.append(f"scores: n_items x {prefix}_CLASSES; the class is the lowest of those with the largest score.")
        of_items.append(("scores", "float *scores"))
    declared = [_comment(comment)]
    for kind, number in (("u8", "uint8_t"), ("f32", "float")):
        declared += [f"void {name}_{what}_{kind}(const {number} *items, size_t n_items, {out});" for what, out in of_items]
    if has_numbers:
        declared += ["", "/* The answer to one item. */", f"int {name}_predict(const uint8_t *item);"]
    declared += ["", _comment(_EVAL_COMMENT), f"size_t {name}_lanes(void);"]
    declared += [f"void {name}_eval(const uint64_t *in, uint64_t *out, size_t n_blocks);"]
    if is_stencil(netlist):
        declared += ["", _comment(_STEPS_COMMENT), f"size_t {name}_work_words(size_t height, size_t width);"]
        steps = "uint64_t *board, size_t height, size_t width, int torus, size_t steps, uint64_t *work"
        declared += [f"void {name}_steps({steps});"]
        declared += [f"void {name}_pack(const uint8_t *cells, size_t height, size_t width, uint64_t *board);"]
        declared += [f"void {name}_unpack(const uint64_t *board, size_t height, size_t width, uint8_t *cells);"]
    origin = ", ".join(f"{key} {value}" for key, value in sorted(circuit.provenance.items()))
    target = "any instruction set" if isa == ANY else isa
    opening = [
        f"{name}: a logic-gate network as C, written by Gatebench {version('gatebench')}. SPDX-License-Identifier: MIT",
        "",
        f"Learned: {origin or 'not said'}.",
        f"{circuit.netlist.n_gates} gates as learned; {netlist.n_gates} as printed for {target}, the readout's among them.",
        "",
        "Every function may be called from any number of threads at once. None allocates memory, keeps anything between calls,",
        f"or touches more of the caller's arrays than is said here. A call takes up to {-(-stack_bytes // 1024)} KiB of stack.",
        "",
        f"Compile it for the machine that it will run on, such as: {compile_command} -c {name}.c",
        f"Test it there: {compile_command} {name}.c {name}_test.c -o {name}_test && ./{name}_test",
    ]
    defines = [f"#define {prefix}_{size} {value}" for size, value in sizes.items()]
    return "\n".join(
        [
            *(_comment(opening), f"#ifndef {prefix}_H", f"#define {prefix}_H", ""),
            *("#include <stddef.h>", "#include <stdint.h>", ""),
            *("#ifdef __cplusplus", 'extern "C" {', "#endif", ""),
            *(*defines, "", *declared, ""),
            *("#ifdef __cplusplus", "}", "#endif", "", "#endif", ""),
        ]
    )


_EVAL_COMMENT = [
    "The same on items that are bits and packed already, without the encoder. A block is 64 x lanes() items: lanes() words for",
    "the first input, then those for the next; item i is bit i % 64 of word i / 64. Outputs likewise: the answer bits, then a",
    "classifier's counts of true outputs, each in binary from the lowest bit. The arrays may not overlap. They need not be",
    "aligned, but if both begin at a multiple of lanes() words, a copy is saved.",
]
_STEPS_COMMENT = [
    "Step a board, height x ceil(width / 64) words, by the rule that was learned: cell x of a row is bit x % 64 of its word",
    "x / 64; bits behind the last cell are 0. Beyond an edge lies the other one if torus, else dead cells. work: as many words",
    "as work_words says, for this call alone. pack makes such a board of height x width cells, a byte each, 0 where dead, and",
    "unpack gives them back, each 0 or 1.",
]


def _comment(lines: Iterable[str]) -> str:
    """A C comment of printable ASCII that nothing in it ends, and without trigraphs."""
    plain = "\n * ".join("".join(letter if " " <= letter <= "~" else "?" for letter in line) for line in lines)
    text = re.sub(r"\?\?+", "?", plain.replace("*/", "* /").replace("/*", "/ *"))
    return f"/* {text}\n */".replace(" \n", "\n")


def drawn_items(n_features: int) -> NDArray[np.uint8]:
    """The items of the self-test, as self_test.c draws them too: uint8 (item, feature)."""
    n = _N_ITEMS * n_features
    factor, step = np.uint64(6364136223846793005), np.uint64(1442695040888963407)
    # The state after i draws is step * (1 + factor + ... + factor**(i - 1)), modulo 2**64.
    powers = np.cumprod(np.concatenate([np.ones(1, np.uint64), np.full(max(n - 1, 0), factor)]), dtype=np.uint64)[:n]
    drawn = (np.cumsum(powers, dtype=np.uint64) * step >> np.uint64(56)).reshape(_N_ITEMS, n_features)
    drawn[1::2] = np.where(drawn[1::2] < 64, 4 * drawn[1::2], 0)
    drawn[:2] = [[0], [255]]
    return drawn.astype(np.uint8)


def _self_test(circuit: Circuit, whole: Compilable, name: str) -> str:
    """C of a program that compares the functions with the oracle's answers."""
    items = drawn_items(whole.encoder.n_features)
    answers = circuit.answers(whole.encoder.encode(items))
    sizes = {"N_ITEMS": _N_ITEMS, "N_FEATURES": whole.encoder.n_features, "N_ANSWER": whole.n_answers}
    tables = [_table("uint8_t", "expected_bits", answers.astype(np.uint8))]
    sizes["HAS_NUMBERS"] = int(whole.n_answers <= MAX_ANSWER_BITS)
    if sizes["HAS_NUMBERS"]:
        tables.append(_table("int32_t", "expected_answers", from_binary(answers)))
    sizes["HAS_SCORES"] = int(whole.readout is not None)
    if whole.readout is not None:
        sizes["N_SCORES"] = whole.readout.n_classes
        tables.append(_table("float", "expected_scores", circuit.scores(items)))
    learned = lowered(circuit)
    sizes["HAS_STEPS"] = int(is_stencil(learned))
    if is_stencil(learned):
        sizes |= {"BOARD_HEIGHT": _BOARD[0], "BOARD_WIDTH": _BOARD[1], "BOARD_STEPS": _STEPS, "WORK_WORDS": _BOARD_WORK}
        board = np.random.default_rng(0).random(_BOARD) < 0.4
        tables.append(_table("uint64_t", "first_board", pack_board(board)))
        for torus, edges in ((False, "dead"), (True, "torus")):
            stepper = NumpyCircuit(learned).stepper(board, torus)
            stepper.run(_STEPS)
            tables.append(_table("uint64_t", f"expected_{edges}", pack_board(stepper.board())))
    before, after = files("codegen").joinpath("self_test.c").read_text().replace("NAME", name).split("\n/* Items", 1)
    defines = [f"#define {size} {value}" for size, value in sizes.items()]
    return "\n".join([before, *defines, "", *tables, f"\n/* Items{after}"])


def _table(number: str, name: str, values: NDArray[Any]) -> str:
    printed = [_literal(value) for value in values.ravel().tolist()] or ["0"]  # C has no arrays of nothing
    rows = [", ".join(printed[at : at + 16]) for at in range(0, len(printed), 16)]
    return f"static const {number} {name}[] = {{\n    " + ",\n    ".join(rows) + "};"


def _literal(value: float | int) -> str:
    if isinstance(value, float):
        return f"{value!r}f"  # decimals that no other float has
    return f"UINT64_C({value:#x})" if value >= 1 << 31 else str(value)
