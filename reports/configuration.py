"""Which jobs are the same but for their seed, and by which settings the others differ."""

import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from reports.record import Record

Settings = dict[str, str]  # a value as text, by the setting's name as on the command line

# The parts of a job's configuration that decide what it comes to, beside the seed, and how long it takes, in the order in which
# they are told. A training is decided by the first of them. Which forms are built and how they are timed changes none of them.
OF_TRAINING = ("method", "task", "engine", "train")
# What the learned circuit is pruned for; jobs that do not prune have no such setting, as older ones never had.
PRUNE = "prune"
OF_CIRCUIT = (*OF_TRAINING, PRUNE)
OF_RESULT = (*OF_CIRCUIT, "threads")
# The settings of tasks that say what is asked: where they are the same, accuracies compare.
ASKED = ("task.name", "task.function", "task.inputs", "task.outputs", "task.function_seed", "task.rule")
# Settings of wirings that older records lack, with the values that do what was done then.
_AS_BEFORE = {"method.candidates": "1", "method.choice_temperature": "1.0"}
# Settings with parts of their own, which older records lack: null is the same as none.
_OPTIONAL = ("task.distort",)
# conf/task has ${seed} for it, so that it is another for each seed unless it was chosen.
_SEED_OF_SPLIT = "task.split_seed"
_AS_SEED = "seed"


def settings(record: Record, parts: Iterable[str] = OF_RESULT) -> Settings:
    """The settings of a job that are the same for each of its configuration's seeds."""
    found: Settings = {}
    for part in parts:
        if part == PRUNE:
            for unit, value in (record.config.get(PRUNE) or {}).items():
                if value is not None:
                    found[PRUNE] = f"{value:g} {unit}"
        elif part in record.config:
            _flatten(record.config[part], part, found)
    if "method.wiring" in found:
        found |= {name: value for name, value in _AS_BEFORE.items() if name not in found}
    for name in _OPTIONAL:
        found.pop(name, None)
    if found.get(_SEED_OF_SPLIT) == str(record.seed) and _SEED_OF_SPLIT not in record.choices:
        found[_SEED_OF_SPLIT] = _AS_SEED
    return found


def newest_by_seed(records: Iterable[Record]) -> dict[int, Record]:
    """One record for each seed of a configuration, in the order of seeds: of a job that was run again the last that was timed,
    or the last if none was."""
    by_date = sorted(records, key=lambda record: (bool(record.learned), record.date))
    return dict(sorted({record.seed: record for record in by_date}.items()))


def distinguishing(configurations: Sequence[Settings], known: Sequence[str] = ()) -> list[str]:
    """Names of settings that tell these configurations apart, beside those that are known to be told: from the first on, each
    that tells more of them apart than those before it. Of a part's settings, optional ones come first: what is given says more
    than what was switched off for it."""
    told = list(known)
    apart = _n_apart(configurations, told)
    names = dict.fromkeys(name for one in configurations for name in one)
    parts = list(dict.fromkeys(name.split(".")[0] for name in names))
    given = tuple(f"{name}." for name in _OPTIONAL)
    for name in sorted(names, key=lambda name: (parts.index(name.split(".")[0]), not name.startswith(given))):
        if apart < len(configurations) and (more := _n_apart(configurations, [*told, name])) > apart:
            told.append(name)
            apart = more
    return told[len(known) :]


def _n_apart(configurations: Sequence[Settings], names: Sequence[str]) -> int:
    return len({tuple(one.get(name) for name in names) for one in configurations})


def said(names: Iterable[str], of: Settings) -> str:
    """These settings as on the command line, without the group's name; those that it has."""
    return " ".join(f"{name.rsplit('.', 1)[-1]}={of[name]}" for name in names if name in of)


def _flatten(value: Any, name: str, into: Settings) -> None:
    if isinstance(value, dict):
        for key, part in value.items():
            _flatten(part, f"{name}.{key}", into)
    elif isinstance(value, list):
        if not value:  # as before there was the setting
            return
        if all(isinstance(one, dict) for one in value):  # such as convolutions: their kernels, then their sizes, and so on
            for key in dict.fromkeys(key for one in value for key in one):
                _flatten([one.get(key) for one in value], f"{name}.{key}", into)
            return
        into[name] = ",".join(_run(text, len(list(run))) for text, run in groupby(map(_text, value)))
    else:
        into[name] = _text(value)


def _run(text: str, length: int) -> str:
    """Of a list: layers of the same width are told once."""
    return text if length == 1 else f"{text}×{length}"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return (
        repr(value) if type(value) in (int, float) else json.dumps(value)
    )  # the same for numbers, but thousands of jobs have many
