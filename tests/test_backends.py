"""Every back end computes what the simulator computes, at every batch size and memory layout."""

import ctypes
import shutil
import subprocess
import time

import back_ends
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import all_foldings_netlist, all_tables_netlist, netlists

from codegen import emit_numba
from codegen.backends import BACKENDS, CompiledCircuit, compiler_flags, pipeline
from codegen.emit_c import CHUNK, LANES, OPERATORS, count_operators, emit_c
from codegen.emit_wasm import count_operations
from codegen.equivalence import all_rows
from codegen.netlist import Netlist
from codegen.pack import pack_items, unpack_items
from codegen.passes import OPTIMISE_TERNARY, OPTIMISE_TWO_INPUT, run
from codegen.simulate import simulate
from codegen.toolchain import find_compiler
from methods.jax_network import JaxNetwork
from methods.network import discretise
from methods.torch_network import TorchNetwork
from tests.networks import gate_network

ITEM_COUNTS = (1, 63, 64, 65, 511, 512, 513, 1000)
BATCH_SIZES = (0, 1, 63, 64, 65, 511, 512, 513)
SECONDS = 60
GUARD = np.uint64(0x5AFE5AFE5AFE5AFE)
# The vector types of the C are generic: where a register is narrower than the type, the compiler splits it.
FORMS = [(isa, level) for isa in LANES for level in ("-O0", "-O3")]


def drawn_bits(n_items, n_inputs):
    return np.random.default_rng(n_items).random((n_items, n_inputs)) < 0.5


def compiled(netlist, isa, level, inline=True):
    lowered, passes = run(netlist, pipeline(isa))
    return CompiledCircuit(lowered, passes, isa, (level,), inline, SECONDS)


def assert_evaluates(executable, netlist):
    for n_items in BATCH_SIZES:
        bits = drawn_bits(n_items, netlist.n_inputs)
        result = executable.evaluate(bits)
        assert result.dtype == np.bool_
        np.testing.assert_array_equal(result, simulate(netlist, bits))


@pytest.fixture(scope="module")
def mixed():
    """A netlist of seven inputs with gates of every arity, constants and wires among its outputs."""
    gates = [
        (1, ()),
        (0b01, (0,)),
        (0b0111, (1, 2)),
        (0b11001010, (3, 4, 5)),
        (0x1EE1, (6, 7, 8, 9)),
        (0x6996A5C3, (2, 3, 8, 10, 11)),
    ]
    gates += [(0x0123456789ABCDEF, (0, 9, 10, 11, 12, 6))]
    return Netlist.from_gates(7, gates, [13, 12, 11, 7, 3, 7, 13], [False, True, False, True, True, False, True])


@pytest.mark.parametrize("backend", back_ends.IN_C)
@settings(deadline=None, derandomize=True, max_examples=12)
@given(netlist=netlists())
def test_c_equals_the_simulator_on_drawn_netlists(backend, netlist):
    assert_evaluates(BACKENDS[backend](netlist, SECONDS), netlist)


@settings(deadline=None, max_examples=60)
@given(netlist=netlists(inputs=(0, 12), outputs=(0, 20)))
def test_numba_equals_the_simulator_on_drawn_netlists(netlist):
    assert_evaluates(BACKENDS["numba"](netlist, SECONDS), netlist)


@settings(deadline=None, max_examples=60)
@given(netlist=netlists(inputs=(0, 12), outputs=(0, 20), max_arity=3), words=st.integers(1, 20))
def test_numba_runs_netlists_that_no_pass_has_simplified_on_blocks_of_any_size(netlist, words):
    assert_runs(netlist, drawn_bits(130, netlist.n_inputs), words)


@pytest.mark.parametrize("arity", [0, 1, 2, 3])
def test_numba_runs_a_gate_of_every_table(arity):
    assert_runs(all_tables_netlist(arity), all_rows(arity), 1)


def test_numba_runs_every_table_on_equal_and_constant_inputs():
    assert_runs(all_foldings_netlist(), all_rows(2), 1)


def assert_runs(netlist, bits, words):
    """numba computes what the simulator does, the netlist as it is."""
    blocks = pack_items(bits, words)
    out = np.empty((len(blocks), netlist.n_outputs, words), dtype=np.uint64)
    emit_numba.evaluate(emit_numba.program(netlist), blocks, out)
    np.testing.assert_array_equal(unpack_items(out, len(bits)), simulate(netlist, bits))


