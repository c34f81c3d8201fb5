"""The circuit's back ends: one interface over everything that can run a discretised circuit.

Each entry of BACKENDS builds an Executable from the learned netlist. The trained network's own rows (nn-torch, nn-jax)
have the same interface and live with the engines in methods.
"""

import copy
import ctypes
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from codegen import emit_numba
from codegen.emit_c import CHUNK, LANES, count_operators, emit_c, emit_stencil, widest_gate
from codegen.emit_items import MAX_ANSWER_BITS
from codegen.emit_wasm import WORDS, count_operations, emit_wasm
from codegen.encoder import Encoder
from codegen.interfaces import Batch, Bits, Stepper
from codegen.netlist import Netlist
from codegen.pack import WORD, aligned_words, pack_board, pack_items, unpack_board, unpack_items
from codegen.passes import NAIVE, OPTIMISE_TERNARY, OPTIMISE_TWO_INPUT, Pass, PassReport, lower, run
from codegen.readout import Readout
from codegen.simulate import check_bits, simulate
from codegen.stencil import is_stencil
from codegen.toolchain import Library, ToolchainError, compile_library, find_compiler
from codegen.wasm_runtime import WasmInstance, WasmModule, find_wasmtime

_Number = TypeVar("_Number", np.int32, np.float32, np.bool_)

_NAME = "gatebench"  # prefix of the functions in every library


@dataclass(frozen=True)
class Facts:
    """What a back end was built from and into, for the record; None where there is no such thing.

    isa: what its words are. passes: what made its circuit out of the learned one. operators: bitwise operators a word.
    source, library: the C text and what was made of it. module: the WebAssembly, compiled.
    """

    isa: str
    gates: int | None = None
    depth: int | None = None
    operators: int | None = None
    passes: tuple[PassReport, ...] = ()
    source: str | None = None
    library: Library | None = None
    module: WasmModule | None = None


class Executable(Protocol):
    """A form of the circuit, or of the network it came from, that runs."""

    def evaluate(self, bits: Bits) -> Bits:
        """bool (item, input) -> bool (item, output)."""

    def batch(self, bits: Bits) -> Batch:
        """Put items, bool (item, input), into the back end. Raises ValueError for bits of another shape or type."""

    def stepper(self, board: Bits, torus: bool) -> Stepper:
        """Put a board, bool (height, width), into the back end. Raises ValueError if the circuit is no 3x3 stencil."""


class CircuitExecutable(Executable, Protocol):
    """An executable built here, with its facts."""

    facts: Facts


def check_board(board: Bits) -> Bits:
    """The board as given, or ValueError with what was expected."""
    board = np.asarray(board)
    if board.dtype != np.bool_ or board.ndim != 2 or 0 in board.shape:
        raise ValueError(
            f"Expected a bool board of shape (height, width), both at least 1; got {board.dtype} of shape {board.shape}."
        )
    return board


def _check_stencil(netlist: Netlist, board: Bits) -> Bits:
    if not is_stencil(netlist):
        raise ValueError(
            "Only a circuit of 9 inputs (the 3x3 neighbourhood in reading order) and 1 output steps a board;"
            f" this one has {netlist.n_inputs} inputs and {netlist.n_outputs} outputs."
        )
    return check_board(board)


@dataclass
class _Words:
    """A stepper over packed rows: `advance` maps rows and a number of steps to the new rows."""

    rows: NDArray[np.uint64]
    width: int
    advance: Callable[[NDArray[np.uint64], int], NDArray[np.uint64]]

    def run(self, steps: int) -> None:
        self.rows = self.advance(self.rows, steps)

    def board(self) -> Bits:
        return unpack_board(self.rows, self.width)


@dataclass
class _Blocks:
    """A batch in packed words (see codegen.pack): `evaluate` fills out from blocks, the given number of times."""

    n_items: int
    blocks: NDArray[np.uint64]
    out: NDArray[np.uint64]
    evaluate: Callable[[NDArray[np.uint64], NDArray[np.uint64], int], None]

    @classmethod
    def of(
        cls, netlist: Netlist, bits: Bits, words: int, evaluate: Callable[[NDArray[np.uint64], NDArray[np.uint64], int], None]
    ) -> "_Blocks":
        packed = pack_items(check_bits(netlist, bits), words)
        blocks = aligned_words(packed.size).reshape(packed.shape)
        blocks[:] = packed
        out = aligned_words(len(blocks) * netlist.n_outputs * words).reshape(len(blocks), netlist.n_outputs, words)
        return cls(len(bits), blocks, out, evaluate)

    def run(self, times: int) -> None:
        self.evaluate(self.blocks, self.out, times)

    def outputs(self) -> Bits:
        return unpack_items(self.out, self.n_items)


