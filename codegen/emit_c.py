"""Print a netlist as C: one statement a gate on words of lanes, loops over blocks, and a board stepper for stencils.

The text is C99 and C++ on uint64_t, or, with LANES above 1, the same statements on gcc's and clang's vector types, which both
map to the machine's widest registers. It needs no headers but stdint.h, stddef.h and string.h, allocates nothing and keeps
nothing between calls.

A function of twice the gates takes a compiler more than twice as long, so those of a large circuit are cut into functions
of a limited size (see codegen.chunks). Together they are more than a first-level cache of instructions holds, so each is
called for several blocks in turn while it is there: as many as have 512 items.
"""

from collections import Counter
from collections.abc import Iterable
from importlib.resources import files
from itertools import pairwise

from codegen.chunks import Chunks, cut
from codegen.emit_items import emit_items
from codegen.encoder import Encoder
from codegen.netlist import Netlist
from codegen.passes.lower import recipe
from codegen.readout import Readout
from codegen.rows import split_rows
from codegen.stencil import is_stencil

# The operators that C has, by two-input truth table (input 0, `a`, is the low bit of the row).
OPERATORS = {
    0: {0b0: "ZERO", 0b1: "~ZERO"},
    1: {0b00: "ZERO", 0b01: "~{a}", 0b10: "{a}", 0b11: "~ZERO"},
    2: {
        0b0000: "ZERO",
        0b0001: "~({a} | {b})",
        0b0010: "{a} & ~{b}",
        0b0011: "~{b}",
        0b0100: "~{a} & {b}",
        0b0101: "~{a}",
        0b0110: "{a} ^ {b}",
        0b0111: "~({a} & {b})",
        0b1000: "{a} & {b}",
        0b1001: "~({a} ^ {b})",
        0b1010: "{a}",
        0b1011: "{a} | ~{b}",
        0b1100: "{b}",
        0b1101: "~{a} | {b}",
        0b1110: "{a} | {b}",
        0b1111: "~ZERO",
    },
}

# Words in a register of each instruction set that the vector types reach. simd128 is what every x86-64 (SSE2) and every AArch64
# (NEON) has.
LANES = {"avx512": 8, "avx2": 4, "simd128": 2, "c99": 1}

# One text for all of them: the target that it is compiled for decides, or -DLANES=N.
ANY = "any"

_TERNARY_GATE = "TERNARY_{table:02X}({a}, {b}, {c})"

# Gates in a function: a circuit of no more is one, which the loops that call it take in: board steppers need that. For learned
# circuits of 22,700, 26,500 and 56,500 gates on AVX-512, gcc 12 took as long in functions of 200, 300, 400 and 600, and 512
# items of the first two 4 % less time in 400 than in 200, of the third the same. For a random circuit of 44,000 gates 400
# took gcc a quarter longer than 200, and 2,000 two thirds; in one function it did not finish in 4 minutes.
CHUNK = 400

# Gates from one that reads an input to the next for which it stays in a register. Layers of learned gates whose outputs are
# counted are bound by what they read: of 8,000 gates on MNIST 9,000 inputs are loaded instead of 13,300, which takes 3 % off.
_NEAR = 20

# Words that an instruction of AVX-512 reaches from a pointer with an offset of one byte, which counts words of its 64 bytes. The
# code comes from a second-level cache, as the words do: shorter instructions take 2 to 7 % off the time of learned circuits.
_WINDOW = 256
# Pointers that a chunk may have to windows of an array, each for at least so many of its reads and writes: there are 16 registers
# for pointers, and setting one up takes as many bytes as two instructions save.
_POINTERS = 5
_OFTEN = 4


def widest_gate(isa: str) -> int:
    """Inputs of the widest gates that the instruction set has an instruction for, of each function: AVX-512 has ternary logic.

    What is printed for any takes the same; elsewhere these gates are two to four operators each.
    """
    return 3 if isa in ("avx512", ANY) else 2


