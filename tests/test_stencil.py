"""Boards: every back end steps them as nine gathered neighbours and the simulator do, and writes nothing else."""

import ctypes
import subprocess
import sys

import back_ends
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from strategies import busy_stencil, stencils

from codegen.backends import BACKENDS, CompiledCircuit, HandWritten, pipeline, second_copy
from codegen.emit_c import LANES
from codegen.equivalence import all_rows
from codegen.netlist import Netlist
from codegen.pack import pack_board
from codegen.passes import OPTIMISE_TWO_INPUT, run
from codegen.simulate import simulate

SECONDS = 60
WIDTHS = [1, 2, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 512, 513, 576, 1000]
SHAPES = [(1, 1), (1, 5), (3, 3), (2, 65), (65, 2), (64, 64), (100, 37), (5, 127), (7, 129), (3, 512), (2, 1000)]
GUARD = np.uint64(0x5AFE5AFE5AFE5AFE)
GUARD_WORDS = 64

RULES = {
    "busy": busy_stencil(),
    "from the north-west": Netlist.from_gates(9, [], [0]),
    "dies alone": Netlist.from_gates(9, [(0xFE, (1, 3, 4)), (0xFE, (5, 7, 9)), (0b1000, (4, 10))], [11]),
}
# Lives where an odd number of the nine cells live: one signal a row, where circuits have three.
ODD_PARITY = """
#define ROW_SIGNALS 1
INLINE void NAME_row(const V *in, V *out) { out[0] = in[0] ^ in[1] ^ in[2]; }
INLINE void NAME_rule(const V *in, V *out) { out[0] = in[0] ^ in[1] ^ in[2]; }
"""

# Steps boards between pages that may not be touched: a stray read or write of theirs ends the process.
STEP_BETWEEN_FORBIDDEN_PAGES = """
import ctypes, mmap, sys

libc = ctypes.CDLL(None, use_errno=True)
PAGE = mmap.PAGESIZE
kept = []

def fenced(n_bytes, at_end):
    pages = max(1, -(-n_bytes // PAGE))
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for fence in (start, start + (pages + 1) * PAGE):
        assert libc.mprotect(ctypes.c_void_p(fence), ctypes.c_size_t(PAGE), 0) == 0
    kept.append(memory)
    return start + PAGE + (pages * PAGE - n_bytes if at_end else 0)

size, pointer = ctypes.c_size_t, ctypes.c_void_p
shapes = [tuple(map(int, shape.split("x"))) for shape in sys.argv[1].split(",")]
for path in sys.argv[2:]:
    library = ctypes.CDLL(path)
    library.gatebench_work_words.argtypes, library.gatebench_work_words.restype = [size, size], size
    library.gatebench_steps.argtypes = [pointer, size, size, ctypes.c_int, size, pointer]
    library.gatebench_pack.argtypes = library.gatebench_unpack.argtypes = [pointer, size, size, pointer]
    library.gatebench_steps.restype = library.gatebench_pack.restype = library.gatebench_unpack.restype = None
    for height, width in shapes:
        for at_end in (False, True):
            board = fenced(8 * height * -(-width // 64), at_end)
            work = fenced(8 * library.gatebench_work_words(height, width), at_end)
            cells = fenced(height * width, at_end)
            library.gatebench_pack(cells, height, width, board)
            library.gatebench_unpack(board, height, width, cells)
            for torus in (0, 1):
                library.gatebench_steps(board, height, width, torus, 3, work)
print("stepped")
"""


def stepped_one_by_one(netlist, board, torus, steps):
    height, width = board.shape
    for _ in range(steps):
        around = np.pad(board, 1, mode="wrap" if torus else "constant")
        cells = [around[y : y + height, x : x + width].ravel() for y in range(3) for x in range(3)]
        board = simulate(netlist, np.column_stack(cells)).reshape(height, width)
    return board


def drawn_board(shape):
    return np.random.default_rng(shape).random(shape) < 0.4


