"""Whether methods and tasks fit each other, told before any work is spent."""

import json
from collections.abc import Iterable
from typing import Any

from jobs.config import UsageError, check
from jobs.training import build_model
from methods import MethodError, UnsuitableError
from tasks import TASKS, TaskError


def distinct(configs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first of those that build the same task and network but for the seed."""
    found: dict[str, dict[str, Any]] = {}
    for config in configs:
        found.setdefault(json.dumps([config["method"], config["task"]], sort_keys=True), config)
    return list(found.values())


def check_fit(config: dict[str, Any], sweep: bool) -> None:
    """Build the task and the network of a job.

    Raises UsageError. In a sweep a pair that does not fit is left to be skipped.
    """
    try:
        job = check(config)
        build_model(job, TASKS[job.task.name].build(job.task))
    except UnsuitableError as error:
        if not sweep:
            raise UsageError(str(error)) from error
    except (TaskError, MethodError) as error:
        raise UsageError(str(error)) from error
