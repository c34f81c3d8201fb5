"""Networks of Boolean gates, their relaxations and their training. Knows no task."""

from methods import dlgn
from methods.base import Method, MethodError, Relaxation
from methods.dense import DenseConfig, build_dense

RELAXATIONS: dict[str, Relaxation] = {"dlgn": dlgn}

METHODS: dict[str, Method] = {"dlgn": Method(DenseConfig, build_dense)}

__all__ = ["METHODS", "RELAXATIONS", "Method", "MethodError", "Relaxation"]
