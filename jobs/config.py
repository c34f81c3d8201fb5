"""A job's settings with their types and ranges, as conf/ and the command line give them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from codegen.budget import Budget
from methods import METHODS
from methods.train import TrainConfig
from tasks import TASKS


class UsageError(ValueError):
    """What the user asked for cannot be done; the message says what to change."""


@dataclass(frozen=True)
class BackendConfig:
    """names: of jobs.forms.ALL_BACKENDS, in the order of the table."""

    names: list[str]


@dataclass(frozen=True)
class TimingConfig:
    """conf/timing/default.yaml: see there, and codegen.measure.Protocol."""

    enabled: bool
    blocks: Annotated[int, Field(ge=2)]
    sample_seconds: Annotated[float, Field(gt=0)]
    warmup_seconds: Annotated[float, Field(ge=0)]
    run_seconds: Annotated[float, Field(gt=0)]
    compile_seconds: Annotated[float, Field(gt=0)]
    batches: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
    torch_compile: bool
    few_items: list[Annotated[int, Field(ge=1)]]
    instructions: bool
    threads: Annotated[int, Field(ge=1)] | None
    max_load: Annotated[float, Field(ge=0)]
    patience_seconds: Annotated[float, Field(ge=0)]
    force: bool

    @property
    def n_threads(self) -> int:
        return self.threads or available_cores()

    @property
    def load_limit(self) -> float:
        """max_load in processors, of all that the machine has."""
        return self.max_load * (os.cpu_count() or 1)


@dataclass(frozen=True)
class LimitsConfig:
    """seconds: of the whole job on the clock; null: an hour more than train.max_seconds. memory_gib: of data that the job's
    process may have, and each that it starts; null: the machine's memory."""

    seconds: Annotated[float, Field(gt=0)] | None
    memory_gib: Annotated[float, Field(gt=0)] | None


@dataclass(frozen=True)
class JobConfig:
    """A job's settings with their types and ranges; method and task are of the dataclasses that their registries name.

    prune: what the learned circuit is pruned for, with data (codegen.prune)."""

    seed: Annotated[int, Field(ge=0)]
    threads: Annotated[int, Field(ge=1)] | None
    runs_dir: str
    engine: str
    method: Any
    task: Any
    backend: BackendConfig
    timing: TimingConfig
    train: TrainConfig
    limits: LimitsConfig
    force: Literal["train", "compile", "time"] | None
    prune: Budget | None = None


def check(config: dict[str, Any]) -> JobConfig:
    """The resolved configuration with every type and range checked. Raises UsageError that names the setting."""
    for setting, value in _numbers(config):
        if not isfinite(value):
            raise UsageError(f"{setting}={value}: expected a finite number.")
    try:
        job: JobConfig = _adapter(JobConfig).validate_python({**config, "experiment": None})
    except ValidationError as error:
        raise UsageError(_settings_at_fault(error)) from error
    parts: dict[str, Any] = {}
    for group, registry in (("method", METHODS), ("task", TASKS)):
        name = getattr(job, group)["name"]
        if name not in registry:
            raise UsageError(f"There is no {group}.name={name}: neither among {', '.join(registry)} nor as a {group}s/{name}.py.")
        kind = registry[name]
        try:
            parts[group] = _adapter(kind.config).validate_python(getattr(job, group))
        except ValidationError as error:
            raise UsageError(_settings_at_fault(error, f"{group}.")) from error
    return replace(job, **parts)


@cache  # building one costs more than what it checks, and a sweep asks for it for every job
def _adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _numbers(part: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Every number in a part of the configuration, with its name as on the command line."""
    if isinstance(part, float):
        yield name, part
    elif isinstance(part, dict | list):
        for key, value in part.items() if isinstance(part, dict) else enumerate(part):
            yield from _numbers(value, f"{name}.{key}" if name else str(key))


def _settings_at_fault(error: ValidationError, prefix: str = "") -> str:
    said = []
    for fault in error.errors():
        setting = prefix + ".".join(map(str, fault["loc"]))
        if fault["type"] == "value_error":  # our own sentence
            said.append(f"{setting}: {fault['ctx']['error']}")
        else:
            said.append(f"{setting}={fault['input']}: {fault['msg'][0].lower()}{fault['msg'][1:]}.")
    return " ".join(said)


def n_threads(config: JobConfig) -> int:
    """Threads to train with: as asked for, else one for each core that this process may use."""
    return config.threads or available_cores()


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
