"""What is timed is held to the oracle afterwards: rows and boards, inside a back end and from the caller's arrays."""

from types import SimpleNamespace

import back_ends
import numpy as np
import pytest

from codegen.backends import BACKENDS
from codegen.encoder import Encoder
from codegen.measure import Protocol, check_outputs, time_arms
from codegen.netlist import Netlist
from codegen.simulate import simulate
from tasks.life import BoardWorkload, Rule, run
from tasks.rows import RowsWorkload

NEIGHBOURS = Rule.parse("B1357/S1357")  # their parity


def parity(signals, n_inputs):
    """The parity of some of the inputs as two-input gates."""
    gates = [(0b0110, (signals[0], signals[1]))]
    gates += [(0b0110, (n_inputs + i, signal)) for i, signal in enumerate(signals[2:])]
    return Netlist.from_gates(n_inputs, gates, [n_inputs + len(gates) - 1])


BOARD_NETLIST = parity([0, 1, 2, 3, 5, 6, 7, 8], 9)
BOARD = np.random.default_rng(0).random((20, 70)) < 0.4
ROWS_NETLIST = parity([0, 2, 3], 4)
ENCODER = Encoder(2, np.array([0, 0, 1, 1]), np.array([50, 150, 50, 150], dtype=np.float32))
FEATURES = np.random.default_rng(1).integers(0, 256, (700, 2)).astype(np.uint8)


def rows(features):
    bits = ENCODER.encode(FEATURES)
    answers = simulate(ROWS_NETLIST, bits)
    return RowsWorkload(bits, answers, "row", FEATURES, ENCODER) if features else RowsWorkload(bits, answers)


WORK = {
    "rows": (rows(False), ROWS_NETLIST),
    "rows of numbers": (rows(True), ROWS_NETLIST),
    "torus": (BoardWorkload(BOARD, NEIGHBOURS, True), BOARD_NETLIST),
    "dead edges": (BoardWorkload(BOARD, NEIGHBOURS, False), BOARD_NETLIST),
}


@pytest.mark.parametrize("backend", back_ends.ALL)
@pytest.mark.parametrize("kind", WORK)
def test_what_the_back_ends_compute_while_timed_is_right(kind, backend):
    work, netlist = WORK[kind]
    form = BACKENDS[backend](netlist, 60, ENCODER if "rows" in kind else None)
    arms = {"inside": work.start(form), "whole": work.whole(form)}
    time_arms(arms, Protocol(2, 0.0002, 0), np.random.default_rng(0))
    check_outputs(arms)
    for times in (1, 2, 65):
        for arm in arms.values():
            arm(times)
        check_outputs(arms)


def wrong_rows(at):
    """A form that answers row 3 wrong from its at-th run on, and says so in bits."""
    right, runs = rows(False).answers, 0

    class Batch:
        def __init__(self, bits):
            self._outputs = np.zeros_like(right)

        def run(self, times):
            nonlocal runs
            runs += times
            self._outputs = right.copy()
            self._outputs[3] ^= runs >= at

        def outputs(self):
            return self._outputs

    def evaluate(bits):
        batch = Batch(bits)
        batch.run(1)
        return batch.outputs()

    return SimpleNamespace(batch=Batch, evaluate=evaluate)


@pytest.mark.parametrize("how", ["start", "whole"])
@pytest.mark.parametrize("features", [False, True])
def test_a_row_that_goes_wrong_while_timed_is_found(how, features):
    arm = getattr(rows(features), how)(wrong_rows(at=5))
    arm(4)
    assert arm.where_wrong() is None
    arm(1)
    assert arm.where_wrong().endswith(", output 0")
    assert arm.where_wrong().startswith("row 0b")


def test_numbers_that_are_wrong_are_found():
    answers = rows(True).answers[:, 0].astype(np.int32)
    answers[7] += 2  # the only bit is right
    form = SimpleNamespace(predict=lambda features: answers)
    arm = rows(True).whole(form)
    arm(1)
    assert arm.where_wrong() is not None


def test_rows_that_were_never_computed_are_wrong():
    form = BACKENDS["numpy"](ROWS_NETLIST, 60)
    assert rows(False).start(form).where_wrong() is not None


class Stepper:
    """Steps rightly until its `until`-th generation, and after it not at all; a cell flips at generation `flips`."""

    def __init__(self, board, torus, until, flips):
        self._now, self._torus, self._until, self._flips, self._done = board, torus, until, flips, 0

    def run(self, steps):
        for _ in range(steps):
            self._done += 1
            if self._done <= self._until:
                self._now = run(self._now, NEIGHBOURS, self._torus, 1)
            if self._done == self._flips:
                self._now[2, 3] ^= True

    def board(self):
        return self._now


@pytest.mark.parametrize("torus", [True, False])
def test_a_board_that_no_longer_steps_is_found(torus):
    work = BoardWorkload(BOARD, NEIGHBOURS, torus)
    arm = work.start(SimpleNamespace(stepper=lambda board, edges: Stepper(board, edges, until=6, flips=-1)))
    arm(2)
    assert arm.where_wrong() is None  # two more
    arm(2)
    assert "of a 20x70 board" in arm.where_wrong()


def test_a_cell_that_flips_is_found_where_it_is():
    work = BoardWorkload(BOARD, NEIGHBOURS, True)
    form = SimpleNamespace(stepper=lambda board, edges: Stepper(board, edges, until=9, flips=4))
    arm = work.start(form)
    arm(3)
    arm(0)
    assert arm.where_wrong() == "cell (2, 3) of a 20x70 board (torus) after 1 steps"
    whole = work.whole(SimpleNamespace(stepper=lambda board, edges: Stepper(board, edges, until=9, flips=1)))
    whole(1)
    assert whole.where_wrong() == "cell (2, 3) of a 20x70 board (torus) after 1 steps"
