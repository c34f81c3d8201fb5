"""Which source files decide a result: those that a module imports, directly or not, and the C beside them."""

import ast
import hashlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = ("codegen", "methods", "tasks", "jobs")


@cache
def digest(module: str) -> str:
    """A hash of everything of ours that a module runs, by content: the same wherever the sources lie."""
    files = sorted(_closure(module))
    packages = {path.parent for path in files}
    sources = [*files, *sorted(path for folder in packages for path in folder.glob("*.c"))]
    found = hashlib.sha256()
    for path in sources:
        found.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def _closure(module: str) -> set[Path]:
    """The files of a module and of all that it imports, wherever in their text: late imports decide results as well."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        path = _file(waiting.pop())
        if path is None or path in found:
            continue
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                # What is imported from a package may be a module of it; and importing one runs the package too.
                waiting += [node.module, node.module.split(".")[0], *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def _file(module: str) -> Path | None:
    if module.split(".")[0] not in _PACKAGES:
        return None
    path = ROOT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
