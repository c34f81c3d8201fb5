"""Whether methods and tasks fit each other, told before any work is spent."""

import json
from typing import Any

from jobs.config import UsageError, check
from jobs.training import build_model
from methods import MethodError, UnsuitableError
from tasks import TASKS, TaskError


def check_fit(configs: list[dict[str, Any]], sweep: bool) -> None:
    """Build the task and the network of each of these jobs, those that differ only in the seed once.

    Raises UsageError. In a sweep a pair that does not fit is left to be skipped.
    """
    seen = set()
    for config in configs:
        alike = json.dumps([config["method"], config["task"]], sort_keys=True)
        if alike in seen:
            continue
        seen.add(alike)
        try:
            job = check(config)
            build_model(job, TASKS[job.task.name].build(job.task))
        except UnsuitableError as error:
            if not sweep:
                raise UsageError(str(error)) from error
        except (TaskError, MethodError) as error:
            raise UsageError(str(error)) from error