def emit_c(
    netlist: Netlist,
    isa: str,
    name: str = "gatebench",
    inline: bool = True,
    chunk: int | None = None,
    encoder: Encoder | None = None,
    readout: Readout | None = None,
) -> str:
    """C source that evaluates the netlist.

    isa: a key of LANES, or ANY; `c99` is plain uint64_t. inline: False leaves the gates in a function of their own that is
    called once a word, the published style. chunk: with inline, a netlist of more gates than this is printed as functions of
    at most as many, by default CHUNK. Gates may have widest_gate(isa) inputs.

    Defines NAME_eval(in, out, n_blocks) on the block layout of codegen.pack with NAME_lanes() words; for a netlist of nine
    inputs and one output NAME_steps and NAME_work_words (see stencil.c), NAME_pack and NAME_unpack (see cells.c); and with an
    encoder functions that take items' own numbers, of which those for scores need the readout (see emit_items).
    """
    widest = widest_gate(isa)
    if netlist.arity.max(initial=0) > widest:
        raise ValueError(f"Expected gates of at most {widest} inputs for {isa}; call passes.lower on the netlist first.")
    chunk = CHUNK if chunk is None else chunk
    chunks = cut(netlist, chunk) if inline and netlist.n_gates > chunk else None
    printed = [netlist] if chunks is None else [netlist, chunks.netlist]
    tables = sorted({table for one in printed for table in one.table[one.arity == 3].tolist()})
    parts = [
        prelude(isa, tables),
        _block(netlist, inline) + _ONE_BLOCK if chunks is None else _chunked_blocks(chunks),
        _EVAL.replace("N_IN", str(netlist.n_inputs)).replace("N_OUT", str(netlist.n_outputs)),
    ]
    if is_stencil(netlist) or encoder is not None:
        parts.append(_text("compare.c"))
    if is_stencil(netlist):
        rows = split_rows(netlist)
        parts += [
            f"#define ROW_SIGNALS {rows.row.n_outputs}\n",
            _function("INLINE void NAME_row(const V *in, V *out)", _statements(rows.row)),
            _function("INLINE void NAME_rule(const V *in, V *out)", _statements(rows.rule)),
            _stencil(),
        ]
    if encoder is not None:
        parts.append(emit_items(encoder, netlist.n_outputs, readout))
    return "\n".join(parts).replace("NAME", name)


def waiting_signals(netlist: Netlist) -> int:
    """Places for signals that wait in memory, in the C of a netlist: each takes as many words of the stack as 512 items do."""
    return cut(netlist, CHUNK).n_slots if netlist.n_gates > CHUNK else 0


def emit_stencil(functions: str, isa: str, name: str = "gatebench") -> str:
    """C source of a board stepper around hand-written ROW_SIGNALS, NAME_row and NAME_rule (see stencil.c)."""
    return "\n".join([prelude(isa), _text("compare.c"), functions, _stencil()]).replace("NAME", name)


def _stencil() -> str:
    """What steps boards, in terms of NAME, LANES, V, NAME_compare_u8, ROW_SIGNALS, NAME_row and NAME_rule."""
    return "\n".join([_SHIFTS, _text("stencil.c"), _text("cells.c")])


def _text(file: str) -> str:
    return files("codegen").joinpath(file).read_text()


def prelude(isa: str, tables: Iterable[int] = ()) -> str:
    """Headers, LANES, the word type V with its ZERO, and a macro for each of the three-input tables."""
    lanes = _LANES_OF_TARGET if isa == ANY else f"#define LANES {LANES[isa]}\n"
    macros = {table: f"#define {_TERNARY_GATE.format(table=table, a='a', b='b', c='c')}" for table in tables}
    intrinsics = [f"{macro} TERNARY(c, b, a, {table:#04x})\n" for table, macro in macros.items()]
    operators = [f"{macro} ({_operators(table)})\n" for table, macro in macros.items()]
    ternary = [_IF_TERNARY, *intrinsics, "#else\n", *operators, "#endif\n"] if macros else []
    return "".join([_INCLUDES, lanes, _WORD, *ternary])


def _operators(table: int) -> str:
    """A three-input table of a, b and c as an expression of the operators that C has."""
    terms = ["a", "b", "c"]
    for step, operands in recipe(table, 3):
        names = dict(zip("ab", (terms[operand] for operand in operands), strict=False))
        terms.append(f"({OPERATORS[len(operands)][step].format(**names)})")
    return terms[-1]


def count_operators(netlist: Netlist, isa: str) -> int:
    """Operations that one evaluation of the emitted C takes a word, for a netlist without dead gates: bitwise operators
    (& | ^ ~), or with instructions for gates of three inputs, a gate or an inverted output each. Of a netlist that steps
    boards, those of a step, where what rows have in common is computed once."""
    if is_stencil(netlist):
        rows = split_rows(netlist)
        return _n_operators(rows.row, isa) + _n_operators(rows.rule, isa)
    return _n_operators(netlist, isa)


