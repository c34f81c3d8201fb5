"""A sweep as tables: a row for each combination of what was varied, its seeds taken together."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, median

from rich import box
from rich.console import Group
from rich.table import Table

from reports.configuration import ASKED, OF_CIRCUIT, Settings, distinguishing, newest_by_seed, settings
from reports.record import Record, Training
from reports.statistics import Estimate, compare
from reports.text import interval, percent, quantity, seeds

_SEED = "seed"
_LABELS_WIDTH = 20  # what the figures leave of 80 columns
_WIDE = 16  # characters
_ACCURACY = (
    "Accuracy in %, over seeds: means with 95 % intervals (Student's t), and the worst seed. soft: before discretisation; gap:"
    " soft less hard. One seed has no interval."
)
_TO_BEST = (
    "to best: by the 95 % interval of the paired difference over common seeds, each by itself. ~: no difference can be told."
    " ?: fewer than three seeds in common."
)
_COST = (
    "exact: circuits without an error, of all jobs. steps, s: median until exact, over those. grad: median norm of the first"
    " layer's first gradient."
)


@dataclass(frozen=True)
class _Choice:
    """One line: its labels, and what it is as configured. jobs: the newest of each seed."""

    labels: tuple[str, ...]
    settings: Settings
    jobs: Mapping[int, Record]

    @property
    def trained(self) -> dict[int, Training]:
        return {seed: job.training for seed, job in self.jobs.items() if job.training is not None}

    @property
    def accuracy(self) -> dict[int, float]:
        return {seed: job.accuracy for seed, job in self.jobs.items() if job.accuracy is not None}

    @property
    def asked(self) -> tuple[str | None, ...]:
        """What the task asks: accuracies on the same compare."""
        return next(iter(self.jobs.values())).task, *(self.settings.get(name) for name in ASKED)


def varied(records: list[Record]) -> list[str]:
    """The names of the settings that the command lines of these jobs chose differently, the seed aside, in their order."""
    names = [name for record in records for name in record.choices if name != _SEED]
    return [name for name in dict.fromkeys(names) if len({record.choices.get(name) for record in records}) > 1]


def sweep_table(records: list[Record]) -> Group:
    """Training compared, in two tables: accuracies and costs, one line for each choice of the varied settings, over its seeds.

    Jobs of one choice that were configured differently, as by an edited file of conf/, have lines of their own. Seeds that ran on
    different machines are taken together, but not their seconds, which are then left out.
    """
    names = varied(records)
    choices = _choices(records, names)
    headers, labels = _labels(names, choices)
    title = " ".join(sorted({record.choices["experiment"] for record in records if "experiment" in record.choices}))
    return Group(_accuracies(title, headers, labels, choices), "", _costs(headers, labels, choices))


def _labels(names: list[str], choices: list[_Choice]) -> tuple[list[str], list[list[str]]]:
    """Headers, and what each line has below them: a column for each name, or one for all where those would be too wide."""
    alike: dict[tuple[str, ...], list[Settings]] = {}
    for one in choices:
        alike.setdefault(one.labels, []).append(one.settings)
    told = list(dict.fromkeys(name for found in alike.values() for name in distinguishing(found)))
    headers = [name.split(".")[-1] for name in (*names, *told)]
    if not headers:
        jobs = [next(iter(one.jobs.values())) for one in choices]
        return ["job"], [[f"{job.method} {job.task}"] for job in jobs]
    labels = [[*map(_short, one.labels), *(one.settings.get(name, "") for name in told)] for one in choices]
    if sum(max(map(len, column)) + 2 for column in zip(headers, *labels, strict=True)) <= _LABELS_WIDTH + 2:
        return headers, labels
    joined = [" ".join(f"{name}={value}" for name, value in zip(headers, line, strict=True) if value) for line in labels]
    return ["choice"], [[line] for line in joined]


def _choices(records: list[Record], names: list[str]) -> list[_Choice]:
    groups: dict[tuple[object, ...], list[Record]] = {}
    configured: dict[tuple[object, ...], tuple[tuple[str, ...], Settings]] = {}
    for record in records:
        labels = tuple(record.choices.get(name, "") for name in names)
        found = settings(record, OF_CIRCUIT)
        key = (labels, frozenset(found.items()))
        groups.setdefault(key, []).append(record)
        configured[key] = labels, found
    return [_Choice(*configured[key], newest_by_seed(jobs)) for key, jobs in groups.items()]


def _accuracies(title: str, headers: list[str], labels: list[list[str]], choices: list[_Choice]) -> Table:
    best: dict[tuple[object, ...], _Choice] = {}
    for one in sorted((one for one in choices if one.accuracy), key=lambda one: -fmean(one.accuracy.values())):
        best.setdefault(one.asked, one)
    table = _table(title or None, f"{_ACCURACY} {_TO_BEST}", headers, ("seeds", "soft", "hard", "worst", "gap", "to best"))
    for label, one in zip(labels, choices, strict=True):
        trained, jobs = list(one.trained.values()), list(one.jobs.values())
        first = best.get(one.asked)
        table.add_row(
            *label,
            seeds(len(trained), len(one.jobs)),
            _mean(training.soft_accuracy for training in trained),
            _mean(job.hard_accuracy for job in jobs),
            percent(min(one.accuracy.values())) if len(trained) > 1 else "",
            _mean((job.gap for job in jobs), plain=True),
            "" if first is None or not trained else "best" if first is one else compare(one.accuracy, first.accuracy),
        )
    return table


def _costs(headers: list[str], labels: list[list[str]], choices: list[_Choice]) -> Table:
    left_out = False
    table = _table(None, _COST, headers, ("exact", "steps", "s", "params", "grad"))
    for label, one in zip(labels, choices, strict=True):
        trained = list(one.trained.values())
        exact = [job.training for job in one.jobs.values() if job.training is not None and job.hard_accuracy == 1.0]
        where = {(job.machine, job.training.threads) for job in one.jobs.values() if job.training is not None}
        left_out |= len(where) > 1
        table.add_row(
            *label,
            f"{len(exact)}/{len(one.jobs)}",
            _median(exact, lambda training: training.steps_to_exact, "{:,.0f}".format),
            _median(exact, lambda training: training.seconds_to_exact, "{:.1f}".format) if len(where) == 1 else "",
            _median(trained, lambda training: training.parameters, quantity),
            _median(trained, lambda training: training.first_gradient, "{:.0e}".format),
        )
    if left_out:
        table.caption = f"{_COST} s is left out where machines or threads differ."
    return table


def _table(title: str | None, caption: str, headers: list[str], figures: tuple[str, ...]) -> Table:
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, show_edge=False)
    for name in headers:
        table.add_column(name, overflow="fold", max_width=_LABELS_WIDTH)
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def best_table(records: list[Record], best: list[Record], names: list[str], values: list[list[float]]) -> Table:
    """The best jobs of a search, a line each: what it chose for them, the values of its objectives, and their keys.

    records: of the whole search.
    """
    caption = "No other job of the search is as good in all of these and better in one."
    table = Table(title="best", caption=caption, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    chosen = varied(records)
    for name in chosen:
        table.add_column(name.split(".")[-1], no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("job", no_wrap=True)
    for record, found in zip(best, values, strict=True):
        settings = (_short(record.choices.get(name, "")) for name in chosen)
        table.add_row(*settings, *(format(one, ",.6g") for one in found), record.key)
    return table


def _short(value: str) -> str:
    """A setting's value; a long list by its length, a long number rounded."""
    if len(value) <= _WIDE:
        return value
    if value.startswith("["):
        return f"{value.count(',') + 1} items"
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return value


def _mean(values: Iterable[float | None], plain: bool = False) -> str:
    """With its interval, unless plain."""
    found = [one for one in values if one is not None]
    if not found:
        return ""
    estimate = Estimate.of(found)
    return percent(estimate.mean) if plain else interval(estimate)


def _median(trained: list[Training], value: Callable[[Training], float | None], style: Callable[[float], str]) -> str:
    found = [one for one in map(value, trained) if one is not None]
    return style(median(found)) if found else ""
