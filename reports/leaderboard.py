"""The leaderboard as tables: of a terminal, of Markdown and of LaTeX, from the lines of reports.standings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table

from reports.standings import FORMS, Place, Standing, Standings, lines, speed_of
from reports.text import figure, interval, percent, quantity, seeds, threads

_ANY_WIDTH = 10_000
Line = dict[str, Any]  # of reports.standings.lines


@dataclass(frozen=True)
class Column:
    """title: may have several lines. of: what a line shows. part: of a narrow terminal's tables, by its place in
    _CAPTIONS, the one that has the column."""

    title: str
    of: Callable[[Line], str]
    part: int
    left: bool = False


def _number(name: str, show: Callable[[float], str]) -> Callable[[Line], str]:
    """Blank where it is not known, never zero."""
    return lambda line: "" if line[name] is None else show(line[name])


def _accuracy(line: Line) -> str:
    accuracy = line["of"].accuracy
    return interval(accuracy) if accuracy else ""


def _worst(line: Line) -> str:
    return percent(line["worst"]) if line["seeds"] > 1 else ""


def _ratio_interval(line: Line) -> str:
    low, high = line["ratio_low"], line["ratio_high"]
    return f"{figure(low)}–{figure(high)}" if low is not None and low != high else ""


def _columns(item: str) -> list[Column]:
    speed = f"{item}s\nper s"
    return [
        Column("seeds", lambda line: seeds(line["seeds"], len(line["of"].jobs)), 0),
        Column("accuracy", _accuracy, 0),
        Column("worst", _worst, 0),
        Column("gates", _number("gates_compiled", quantity), 0),
        Column("fastest", lambda line: line["backend"] or "", 0, left=True),
        Column(speed, _number("items_per_second", quantity), 0),
        Column("× nn", _number("ratio_vs_nn", figure), 0),
        Column("", lambda line: "★" if line["pareto"] else "", 0),
        Column("soft", _number("soft_accuracy", percent), 1),
        Column("hard", _number("hard_accuracy", percent), 1),
        Column("compiled", _number("compiled_accuracy", percent), 1),
        Column("gap", _number("gap", percent), 1),
        Column("gates\nlearned", _number("gates_learned", quantity), 1),
        Column("param-\neters", _number("parameters", quantity), 1),
        Column("train\ns", _number("train_seconds", quantity), 1),
        Column("compile\ns", _number("compile_seconds", quantity), 1),
        *(Column(name, _number(speed_of(name), quantity), 2) for name in FORMS),
        Column("× nn,\n95 %", _ratio_interval, 2),
        Column("A/A\n%", _number("noise_floor", lambda floor: f"{100 * floor:.1f}"), 2),
    ]


_CAPTIONS = (
    "accuracy: mean in % with its 95 % interval (Student's t over seeds), and the worst seed; one seed has no interval. gates, of"
    " the compiled circuit, seconds and speeds: medians over seeds. × nn: times faster than the fastest neural-network row of the"
    " same job. ★: no other line is as good in accuracy, gates and speed and better in one.",
    "soft, hard, compiled: accuracy in % of the network as trained, of its circuit, and of the compiled C. compile s: of c.",
    "{item}s per s of each form. × nn, 95 %: over seeds, of one seed over its blocks. A/A: how much a second copy of c differs.",
)


@dataclass(frozen=True)
class Board:
    """A place's table: one where there is room for all columns, else one a part, whose lines are told by their numbers."""

    place: Place
    lines: Sequence[Line]

    @property
    def title(self) -> str:
        return f"{self.place.task} on {self.place.machine}, timed on {threads(self.place.threads)}"

    @property
    def item(self) -> str:
        items = {job.item for line in self.lines for job in line["of"].jobs.values() if job.item}
        return items.pop() if len(items) == 1 else "item"

    def shown(self, part: int | None = None) -> list[Column]:
        """The columns, of a part or of all, that any line has something in."""
        columns = [column for column in _columns(self.item) if part in (None, column.part)]
        return [column for column in columns if any(column.of(line) for line in self.lines)]

    def caption(self, parts: Sequence[int]) -> str:
        return " ".join(_CAPTIONS[part] for part in parts).format(item=self.item)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> list[RenderableType]:
        parts = [part for part in range(len(_CAPTIONS)) if self.shown(part)]
        whole = self._table(self.shown(), self.title, self.caption(parts), narrow=False)
        needed = Measurement.get(console, options.update(max_width=_ANY_WIDTH), whole).maximum
        if len(parts) == 1 or needed <= options.max_width:
            return [whole]
        tables = [self._table(self.shown(part), self.title if part == 0 else None, self.caption([part]), True) for part in parts]
        return [Group(*tables)]

    def _table(self, columns: Sequence[Column], title: str | None, caption: str, narrow: bool) -> Table:
        """narrow: lines have numbers, and only the table with the title has their names."""
        table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, show_edge=False)
        if narrow:
            table.add_column("#", justify="right", no_wrap=True)
        named = not narrow or title is not None
        if named:
            table.add_column("method", overflow="fold")
        for column in columns:
            table.add_column(column.title, justify="left" if column.left else "right", no_wrap=True)
        for number, line in enumerate(self.lines, 1):
            cells = [column.of(line) for column in columns]
            table.add_row(
                *([str(number)] if narrow else []), *([line["label"]] if named else []), *cells, style=_style(line["of"])
            )
        return table