def test_numba_refuses_gates_of_four_inputs():
    with pytest.raises(ValueError, match="at most 3 inputs"):
        emit_numba.program(Netlist.from_gates(4, [(0x8000, (0, 1, 2, 3))], [4]))


def test_numba_counts_the_operators_that_it_runs():
    netlist = Netlist.from_gates(2, [(0b1000, (0, 1)), (0b0110, (0, 1)), (0b01, (2,))], [4, 0])  # exclusive or is dead
    assert emit_numba.program(netlist).n_operators == 2 * 7 * 2 + 2


@pytest.mark.parametrize("backend", back_ends.ALL)
@pytest.mark.parametrize(
    "netlist",
    [
        all_tables_netlist(2),
        all_tables_netlist(3),
        Netlist.from_gates(0, [(1, ()), (0, ())], [0, 1, 0], [False, False, True]),
        Netlist.from_gates(0, [], []),
        Netlist.from_gates(3, [], [2, 0, 2], [True, False, False]),
        Netlist.from_gates(2, [(0b1000, (0, 1))], []),
        Netlist.from_gates(70, [(0b0110, (69, 0))], [*range(71)], [True, *[False] * 70]),
    ],
    ids=["two-input tables", "three-input tables", "no inputs", "nothing", "wires", "no outputs", "wide"],
)
def test_backend_equals_the_simulator_on_chosen_netlists(backend, netlist):
    executable = BACKENDS[backend](netlist, SECONDS)
    assert_evaluates(executable, netlist)
    if netlist.n_inputs <= 3:
        bits = all_rows(netlist.n_inputs)
        np.testing.assert_array_equal(executable.evaluate(bits), simulate(netlist, bits))


def assert_batches(executable, netlist, n_items):
    """The batch starts false, keeps its own copy of the items, and computes the same however often it runs."""
    bits = drawn_bits(n_items, netlist.n_inputs)
    expected = simulate(netlist, bits)
    batch = executable.batch(bits)
    other = executable.batch(~bits)
    np.testing.assert_array_equal(batch.outputs(), np.zeros_like(expected))
    np.testing.assert_array_equal(executable.evaluate(bits), expected)
    unchanged = bits.copy()
    bits ^= True
    for times in (1, 0, 3):
        batch.run(times)
        other.run(times)
        assert batch.outputs().dtype == np.bool_
        np.testing.assert_array_equal(batch.outputs(), expected)
    np.testing.assert_array_equal(other.outputs(), simulate(netlist, bits))
    np.testing.assert_array_equal(~bits, unchanged)


@pytest.mark.parametrize("n_items", ITEM_COUNTS)
@pytest.mark.parametrize("backend", back_ends.ALL)
def test_batch_equals_the_simulator_at_every_item_count(backend, n_items, mixed):
    assert_batches(BACKENDS[backend](mixed, SECONDS), mixed, n_items)


@pytest.mark.parametrize("backend", back_ends.ALL)
@pytest.mark.parametrize(
    "netlist",
    [
        Netlist.from_gates(0, [(1, ()), (0, ())], [0, 1, 0], [False, False, True]),
        Netlist.from_gates(0, [], []),
        Netlist.from_gates(2, [(0b1000, (0, 1))], []),
        Netlist.from_gates(3, [], [2, 0, 2], [True, False, False]),
    ],
    ids=["no inputs", "nothing", "no outputs", "wires"],
)
def test_batch_equals_the_simulator_without_inputs_outputs_or_gates(backend, netlist):
    for n_items in (0, 1, 65):
        assert_batches(BACKENDS[backend](netlist, SECONDS), netlist, n_items)


@pytest.fixture(scope="module")
def network():
    """A random network of arity 2 on nine inputs and of five outputs, its truth tables, and the netlist that it is."""
    built, _ = gate_network((24, 12), n_outputs=5)
    tables = np.random.default_rng(0).integers(0, 16, built.n_gates).astype(np.uint64)
    return built, tables, discretise(built, tables)


