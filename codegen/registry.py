"""Names to what they stand for: those that come with Gatebench, and modules that were put beside them."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

T = TypeVar("T")


class Registry(dict[str, T]):
    """A dict that takes a name it does not have from the module of that name in a package: its attribute, or the module itself.

    So a method or a task is one file, and is loaded only when it is asked for. A KeyError if there is no such module, or if it
    has no such attribute. Iteration gives what comes with Gatebench.
    """

    def __init__(self, package: str, known: dict[str, T], attribute: str | None = None) -> None:
        super().__init__(known)
        self._package, self._attribute = package, attribute

    def __missing__(self, name: str) -> T:
        if not name.isidentifier() or find_spec(f"{self._package}.{name}") is None:
            raise KeyError(name)
        module: Any = import_module(f"{self._package}.{name}")
        if self._attribute is None:
            return module
        if not hasattr(module, self._attribute):
            raise KeyError(name)
        return getattr(module, self._attribute)

    def __contains__(self, name: object) -> bool:
        try:
            self[str(name)]
        except KeyError:
            return False
        return True