def _n_operators(netlist: Netlist, isa: str) -> int:
    if widest_gate(isa) == 3:
        return netlist.n_gates + int(netlist.inverted.sum())
    return sum(sum(line.count(operator) for operator in "&|^~") for line in _statements(netlist))


def _statements(netlist: Netlist) -> list[str]:
    return _gate_statements(netlist) + _output_statements(netlist)


def _gate_statements(netlist: Netlist) -> list[str]:
    return [
        _gate_statement(
            netlist, gate, [_signal(netlist, signal) for signal in netlist.fan_in[gate, : netlist.arity[gate]].tolist()]
        )
        for gate in range(netlist.n_gates)
    ]


def _gate_statement(netlist: Netlist, gate: int, names: list[str]) -> str:
    """names: of what the gate reads."""
    table, arity = int(netlist.table[gate]), int(netlist.arity[gate])
    operands = dict(zip("abc", names, strict=False))
    expression = _TERNARY_GATE.format(table=table, **operands) if arity == 3 else OPERATORS[arity][table].format(**operands)
    return f"const V v{gate} = {expression};"


def _output_statements(netlist: Netlist) -> list[str]:
    return [
        f"out[{output}] = {'~' if inverted else ''}{_signal(netlist, signal)};"
        for output, (signal, inverted) in enumerate(zip(netlist.outputs.tolist(), netlist.inverted.tolist(), strict=True))
    ]


def _signal(netlist: Netlist, signal: int) -> str:
    return f"in[{signal}]" if signal < netlist.n_inputs else f"v{signal - netlist.n_inputs}"


def _block(netlist: Netlist, inline: bool) -> str:
    linkage = "INLINE " if inline else ""
    prototype = f"{linkage}void NAME_block(const V *in, V *out)"
    declaration = "" if inline else f"{prototype};\n"
    lines = _statements(netlist)
    ignored = [f"(void){name};" for name in ("in", "out") if not any(f"{name}[" in line for line in lines)]
    return declaration + _function(prototype, [*ignored, *lines])


def _function(prototype: str, lines: list[str]) -> str:
    body = "\n".join(f"    {line}" for line in lines)
    return f"{prototype} {{\n{body}\n}}\n"


def _chunked_blocks(chunks: Chunks) -> str:
    """NAME_blocks as calls of a function for each part; w holds the signals that pass between them."""
    netlist, n_slots = chunks.netlist, chunks.n_slots
    direct: list[str] = []  # outputs that are primary inputs
    written: dict[int, list[str]] = {}  # by gate, outputs that are its value
    for signal, line in zip(netlist.outputs.tolist(), _output_statements(netlist), strict=True):
        (direct if signal < netlist.n_inputs else written.setdefault(signal - netlist.n_inputs, [])).append(line)
    bodies = [direct] if direct else []
    bodies += [_part_statements(chunks, part, written) for part in chunks]
    arguments = {"in": f"in + i * {netlist.n_inputs}", "w": "w[i]", "out": f"out + i * {netlist.n_outputs}"}
    functions, calls = [], []
    for number, lines in enumerate(bodies):
        # Only what the function uses: compilers warn of the rest.
        used = [name for name in _PARAMETERS if any(f"{name}[" in line or f"{name} +" in line for line in lines)]
        parameters = ", ".join(_PARAMETERS[name] for name in used)
        functions.append(_function(f"static NOINLINE void NAME_chunk{number}({parameters})", lines))
        calls.append(f"for (size_t i = 0; i < n; i++) NAME_chunk{number}({', '.join(arguments[name] for name in used)});")
    room = [f"V w[AT_ONCE][{n_slots}];"] if n_slots else []
    blocks = _function("static NOINLINE void NAME_blocks(const V *in, V *out, size_t n)", [*room, *calls])
    return "\n".join([_KEEP, _AT_ONCE, *functions, blocks])


