"""docs/results.md, its figure and the head of it in README.md, made from the published records."""

import re
from collections.abc import Sequence
from pathlib import Path

from reports.leaderboard import Line, markdown
from reports.papers import Published, published
from reports.record import Record
from reports.standings import Standing, Standings, lines, standings_of
from reports.text import figure, interval, percent, quantity, seeds

ROOT = Path(__file__).resolve().parent.parent
PAGE, FIGURE, README = "docs/results.md", "docs/accuracy_and_gates.svg", "README.md"
_BEGIN, _END = "<!-- results: made by `python -m reports results` -->\n", "<!-- end of results -->"
_BLOCK = re.compile(f"(?<={re.escape(_BEGIN)}).*?(?={re.escape(_END)})", re.DOTALL)
_SEEDS = 3  # a mean of fewer says less
_TASKS = ("life", "mnist", "fashion_mnist", "digits")  # in the README, in this order; others stand behind them
_INTRODUCTION = """\
# Results

Made from the records in `reports/published` by `python -m reports results`; `python -m reports --runs reports/published --html
FILE` makes a page of them with everything that is behind a line, and the command that runs it again.

"""


class MarkerError(ValueError):
    """README.md has no place for the results."""


def page(records: Sequence[Record]) -> str:
    """The text of docs/results.md."""
    standings = standings_of(records)
    ordered = dict(sorted(standings.items(), key=lambda entry: _place(entry[0].task)))
    parts = [_INTRODUCTION, f"![Accuracy and gates]({Path(FIGURE).name})\n\n", markdown(ordered), "\n", _beside_papers(standings)]
    return "".join(parts)


def readme(text: str, records: Sequence[Record]) -> str:
    """The README with the head of the results in its place. Raises MarkerError."""
    if not _BLOCK.search(text):
        raise MarkerError(f"Expected {_BEGIN.strip()} and {_END} in {README}, around what is to be replaced.")
    return _BLOCK.sub(lambda _: _head(standings_of(records)), text)


def write(records: Sequence[Record], root: Path = ROOT) -> list[Path]:
    """Write all three; returns their paths. Raises MarkerError, OSError."""
    from reports.charts import CHARTS, THEMES, draw_file
    from reports.datasets import Datasets

    new = readme((root / README).read_text(), records)
    (root / README).write_text(new)
    (root / PAGE).write_text(page(records))
    data = Datasets({place: here for place, here in standings_of(records).items() if place.task == "mnist"}, root)
    draw_file(data, [CHARTS["pareto"], CHARTS["speed"]], root / FIGURE, THEMES["light"], 460)
    return [root / README, root / PAGE, root / FIGURE]


def _place(task: str) -> tuple[int, str]:
    return (_TASKS.index(task) if task in _TASKS else len(_TASKS), task)


def _head(standings: Standings) -> str:
    """A line for each method of a task, wherever it was timed."""
    rows = [
        "| task | method | seeds | accuracy, % | gates | per second | × network | timed on |",
        "|---|---|---|---|---|---|---|---|",
    ]
    best: dict[tuple[str, str], Line] = {}
    for place, here in standings.items():
        for line in lines(here):
            of = place.task, line["method"]
            if of not in best or _rank(line) > _rank(best[of]):
                best[of] = line
    for (task, _), line in sorted(best.items(), key=lambda entry: (_place(entry[0][0]), *_best_first(entry[1]))):
        rows.append(_row(task, line))
    return "\n".join(rows) + "\n"


def _rank(line: Line) -> tuple[int, float, float]:
    """Greater for what rather stands for its method: of as many as three seeds, more accurate, faster."""
    return min(line["seeds"], _SEEDS), line["accuracy"] or 0.0, line["items_per_second"] or 0.0


def _best_first(line: Line) -> tuple[float, float]:
    return -(line["accuracy"] or 0.0), -(line["items_per_second"] or 0.0)


def _row(task: str, line: Line) -> str:
    accuracy, items = line["of"].accuracy, line["items_per_second"]
    processors = {job.environment.get("cpu", "") for job in line["of"].jobs.values()}  # one, as of one machine
    cells = [
        task,
        line["label"],
        seeds(line["seeds"], len(line["of"].jobs)),
        interval(accuracy) if accuracy else "",
        f"{line['gates_compiled']:,.0f}" if line["gates_compiled"] else "",
        quantity(items) if items else "",
        figure(line["ratio_vs_nn"]),
        ", ".join(sorted(processors)) if items else "",
    ]
    return f"| {' | '.join(cells)} |"


def _beside_papers(standings: Standings) -> str:
    rows = [
        "## Beside the papers\n",
        "Test accuracy in %. Ours is the mean over seeds of the discretised circuit; settings differ where the line of the"
        " leaderboard says so, above all in how long was trained.\n",
        "| task | network | published | source | here | seeds | difference |",
        "|---|---|---|---|---|---|---|",
    ]
    for paper in published():
        spread = f" ± {paper.spread:.2f}" if paper.spread is not None else ""
        best = f", best {paper.best:.2f}" if paper.best is not None else ""
        start = f"| {paper.task} | {paper.what} | {paper.accuracy:.2f}{spread}{best} | {paper.source} |"
        found = [one for place, here in standings.items() for one in here if paper.is_of(place.task, one)]
        rows += [f"{start} {_obtained(one, paper)} |" for one in found] or [f"{start} not run to its end |  |  |"]
    return "\n".join(rows) + "\n"


def _obtained(standing: Standing, paper: Published) -> str:
    accuracy = standing.accuracy
    assert accuracy is not None
    difference = 100 * accuracy.mean - paper.accuracy
    shown = interval(accuracy) if accuracy.n > 1 else percent(accuracy.mean)
    return f"{shown} | {accuracy.n} | {difference:+.2f}"
