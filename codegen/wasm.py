"""Write WebAssembly: expressions, functions and whole modules in the binary format, https://webassembly.github.io/spec/core."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Union

I32, I64, V128 = 0x7F, 0x7E, 0x7B
PAGE = 1 << 16  # bytes, by which memories grow

Operand = Union["Value", int]
FunctionType = tuple[tuple[int, ...], tuple[int, ...]]  # of parameters and of results

_SIMD = b"\xfd"
# Instructions by operator and the type of both operands, but for shifts of V128, which take i32.
_BINARY = {
    ("+", I32): b"\x6a", ("-", I32): b"\x6b", ("*", I32): b"\x6c", ("&", I32): b"\x71", ("|", I32): b"\x72", ("^", I32): b"\x73",
    ("<<", I32): b"\x74", (">>", I32): b"\x76", ("<", I32): b"\x49",
    ("+", I64): b"\x7c", ("-", I64): b"\x7d", ("*", I64): b"\x7e", ("&", I64): b"\x83", ("|", I64): b"\x84", ("^", I64): b"\x85",
    ("<<", I64): b"\x86", (">>", I64): b"\x88",
    ("&", V128): _SIMD + b"\x4e", ("&~", V128): _SIMD + b"\x4f", ("|", V128): _SIMD + b"\x50", ("^", V128): _SIMD + b"\x51",
    ("<<", V128): _SIMD + b"\xcb\x01", (">>", V128): _SIMD + b"\xcd\x01",  # of each half
}  # fmt: skip
_CONSTANT = {I32: b"\x41", I64: b"\x42"}
# Load and store instructions, each with what is said of the alignment: 2 ** that many bytes. A hint, which need not be true.
_LOAD = {I32: b"\x28\x02", I64: b"\x29\x03", V128: _SIMD + b"\x00\x04"}
_STORE = {I32: b"\x36\x02", I64: b"\x37\x03", V128: _SIMD + b"\x0b\x04"}
_GET, _SET = b"\x20", b"\x21"
_END = b"\x0b"
_NO_RESULT = b"\x40"


def unsigned(number: int) -> bytes:
    """LEB128."""
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*octets, number])


def signed(number: int) -> bytes:
    """LEB128 of a number in two's complement."""
    octets = bytearray()
    while not -64 <= number < 64:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*octets, number & 0x7F])


@dataclass(frozen=True)
class Value:
    """An expression: code that leaves one value of the type on the stack. Numbers are unsigned; a Python int as the other
    operand is a constant of the type."""

    type: int
    code: bytes

    def __add__(self, other: Operand) -> "Value":
        return _binary("+", self, other)

    def __sub__(self, other: Operand) -> "Value":
        return _binary("-", self, other)

    def __mul__(self, other: Operand) -> "Value":
        return _binary("*", self, other)

    def __and__(self, other: Operand) -> "Value":
        return _binary("&", self, other)

    def __or__(self, other: Operand) -> "Value":
        return _binary("|", self, other)

    def __xor__(self, other: Operand) -> "Value":
        return _binary("^", self, other)

    def __lshift__(self, other: Operand) -> "Value":
        return _binary("<<", self, other)

    def __rshift__(self, other: Operand) -> "Value":
        return _binary(">>", self, other)

    def __lt__(self, other: Operand) -> "Value":
        return _binary("<", self, other)

    def and_not(self, other: "Value") -> "Value":
        return _binary("&~", self, other)

    def __invert__(self) -> "Value":
        return Value(V128, self.code + _SIMD + b"\x4d") if self.type == V128 else self ^ -1

    def load(self, kind: int, offset: int = 0) -> "Value":
        """What is in memory at this address, `offset` bytes on."""
        return Value(kind, self.code + _LOAD[kind] + unsigned(offset))

    def to_i64(self) -> "Value":
        return Value(I64, self.code + b"\xad")


@dataclass(frozen=True)
class Local(Value):
    """A variable of a function."""

    index: int


def constant(number: int, kind: int = I32) -> Value:
    if kind == V128:
        return Value(V128, _SIMD + b"\x0c" + number.to_bytes(16, "little"))
    return Value(kind, _CONSTANT[kind] + signed(number))


def select(condition: Value, yes: Operand, no: Operand, kind: int = I32) -> Value:
    """One of two numbers; both are computed."""
    first, second = (_operand(value, kind) for value in (yes, no))
    return Value(kind, first.code + second.code + condition.code + b"\x1b")


def _operand(value: Operand, kind: int) -> Value:
    return constant(value, kind) if isinstance(value, int) else value


def _binary(operator: str, first: Value, second: Operand) -> Value:
    shifts = operator in ("<<", ">>")
    other = _operand(second, I32 if shifts and first.type == V128 else first.type)
    return Value(I32 if operator == "<" else first.type, first.code + other.code + _BINARY[operator, first.type])