@pytest.mark.usefixtures("quick_xla")
@pytest.mark.parametrize(
    ("batch_size", "counts"), [(64, (0, *ITEM_COUNTS)), (None, (0, 1, 513)), (1, (3,)), (7, (65,)), (2000, (65,))]
)
@pytest.mark.parametrize("form", [TorchNetwork, JaxNetwork])
def test_batch_of_a_network_equals_the_simulator(form, batch_size, counts, network):
    built, tables, netlist = network
    executable = form(built, tables, batch_size)
    for n_items in counts:
        assert_batches(executable, netlist, n_items)


@pytest.mark.parametrize("backend", back_ends.ALL)
@pytest.mark.parametrize("bits", [np.zeros((5, 6), bool), np.zeros(7, bool), np.zeros((5, 7), np.uint8)])
def test_batch_refuses_items_of_another_shape_or_type(backend, mixed, bits):
    with pytest.raises(ValueError, match=r"Expected bool items of shape \(item, 7\)"):
        BACKENDS[backend](mixed, SECONDS).batch(bits)


@pytest.mark.parametrize("backend", back_ends.parameters(name for name in BACKENDS if name != "numpy"))
def test_batch_runs_as_often_as_asked(backend, mixed):
    def seconds(times):
        started = time.perf_counter()
        batch.run(times)
        return time.perf_counter() - started

    batch = BACKENDS[backend](mixed, SECONDS).batch(drawn_bits(1 << 18, 7))
    batch.run(1)
    assert min(seconds(100) for _ in range(3)) > 10 * min(seconds(1) for _ in range(10))


@pytest.mark.parametrize("backend", back_ends.ALL)
def test_backend_takes_items_in_any_memory_layout(backend, mixed):
    executable = BACKENDS[backend](mixed, SECONDS)
    bits = drawn_bits(600, 14)
    for view in (bits[::3, ::2], np.asfortranarray(bits[:, :7]), bits[::-1, 13:6:-1], np.broadcast_to(bits[0, :7], (70, 7))):
        np.testing.assert_array_equal(executable.evaluate(view), simulate(mixed, np.ascontiguousarray(view)))


@pytest.mark.parametrize("backend", back_ends.ALL)
@pytest.mark.parametrize("bits", [np.zeros((5, 6), bool), np.zeros((5, 8), bool), np.zeros(7, bool), np.zeros((5, 7), np.uint8)])
def test_backend_refuses_items_of_another_shape_or_type(backend, mixed, bits):
    with pytest.raises(ValueError, match=r"Expected bool items of shape \(item, 7\)"):
        BACKENDS[backend](mixed, SECONDS).evaluate(bits)


@pytest.mark.parametrize("backend", back_ends.ALL)
def test_backend_leaves_the_items_alone(backend, mixed):
    bits = drawn_bits(100, 7)
    before = bits.copy()
    BACKENDS[backend](mixed, SECONDS).evaluate(bits)
    np.testing.assert_array_equal(bits, before)


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize(("isa", "level"), FORMS)
def test_c_equals_the_simulator_in_every_form(isa, level, inline, mixed):
    circuit = compiled(mixed, isa, level, inline)
    assert circuit.facts.isa == isa
    assert_evaluates(circuit, mixed)


def netlist_of(n_gates):
    """Random gates, all of them outputs."""
    rng = np.random.default_rng(n_gates)
    gates = [(int(rng.integers(16)), tuple(rng.integers(7 + gate, size=2).tolist())) for gate in range(n_gates)]
    return Netlist.from_gates(7, gates, 7 + np.arange(n_gates))


@pytest.mark.parametrize("compiler", [compiler for compiler in ("gcc", "clang") if shutil.which(compiler)])
@pytest.mark.parametrize("n_gates", [CHUNK, CHUNK + 1])
def test_every_compiler_takes_the_flags_of_small_and_large_circuits(compiler, n_gates, monkeypatch):
    monkeypatch.setenv("CC", compiler)
    netlist = netlist_of(n_gates)
    assert_evaluates(CompiledCircuit(netlist, [], find_compiler().isa, compiler_flags(netlist), True, SECONDS), netlist)


