"""A sweep as one table: a row for each combination of what was varied, its seeds taken together."""

from collections.abc import Callable
from statistics import mean, median

from rich import box
from rich.table import Table

from reports.record import Record, Training

_SEED = "seed"


def varied(records: list[Record]) -> list[str]:
    """The names of the settings that the command lines of these jobs chose differently, the seed aside, in their order."""
    names = [name for record in records for name in record.choices if name != _SEED]
    return [name for name in dict.fromkeys(names) if len({record.choices.get(name) for record in records}) > 1]


def sweep_table(records: list[Record]) -> Table:
    """Training compared: one line for each choice of the varied settings, over its seeds.

    exact: jobs whose circuit got the whole test split right, of all. steps, s: median to the first exact evaluation, over the
    jobs that were. Accuracies are means over jobs; gap is soft minus hard. grad: median norm of the first gradient to the
    first layer's parameters.
    """
    names = varied(records)
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(tuple(record.choices.get(name, "") for name in names), []).append(record)
    caption = (
        "exact: circuits without an error, of all jobs. steps, s: median until\n"
        "exact, over those. soft, hard: mean accuracy before and after\n"
        "discretisation. grad: median norm of the first layer's first gradient."
    )
    title = " ".join(sorted({record.choices["experiment"] for record in records if "experiment" in record.choices}))
    table = Table(title=title or None, caption=caption, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in names or ["job"]:
        table.add_column(name.split(".")[-1], no_wrap=True)
    for name in ("exact", "steps", "s", "params", "soft", "hard", "gap", "grad"):
        table.add_column(name, justify="right", no_wrap=True)
    for labels, jobs in groups.items():
        trained = [job.training for job in jobs if job.training is not None]
        exact = [training for training in trained if training.hard_accuracy == 1.0]
        table.add_row(
            *([_short(label) for label in labels] or [f"{jobs[0].method} {jobs[0].task}"]),
            f"{len(exact)}/{len(jobs)}",
            _over(exact, median, lambda training: training.steps_to_exact, ",.0f"),
            _over(exact, median, lambda training: training.seconds_to_exact, ".1f"),
            _over(trained, median, lambda training: training.parameters, ",.0f"),
            _over(trained, mean, lambda training: 100 * training.soft_accuracy, ".1f"),
            _over(trained, mean, lambda training: _percent(training.hard_accuracy), ".1f"),
            _over(trained, mean, lambda training: _percent(training.gap), ".1f"),
            _over(trained, median, lambda training: training.first_gradient, ".0e"),
        )
    return table


def _short(value: str) -> str:
    """A setting's value, a long list by its length."""
    return value if len(value) <= 16 or not value.startswith("[") else f"{value.count(',') + 1} items"


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction


def _over(
    trained: list[Training],
    statistic: Callable[[list[float]], float],
    value: Callable[[Training], float | None],
    style: str,
) -> str:
    found = [one for one in map(value, trained) if one is not None]
    return format(statistic(found), style) if found else ""
