"""Instructions that a circuit takes, counted by valgrind: the same every time with the same compiler, as times are not.

What is counted is C for AVX2 (x86-64-v3), which valgrind knows, as it does not know AVX-512. It says nothing of what waits for
memory, and on wider words an item takes fewer.
"""

import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.resources import files

from codegen.backends import compiler_flags, pipeline
from codegen.emit_c import LANES, emit_c, emit_stencil
from codegen.netlist import Netlist
from codegen.pack import WORD
from codegen.passes import run
from codegen.stencil import is_stencil
from codegen.toolchain import ToolchainError, compile_program, find_compiler

_ISA, _TARGET = "avx2", "-march=x86-64-v3"
_NAME = "counted"
_BLOCKS = 16  # of items a run: more than are evaluated at once
_STEPS = 32  # as many as large boards are stepped at a time
# valgrind counts every byte that `rep movsb` moves as an instruction. glibc's memcpy uses it where the processor is quick at it.
_TUNABLES = "glibc.cpu.hwcaps=-ERMS,-FSRM"
_COLLECTED = re.compile(r"Collected\s*:\s*(\d+)")
_INSTALL_HINT = "Install it (Debian/Ubuntu: apt-get install valgrind; Fedora: dnf install valgrind)."


@dataclass(frozen=True)
class Instructions:
    """per_item: how many one item takes, None if they cannot be counted here; reason: why not."""

    per_item: float | None
    reason: str | None = None


def instructions_per_item(learned: Netlist, timeout_seconds: float = 600) -> Instructions:
    """What an item of bits takes, packed in blocks before (NAME_eval of emit_c). learned: as BACKENDS take it.

    timeout_seconds: of one run of the compiler, and of each of two of valgrind.
    """
    netlist, _ = run(learned, pipeline(_ISA))
    lanes = LANES[_ISA]
    sizes = (_BLOCKS * netlist.n_inputs * lanes, _BLOCKS * netlist.n_outputs * lanes)
    body = f"""\
void (*volatile eval)(const uint64_t *, uint64_t *, size_t) = {_NAME}_eval;
    for (; times > 0; times--) eval(input, output, {_BLOCKS});"""
    source = _program(emit_c(netlist, _ISA, _NAME), sizes, body)
    return _counted(source, compiler_flags(netlist), 1, _BLOCKS * WORD * lanes, timeout_seconds)


def instructions_per_cell(
    learned: Netlist | str, height: int, width: int, torus: bool, timeout_seconds: float = 600
) -> Instructions:
    """What a generation of a cell takes, on a board that is packed before (NAME_steps of emit_c).

    learned: as BACKENDS take it, of nine inputs and one output, or hand-written C as backends.HandWritten takes it. Raises
    ValueError for another netlist or a board without cells.
    """
    if height < 1 or width < 1:
        raise ValueError(f"Expected a board of at least one cell, got {height} x {width}.")
    if isinstance(learned, str):
        flags: tuple[str, ...] = ("-O3",)
        functions = emit_stencil(learned, _ISA, _NAME)
    elif is_stencil(learned):
        netlist, _ = run(learned, pipeline(_ISA))
        functions, flags = emit_c(netlist, _ISA, _NAME), compiler_flags(netlist)
    else:
        raise ValueError(f"Expected a netlist of 9 inputs and 1 output, got {learned.n_inputs} and {learned.n_outputs}.")
    size = f"{height}, {width}"
    body = f"""\
static uint8_t cells[{height * width}];
    for (size_t i = 0; i < sizeof cells; i++) cells[i] = ((const uint8_t *)input)[i] & 1;
    {_NAME}_pack(cells, {size}, output);
    uint64_t *work = malloc(8 * {_NAME}_work_words({size}));
    void (*volatile steps)(uint64_t *, size_t, size_t, int, size_t, uint64_t *) = {_NAME}_steps;
    steps(output, {size}, {int(torus)}, times, work);
    free(work);"""
    source = _program(functions, (-(-height * width // 8), height * -(-width // WORD)), body)
    return _counted(source, flags, _STEPS, height * width, timeout_seconds)


def _program(functions: str, sizes: tuple[int, int], body: str) -> str:
    """C of a program that runs the functions; sizes: words of input and of output.

    The body calls them through pointers that might change, so that no compiler makes a copy for these arguments, or sees what
    need not be done twice.
    """
    return "\n".join(
        [
            "#include <stdlib.h>",
            functions,
            *(f"#define {name} {size}" for name, size in zip(("N_INPUT", "N_OUTPUT"), sizes, strict=True)),
            f"NOINLINE void count_run(uint64_t *input, uint64_t *output, size_t times) {{\n    {body}\n}}",
            files("codegen").joinpath("count.c").read_text(),
        ]
    )


def _counted(source: str, flags: tuple[str, ...], times: int, n_items: int, timeout_seconds: float) -> Instructions:
    """The difference that as many runs more make in count_run, so that what comes before them does not count."""
    reason = _unavailable()
    if reason is not None:
        return Instructions(None, reason)
    try:
        program = compile_program(source, (*flags, _TARGET), timeout_seconds)
    except ToolchainError as error:
        return Instructions(None, str(error))
    # Name and environment of a process are on its stack, and where the rest of that lies decides how memcpy goes about it.
    options = ("--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=count_run*")
    command = [shutil.which("valgrind") or "valgrind", *options]
    environment = {"GLIBC_TUNABLES": _TUNABLES}
    counts = []
    for runs in (times, 2 * times):
        try:
            done = subprocess.run(
                [*command, f"./{program.path.name}", str(runs)],
                cwd=program.path.parent, env=environment, capture_output=True, text=True, timeout=timeout_seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Instructions(None, f"valgrind did not finish in {timeout_seconds:g} s.")
        found = _COLLECTED.search(done.stderr)
        if done.returncode != 0 or found is None:
            said = done.stderr.strip().splitlines() or ["nothing"]
            return Instructions(None, f"valgrind ended with exit code {done.returncode} and said: {said[-1]}")
        counts.append(int(found.group(1)))
    return Instructions((counts[1] - counts[0]) / times / n_items)


def _unavailable() -> str | None:
    """Why nothing can be counted here, None if it can."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return f"Instructions are counted on x86-64; this machine is {platform.machine()}."
    if shutil.which("valgrind") is None:
        return f"There is no valgrind to count instructions. {_INSTALL_HINT}"
    try:
        compiler = find_compiler()
    except ToolchainError as error:
        return str(error)
    if "__AVX2__" not in compiler.macros:
        return "Instructions are counted of AVX2, which this processor has not."
    return None
