"""Tasks: what networks learn and how the result is scored. Knows no method."""

from tasks.base import Task, TaskError, TaskKind, Workload
from tasks.boolean import Boolean, BooleanConfig
from tasks.images import SOURCES, ImagesConfig, ImageTask
from tasks.life import Life, LifeConfig

TASKS: dict[str, TaskKind] = {
    "life": TaskKind(LifeConfig, Life),
    "boolean": TaskKind(BooleanConfig, Boolean),
    **{name: TaskKind(ImagesConfig, ImageTask) for name in SOURCES},
}

__all__ = ["TASKS", "Task", "TaskError", "TaskKind", "Workload"]
