"""Which source files decide a result: those that a module imports, directly or not, and the C that they name."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = ("codegen", "methods", "tasks", "jobs")


@cache
def digest(*modules: str) -> str:
    """A hash of everything of ours that these modules run, by content: the same wherever the sources lie."""
    found = hashlib.sha256()
    for path in sorted(set().union(*map(decisive, modules))):
        found.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def decisive(module: str) -> set[Path]:
    """The files of a module, of all that it imports, wherever in their text (late imports decide results as well), and C that
    any of them names.

    Of a package that is only the way to a module, what its own text imports at once: its functions are not called by that.
    """
    found: set[Path] = set()
    seen: set[tuple[str, bool]] = set()
    waiting = [(module, True)]  # and whether all of it may run
    while waiting:
        name, whole = waiting.pop()
        path = _file(name)
        if path is None or (name, whole) in seen:
            continue
        seen.add((name, whole))
        text = path.read_text()
        found |= {path, *(file for file in path.parent.glob("*.c") if f'"{file.name}"' in text)}
        tree = ast.parse(text)
        waiting += [(".".join(name.split(".")[:i]), False) for i in range(1, name.count(".") + 1)]
        waiting += [(one, True) for node in (ast.walk(tree) if whole else tree.body) for one in _imported(node)]
    return found


def _imported(node: ast.AST) -> Iterator[str]:
    """What is imported from a package may be a module of it, and then the package is only the way to it."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        named = [f"{node.module}.{alias.name}" for alias in node.names]
        modules = [one for one in named if _file(one) is not None]
        yield from modules if modules == named else [*modules, node.module]


def _file(module: str) -> Path | None:
    if module.split(".")[0] not in _PACKAGES:
        return None
    path = ROOT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