def _part_statements(chunks: Chunks, part: range, written: dict[int, list[str]]) -> list[str]:
    """The body of a part's function. written: by gate, the outputs that are its value."""
    netlist, slots = chunks.netlist, chunks.slots
    reads = {gate: netlist.fan_in[gate, : netlist.arity[gate]].tolist() for gate in part}
    inputs = _Words("in", "const V", (signal for signals in reads.values() for signal in signals if signal < netlist.n_inputs))
    before = dict.fromkeys(
        signal for signals in reads.values() for signal in signals if 0 <= signal - netlist.n_inputs < part.start
    )
    waiting = [slots[signal - netlist.n_inputs] for signal in before]
    waits = _Words("w", "V", [*waiting, *(slots[gate] for gate in part if slots[gate] >= 0)])
    kept, lines_before = _kept_inputs(netlist, part, inputs)
    lines = [*inputs.pointers, *waits.pointers]
    for gate in part:
        for signal in reads[gate]:
            if signal in before:
                del before[signal]  # it is loaded once
                lines.append(f"const V {_signal(netlist, signal)} = {waits[slots[signal - netlist.n_inputs]]};")
        lines += lines_before.get(gate, [])
        names = [
            kept.get((gate, signal)) or (inputs[signal] if signal < netlist.n_inputs else _signal(netlist, signal))
            for signal in reads[gate]
        ]
        stored = [f"{waits[slots[gate]]} = v{gate};"] if slots[gate] >= 0 else []
        lines.append(" ".join([_gate_statement(netlist, gate, names), *written.get(gate, []), *stored]))
    return lines


def _kept_inputs(netlist: Netlist, part: range, inputs: "_Words") -> tuple[dict[tuple[int, int], str], dict[int, list[str]]]:
    """Inputs that gates near each other read, which stay in a register between them: by gate and input, the variable to read
    instead, and by gate, the lines before it that load variables."""
    readers: dict[int, dict[int, None]] = {}
    for gate in part:
        for signal in netlist.fan_in[gate, : netlist.arity[gate]].tolist():
            if signal < netlist.n_inputs:
                readers.setdefault(signal, {})[gate] = None
    kept: dict[tuple[int, int], str] = {}
    lines: dict[int, list[str]] = {}
    for signal, gates in readers.items():
        for gate, following in pairwise(gates):
            if following - gate <= _NEAR:
                if (gate, signal) not in kept:
                    kept[gate, signal] = name = f"i{signal}_{gate}"
                    lines.setdefault(gate, []).append(f"V {name} = {inputs[signal]}; KEEP({name});")
                kept[following, signal] = kept[gate, signal]
    return kept, lines


class _Words:
    """How a chunk's function names the words of an array. Those of a window that it often takes words of are read relative to a
    pointer to the window's middle, because an instruction has one byte for a word that is near a pointer and four for others.

    pointers: lines that declare them, before the first name.
    """

    def __init__(self, array: str, kind: str, places: Iterable[int]) -> None:
        """array: its name; kind: of its words; places: those that are taken, each as often as it is."""
        self._array = array
        often = Counter(map(_window, places)).most_common(_POINTERS)
        self._windows = {window for window, n in often if window > 0 and n >= _OFTEN}
        self.pointers = [
            f"{kind} *RESTRICT {array}{window} = {array} + {window * _WINDOW}; POINT({array}{window});"
            for window in sorted(self._windows)
        ]

    def __getitem__(self, place: int) -> str:
        window = _window(place)
        if window in self._windows:
            return f"{self._array}{window}[{place - window * _WINDOW}]"
        return f"{self._array}[{place}]"