class NumpyCircuit:
    """The oracle as a back end: `simulate`, one bool an item."""

    def __init__(self, learned: Netlist) -> None:
        self.netlist = learned
        self.facts = Facts("numpy", learned.n_gates, learned.depth)

    def evaluate(self, bits: Bits) -> Bits:
        return simulate(self.netlist, bits)

    def batch(self, bits: Bits) -> Batch:
        return _NumpyBatch(self.netlist, check_bits(self.netlist, bits).copy())

    def stepper(self, board: Bits, torus: bool) -> Stepper:
        return _NumpyStepper(self.netlist, _check_stencil(self.netlist, board), torus)


@dataclass
class _NumpyBatch:
    netlist: Netlist
    bits: Bits

    def __post_init__(self) -> None:
        self._outputs = np.zeros((len(self.bits), self.netlist.n_outputs), dtype=bool)

    def run(self, times: int) -> None:
        for _ in range(times):
            self._outputs = simulate(self.netlist, self.bits)

    def outputs(self) -> Bits:
        return self._outputs


@dataclass
class _NumpyStepper:
    netlist: Netlist
    now: Bits
    torus: bool

    def run(self, steps: int) -> None:
        for _ in range(steps):
            padded = np.pad(self.now, 1, mode="wrap") if self.torus else np.pad(self.now, 1)
            windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
            self.now = simulate(self.netlist, windows.reshape(-1, 9)).reshape(self.now.shape)

    def board(self) -> Bits:
        return self.now


class NumbaCircuit:
    """The optimised netlist on packed words, run by one numba function that serves every circuit."""

    def __init__(self, learned: Netlist) -> None:
        self.netlist, passes = run(learned, OPTIMISE_TERNARY)
        self._program = emit_numba.program(self.netlist)
        self.facts = Facts("numba", self.netlist.n_gates, self.netlist.depth, self._program.n_operators, tuple(passes))

    def evaluate(self, bits: Bits) -> Bits:
        return _evaluated(self.batch(bits))

    def batch(self, bits: Bits) -> Batch:
        return _Blocks.of(
            self.netlist,
            bits,
            emit_numba.BLOCK_WORDS,
            lambda blocks, out, times: emit_numba.evaluate(self._program, blocks, out, times),
        )

    def stepper(self, board: Bits, torus: bool) -> Stepper:
        board = _check_stencil(self.netlist, board)
        width = board.shape[1]
        return _Words(
            pack_board(board), width, lambda rows, steps: emit_numba.step_board(self._program, rows, width, torus, steps)
        )


class WasmCircuit:
    """The optimised netlist as WebAssembly. Each batch and each board has an instance, which is gone when they are."""

    def __init__(self, learned: Netlist) -> None:
        self.netlist, passes = run(learned, OPTIMISE_TWO_INPUT)
        self._module = WasmModule(emit_wasm(self.netlist))
        self.facts = Facts(
            "simd128",
            self.netlist.n_gates,
            self.netlist.depth,
            count_operations(self.netlist),
            tuple(passes),
            module=self._module,
        )

    def evaluate(self, bits: Bits) -> Bits:
        return _evaluated(self.batch(bits))

    def batch(self, bits: Bits) -> Batch:
        packed = pack_items(check_bits(self.netlist, bits), WORDS)
        shape = (len(packed), self.netlist.n_outputs, WORDS)
        instance = WasmInstance(self._module)
        (source, blocks), (to, out) = instance.arrays(packed.size, math.prod(shape))
        blocks[:] = packed.ravel()
        return _Blocks(
            len(bits),
            blocks.reshape(packed.shape),
            out.reshape(shape),
            lambda blocks, _, times: instance.eval_times(source, to, len(blocks), times),
        )

    def stepper(self, board: Bits, torus: bool) -> Stepper:
        packed = pack_board(_check_stencil(self.netlist, board))
        height, width = board.shape
        instance = WasmInstance(self._module)
        (rows_at, rows), (work, _) = instance.arrays(packed.size, instance.call("work_words", height, width))
        rows[:] = packed.ravel()

        def advance(rows: NDArray[np.uint64], steps: int) -> NDArray[np.uint64]:
            instance.call("steps", rows_at, height, width, torus, steps, work)
            return rows

        return _Words(rows.reshape(packed.shape), width, advance)


