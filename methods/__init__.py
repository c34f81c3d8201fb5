"""Networks of Boolean gates, their relaxations and their training. Knows no task."""

from methods import threads as threads  # first: it must run before OpenMP is loaded

from codegen.registry import Registry  # isort: skip
from methods.base import Method, MethodError, Problem, UnsuitableError  # isort: skip
from methods.distill import DistillConfig, build_distill, distil
from methods.gates import GatesConfig, build_gates
from methods.ordinary import CNNConfig, MLPConfig, build_cnn, build_mlp
from methods.relaxations import RELAXATIONS

# Any other is the METHOD of the module of its name (docs/add_a_method.md).
METHODS: Registry[Method] = Registry(
    "methods",
    {
        "dlgn": Method(GatesConfig, build_gates),
        "warp": Method(GatesConfig, build_gates),
        "light": Method(GatesConfig, build_gates),
        "conv": Method(GatesConfig, build_gates),
        "distill": Method(DistillConfig, build_distill, distil),
        "mlp": Method(MLPConfig, build_mlp),
        "cnn": Method(CNNConfig, build_cnn),
    },
    "METHOD",
)
# Engines by name; methods.engine.build_engine makes one. Each imports its framework only when it is made.
ENGINES = ("torch", "jax")

__all__ = ["ENGINES", "METHODS", "RELAXATIONS", "Method", "MethodError", "Problem", "UnsuitableError"]