def _window(place: int) -> int:
    """The window whose middle is nearest; the first half of an array is that around its beginning."""
    return (place + _WINDOW // 2) // _WINDOW


# What a chunk may take. Nothing else points to what it writes, so that the compiler need not store before it loads.
_PARAMETERS = {"in": "const V *RESTRICT in", "w": "V *RESTRICT w", "out": "V *RESTRICT out"}

_INCLUDES = """\
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Gates must end up in the loop that calls them, and short loops over signals unrolled: else operands go through memory.
   NOINLINE keeps a loop that only repeats the work from being merged with the work. */
#if defined(__clang__)
#define INLINE static inline __attribute__((always_inline, unused))
#define UNROLL _Pragma("clang loop unroll(full)")
#define NOINLINE __attribute__((noinline))
#elif defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline, unused))
#define UNROLL _Pragma("GCC unroll 16")
#define NOINLINE __attribute__((noinline))
#else
#define INLINE static inline
#define UNROLL
#define NOINLINE
#endif

#if defined(__cplusplus) && defined(__GNUC__)
#define RESTRICT __restrict__
#elif defined(__cplusplus)
#define RESTRICT
#else
#define RESTRICT restrict
#endif

"""

_LANES_OF_TARGET = """\
/* Words of a register. */
#if !defined(LANES)
#if !defined(__GNUC__)
#define LANES 1
#elif defined(__AVX512F__)
#define LANES 8
#elif defined(__AVX2__)
#define LANES 4
#elif defined(__SSE2__) || defined(__ARM_NEON)
#define LANES 2
#else
#define LANES 1
#endif
#endif
"""

_WORD = """\
#if LANES > 1
typedef uint64_t V __attribute__((vector_size(8 * LANES)));
INLINE V NAME_zero(void) {
    const V zero = {0};
    return zero;
}
#define ZERO NAME_zero()
#else
typedef uint64_t V;
#define ZERO UINT64_C(0)
#endif
"""

_IF_TERNARY = """\
/* Functions of three words, by their tables: bit 4c + 2b + a is the value where a, b and c are the words' bits. The instruction's
   result takes the place of c. */
#if LANES == 8 && defined(__AVX512F__)
#include <immintrin.h>
#define TERNARY(a, b, c, table) ((V)_mm512_ternarylogic_epi64((__m512i)(a), (__m512i)(b), (__m512i)(c), table))
"""

_SHIFTS = """\
/* The cells west and east of each lane; before, after: the words one further west and east. */
#if defined(__AVX512VBMI2__) && LANES == 8
#include <immintrin.h>
#define FROM_WEST(cells, before) ((V)_mm512_shldi_epi64((__m512i)(cells), (__m512i)(before), 1))
#define FROM_EAST(cells, after) ((V)_mm512_shrdi_epi64((__m512i)(cells), (__m512i)(after), 1))
#else
#define FROM_WEST(cells, before) ((cells) << 1 | (before) >> 63)
#define FROM_EAST(cells, after) ((cells) >> 1 | (after) << 63)
#endif
"""

_KEEP = """\
/* Keep a word in its register of 32: compilers would read it from memory in each instruction that takes it. */
#if LANES == 8 && defined(__GNUC__) && defined(__AVX512F__)
#define KEEP(word) __asm__("" : "+v"(word))
/* And use a pointer as it is: compilers would count from the array's beginning, which takes longer instructions. */
#define POINT(pointer) __asm__("" : "+r"(pointer))
#else
#define KEEP(word) (void)(word)
#define POINT(pointer) (void)(pointer)
#endif
"""

_AT_ONCE = """\
/* Blocks that the same gates are evaluated for before the next ones are. */
#define AT_ONCE (LANES < 8 ? 8 / LANES : 1)
"""

_ONE_BLOCK = """
#define AT_ONCE 1
INLINE void NAME_blocks(const V *in, V *out, size_t n) {
    (void)n;
    NAME_block(in, out);
}
"""

_EVAL = """\
/* Words of an item's signal in a block, of 64 items each. */
size_t NAME_lanes(void) {
    return LANES;
}

/* in: n_blocks x N_IN x LANES words, out: n_blocks x N_OUT x LANES words, which may not overlap. Neither need be aligned, but
   registers' words that are at multiples of their size save a copy. */
NOINLINE void NAME_eval(const uint64_t *in, uint64_t *out, size_t n_blocks) {
    const int aligned = ((uintptr_t)in | (uintptr_t)out) % sizeof(V) == 0;
    V inputs[AT_ONCE * N_IN + 1], outputs[AT_ONCE * N_OUT + 1];
    for (size_t block = 0; block < n_blocks; block += AT_ONCE) {
        const size_t n = n_blocks - block < AT_ONCE ? n_blocks - block : AT_ONCE;
        const uint64_t *from = in + block * N_IN * LANES;
        uint64_t *to = out + block * N_OUT * LANES;
        if (!aligned) memcpy(inputs, from, n * N_IN * sizeof(V));
        /* One call, into which a small circuit goes once. */
        NAME_blocks(aligned ? (const V *)(const void *)from : inputs, aligned ? (V *)(void *)to : outputs, n);
        if (!aligned) memcpy(to, outputs, n * N_OUT * sizeof(V));
    }
}
"""