class CompiledStencil:
    """A shared library with NAME_steps, NAME_work_words, NAME_pack and NAME_unpack (see stencil.c and cells.c), bound by
    ctypes."""

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        size, pointer = ctypes.c_size_t, ctypes.c_void_p
        self.steps = getattr(library, f"{name}_steps")
        self.steps.argtypes = [pointer, size, size, ctypes.c_int, size, pointer]
        self.work_words = getattr(library, f"{name}_work_words")
        self.work_words.argtypes = [size, size]
        self.pack, self.unpack = getattr(library, f"{name}_pack"), getattr(library, f"{name}_unpack")
        self.pack.argtypes = self.unpack.argtypes = [pointer, size, size, pointer]
        self.steps.restype = self.pack.restype = self.unpack.restype = None
        self.work_words.restype = size

    def stepper(self, board: Bits, torus: bool) -> Stepper:
        """A stepper for bool (height, width), read in place in C order, else copied; the caller has checked the board."""
        return _CompiledStepper(self, board, torus)


class _CompiledStepper:
    """A board in packed rows, stepped in place by a CompiledStencil."""

    def __init__(self, stencil: CompiledStencil, board: Bits, torus: bool) -> None:
        self._stencil, self._torus = stencil, torus
        self._height, self._width = height, width = board.shape
        self._rows = np.empty((height, -(-width // WORD)), dtype=np.uint64)
        self._work = np.empty(stencil.work_words(height, width), dtype=np.uint64)
        # numpy takes a microsecond to say where an array is, as long as a small board takes to step.
        self._rows_at, self._work_at = self._rows.ctypes.data, self._work.ctypes.data
        cells = np.ascontiguousarray(board)
        stencil.pack(cells.ctypes.data, height, width, self._rows_at)

    def run(self, steps: int) -> None:
        self._stencil.steps(self._rows_at, self._height, self._width, self._torus, steps, self._work_at)

    def board(self) -> Bits:
        cells = np.empty((self._height, self._width), dtype=bool)
        self._stencil.unpack(self._rows_at, self._height, self._width, cells.ctypes.data)
        return cells


def _address(array: NDArray[Any]) -> Any:
    """Where the elements of an array in C order begin, for ctypes. numpy's word for it takes longer than the rest of a call:
    it is asked only where ctypes cannot look, at read-only arrays and those of no elements."""
    try:
        return ctypes.byref(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return array.ctypes.data


# What a call from outside costs is then shared by all evaluations.
_EVAL_TIMES = f"""
void {_NAME}_eval_times(const uint64_t *in, uint64_t *out, size_t n_blocks, size_t times) {{
    for (; times > 0; times--) {_NAME}_eval(in, out, n_blocks);
}}
"""


class CompiledCircuit:
    """A netlist, lowered to gates that it prints, compiled to C for an instruction set (a key of emit_c.LANES), and for this
    machine or, if not native, for every one of its architecture.

    With an encoder it also takes items' own numbers: see answers and predict. With a readout, whose counts the netlist then
    gives behind the answer (see lower_readout.lower_answer), also scores.
    """

    def __init__(
        self,
        netlist: Netlist,
        passes: list[PassReport],
        isa: str,
        flags: tuple[str, ...],
        inline: bool,
        timeout: float,
        encoder: Encoder | None = None,
        readout: Readout | None = None,
        native: bool = True,
    ) -> None:
        self.netlist, self.encoder, self.readout = netlist, encoder, readout
        source = emit_c(netlist, isa, _NAME, inline, encoder=encoder, readout=readout) + _EVAL_TIMES
        library = compile_library(source, flags, timeout, native)
        self.facts = Facts(isa, netlist.n_gates, netlist.depth, count_operators(netlist, isa), tuple(passes), source, library)
        self._load(library.path)

    def _load(self, path: Path) -> None:
        """Bind the functions of a library of this circuit."""
        self._library = ctypes.CDLL(str(path))
        eval_times = getattr(self._library, f"{_NAME}_eval_times")
        eval_times.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
        eval_times.restype = None

        def evaluate(blocks: NDArray[np.uint64], out: NDArray[np.uint64], times: int) -> None:
            eval_times(blocks.ctypes.data, out.ctypes.data, len(blocks), times)

        self._evaluate = evaluate
        self._on_bytes, self._on_floats = self._functions("u8"), self._functions("f32")
        self._stencil = CompiledStencil(self._library, _NAME) if is_stencil(self.netlist) else None

    def _functions(self, kind: str) -> dict[str, Callable[..., None]]:
        """The functions on items of a type that the library has."""
        found = {}
        for function in ("predict", "answers", "scores"):
            compiled = getattr(self._library, f"{_NAME}_{function}_{kind}", None)
            if compiled is not None:
                compiled.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
                compiled.restype = None
                found[function] = compiled
        return found

    def evaluate(self, bits: Bits) -> Bits:
        return _evaluated(self.batch(bits))

    def batch(self, bits: Bits) -> Batch:
        return _Blocks.of(self.netlist, bits, LANES[self.facts.isa], self._evaluate)

    def answers(self, features: NDArray[Any]) -> Bits:
        """The answers to items' own numbers, (item, feature) -> bool (item, answer).

        Bytes and float32 in C order are read where they are, other types and layouts copied. Raises ValueError without an
        encoder, and EncoderError for items that it does not encode.
        """
        n_answers = self.netlist.n_outputs if self.readout is None else self.readout.n_answers
        return self._of_items("answers", features, (n_answers,), np.bool_)

    def predict(self, features: NDArray[Any]) -> NDArray[np.int32]:
        """The same as int32 (item,): the answers as binary numbers, low bit first.

        Raises ValueError also if they have more than MAX_ANSWER_BITS bits.
        """
        if self.netlist.n_outputs > MAX_ANSWER_BITS and self.readout is None:
            raise ValueError(f"Expected answers of at most {MAX_ANSWER_BITS} bits, got {self.netlist.n_outputs}: use answers.")
        return self._of_items("predict", features, (), np.int32)

    def scores(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """The scores of items' own numbers, (item, feature) -> float32 (item, group).

        Raises ValueError also without a readout.
        """
        if self.readout is None:
            raise ValueError("Expected a circuit with a readout; the outputs of this one are its answer: use answers.")
        return self._of_items("scores", features, (self.readout.n_groups,), np.float32)

    def _of_items(self, function: str, features: NDArray[Any], shape: tuple[int, ...], dtype: type[_Number]) -> NDArray[_Number]:
        """What one of the functions on items gives, (item, *shape)."""
        if self.encoder is None:
            raise ValueError("Expected a circuit with an encoder; this one reads bits: use evaluate.")
        features = self.encoder.check(features)
        if features.dtype.type in (np.uint8, np.bool_):
            features, functions = np.ascontiguousarray(features, dtype=np.uint8), self._on_bytes
        else:
            features, functions = np.ascontiguousarray(features, dtype=np.float32), self._on_floats
        out = np.empty((len(features), *shape), dtype=dtype)
        functions[function](_address(features), len(features), _address(out))
        return out

    def stepper(self, board: Bits, torus: bool) -> Stepper:
        board = _check_stencil(self.netlist, board)
        assert self._stencil is not None
        return self._stencil.stepper(board, torus)


class HandWritten:
    """A task's hand-written C as a back end: what a competent programmer gets without learning anything.

    functions: C text of ROW_SIGNALS, NAME_row and NAME_rule, for the stepper that the circuits use too (see stencil.c).
    It only steps boards, so `evaluate` asks it for the middle cell of 3x3 boards with dead edges.
    """

    def __init__(self, functions: str, timeout: float) -> None:
        isa = find_compiler().isa
        source = emit_stencil(functions, isa)
        library = compile_library(source, ("-O3",), timeout)
        self.facts = Facts(isa, source=source, library=library)
        self._stencil = CompiledStencil(ctypes.CDLL(str(library.path)), _NAME)

    def evaluate(self, bits: Bits) -> Bits:
        middles = []
        for item in bits:
            stepper = self.stepper(item.reshape(3, 3), torus=False)
            stepper.run(1)
            middles.append(stepper.board()[1, 1])
        return np.array(middles, dtype=bool).reshape(len(bits), 1)

    def batch(self, bits: Bits) -> Batch:
        raise ValueError(f"Hand-written C only steps boards; got {len(bits)} items to evaluate in bulk.")

    def stepper(self, board: Bits, torus: bool) -> Stepper:
        return self._stencil.stepper(check_board(board), torus)


def pipeline(isa: str) -> tuple[Pass, ...]:
    """The passes before emit_c prints for the instruction set."""
    return OPTIMISE_TERNARY if widest_gate(isa) == 3 else OPTIMISE_TWO_INPUT


def _c_naive(learned: Netlist, timeout: float, encoder: Encoder | None = None) -> CompiledCircuit:
    """The published style: learned gates less copies and dead gates, a uint64_t statement a gate, nothing else."""
    netlist, passes = run(learned, (*NAIVE, lower))
    # Above 20,000 gates -O1, as the publishers of this style do, since -O3 takes minutes there.
    optimisation = "-O3" if netlist.n_gates <= 20_000 else "-O1"
    return CompiledCircuit(netlist, passes, "c99", (optimisation,), False, timeout, encoder)


def optimisation(netlist: Netlist) -> str:
    """The optimisation that pays. Chunks are straight lines of gates: above -O1, gcc 12 took twice as long over a circuit of
    25,000 for a gain within the noise."""
    return "-O3" if netlist.n_gates <= CHUNK else "-O1"


def compiler_flags(netlist: Netlist) -> tuple[str, ...]:
    """optimisation, and what more gcc takes; clang refuses it.

    Passes that look for stores to where a load or a later store goes look past all the others of a chunk, and find none.
    Without them gcc 12 took 7.4 s instead of 13.4 for 26,600 gates of MNIST, and 9.7 s instead of 30 for 16,400 at random with
    as many outputs, and the code was as fast. Loops over items are worth vectors. What is called expensive clears the upper
    parts of registers before a return, and took no longer: left as they are, they make a processor wait whenever code of the
    older encoding follows code of the newer. Cranelift's, called after a circuit of MNIST on AVX-512, took 200 times as long.
    """
    level = optimisation(netlist)
    if level == "-O3" or "__clang__" in find_compiler().macros:
        return (level,)
    return (level, "-fexpensive-optimizations", "-ftree-loop-vectorize", "-fno-tree-fre", "-fno-tree-dse", "-fno-tree-pta")


def _c_portable(learned: Netlist, timeout: float, encoder: Encoder | None = None) -> CompiledCircuit:
    """A library for every machine of the architecture: what the same C gives without -march."""
    netlist, passes = run(learned, pipeline("simd128"))
    return CompiledCircuit(netlist, passes, "simd128", compiler_flags(netlist), True, timeout, encoder, native=False)


def _c(learned: Netlist, timeout: float, encoder: Encoder | None = None) -> CompiledCircuit:
    isa = find_compiler().isa
    netlist, passes = run(learned, pipeline(isa))
    return CompiledCircuit(netlist, passes, isa, compiler_flags(netlist), True, timeout, encoder)


# Each builds its form of the learned netlist; the number is the limit of one compiler run in seconds, and an encoder, if one
# is given, is compiled with the circuit.
BACKENDS: dict[str, Callable[..., CircuitExecutable]] = {
    "numpy": lambda learned, *_: NumpyCircuit(learned),
    "numba": lambda learned, *_: NumbaCircuit(learned),
    "c-naive": _c_naive,
    "c-portable": _c_portable,
    "c": _c,
    "wasm": lambda learned, *_: WasmCircuit(learned),
}


# What a back end needs beside Python, as a function that raises ToolchainError where it is not there.
_NEEDS: dict[str, Callable[[], object]] = {
    **dict.fromkeys(("c-naive", "c-portable", "c"), find_compiler),
    "wasm": find_wasmtime,
}


def missing(backend: str) -> str | None:
    """Why the back end, a key of BACKENDS, cannot be built here and what to do about it; None if it can."""
    try:
        if backend in _NEEDS:
            _NEEDS[backend]()
    except ToolchainError as error:
        return str(error)
    return None


def second_copy(circuit: CompiledCircuit, folder: Path) -> CompiledCircuit:
    """The same library loaded a second time, for an A/A comparison: equal code at another address."""
    assert circuit.facts.library is not None
    return on_library(circuit, Path(shutil.copy(circuit.facts.library.path, folder / "second_copy.so")))


def on_library(circuit: CompiledCircuit, library: Path) -> CompiledCircuit:
    """The circuit in another library, that has its functions by the same names. Raises AttributeError where it has not."""
    other = copy.copy(circuit)
    other._load(library)
    return other


def _evaluated(batch: Batch) -> Bits:
    batch.run(1)
    return batch.outputs()
