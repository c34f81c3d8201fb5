"""Networks of Boolean gates, their relaxations and their training. Knows no task."""

from methods import threads as threads  # first: it must run before OpenMP is loaded

from methods.base import Goal, Method, MethodError  # isort: skip
from methods.dense import DenseConfig, build_dense
from methods.ordinary import MLPConfig, build_mlp
from methods.relaxations import RELAXATIONS

METHODS: dict[str, Method] = {
    "dlgn": Method(DenseConfig, build_dense),
    "warp": Method(DenseConfig, build_dense),
    "mlp": Method(MLPConfig, build_mlp),
}
# Engines by name; methods.engine.build_engine makes one. Each imports its framework only when it is made.
ENGINES = ("torch", "jax")

__all__ = ["ENGINES", "METHODS", "RELAXATIONS", "Goal", "Method", "MethodError"]
