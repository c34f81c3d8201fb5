"""Print a netlist as C: one statement a gate on words of lanes, loops over blocks, and a board stepper for stencils.

The text is C99 on uint64_t, or, with LANES above 1, the same statements on gcc's and clang's vector types, which both
map to the machine's widest registers. It needs no headers but stdint.h, stddef.h and string.h.
"""

from importlib.resources import files

from codegen.netlist import Netlist

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

# Words in a register of each instruction set that the vector types reach.
LANES = {"avx512": 8, "avx2": 4, "neon": 2, "c99": 1}

STENCIL_INPUTS = 9


def emit_c(netlist: Netlist, isa: str, name: str = "gatebench", inline: bool = True) -> str:
    """C source that evaluates the netlist.

    isa: a key of LANES; `c99` is plain uint64_t. inline: False leaves the gates in a function of their own that is called
    once a word, the published style. The netlist must be lowered to two-input gates.

    Defines NAME_eval(in, out, n_blocks) on the block layout of codegen.pack with LANES[isa] words, NAME_eval_times, which
    repeats it, and for a netlist of nine inputs and one output NAME_steps and NAME_work_words (see stencil.c).
    """
    if netlist.arity.max(initial=0) > 2:
        raise ValueError("Expected gates of at most two inputs; call passes.lower on the netlist first.")
    parts = [
        prelude(isa),
        _block(netlist, inline),
        _EVAL.replace("N_IN", str(netlist.n_inputs)).replace("N_OUT", str(netlist.n_outputs)),
    ]
    if is_stencil(netlist):
        parts += [_ROW_OF_CELLS, stencil_source()]
    return "\n".join(parts).replace("NAME", name)


def emit_stencil(functions: str, isa: str, name: str = "gatebench") -> str:
    """C source of a board stepper around hand-written ROW_SIGNALS, NAME_row and NAME_block (see stencil.c)."""
    return "\n".join([prelude(isa), functions, stencil_source()]).replace("NAME", name)


def is_stencil(netlist: Netlist) -> bool:
    """Whether the netlist can step a board: nine inputs, the 3x3 neighbourhood in reading order, and one output."""
    return netlist.n_inputs == STENCIL_INPUTS and netlist.n_outputs == 1


def stencil_source() -> str:
    """The text of stencil.c, in terms of NAME, LANES and V."""
    return files("codegen").joinpath("stencil.c").read_text()


def prelude(isa: str) -> str:
    """Headers, LANES and the word type V with its ZERO."""
    lanes = LANES[isa]
    vector = _VECTOR.replace("LANE_LIST", ", ".join(map(str, range(lanes))))
    return f"{_INCLUDES}#define LANES {lanes}\n{vector if lanes > 1 else _SCALAR}"


def count_operators(netlist: Netlist) -> int:
    """Bitwise operators (& | ^ ~) that one evaluation of the emitted C takes a word."""
    return sum(sum(line.count(operator) for operator in "&|^~") for line in _statements(netlist))


def _statements(netlist: Netlist) -> list[str]:
    lines = []
    for gate, (table, fan_in, arity) in enumerate(
        zip(netlist.table.tolist(), netlist.fan_in.tolist(), netlist.arity.tolist(), strict=True)
    ):
        operands = dict(zip("ab", (_signal(netlist, signal) for signal in fan_in[:arity]), strict=False))
        lines.append(f"const V v{gate} = {OPERATORS[arity][table].format(**operands)};")
    for output, (signal, inverted) in enumerate(zip(netlist.outputs.tolist(), netlist.inverted.tolist(), strict=True)):
        lines.append(f"out[{output}] = {'~' if inverted else ''}{_signal(netlist, signal)};")
    return lines


def _signal(netlist: Netlist, signal: int) -> str:
    return f"in[{signal}]" if signal < netlist.n_inputs else f"v{signal - netlist.n_inputs}"


def _block(netlist: Netlist, inline: bool) -> str:
    body = "\n".join(f"    {line}" for line in _statements(netlist))
    linkage = "INLINE " if inline else ""
    prototype = f"{linkage}void NAME_block(const V *in, V *out)"
    declaration = "" if inline else f"{prototype};\n"
    return f"{declaration}{prototype} {{\n{body}\n}}\n"


_INCLUDES = """\
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Gates must end up in the loop that calls them, and short loops over signals unrolled: else operands go through memory.
   NOINLINE keeps a loop that only repeats the work from being merged with the work. */
#if defined(__clang__)
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")
#define NOINLINE __attribute__((noinline))
#elif defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#define NOINLINE __attribute__((noinline))
#else
#define INLINE static inline
#define UNROLL
#define NOINLINE
#endif
"""

_SCALAR = """\
typedef uint64_t V;
#define ZERO UINT64_C(0)
#define ONLY_LANE(lane) ((lane) == 0 ? ~ZERO : ZERO)
"""

_VECTOR = """\
typedef uint64_t V __attribute__((vector_size(8 * LANES)));
#define ZERO ((V){0})
#define ONLY_LANE(lane) ((V)(LANE_NUMBERS == ZERO + (uint64_t)(lane)))
static const V LANE_NUMBERS = {LANE_LIST};
"""

_EVAL = """\
/* in: n_blocks x N_IN x LANES words, out: n_blocks x N_OUT x LANES words; neither need be aligned. */
NOINLINE void NAME_eval(const uint64_t *in, uint64_t *out, size_t n_blocks) {
    V inputs[N_IN + 1], outputs[N_OUT + 1];
    for (size_t block = 0; block < n_blocks; block++) {
        memcpy(inputs, in + block * N_IN * LANES, N_IN * sizeof(V));
        NAME_block(inputs, outputs);
        memcpy(out + block * N_OUT * LANES, outputs, N_OUT * sizeof(V));
    }
}

/* The same, over and over: what a call from outside costs is then shared by all of them. */
void NAME_eval_times(const uint64_t *in, uint64_t *out, size_t n_blocks, size_t times) {
    for (; times > 0; times--) {
        NAME_eval(in, out, n_blocks);
    }
}
"""

_ROW_OF_CELLS = """\
/* A circuit of nine inputs reads the cells themselves. */
#define ROW_SIGNALS 3
INLINE void NAME_row(const V *in, V *out) {
    memcpy(out, in, ROW_SIGNALS * sizeof(V));
}
"""