@pytest.mark.skipif("__AVX__" not in find_compiler().macros, reason="needs registers with upper parts, those of AVX")
@pytest.mark.parametrize("n_gates", [CHUNK, CHUNK + 1])
def test_no_upper_parts_of_registers_are_left_in_use(n_gates, tmp_path):
    netlist, compiler = netlist_of(n_gates), find_compiler()
    (tmp_path / "circuit.c").write_text(emit_c(netlist, compiler.isa))
    command = [*compiler.command, *compiler_flags(netlist), *compiler.native, "-S", "circuit.c", "-o", "circuit.s"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert "vzeroupper" in (tmp_path / "circuit.s").read_text()


@pytest.mark.parametrize("isa", LANES)
def test_c_without_passes_knows_all_sixteen_operators(isa):
    netlist = all_tables_netlist(2)
    assert_evaluates(CompiledCircuit(netlist, [], isa, ("-O3",), False, SECONDS), netlist)


@pytest.mark.parametrize(("isa", "level"), FORMS)
@pytest.mark.parametrize("n_blocks", [0, 1, 3])
def test_c_writes_its_outputs_and_nothing_else(isa, level, n_blocks, mixed):
    circuit = compiled(mixed, isa, level)
    library = ctypes.CDLL(str(circuit.facts.library.path))
    evaluate, evaluate_times = library.gatebench_eval, library.gatebench_eval_times
    evaluate.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    evaluate_times.argtypes = [*evaluate.argtypes, ctypes.c_size_t]
    evaluate.restype = evaluate_times.restype = None
    words = n_blocks * LANES[isa]
    guarded = np.full(words * (mixed.n_inputs + mixed.n_outputs) + 3 * 9, GUARD)
    first, second = 9, 18 + words * mixed.n_inputs
    guarded[first : first + words * mixed.n_inputs] = 0x0123456789ABCDEF
    before = guarded.copy()
    written = slice(second, second + words * mixed.n_outputs)
    for run_it, more in ((evaluate, ()), (evaluate_times, (3,))):
        run_it(guarded.ctypes.data + 8 * first, guarded.ctypes.data + 8 * second, n_blocks, *more)
        assert not np.any(guarded[written] == GUARD)
        guarded[written] = GUARD
        np.testing.assert_array_equal(guarded, before)


def test_operators_are_counted_as_printed():
    netlist = Netlist.from_gates(
        2, [(0b1000, (0, 1)), (0b0111, (0, 1)), (0b0010, (2, 3)), (0b10, (4,)), (0, ())], [4, 5, 1], [True, False, True]
    )
    assert count_operators(netlist, "avx2") == 1 + 2 + 2 + 0 + 0 + 2
    assert count_operators(netlist, "avx512") == 5 + 2  # an instruction a gate, and for each inverted output


def test_operators_print_their_truth_table():
    for arity, templates in OPERATORS.items():
        assert sorted(templates) == list(range(1 << (1 << arity)))
        for table, template in templates.items():
            for row in range(1 << arity):
                value = eval(template.format(a=row & 1, b=row >> 1), {"ZERO": 0}) & 1
                assert value == table >> row & 1, (arity, template, row)


def test_facts_name_the_form_and_its_size(mixed):
    facts = {name: build(mixed, SECONDS).facts for name, build in BACKENDS.items() if name not in back_ends.LACKING}
    isas = {"numpy": "numpy", "numba": "numba", "c-naive": "c99", "c-portable": "simd128", "c": find_compiler().isa}
    isas["wasm"] = "simd128"
    assert {name: fact.isa for name, fact in facts.items()} == {name: isas[name] for name in facts}
    assert (facts["numpy"].gates, facts["numpy"].depth) == (mixed.n_gates, mixed.depth)
    built_by = {
        "numba": (OPTIMISE_TERNARY, lambda netlist: emit_numba.program(netlist).n_operators),
        "c-portable": (OPTIMISE_TWO_INPUT, lambda netlist: count_operators(netlist, "simd128")),
        "c": (pipeline(isas["c"]), lambda netlist: count_operators(netlist, isas["c"])),
        "wasm": (OPTIMISE_TWO_INPUT, count_operations),
    }
    for name in built_by.keys() & facts.keys():
        passes, count = built_by[name]
        optimised, reports = run(mixed, passes)
        assert (facts[name].gates, facts[name].depth) == (optimised.n_gates, optimised.depth)
        assert facts[name].operators == count(optimised)
        assert [report.name for report in facts[name].passes] == [report.name for report in reports]
    assert [report.name for report in facts["c-naive"].passes] == ["copies", "sweep", "lower"]
    assert all(facts[name].library.path.exists() for name in facts if name.startswith("c"))
