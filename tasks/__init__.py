"""Tasks: what networks learn and how the result is scored. Knows no method."""

from codegen.registry import Registry
from tasks.base import Task, TaskError, TaskKind, Workload
from tasks.boolean import Boolean, BooleanConfig
from tasks.images import SOURCES, ImagesConfig, ImageTask
from tasks.life import Life, LifeConfig

# Any other is the TASK of the module of its name (docs/add_a_task.md).
TASKS: Registry[TaskKind] = Registry(
    "tasks",
    {
        "life": TaskKind(LifeConfig, Life),
        "boolean": TaskKind(BooleanConfig, Boolean),
        **{name: TaskKind(ImagesConfig, ImageTask) for name in SOURCES},
    },
    "TASK",
)

__all__ = ["TASKS", "Task", "TaskError", "TaskKind", "Workload"]
