"""WebAssembly: whatever the gates are cut into, the module computes what the simulator does, and writes nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import all_tables_netlist, busy_stencil, netlists

from codegen.emit_wasm import CHUNK, WORDS, count_operations, emit_wasm
from codegen.netlist import Netlist
from codegen.pack import pack_board, pack_items, unpack_items
from codegen.passes import OPTIMISE_TWO_INPUT, lower, run
from codegen.simulate import simulate
from codegen.wasm import I32, I64, Function, constant, module, select, signed, unsigned
from codegen.wasm_runtime import WasmInstance, WasmModule
from tests.test_stencil import GUARD, RULES, SHAPES, drawn_board, stepped_one_by_one

wasmtime = pytest.importorskip("wasmtime", reason='pip install "gatebench[wasm]"')

CHUNKS = (1, 3, 7, CHUNK)
ITEMS = 1000  # in eight blocks: two of the groups that functions are called for
AND, XOR = 0b1000, 0b0110


def chain(n_gates, n_inputs=3):
    """A chain of gates that each read the one before and an input; only its end is an output."""
    gates = [(XOR, (0, 1))] + [(XOR, (n_inputs + gate, gate % n_inputs)) for gate in range(n_gates - 1)]
    return Netlist.from_gates(n_inputs, gates, [n_inputs + n_gates - 1])


def exports(code):
    compiled = wasmtime.Module(wasmtime.Engine(), code)
    assert compiled.imports == []
    return {export.name for export in compiled.exports}


def result(function):
    """What a function without parameters gives."""
    store = wasmtime.Store(wasmtime.Engine())
    made = wasmtime.Instance(store, wasmtime.Module(store.engine, module([function], 1)), [])
    return made.exports(store)["it"](store)


def evaluated(code, netlist, bits):
    """What the module computes, in memory that is full of guard words, and that it writes its outputs alone."""
    blocks = pack_items(bits, WORDS)
    n_out = len(blocks) * netlist.n_outputs * WORDS
    instance = WasmInstance(WasmModule(code))
    (_, before), (source, items), (to, out), (_, behind) = instance.arrays(64, blocks.size, n_out, 64)
    items[:] = blocks.ravel()
    before[:] = out[:] = behind[:] = GUARD
    instance.call("eval", source, to, len(blocks))
    np.testing.assert_array_equal(items, blocks.ravel())
    assert np.all(before == GUARD)
    assert np.all(behind == GUARD)
    found = unpack_items(out.reshape(len(blocks), netlist.n_outputs, WORDS), len(bits))
    out[:] = GUARD
    instance.eval_times(source, to, len(blocks), 0)
    assert np.all(out == GUARD)
    instance.eval_times(source, to, len(blocks), 3)
    np.testing.assert_array_equal(unpack_items(out.reshape(len(blocks), netlist.n_outputs, WORDS), len(bits)), found)
    return found


def assert_evaluates(netlist, chunk, n_items=ITEMS):
    bits = np.random.default_rng(n_items).random((n_items, netlist.n_inputs)) < 0.5
    np.testing.assert_array_equal(evaluated(emit_wasm(netlist, chunk), netlist, bits), simulate(netlist, bits))


@pytest.mark.parametrize("chunk", CHUNKS)
@settings(max_examples=25)
@given(netlist=netlists(inputs=(0, 12), outputs=(0, 20), max_arity=2))
def test_drawn_netlists_that_no_pass_has_simplified_equal_the_simulator(chunk, netlist):
    assert_evaluates(netlist, chunk)


@pytest.mark.parametrize("chunk", CHUNKS)
@settings(max_examples=25)
@given(netlist=netlists(inputs=(1, 12), outputs=(1, 20)))
def test_drawn_netlists_equal_the_simulator_after_the_passes(chunk, netlist):
    assert_evaluates(run(netlist, OPTIMISE_TWO_INPUT)[0], chunk)


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("arity", [0, 1, 2])
def test_every_table_without_a_pass_equals_the_simulator(arity, chunk):
    assert_evaluates(all_tables_netlist(arity), chunk)


@pytest.mark.parametrize("n_items", [0, 1, 127, 128, 129, 511, 512, 513])
def test_any_number_of_blocks_is_evaluated(n_items):
    assert_evaluates(lower(all_tables_netlist(3)), 50, n_items)


def test_gates_of_a_function_take_few_variables():
    """Those of values that nobody reads any more are used again, so that the hundredth has a number as short as the first."""
    sizes = [len(emit_wasm(chain(n_gates))) for n_gates in (50, 100, 150, 200)]
    assert len(set(np.diff(sizes))) == 1


def test_only_what_crosses_waits_in_memory():
    """Two gates and one that reads both, in functions of at most two: the first has one gate, which waits for four blocks."""
    netlist = Netlist.from_gates(2, [(XOR, (0, 1)), (AND, (0, 1)), (0b1110, (2, 3))], [4])
    ((waiting, _),) = WasmInstance(WasmModule(emit_wasm(netlist, 2))).arrays(1)
    ((nothing, _),) = WasmInstance(WasmModule(emit_wasm(netlist, 3))).arrays(1)
    assert (waiting, nothing) == (4 * 8 * WORDS, 0)


def test_wider_gates_and_empty_chunks_are_refused():
    with pytest.raises(ValueError, match="at most 2 inputs"):
        emit_wasm(Netlist.from_gates(3, [(0x96, (0, 1, 2))], [3]))
    with pytest.raises(ValueError, match="at least one gate, got 0"):
        emit_wasm(chain(3), 0)


def test_modules_import_nothing_and_step_boards_if_they_are_stencils():
    common = {"memory", "heap_base", "eval"}
    assert exports(emit_wasm(chain(3))) == exports(emit_wasm(chain(3 * CHUNK))) == common
    assert exports(emit_wasm(lower(busy_stencil()))) == {*common, "work_words", "steps"}


def test_the_same_netlist_is_the_same_module():
    assert emit_wasm(lower(all_tables_netlist(3))) == emit_wasm(lower(all_tables_netlist(3)))


def test_operations_are_a_gate_a_complement_or_of_a_stencil_those_of_a_step():
    netlist = Netlist.from_gates(2, [(AND, (0, 1)), (0b0111, (0, 1)), (0b0010, (2, 3))], [3, 4], [True, False])
    assert count_operations(netlist) == 3 + 1 + 1
    rows = [(XOR, (0, 1)), (XOR, (3, 4)), (XOR, (6, 7)), (AND, (9, 10)), (AND, (12, 11))]  # one of a row, two of all three
    assert count_operations(Netlist.from_gates(9, rows, [13])) == 1 + 2


def assert_steps(wasm, netlist, shape, torus):
    """Boards step as one by one; the scratch memory starts full of ones, since nothing promises zeros."""
    board = drawn_board(shape)
    rows = pack_board(board)
    instance = WasmInstance(wasm)
    n_work = instance.call("work_words", *shape)
    (_, before), (rows_at, stepped), (work_at, work), (_, behind) = instance.arrays(64, rows.size, n_work, 64)
    for steps in (0, 1, 2):
        stepped[:], work[:], before[:], behind[:] = rows.ravel(), ~np.uint64(0), GUARD, GUARD
        instance.call("steps", rows_at, *shape, torus, steps, work_at)
        np.testing.assert_array_equal(stepped, pack_board(stepped_one_by_one(netlist, board, torus, steps)).ravel())
        assert np.all(before == GUARD)
        assert np.all(behind == GUARD)


@pytest.mark.parametrize("torus", [True, False])
@pytest.mark.parametrize("rule", RULES)
def test_boards_of_every_shape_step_and_nothing_else_is_written(rule, torus):
    netlist, _ = run(RULES[rule], OPTIMISE_TWO_INPUT)
    wasm = WasmModule(emit_wasm(netlist))
    shapes = [(height, width) for height in (1, 2, 3) for width in (1, 2, 63, 64, 65, 127, 128, 129, 191, 192, 193, 256)]
    for shape in (*SHAPES, *shapes, (255, 70), (256, 70), (257, 129), (515, 3)):
        assert_steps(wasm, netlist, shape, torus)


def test_more_than_can_be_addressed_is_refused():
    with pytest.raises(ValueError, match=r"at most 4 GiB .* got 8\.0 GiB"):
        WasmInstance(WasmModule(emit_wasm(chain(3)))).arrays(1 << 30)


def test_numbers_are_written_as_the_specification_says():
    assert unsigned(624485) == bytes([0xE5, 0x8E, 0x26])
    assert signed(-123456) == bytes([0xC0, 0xBB, 0x78])
    for number in (0, 1, 63, 64, 127, 128, 8191, 8192, (1 << 31) - 1, 1 << 31, (1 << 32) - 1):
        assert sum((octet & 0x7F) << 7 * i for i, octet in enumerate(unsigned(number))) == number
        for value in (number, -number):
            if -(1 << 31) <= value < 1 << 31:
                function = Function([], I32, "it")
                function.give(constant(value))
                assert result(function) == value


@settings(max_examples=30)
@given(first=st.integers(0, 0xFFFF), second=st.integers(0, 31))
def test_expressions_have_pythons_meaning(first, second):
    for kind in (I32, I64):
        for expected, value in (
            (first + second, constant(first, kind) + second),
            (first - second, constant(first, kind) - second),
            (first * second, constant(first, kind) * second),
            (first & second, constant(first, kind) & second),
            (first | second, constant(first, kind) | second),
            (first ^ second, constant(first, kind) ^ second),
            (first << second % 8, constant(first, kind) << second % 8),
            (first >> second, constant(first, kind) >> second),
            (~first, ~constant(first, kind)),
        ):
            function = Function([], kind, "it")
            function.give(value)
            assert result(function) == expected
    function = Function([], I32, "it")
    function.give(select(constant(first) < second, first, second))
    assert result(function) == min(first, second)
