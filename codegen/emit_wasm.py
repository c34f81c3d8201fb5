"""Print a netlist as WebAssembly: a module that runs in any browser, one 128-bit operation a gate on words of 128 lanes.

It imports nothing and exports

    memory                                           its own memory. From heap_base on it is the caller's, who makes it larger
                                                     with memory.grow as needed
    heap_base                                        an address, a multiple of 64
    eval(in, out, n_blocks)                          on the block layout of codegen.pack with WORDS words

and for a netlist of nine inputs and one output

    work_words(height, width)                        how many words of 8 bytes `steps` needs as scratch memory
    steps(rows, height, width, torus, steps, work)   on the layout of codegen.pack.pack_board, in place

where everything is i32: addresses are in bytes and best multiples of 16, torus is 0 or 1, height and width are at least 1.

Gates of a large circuit are cut into functions (see codegen.chunks), each called for several blocks in turn, as the C is. While
a board is stepped, its rows have a word more on either side, which holds the cells beyond the edge. So a vector's neighbours in
the west and east are what memory holds 8 bytes before and after it, and no lane is ever moved. A vector's column is stepped
from north to south: what a row says (see codegen.rows) is computed once and stays in registers for the next two.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from codegen.chunks import Chunks, cut
from codegen.netlist import Netlist
from codegen.rows import split_rows
from codegen.stencil import is_stencil
from codegen.wasm import I32, I64, PAGE, V128, Function, Local, Value, constant, module, select

WORDS = 2  # of a signal in a block
_BYTES = 8 * WORDS

# Gates of a function. 54,452 gates of MNIST in functions of 100, 200, 400, 1,000 and 2,000 took Cranelift 0.5, 0.6, 0.6, 0.8 and
# 1.2 s and gave 4.2, 3.8, 3.6, 3.0 and 2.4 million images a second; Chromium 156, which compiles each function anew when it
# has run for a while, gave 0.8, 1.0, 3.7, 4.3 and 3.9 on a busy machine. The module had 834 to 677 kB.
CHUNK = 400
_AT_ONCE = 4  # blocks for which a function is called before the next one is: as many as have 512 items
_BLOCK_ROWS = 256  # rows of a column that are stepped before the next column, whose cells are in the same lines of the cache

_EVAL, _STEPS = "eval", "steps"
_FALSE = constant(0, V128)

# By truth table, of those that are false where both inputs are: one operation each. The others are complements of these.
_OPERATIONS: dict[int, Callable[[Value, Value], Value]] = {
    0b0000: lambda _a, _b: _FALSE,
    0b0010: lambda a, b: a.and_not(b),
    0b0100: lambda a, b: b.and_not(a),
    0b0110: lambda a, b: a ^ b,
    0b1000: lambda a, b: a & b,
    0b1010: lambda a, _b: a,
    0b1100: lambda _a, b: b,
    0b1110: lambda a, b: a | b,
}


def emit_wasm(netlist: Netlist, chunk: int = CHUNK) -> bytes:
    """The module of a netlist of gates of at most two inputs, of which functions have at most `chunk`.

    Raises ValueError for wider gates.
    """
    if netlist.arity.max(initial=0) > 2:
        raise ValueError("Expected gates of at most 2 inputs for WebAssembly; call passes.lower on the netlist first.")
    chunks = cut(netlist, chunk)
    functions = [_gates(chunks, part) for part in list(chunks) or [range(0)]]
    waiting = 0
    if len(functions) > 1:
        waiting = _AT_ONCE * chunks.n_slots * _BYTES
        functions.append(_all_gates(netlist, len(functions)))
    functions[-1].name = _EVAL
    if is_stencil(netlist):
        first = len(functions)
        functions += [_generation(netlist), _surround(), _work_words(), _steps(first, first + 1)]
    heap_base = -(-waiting // 64) * 64
    return module(functions, -(-heap_base // PAGE) or 1, {"heap_base": heap_base})


def count_operations(netlist: Netlist) -> int:
    """Bitwise operations that one evaluation takes a word: one a gate and one for each complement. Of a netlist that steps
    boards, those of a step, where what rows have in common is computed once."""
    if is_stencil(netlist):
        rows = split_rows(netlist)
        return _n_operations(rows.row) + _n_operations(rows.rule)
    return _n_operations(netlist)


def _n_operations(netlist: Netlist) -> int:
    return netlist.n_gates + int(np.count_nonzero(netlist.table & np.uint64(1))) + int(netlist.inverted.sum())


def _operation(netlist: Netlist, gate: int, value_of: Callable[[int], Value]) -> Value:
    table, arity = int(netlist.table[gate]), int(netlist.arity[gate])
    for position in range(arity, 2):  # a table is repeated over the rows of an input that the gate does not have
        table |= table << (1 << position)
    operands = [value_of(signal) for signal in netlist.fan_in[gate, :arity].tolist()] + [_FALSE] * (2 - arity)
    inverted = bool(table & 1)
    return _inverted_if(inverted, _OPERATIONS[table ^ 0b1111 if inverted else table](*operands))


def _inverted_if(inverted: bool, value: Value) -> Value:
    return ~value if inverted else value


def _gates(chunks: Chunks, part: range) -> Function:
    """(in, out, n): the gates of a part, and the outputs that they are, for n blocks. The first part gives the outputs that are
    primary inputs, too."""
    netlist, n_inputs = chunks.netlist, chunks.netlist.n_inputs
    function = Function([I32, I32, I32])
    source, to, n = function.parameters
    waiting = function.local(I32)
    to_come = Counter(netlist.fan_in[part.start : part.stop].ravel().tolist())  # readers in this part
    outputs: dict[int, list[tuple[int, bool]]] = {}
    for output, (signal, inverted) in enumerate(zip(netlist.outputs.tolist(), netlist.inverted.tolist(), strict=True)):
        outputs.setdefault(signal, []).append((output, inverted))
    held: dict[int, Local] = {}

    def value_of(signal: int) -> Value:
        if signal not in held:
            where = (source, signal) if signal < n_inputs else (waiting, chunks.slots[signal - n_inputs])
            held[signal] = function.let(where[0].load(V128, where[1] * _BYTES))
        return held[signal]

    def release_if_read(signals: Sequence[int]) -> None:
        for signal in signals:
            if signal in held and not to_come[signal]:
                function.release(held.pop(signal))

    with function.while_(n):
        for signal in range(n_inputs) if part.start == 0 else ():
            for output, inverted in outputs.get(signal, ()):
                function.store(to, _inverted_if(inverted, source.load(V128, signal * _BYTES)), output * _BYTES)
        for gate in part:
            value = _operation(netlist, gate, value_of)
            fan_in = netlist.fan_in[gate, : netlist.arity[gate]].tolist()
            to_come.subtract(fan_in)
            release_if_read(fan_in)
            signal = n_inputs + gate
            local = held[signal] = function.let(value)
            if chunks.slots[gate] >= 0:
                function.store(waiting, local, chunks.slots[gate] * _BYTES)
            for output, inverted in outputs.get(signal, ()):
                function.store(to, _inverted_if(inverted, local), output * _BYTES)
            release_if_read([signal])
        function.set(source, source + n_inputs * _BYTES)
        function.set(to, to + netlist.n_outputs * _BYTES)
        function.set(waiting, waiting + chunks.n_slots * _BYTES)
        function.set(n, n - 1)
    return function


def _all_gates(netlist: Netlist, n_parts: int) -> Function:
    """(in, out, n_blocks): the parts in turn, which are the module's first functions."""
    function = Function([I32, I32, I32])
    source, to, left = function.parameters
    n = function.local(I32)
    with function.while_(left):
        function.set(n, select(left < _AT_ONCE, left, _AT_ONCE))
        for part in range(n_parts):
            function.call(part, source, to, n)
        function.set(source, source + n * (netlist.n_inputs * _BYTES))
        function.set(to, to + n * (netlist.n_outputs * _BYTES))
        function.set(left, left - n)
    return function


