"""The Life task: rules, the oracle against the rule written another way, and the hand-written C."""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from codegen.backends import HandWritten
from tasks.base import TaskError
from tasks.life import CONWAY, BoardWorkload, Life, LifeConfig, Rule, run, step, truth

RULES = ("B3/S23", "B36/S23", "B2/S", "B/S012345678", "B012345678/S", "B1357/S1357", "B3678/S34678", "B/S")


def config(**changes):
    board = {"height": 12, "width": 70, "density": 0.4, "soup_seed": 0}
    base = {"name": "life", "rule": "B3/S23", "edges": "torus", **board, "boards": None}
    return TypeAdapter(LifeConfig).validate_python(base | changes)


def next_cell_by_loops(board, y, x, rule, torus):
    height, width = board.shape
    alive = 0
    for dy, dx in product((-1, 0, 1), repeat=2):
        if (dy, dx) != (0, 0):
            inside = 0 <= y + dy < height and 0 <= x + dx < width
            if torus or inside:
                alive += int(board[(y + dy) % height, (x + dx) % width])
    return alive in (rule.survival if board[y, x] else rule.birth)


@given(
    rule=st.sampled_from(RULES),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    torus=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_step_is_the_rule_cell_by_cell(rule, height, width, torus, seed):
    rule = Rule.parse(rule)
    board = np.random.default_rng(seed).random((height, width)) < 0.5
    expected = [[next_cell_by_loops(board, y, x, rule, torus) for x in range(width)] for y in range(height)]
    assert np.array_equal(step(board, rule, torus), expected)


def test_a_glider_moves_one_cell_down_and_right_in_four_steps():
    board = np.zeros((9, 9), dtype=bool)
    board[1, 2] = board[2, 3] = board[3, 1] = board[3, 2] = board[3, 3] = True
    assert np.array_equal(run(board, CONWAY, True, 4), np.roll(board, (1, 1), (0, 1)))
    assert np.array_equal(run(board, CONWAY, True, 36), board)


def test_truth_lists_every_neighbourhood_once_in_reading_order():
    split = truth(CONWAY)
    assert split.inputs.shape == (512, 9)
    assert len(np.unique(split.inputs, axis=0)) == 512
    for cells, target in zip(split.inputs, split.target[:, 0], strict=True):
        neighbours = cells.sum() - cells[4]
        assert target == (neighbours == 3 or (cells[4] and neighbours == 2))


@pytest.mark.parametrize("text", RULES)
def test_rules_read_back_as_written(text):
    assert str(Rule.parse(text)) == text
    assert Rule.parse(text.lower()) == Rule.parse(text)


@pytest.mark.parametrize("text", ["", "B3", "3/23", "B9/S23", "S23/B3", "B3/S2x", "B3S23", "B3/S23/"])
def test_what_is_not_b_s_notation_is_refused_with_an_example(text):
    with pytest.raises(TaskError, match="B3/S23 is Conway"):
        Life(config(rule=text))


@pytest.mark.parametrize("change", [{"height": 0}, {"width": -3}, {"edges": "mirror"}, {"density": 1.5}, {"height": "tall"}])
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(ValidationError, match=next(iter(change))):
        config(**change)


def test_score_is_the_fraction_of_neighbourhoods_right():
    life = Life(config())
    outputs = life.test.target.copy()
    assert life.score(outputs, life.test) == 1.0
    outputs[7] ^= True
    assert life.score(outputs, life.test) == 511 / 512


@pytest.mark.parametrize("rule", RULES)
def test_hand_written_c_is_the_rule(rule):
    life = Life(config(rule=rule))
    form = HandWritten(life.reference_source(), 60)
    assert life.workload(None).verify(form, quick=False).exact
    assert np.array_equal(form.evaluate(life.test.inputs), life.test.target)


class LastCellWrong:
    """A stepper that gets every cell right but the last."""

    def __init__(self, board, torus):
        self._now, self._torus = board, torus

    def run(self, steps):
        self._now = run(self._now, CONWAY, self._torus, steps)
        self._now[-1, -1] ^= True

    def board(self):
        return self._now


def test_verify_finds_a_single_wrong_cell_and_says_where():
    board = np.random.default_rng(0).random((5, 5)) < 0.5
    found = BoardWorkload(board, CONWAY, torus=True).verify(SimpleNamespace(stepper=LastCellWrong), quick=True)
    assert (found.items_checked, found.items_equal, found.exact) == (25, 24, False)
    assert found.where == "cell (4, 4) of a 5x5 board (torus) after 1 steps"
