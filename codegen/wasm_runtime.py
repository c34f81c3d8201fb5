"""Run what emit_wasm writes in wasmtime, which compiles it for this machine with Cranelift, as browsers do with their own."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.toolchain import MissingToolError
from codegen.wasm import I32, PAGE, Function, module


class NoWasmtimeError(MissingToolError):
    """wasmtime is not installed."""


def find_wasmtime() -> Any:
    """The module wasmtime. Raises NoWasmtimeError, which says how to get it."""
    try:
        import wasmtime
    except ImportError as error:
        raise NoWasmtimeError('WebAssembly needs wasmtime to run; install it with: pip install "gatebench[wasm]"') from error
    return wasmtime


def _repeater() -> bytes:
    """A module with eval_times(in, out, n_blocks, times), which calls the `eval` that it imports: what a call from Python costs,
    a hundred microseconds, is then shared by all evaluations."""
    function = Function([I32, I32, I32, I32], name="eval_times")
    *arguments, times = function.parameters
    with function.while_(times):
        function.call(0, *arguments)
        function.set(times, times - 1)
    return module([function], imports=[("circuit", "eval", ((I32, I32, I32), ()))])


class WasmModule:
    """A module of emit_wasm, compiled. code: its bytes. compile_seconds: what that took.

    Raises NoWasmtimeError.
    """

    def __init__(self, code: bytes) -> None:
        wasmtime = find_wasmtime()
        self.code = code
        self.engine = wasmtime.Engine()
        start = time.perf_counter()
        self.compiled = wasmtime.Module(self.engine, code)
        self.compile_seconds = time.perf_counter() - start
        self.repeater = wasmtime.Module(self.engine, _repeater())


class WasmInstance:
    """A module with a memory of its own, in which there are arrays of words. They are there as long as this is."""

    def __init__(self, wasm: WasmModule) -> None:
        wasmtime = find_wasmtime()
        self._store = wasmtime.Store(wasm.engine)
        circuit = wasmtime.Instance(self._store, wasm.compiled, [])
        self._exports = circuit.exports(self._store)
        repeater = wasmtime.Instance(self._store, wasm.repeater, [self._exports["eval"]])
        self._eval_times = repeater.exports(self._store)["eval_times"]
        self._heap_base: int = self._exports["heap_base"].value(self._store)

    def arrays(self, *sizes: int) -> list[tuple[int, NDArray[np.uint64]]]:
        """Arrays of so many words, each with its address in the memory, a multiple of 64. They are the only ones: to ask again
        would give the same addresses. Raises ValueError if they are more than the 4 GiB that there are addresses for."""
        starts = self._heap_base + np.cumsum([0, *(-(-size // 8) * 64 for size in sizes)])
        end = int(starts[-1])
        if end > 1 << 32:
            raise ValueError(f"Expected at most 4 GiB of items or board for WebAssembly, got {end / 2**30:.1f} GiB.")
        memory = self._exports["memory"]
        memory.grow(self._store, -(-max(end - memory.data_len(self._store), 0) // PAGE))
        words = np.frombuffer(memory.get_buffer_ptr(self._store), dtype=np.uint64)
        return [(start, words[start // 8 :][:size]) for start, size in zip(starts.tolist(), sizes, strict=False)]

    def call(self, name: str, *arguments: int) -> Any:
        """What the exported function gives; addresses and sizes are up to 4 GiB."""
        return self._exports[name](self._store, *arguments)

    def eval_times(self, source: int, to: int, n_blocks: int, times: int) -> None:
        """`eval`, so many times."""
        self._eval_times(self._store, source, to, n_blocks, times)