def assert_steps(executable, netlist, board, torus, plan=(1, 0, 3)):
    stepper = executable.stepper(board, torus)
    np.testing.assert_array_equal(stepper.board(), board)
    expected = board
    for steps in plan:
        stepper.run(steps)
        expected = stepped_one_by_one(netlist, expected, torus, steps)
        assert stepper.board().dtype == np.bool_
        np.testing.assert_array_equal(stepper.board(), expected)


def compiled(netlist, isa, level="-O3"):
    lowered, passes = run(netlist, OPTIMISE_TWO_INPUT)
    return CompiledCircuit(lowered, passes, isa, (level,), True, SECONDS)


def boards():
    return arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 70) | st.integers(500, 600)))


def test_busy_stencil_needs_all_nine_cells_and_makes_life_out_of_nothing():
    after = simulate(busy_stencil(), all_rows(9))[:, 0]
    assert after[0]
    assert all(np.any(after != after[np.arange(512) ^ (1 << cell)]) for cell in range(9))


@pytest.mark.parametrize("torus", [True, False])
@pytest.mark.parametrize("isa", LANES)
def test_boards_that_are_cut_into_tiles_step_like_whole_ones(isa, torus):
    netlist, passes = run(busy_stencil(), pipeline(isa))
    in_tiles = CompiledCircuit(netlist, passes, isa, ("-O2", "-DTILE_WORDS=200"), True, SECONDS)  # 64 rows at least
    for shape, steps in (((150, 100), 5), ((67, 130), 16), ((230, 64), 37), ((101, 127), 1)):
        stepper = in_tiles.stepper(drawn_board(shape), torus)
        stepper.run(steps)
        np.testing.assert_array_equal(stepper.board(), stepped_one_by_one(netlist, drawn_board(shape), torus, steps))