def _style(standing: Standing) -> str | None:
    statuses = {job.status for job in standing.jobs.values()}
    return None if statuses == {"ok"} else "yellow" if statuses <= {"ok", "skipped"} else "red"


def leaderboard(standings: Standings, sort: str | None = None) -> list[Board]:
    """A table for each place, the most accurate first.

    sort: another of reports.standings.FIGURES to order each table by; raises reports.ordering.ColumnError for none of them.
    """
    return [Board(place, lines(here, sort)) for place, here in standings.items()]


def markdown(standings: Standings, sort: str | None = None) -> str:
    """A heading, a table and what its words stand for, of each place."""
    return "\n".join(_markdown(board) for board in leaderboard(standings, sort))


def _markdown(board: Board) -> str:
    columns = board.shown()
    rows = [
        ["method", *map(_title, columns)],
        [":--", *(":--" if column.left else "--:" for column in columns)],
        *([line["label"], *(column.of(line) for column in columns)] for line in board.lines),
    ]
    text = "".join(f"| {' | '.join(row)} |\n" for row in ([cell.replace("|", r"\|") for cell in row] for row in rows))
    return f"### {board.title}\n\n{text}\n{board.caption(range(len(_CAPTIONS)))}\n"


def latex(standings: Standings, sort: str | None = None) -> str:
    """A table environment of each place, which needs the package booktabs."""
    return "\n".join(_latex(board) for board in leaderboard(standings, sort))


def _latex(board: Board) -> str:
    import pandas as pd  # here: it takes longer to load than tables of a terminal take to make

    columns = board.shown()
    rows = [[line["label"], *(column.of(line) for column in columns)] for line in board.lines]
    style = pd.DataFrame(rows, columns=["method", *map(_title, columns)]).style.hide(axis="index")
    style = style.format(escape="latex").format_index(escape="latex", axis=1)
    caption = f"{board.title}. {board.caption(range(len(_CAPTIONS)))}".replace("%", r"\%")
    layout = "".join("l" if column.left else "r" for column in columns)
    return style.to_latex(hrules=True, caption=caption, column_format=f"l{layout}").translate(_IN_LATEX)


# What fonts of LaTeX have no letter for.
_IN_LATEX = str.maketrans({"±": r"$\pm$", "×": r"$\times$", "★": r"$\star$", "–": "--"})


def _title(column: Column) -> str:
    """On one line."""
    return column.title.replace("-\n", "").replace("\n", " ") or "front"
