"""C in chunks: whatever the gates are cut into, the text computes what the simulator does, without a warning."""

import ctypes
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from strategies import all_tables_netlist, busy_stencil, netlists

from codegen.backends import CompiledStencil
from codegen.emit_c import CHUNK, LANES, emit_c
from codegen.lower_readout import lower_answer
from codegen.netlist import Netlist
from codegen.pack import aligned_words, pack_items, unpack_items
from codegen.passes import OPTIMISE_TWO_INPUT, lower, run
from codegen.readout import GroupSum, from_binary
from codegen.simulate import simulate
from codegen.toolchain import compile_library, find_compiler

XOR = 0b0110
STRICT = ("-O1", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
CHUNKS = (1, 3, 7)
SETTINGS = settings(deadline=None, derandomize=True, max_examples=10, suppress_health_check=[HealthCheck.too_slow])


def chain(n_gates, n_inputs=3):
    """A chain of gates that each read the one before and an input; only its end is an output."""
    gates = [(XOR, (0, 1))] + [(XOR, (n_inputs + gate, gate % n_inputs)) for gate in range(n_gates - 1)]
    return Netlist.from_gates(n_inputs, gates, [n_inputs + n_gates - 1])


def evaluator(source, flags):
    """The compiled text's function of the addresses of inputs and outputs and the number of blocks."""
    library = ctypes.CDLL(str(compile_library(source, flags, 60).path))
    evaluate = library.gatebench_eval
    evaluate.argtypes, evaluate.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t], None
    return evaluate


def evaluated(source, flags, netlist, isa, bits):
    """What the compiled text computes, called as the back ends do."""
    evaluate = evaluator(source, flags)
    blocks = pack_items(bits, LANES[isa])
    out = np.zeros((len(blocks), netlist.n_outputs, LANES[isa]), dtype=np.uint64)
    evaluate(blocks.ctypes.data, out.ctypes.data, len(blocks))
    return unpack_items(out, len(bits))


def drawn_bits(netlist, n_items=600):
    return np.random.default_rng(n_items).random((n_items, netlist.n_inputs)) < 0.5


def assert_evaluates(netlist, isa, chunk, flags=("-O1",)):
    bits = drawn_bits(netlist)
    found = evaluated(emit_c(netlist, isa, chunk=chunk), flags, netlist, isa, bits)
    np.testing.assert_array_equal(found, simulate(netlist, bits))


def n_slots(source):
    """Places of the array that passes signals between chunks."""
    found = re.findall(r"V w\[AT_ONCE\]\[(\d+)\];", source)
    return int(found[0]) if found else 0


def gates_of_chunks(source):
    """How many gates each chunk's function computes: what it only loads is no gate."""
    bodies = re.findall(r"^static NOINLINE void gatebench_chunk\d+\([^)]*\) \{\n(.*?)^\}", source, flags=re.M | re.S)
    return [len(re.findall(r"const V v\d+ = (?!w\[)", body)) for body in bodies]


@pytest.mark.parametrize("chunk", CHUNKS)
@SETTINGS
@given(netlist=netlists(inputs=(1, 12), outputs=(1, 20), max_arity=3))
def test_chunks_equal_the_simulator_on_drawn_netlists(chunk, netlist):
    lowered, _ = run(netlist, OPTIMISE_TWO_INPUT)
    assert_evaluates(lowered, "c99", chunk)


@pytest.mark.parametrize("chunk", CHUNKS)
@SETTINGS
@given(netlist=netlists(inputs=(0, 12), outputs=(0, 20), max_arity=2))
def test_chunks_of_what_no_pass_has_simplified_equal_the_simulator(chunk, netlist):
    assert_evaluates(netlist, find_compiler().isa, chunk)


@pytest.mark.parametrize("isa", LANES)
@pytest.mark.parametrize("level", ["-O0", "-O3"])
def test_chunks_know_all_operators_in_every_form(isa, level):
    assert_evaluates(all_tables_netlist(2), isa, 3, (level,))


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("netlist", [all_tables_netlist(2), lower(busy_stencil()), chain(30)], ids=["all", "stencil", "chain"])
def test_chunks_compile_without_a_warning(netlist, chunk):
    assert_evaluates(netlist, "c99", chunk, STRICT)


@pytest.mark.parametrize("isa", ["c99", "simd128", find_compiler().isa])
@pytest.mark.parametrize("chunk", [3, CHUNK])
@pytest.mark.parametrize("shift", [0, 1, 8])
def test_arrays_may_begin_anywhere_and_only_the_outputs_are_written(isa, chunk, shift):
    """shift: bytes behind a multiple of 64, of the inputs and of the outputs. The last block is one of a few."""
    netlist, words = all_tables_netlist(2), LANES[isa]
    evaluate = evaluator(emit_c(netlist, isa, chunk=chunk), ("-O3",))
    bits = drawn_bits(netlist, 1100)
    packed = pack_items(bits, words)
    expected = simulate(netlist, bits)
    for at in ((shift, 0), (0, shift), (shift, shift)):
        blocks, out = (
            aligned_words(n_words + 16).view(np.uint8)[start : start + 8 * n_words + 8]
            for n_words, start in zip((packed.size, len(packed) * netlist.n_outputs * words), at, strict=True)
        )
        blocks[:-8] = packed.reshape(-1).view(np.uint8)
        out[-8:] = 0xA5
        evaluate(blocks.ctypes.data, out.ctypes.data, len(packed))
        found = np.frombuffer(out[:-8].tobytes(), np.uint64).reshape(len(packed), netlist.n_outputs, words)
        np.testing.assert_array_equal(unpack_items(found, len(bits)), expected)
        assert (out[-8:] == 0xA5).all()


