"""Networks of Boolean gates, their relaxations and their training. Knows no task."""

from methods import threads as threads  # first: it must run before OpenMP is loaded

from methods.base import Method, MethodError  # isort: skip
from methods.dense import DenseConfig, build_dense
from methods.relaxations import RELAXATIONS

METHODS: dict[str, Method] = {"dlgn": Method(DenseConfig, build_dense)}

__all__ = ["METHODS", "RELAXATIONS", "Method", "MethodError"]
