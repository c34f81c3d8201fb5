"""Tasks: what networks learn and how the result is scored. Knows no method."""

from tasks.base import Task, TaskError, TaskKind
from tasks.boolean import Boolean, BooleanConfig
from tasks.life import Life, LifeConfig

TASKS: dict[str, TaskKind] = {"life": TaskKind(LifeConfig, Life), "boolean": TaskKind(BooleanConfig, Boolean)}

__all__ = ["TASKS", "Task", "TaskError", "TaskKind"]
