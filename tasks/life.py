"""Life-like cellular automata: learn a cell's next state from its 3x3 neighbourhood, all 512 of them.

Input 3 * dy + dx is the cell at row dy and column dx of the neighbourhood, in reading order from the north-west; input 4
is the cell itself.
"""

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from codegen.encoder import Encoder
from codegen.interfaces import Stepper
from tasks.base import Bits, Boards, Learned, Split, TaskError, Verification

N_NEIGHBOURHOODS = 512
_CHECKED_CELLS = 1 << 22  # that the oracle steps after a timing: a tenth of a second of its work


@dataclass(frozen=True)
class Rule:
    """A Life-like rule: the numbers of live neighbours with which a dead cell comes alive, and with which a live one survives."""

    birth: frozenset[int]
    survival: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """Read B/S notation, such as B3/S23 (Conway's Life) or B36/S23. Raises TaskError on anything else."""
        match = re.fullmatch(r"B([0-8]*)/S([0-8]*)", str(text).strip().upper())
        if match is None:
            raise TaskError(
                f"task.rule={text} is not in B/S notation. Expected B, neighbour counts 0 to 8 that give birth, /S, and those"
                " that survive: B3/S23 is Conway's Life, B36/S23 HighLife, B2/S Seeds."
            )
        birth, survival = (frozenset(int(digit) for digit in digits) for digits in match.groups())
        return cls(birth, survival)

    def __str__(self) -> str:
        return f"B{''.join(map(str, sorted(self.birth)))}/S{''.join(map(str, sorted(self.survival)))}"


CONWAY = Rule.parse("B3/S23")


def step(board: Bits, rule: Rule, torus: bool) -> Bits:
    """The next generation of a board, bool (height, width): the oracle, by counting neighbours.

    torus: opposite edges touch (on a board one cell wide a cell is its own neighbour on both sides); otherwise the cells
    outside are dead.
    """
    padded = np.pad(board, 1, mode="wrap" if torus else "constant").astype(np.uint8)
    height, width = board.shape
    block = sum(padded[dy : dy + height, dx : dx + width] for dy in range(3) for dx in range(3))
    counts = np.asarray(block - board)
    born = np.isin(np.arange(9), list(rule.birth))
    survives = np.isin(np.arange(9), list(rule.survival))
    next_board: Bits = np.where(board, survives[counts], born[counts])
    return next_board


def run(board: Bits, rule: Rule, torus: bool, steps: int) -> Bits:
    """The board after a number of generations, by the oracle."""
    for _ in range(steps):
        board = step(board, rule, torus)
    return board


def truth(rule: Rule) -> Split:
    """All 512 neighbourhoods and the next state of their middle cells."""
    bits = ((np.arange(N_NEIGHBOURHOODS)[:, None] >> np.arange(9)) & 1).astype(bool)
    middles = [step(cells.reshape(3, 3), rule, torus=False)[1, 1] for cells in bits]
    return Split(bits, np.array(middles)[:, None])


def _boards(config: "BoardsConfig", rule: Rule, seed: int) -> Boards:
    before = np.random.default_rng([seed, 1]).random((config.count, config.height, config.width)) < 0.5
    after = np.array([run(board, rule, True, config.steps) for board in before])
    items, target = (boards.reshape(config.count, -1) for boards in (before, after))
    return Boards(config.height, config.width, config.steps, Split(items, target))


@dataclass(frozen=True, eq=False)
class BoardWorkload:
    """Steps of one board of random cells (a soup)."""

    board: Bits
    rule: Rule
    torus: bool

    item = "cell"
    # The soup, and boards around the corners of a packed layout: single words, partial words, one row, one column.
    SMALL_BOARDS = ((1, 1), (1, 5), (3, 3), (64, 64), (65, 2), (2, 65), (100, 37), (5, 127), (7, 129))

    @property
    def n_items(self) -> int:
        return self.board.size

    def part(self, n_items: int) -> "BoardWorkload":  # noqa: ARG002
        return self

    def start(self, executable: Any) -> "_Steps":
        return _Steps(self, executable.stepper(self.board, self.torus))

    def whole(self, executable: Any) -> "_WholeSteps":
        return _WholeSteps(self, executable)

    def verify(self, executable: Any, quick: bool) -> Verification:
        """Compare with the oracle: one step of the soup; and, unless quick, ten, and ten of small boards with both edges."""
        checks = [(self.board, self.torus, 1 if quick else 10)]
        if not quick:
            rng = np.random.default_rng(0)
            checks += [(rng.random(shape) < 0.5, torus, 10) for shape in self.SMALL_BOARDS for torus in (True, False)]
        n_checked = n_equal = 0
        where = None
        for board, torus, steps in checks:
            stepper = executable.stepper(board, torus)
            stepper.run(steps)
            same = stepper.board() == run(board, self.rule, torus, steps)
            n_checked += same.size
            n_equal += int(same.sum())
            where = where or _where_not(same, torus, steps)
        return Verification(n_checked, n_equal, where)


