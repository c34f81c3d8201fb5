"""Imports point one way: tasks and methods do not know each other, codegen knows neither, only the harness knows hydra."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = {"codegen", "methods", "tasks", "reports", "jobs", "harness", "tests"}
# What each package may import of ours, by module; None is anything within that package.
ALLOWED = {
    "codegen": {"codegen": None},
    "tasks": {
        "tasks": None,
        "codegen": {
            "codegen.cache",
            "codegen.circuit",
            "codegen.encoder",
            "codegen.interfaces",
            "codegen.readout",
            "codegen.registry",
            "codegen.whole_file",
        },
    },
    "methods": {
        "methods": None,
        "codegen": {
            "codegen.netlist",
            "codegen.readout",
            "codegen.registry",
            "codegen.truth_table",
            "codegen.vector_ir",
            "codegen.whole_file",
        },
    },
    "reports": {"reports": None, "codegen": None, "tasks": None},
    "jobs": {"jobs": None, "codegen": None, "methods": None, "tasks": None, "reports": None},
}
FRAMEWORKS = {"torch", "jax"}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def sources(package):
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_its_layer_may(package):
    for path in sources(package):
        for module in imports(path):
            top = module.split(".")[0]
            if top in OURS:
                assert top in ALLOWED[package], f"{path.name} imports {module}"
                names = ALLOWED[package][top]
                assert names is None or module in names, f"{path.name} imports {module}"


@pytest.mark.parametrize("package", ["codegen", "tasks", "reports"])
def test_frameworks_stay_in_methods(package):
    for path in sources(package):
        assert not FRAMEWORKS & {module.split(".")[0] for module in imports(path)}, path


def test_only_the_harness_imports_hydra():
    for package in ALLOWED:
        for path in sources(package):
            assert not {"hydra", "omegaconf"} & {module.split(".")[0] for module in imports(path)}, path


def test_every_package_says_what_it_is():
    for package in ALLOWED:
        for path in sources(package):
            assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"