@pytest.mark.parametrize("torus", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("backend", back_ends.ALL)
def test_backend_steps_boards_of_every_shape(backend, shape, torus):
    assert_steps(BACKENDS[backend](busy_stencil(), SECONDS), busy_stencil(), drawn_board(shape), torus)


@pytest.mark.parametrize("level", ["-O0", "-O3"])
@pytest.mark.parametrize("isa", LANES)
def test_c_steps_boards_in_every_form(isa, level):
    circuit = compiled(busy_stencil(), isa, level)
    for shape in SHAPES:
        for torus in (True, False):
            assert_steps(circuit, busy_stencil(), drawn_board(shape), torus)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("isa", LANES)
def test_c_steps_boards_around_the_ends_of_words_bands_and_blocks(isa, rule):
    circuit = compiled(RULES[rule], isa)
    shapes = [(height, width) for width in WIDTHS for height in (1, 2 * LANES[isa] + 1)]
    shapes += [(height, width) for height in range(2, 4 * LANES[isa] + 2) for width in (1, 64, 70)]
    shapes += [(height, 65) for height in (511, 512, 513, 1030)]
    for shape in shapes:
        for torus in (True, False):
            assert_steps(circuit, RULES[rule], drawn_board(shape), torus, plan=(3,))


@pytest.mark.parametrize("backend", back_ends.IN_C)
@settings(deadline=None, derandomize=True, max_examples=12)
@given(netlist=stencils(), board=boards(), torus=st.booleans())
def test_c_steps_drawn_stencils(backend, netlist, board, torus):
    assert_steps(BACKENDS[backend](netlist, SECONDS), netlist, board, torus)


@pytest.mark.parametrize("backend", back_ends.NOT_IN_C)
@settings(deadline=None, max_examples=50)
@given(netlist=stencils(), board=boards(), torus=st.booleans())
def test_backend_steps_drawn_stencils(backend, netlist, board, torus):
    assert_steps(BACKENDS[backend](netlist, SECONDS), netlist, board, torus)


@pytest.mark.parametrize("backend", back_ends.ALL)
def test_input_is_the_neighbour_at_its_place_in_reading_order(backend):
    """The gates keep the north-west cell (input 0) and the east one (input 5): a lone cell goes south-east, then west."""
    executable = BACKENDS[backend](Netlist.from_gates(9, [(0b1110, (0, 5))], [9]), SECONDS)
    board = np.zeros((3, 100), dtype=bool)
    board[1, 64] = True
    stepper = executable.stepper(board, torus=False)
    stepper.run(1)
    assert np.argwhere(stepper.board()).tolist() == [[1, 63], [2, 65]]


@pytest.mark.parametrize("backend", back_ends.ALL)
@pytest.mark.parametrize("torus", [True, False])
def test_life_at_the_edge_wraps_on_a_torus_and_dies_otherwise(backend, torus):
    executable = BACKENDS[backend](Netlist.from_gates(9, [], [0]), SECONDS)  # every cell moves south-east
    board = np.zeros((4, 70), dtype=bool)
    board[3, 69] = True
    stepper = executable.stepper(board, torus)
    stepper.run(1)
    assert np.argwhere(stepper.board()).tolist() == ([[0, 0]] if torus else [])


@pytest.mark.parametrize("backend", back_ends.ALL)
def test_stepper_keeps_the_callers_board(backend):
    board = drawn_board((5, 70))
    before = board.copy()
    executable = BACKENDS[backend](busy_stencil(), SECONDS)
    stepper = executable.stepper(board, torus=True)
    other = executable.stepper(~board, torus=False)
    stepper.run(2)
    other.run(1)
    np.testing.assert_array_equal(board, before)
    np.testing.assert_array_equal(stepper.board(), stepped_one_by_one(busy_stencil(), board, True, 2))


@pytest.mark.parametrize("backend", back_ends.ALL)
def test_stepper_takes_boards_in_any_memory_layout(backend):
    executable = BACKENDS[backend](busy_stencil(), SECONDS)
    whole = drawn_board((20, 150))
    for board in (whole[::2, ::-3], np.asfortranarray(whole), whole.T):
        assert_steps(executable, busy_stencil(), board, True, plan=(2,))


@pytest.mark.parametrize("backend", back_ends.ALL)
@pytest.mark.parametrize(
    "board",
    [np.zeros((0, 5), bool), np.zeros((5, 0), bool), np.zeros((3, 3), np.int64), np.zeros(9, bool), np.zeros((3, 3, 3), bool)],
)
def test_bad_board_is_refused(backend, board):
    with pytest.raises(ValueError, match=r"Expected a bool board of shape \(height, width\), both at least 1; got"):
        BACKENDS[backend](busy_stencil(), SECONDS).stepper(board, torus=True)


@pytest.mark.parametrize("backend", back_ends.ALL)
@pytest.mark.parametrize(
    "netlist", [Netlist.from_gates(8, [], [0]), Netlist.from_gates(9, [], [0, 1]), Netlist.from_gates(9, [], [])]
)
def test_circuit_that_is_no_stencil_steps_no_board(backend, netlist):
    with pytest.raises(ValueError, match=f"9 inputs .* has {netlist.n_inputs} inputs and {netlist.n_outputs} outputs"):
        BACKENDS[backend](netlist, SECONDS).stepper(np.zeros((3, 3), dtype=bool), torus=True)


@pytest.fixture(scope="module")
def odd_parity():
    """The hand-written rule and a netlist of the same."""
    gates = [(0b10010110, (0, 1, 2)), (0b10010110, (3, 4, 5)), (0b10010110, (6, 7, 8)), (0b10010110, (9, 10, 11))]
    return HandWritten(ODD_PARITY, SECONDS), Netlist.from_gates(9, gates, [12])


@pytest.mark.parametrize("torus", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_hand_written_rule_steps_boards_of_every_shape(odd_parity, shape, torus):
    executable, netlist = odd_parity
    assert_steps(executable, netlist, drawn_board(shape), torus)


def test_hand_written_rule_evaluates_neighbourhoods(odd_parity):
    executable, netlist = odd_parity
    np.testing.assert_array_equal(executable.evaluate(all_rows(9)), simulate(netlist, all_rows(9)))
    assert executable.evaluate(np.empty((0, 9), dtype=bool)).shape == (0, 1)


def test_hand_written_rule_refuses_bad_boards(odd_parity):
    with pytest.raises(ValueError, match="Expected a bool board"):
        odd_parity[0].stepper(np.zeros((0, 3), dtype=bool), torus=True)


def test_hand_written_rule_evaluates_no_items_in_bulk(odd_parity):
    with pytest.raises(ValueError, match="only steps boards; got 512 items"):
        odd_parity[0].batch(all_rows(9))


def test_second_copy_steps_and_evaluates_as_the_first_from_a_library_of_its_own(tmp_path):
    first, netlist = BACKENDS["c"](busy_stencil(), SECONDS), busy_stencil()
    second = second_copy(first, tmp_path)
    assert_steps(second, netlist, drawn_board((7, 129)), True)
    np.testing.assert_array_equal(second.evaluate(all_rows(9)), simulate(netlist, all_rows(9)))
    assert [path.suffix for path in tmp_path.iterdir()] == [".so"]
    assert_steps(first, netlist, drawn_board((7, 129)), True)


def load(library):
    loaded = ctypes.CDLL(str(library.path))
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    loaded.gatebench_work_words.argtypes, loaded.gatebench_work_words.restype = [size, size], size
    loaded.gatebench_steps.argtypes = [pointer, size, size, ctypes.c_int, size, pointer]
    loaded.gatebench_pack.argtypes = loaded.gatebench_unpack.argtypes = [pointer, size, size, pointer]
    loaded.gatebench_steps.restype = loaded.gatebench_pack.restype = loaded.gatebench_unpack.restype = None
    return loaded


@pytest.mark.parametrize("isa", LANES)
def test_steps_write_the_board_and_the_work_memory_and_nothing_else(isa):
    library = load(compiled(busy_stencil(), isa).facts.library)
    for height, width in SHAPES:
        for torus in (True, False):
            board = drawn_board((height, width))
            rows = pack_board(board)
            n_work = library.gatebench_work_words(height, width)
            # Guard words around both; the work memory starts full of ones, since nothing promises zeros.
            board_at, work_at = GUARD_WORDS, 2 * GUARD_WORDS + rows.size
            memory = np.full(work_at + n_work + GUARD_WORDS, GUARD)
            memory[board_at : board_at + rows.size] = rows.ravel()
            memory[work_at : work_at + n_work] = ~np.uint64(0)
            library.gatebench_steps(memory.ctypes.data + 8 * board_at, height, width, torus, 3, memory.ctypes.data + 8 * work_at)
            expected = pack_board(stepped_one_by_one(busy_stencil(), board, torus, 3))
            np.testing.assert_array_equal(memory[board_at : board_at + rows.size].reshape(rows.shape), expected)
            for guard in (memory[:board_at], memory[work_at - GUARD_WORDS : work_at], memory[work_at + n_work :]):
                assert np.all(guard == GUARD)


@pytest.mark.parametrize("isa", LANES)
def test_any_byte_but_zero_is_packed_as_a_live_cell_and_unpacked_as_one(isa):
    library = load(compiled(busy_stencil(), isa).facts.library)
    for width in WIDTHS:
        cells = np.random.default_rng(width).integers(0, 256, (3, width)).astype(np.uint8)
        cells[cells < 100] = 0
        expected = pack_board(cells > 0)
        rows = np.full(expected.size + 1, GUARD)
        library.gatebench_pack(cells.ctypes.data, *cells.shape, rows.ctypes.data)
        np.testing.assert_array_equal(rows[:-1].reshape(expected.shape), expected)
        found = np.full(cells.size + 64, 0x5A, dtype=np.uint8)
        library.gatebench_unpack(rows.ctypes.data, *cells.shape, found.ctypes.data)
        np.testing.assert_array_equal(found[: cells.size].reshape(cells.shape), cells > 0)
        assert rows[-1] == GUARD
        assert np.all(found[cells.size :] == 0x5A)


@pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")
def test_steps_read_only_the_board_and_the_work_memory():
    libraries = [compiled(busy_stencil(), isa, level).facts.library.path for isa in LANES for level in ("-O0", "-O3")]
    shapes = ",".join(f"{height}x{width}" for height, width in SHAPES)
    done = subprocess.run(
        [sys.executable, "-c", STEP_BETWEEN_FORBIDDEN_PAGES, shapes, *libraries], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "stepped\n"), done.stderr