def _pitch(width: Value) -> Value:
    """Bytes from a row to the next in scratch memory: its words up to whole vectors, and one more on either side."""
    return ((width + 127) >> 7 << 4) + 16


def _room(height: Value, width: Value) -> Value:
    """Bytes of a board with a row more on either side. An odd multiple of 2 KiB: at equal addresses modulo 4 KiB the loads from
    one board would wait for the stores to the other."""
    return ((height + 2) * _pitch(width) + 16 + 4095 >> 12 << 12) + 2048


def _work_words() -> Function:
    """(height, width)"""
    function = Function([I32, I32], I32, "work_words")
    function.give(_room(*function.parameters) >> 2)
    return function


def _generation(netlist: Netlist) -> Function:
    """(from, to, height, pitch): the next generation of a surrounded board; both addresses are of the first row's first word."""
    rows = split_rows(netlist)
    function = Function([I32, I32, I32, I32])
    source, to, height, pitch = function.parameters
    top, n, column, at, put, end = (function.local(I32) for _ in range(6))

    def evaluated(part: Netlist, inputs: Sequence[Value]) -> list[Local]:
        signals = list(inputs)
        for gate in range(part.n_gates):
            signals.append(function.let(_operation(part, gate, signals.__getitem__)))
        outputs = zip(part.outputs.tolist(), part.inverted.tolist(), strict=True)
        return [function.let(_inverted_if(inverted, signals[signal])) for signal, inverted in outputs]

    def signals_of_row() -> list[Local]:
        cells = function.let(at.load(V128))
        west = function.let(cells << 1 | (at - 8).load(V128) >> 63)
        east = function.let(cells >> 1 | at.load(V128, 8) << 63)
        return evaluated(rows.row, [west, cells, east])

    with function.while_(top < height):
        function.set(n, select(height - top < _BLOCK_ROWS, height - top, _BLOCK_ROWS))
        function.set(column, 0)
        with function.while_(column < pitch - 16):
            function.set(at, source + column + (top - 1) * pitch)
            above = signals_of_row()
            function.set(at, at + pitch)
            here = signals_of_row()
            function.set(put, to + column + top * pitch)
            function.set(end, put + n * pitch)
            with function.while_(put < end):
                function.set(at, at + pitch)
                below = signals_of_row()
                (next_cells,) = evaluated(rows.rule, [*above, *here, *below])
                function.store(put, next_cells)
                function.set(put, put + pitch)
                for old, new in zip(above + here, here + below, strict=True):
                    function.set(old, new)
            function.set(column, column + 16)
        function.set(top, top + _BLOCK_ROWS)
    return function