@pytest.mark.parametrize("isa", ["c99", "any", find_compiler().isa])
def test_words_far_from_an_arrays_beginning_are_read_relative_to_a_pointer(isa):
    """2,000 inputs, of which some windows are often read and some seldom, and many signals that wait between chunks."""
    rng, n = np.random.default_rng(0), 2000
    often = rng.integers(n, size=1500)
    often[often // 256 % 2 == 1] //= 2
    gates = [(XOR, (int(often[gate]), int(rng.integers(n)) if gate % 40 == 0 else n - 1)) for gate in range(1500)]
    for layer in range(2):
        gates += [(XOR, tuple(n + 1500 * layer + int(gate) for gate in pair)) for pair in rng.integers(1500, size=(1500, 2))]
    netlist = Netlist.from_gates(n, gates, n + 3000 + np.arange(1500))
    source = emit_c(netlist, isa, chunk=50)
    assert {array for array, _ in re.findall(r"POINT\((in|w)(\d+)\)", source)} == {"in", "w"}
    lanes = find_compiler().isa if isa == "any" else isa
    bits = drawn_bits(netlist)
    found = evaluated(source, ("-O1", "-Wall", "-Wextra", "-Werror"), netlist, lanes, bits)
    np.testing.assert_array_equal(found, simulate(netlist, bits))


def test_classes_of_a_chunked_circuit_are_the_readouts():
    rng = np.random.default_rng(0)
    gates = [
        (int(table), tuple(pair)) for table, pair in zip(rng.integers(16, size=400), rng.integers(40, size=(400, 2)), strict=True)
    ]
    netlist, readout, isa = Netlist.from_gates(40, gates, 40 + np.arange(400)), GroupSum(7, 1.0), find_compiler().isa
    lowered, _ = run(lower_answer(netlist, readout), OPTIMISE_TWO_INPUT)
    bits = drawn_bits(netlist)
    found = evaluated(emit_c(lowered, isa, chunk=100), ("-O3",), lowered, isa, bits)
    np.testing.assert_array_equal(from_binary(found), readout.classes(readout.counts(simulate(netlist, bits))))


@pytest.mark.parametrize("torus", [True, False])
def test_chunked_stencil_steps_boards_as_the_whole_one_does(torus):
    board = np.random.default_rng(0).random((20, 130)) < 0.4
    lowered, _ = run(busy_stencil(), OPTIMISE_TWO_INPUT)
    boards = []
    for chunk in (4, CHUNK):
        library = compile_library(emit_c(lowered, find_compiler().isa, chunk=chunk), ("-O1",), 60)
        stepper = CompiledStencil(ctypes.CDLL(str(library.path)), "gatebench").stepper(board, torus)
        stepper.run(3)
        boards.append(stepper.board())
    np.testing.assert_array_equal(boards[0], boards[1])


@pytest.mark.parametrize("chunk", CHUNKS)
def test_the_same_netlist_is_the_same_text(chunk):
    netlist = lower(all_tables_netlist(3))
    assert emit_c(netlist, "c99", chunk=chunk) == emit_c(netlist, "c99", chunk=chunk)


@pytest.mark.parametrize("n_gates", [14, 15, 21])
def test_no_chunk_is_larger_than_asked_and_only_the_last_smaller(n_gates):
    assert gates_of_chunks(emit_c(chain(n_gates), "c99", chunk=7)) == [7] * (n_gates // 7) + [n_gates % 7] * (n_gates % 7 > 0)


def test_places_are_used_again_along_a_chain():
    netlist = chain(300)
    assert n_slots(emit_c(netlist, "c99", chunk=7)) == 1  # 42 signals cross
    assert_evaluates(netlist, "c99", 7)


def test_a_signal_keeps_its_place_until_its_last_reader():
    """Ten gates are read once by a chain right after them and once more at its end: ten places and the chain's own."""
    gates = [(XOR, (i, i + 1)) for i in range(10)]
    gates += (
        [(XOR, (11, 12))] + [(0b1000, (20 + i, 12 + i)) for i in range(1, 9)] + [(0b1110, (28 + i, 20 - i)) for i in range(1, 9)]
    )
    netlist = Netlist.from_gates(11, gates, [len(gates) + 10])
    assert 9 <= n_slots(emit_c(netlist, "c99", chunk=1)) <= 12
    assert_evaluates(netlist, "c99", 1)


def test_signals_of_one_chunk_and_outputs_take_no_place():
    netlist = chain(20)
    every = Netlist.from_gates(2, [(XOR, (0, 1)), (0b1000, (0, 1)), (0b1110, (0, 1))], [2, 3, 4, 0])
    assert n_slots(emit_c(netlist, "c99", chunk=10)) == 1
    assert n_slots(emit_c(every, "c99", chunk=1)) == 0
    assert_evaluates(every, "c99", 1)


def test_small_circuits_and_the_published_style_are_one_function():
    netlist = chain(30)
    whole = emit_c(netlist, "c99")
    assert "chunk" not in whole
    assert emit_c(netlist, "c99", chunk=30) == whole
    assert "chunk" not in emit_c(netlist, "c99", inline=False, chunk=10)
    assert "chunk" not in emit_c(chain(CHUNK), "c99")


def test_large_circuits_are_cut_without_being_asked():
    sizes = gates_of_chunks(emit_c(chain(CHUNK + 1), "c99"))
    assert max(sizes) == CHUNK
    assert sum(sizes) == CHUNK + 1


def test_chunks_of_no_gates_are_refused():
    with pytest.raises(ValueError, match="at least one gate, got 0"):
        emit_c(chain(3), "c99", chunk=0)