class Function:
    """A function in the making. name: under which it is exported, None if it is not."""

    def __init__(self, parameters: Sequence[int], result: int | None = None, name: str | None = None) -> None:
        self.type: FunctionType = (tuple(parameters), () if result is None else (result,))
        self.name = name
        self.parameters = [_local(index, kind) for index, kind in enumerate(parameters)]
        self._kinds: list[int] = []
        self._free: dict[int, list[Local]] = {}
        self._code = bytearray()

    def local(self, kind: int) -> Local:
        """A variable, zero at first if it has not been used."""
        if self._free.get(kind):
            return self._free[kind].pop()
        self._kinds.append(kind)
        return _local(len(self.parameters) + len(self._kinds) - 1, kind)

    def release(self, local: Local) -> None:
        """Let `local` give this one out again."""
        self._free.setdefault(local.type, []).append(local)

    def let(self, value: Value) -> Local:
        """A variable that is set to the value."""
        local = self.local(value.type)
        self.set(local, value)
        return local

    def set(self, local: Local, value: Operand) -> None:
        self._code += _operand(value, local.type).code + _SET + unsigned(local.index)

    def store(self, address: Value, value: Value, offset: int = 0) -> None:
        self._code += address.code + value.code + _STORE[value.type] + unsigned(offset)

    def copy(self, to: Value, source: Value, n_bytes: Value) -> None:
        """Of memory, which may overlap."""
        self._code += to.code + source.code + n_bytes.code + b"\xfc\x0a\x00\x00"

    def clear(self, at: Value, n_bytes: Value) -> None:
        """Fill memory with zeros."""
        self._code += at.code + constant(0).code + n_bytes.code + b"\xfc\x0b\x00"

    def call(self, function: int, *arguments: Operand) -> None:
        """A function without a result, by its place in the module; numbers are i32."""
        self._code += b"".join(_operand(argument, I32).code for argument in arguments) + b"\x10" + unsigned(function)

    def give(self, value: Value) -> None:
        """Leave the result on the stack; the last thing that a function does."""
        self._code += value.code

    @contextmanager
    def while_(self, condition: Value) -> Iterator[None]:
        """Code that is repeated while the condition is true, which is asked before the first time too."""
        self._code += condition.code + b"\x04" + _NO_RESULT + b"\x03" + _NO_RESULT
        yield
        self._code += condition.code + b"\x0d\x00" + _END + _END

    @contextmanager
    def if_(self, condition: Value) -> Iterator[None]:
        self._code += condition.code + b"\x04" + _NO_RESULT
        yield
        self._code += _END

    def otherwise(self) -> None:
        """What follows in an if_ is done where its condition is false."""
        self._code += b"\x05"

    def body(self) -> bytes:
        """As the code section has it: size, locals, instructions."""
        runs: list[list[int]] = []
        for kind in self._kinds:
            if runs and runs[-1][1] == kind:
                runs[-1][0] += 1
            else:
                runs.append([1, kind])
        declared = _vector([unsigned(count) + bytes([kind]) for count, kind in runs])
        return _sized(declared + bytes(self._code) + _END)


def module(
    functions: Sequence[Function],
    n_pages: int = 0,
    constants: Mapping[str, int] | None = None,
    imports: Sequence[tuple[str, str, FunctionType]] = (),
) -> bytes:
    """A module of the functions, and of a memory that it exports as `memory` if it has pages.

    constants: exported under their names, i32. imports: functions as (module, name, type); they come before the others in the
    order that Function.call counts.
    """
    constants = constants or {}
    types = list(dict.fromkeys([*(kind for _, _, kind in imports), *(function.type for function in functions)]))
    exports = [_name(name) + b"\x03" + unsigned(index) for index, name in enumerate(constants)]
    exports += [_name("memory") + b"\x02\x00"] if n_pages else []
    exports += [
        _name(function.name) + b"\x00" + unsigned(index)
        for index, function in enumerate(functions, len(imports))
        if function.name is not None
    ]
    sections = {
        1: [
            b"\x60" + _vector([bytes([kind]) for kind in given]) + _vector([bytes([kind]) for kind in got])
            for given, got in types
        ],
        2: [_name(source) + _name(name) + b"\x00" + unsigned(types.index(kind)) for source, name, kind in imports],
        3: [unsigned(types.index(function.type)) for function in functions],
        5: [b"\x00" + unsigned(n_pages)] if n_pages else [],
        6: [bytes([I32, 0]) + constant(number).code + _END for number in constants.values()],
        7: exports,
        10: [function.body() for function in functions],
    }
    written = [bytes([number]) + _sized(_vector(items)) for number, items in sections.items() if items]
    return b"\0asm" + (1).to_bytes(4, "little") + b"".join(written)


def _local(index: int, kind: int) -> Local:
    return Local(kind, _GET + unsigned(index), index)


def _name(text: str) -> bytes:
    return _sized(text.encode())


def _vector(items: Sequence[bytes]) -> bytes:
    return unsigned(len(items)) + b"".join(items)


def _sized(content: bytes) -> bytes:
    return unsigned(len(content)) + content