def _surround() -> Function:
    """(board, height, width, torus): set what is beside the cells: the words before and after each row, of which one bit is
    read, and the rows before the first and after the last. A row that does not fill its last word has the cell to the east
    behind its last."""
    function = Function([I32, I32, I32, I32])
    board, height, width, torus = function.parameters
    used = function.let((width & 63).to_i64())
    in_use = function.let((constant(1, I64) << used) - 1)
    wraps = function.let(constant(0, I64) - torus.to_i64())
    pitch = function.let(_pitch(width))
    end = function.let(board + height * pitch)
    at, last, beyond = function.let(board), function.let(board + ((width - 1) >> 6 << 3)), function.let(board + (width >> 6 << 3))
    first = function.local(I64)
    with function.while_(at < end):
        function.set(first, at.load(I64) << used & wraps)
        function.store(at - 8, last.load(I64) << constant(0, I64) - used & wraps)
        function.store(beyond, beyond.load(I64) & in_use | first)
        for address in (at, last, beyond):
            function.set(address, address + pitch)
    # A row and the words on both sides of it.
    with function.if_(torus):
        function.copy(board - 8 - pitch, end - 8 - pitch, pitch)
        function.copy(end - 8, board - 8, pitch)
        function.otherwise()
        function.clear(board - 8 - pitch, pitch)
        function.clear(end - 8, pitch)
    return function


def _steps(generation: int, surround: int) -> Function:
    """(rows, height, width, torus, steps, work); the functions that it calls are found at these places in the module."""
    function = Function([I32, I32, I32, I32, I32, I32], name=_STEPS)
    rows, height, width, torus, steps, work = function.parameters
    pitch = function.let(_pitch(width))
    now = function.let(work + 16 + pitch)
    then = function.let(now + _room(height, width))
    row_bytes = function.let((width + 63) >> 6 << 3)
    in_use = function.let(constant(-1, I64) >> constant(0, I64) - (width & 63).to_i64())
    y, at, inside, end, done = (function.local(I32) for _ in range(5))

    def for_each_word(do: Callable[[], None]) -> None:
        """Repeat for the words of the caller's board, at `at`, each with its place in `now`."""
        function.set(at, rows)
        function.set(y, 0)
        with function.while_(y < height):
            function.set(inside, now + y * pitch)
            function.set(end, at + row_bytes)
            with function.while_(at < end):
                do()
                function.set(at, at + 8)
                function.set(inside, inside + 8)
            function.set(y, y + 1)

    for_each_word(lambda: function.store(inside, at.load(I64)))
    function.call(surround, now, height, width, torus)
    with function.while_(steps):
        function.call(generation, now, then, height, pitch)
        function.call(surround, then, height, width, torus)
        function.set(done, then)
        function.set(then, now)
        function.set(now, done)
        function.set(steps, steps - 1)
    for_each_word(lambda: function.store(at, inside.load(I64)))
    function.set(at, rows + row_bytes - 8)
    function.set(y, 0)
    with function.while_(y < height):
        function.store(at, at.load(I64) & in_use)
        function.set(at, at + row_bytes)
        function.set(y, y + 1)
    return function