def _where_not(same: Bits, torus: bool, steps: int) -> str | None:
    """The first cell of a board that is not the same, None if all are."""
    if same.all():
        return None
    row, column = np.argwhere(~same)[0]
    edges = "torus" if torus else "dead edges"
    return f"cell ({row}, {column}) of a {same.shape[0]}x{same.shape[1]} board ({edges}) after {steps} steps"


@dataclass
class _Steps:
    """A board inside a back end, a codegen.interfaces.CheckedRun.

    A timing takes it through more generations than the oracle could follow. So the board that it leaves is stepped on, as often
    as by the last call or as many cells as _CHECKED_CELLS allow, and the oracle steps the same board.
    """

    work: BoardWorkload
    stepper: Stepper
    steps: int = 1  # of the last call

    def __call__(self, times: int) -> None:
        self.stepper.run(times)
        self.steps = times

    def where_wrong(self) -> str | None:
        left = self.stepper.board().copy()
        steps = max(1, min(self.steps, _CHECKED_CELLS // left.size))
        self.stepper.run(steps)
        same = self.stepper.board() == run(left, self.work.rule, self.work.torus, steps)
        return _where_not(same, self.work.torus, steps)


@dataclass
class _WholeSteps:
    """A generation of the caller's board, given back, a codegen.interfaces.CheckedRun. last: the board, None before the first."""

    work: BoardWorkload
    executable: Any
    last: Bits | None = None

    def __call__(self, times: int) -> None:
        for _ in range(times):
            self.last = None  # its memory serves the next, as a caller's would
            stepper = self.executable.stepper(self.work.board, self.work.torus)
            stepper.run(1)
            self.last = stepper.board()

    def where_wrong(self) -> str | None:
        work = self.work
        assert self.last is not None
        return _where_not(self.last == run(work.board, work.rule, work.torus, 1), work.torus, 1)


@dataclass(frozen=True)
class BoardsConfig:
    """Boards to train on, tori of height x width cells, half of them alive; the target is the board after some steps."""

    count: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]
    steps: Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class LifeConfig:
    """conf/task/life.yaml. The timed board is height x width cells, each alive with probability density. boards: what to train
    on instead of the 512 neighbourhoods."""

    name: str
    rule: str
    edges: Literal["torus", "dead"]
    height: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]
    density: Annotated[float, Field(ge=0, le=1)]
    soup_seed: Annotated[int, Field(ge=0)]
    boards: BoardsConfig | None


class Life:
    """The task: all 512 neighbourhoods to learn and to test on, or whole boards to learn from, and a board to step.

    Raises TaskError for a bad rule.
    """

    name = "life"
    n_inputs = 9
    n_outputs = 1
    classes = False
    places: NDArray[np.intp] | None = np.arange(9).reshape(1, 3, 3)
    encoder: Encoder | None = None

    def __init__(self, config: LifeConfig) -> None:
        self.rule = Rule.parse(config.rule)
        self.train = self.validation = self.test = truth(self.rule)
        board = np.random.default_rng(config.soup_seed).random((config.height, config.width)) < config.density
        self.boards = None if config.boards is None else _boards(config.boards, self.rule, config.soup_seed)
        self._workload = BoardWorkload(board, self.rule, config.edges == "torus")

    def workload(self, learned: Learned) -> BoardWorkload:  # noqa: ARG002, the rule says what is right
        return self._workload

    def score(self, answers: Bits, split: Split) -> float:
        return float(np.all(answers == split.target, axis=1).mean())

    def reference_source(self) -> str | None:
        """The hand-written step: the least number of operations we know for Conway's rule, bit-sliced counting for others."""
        source = files("tasks").joinpath("life_reference.c").read_text()
        masks = [sum(1 << count for count in counts) for counts in (self.rule.birth, self.rule.survival)]
        return f"#define BIRTH {masks[0]}\n#define SURVIVAL {masks[1]}\n{source}"
