"""The C compiler as a function: source and flags in, library or program out, kept in a content-addressed cache."""

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from codegen.cache import cache_dir

_INSTALL_HINT = (
    "Install one (Debian/Ubuntu: apt-get install gcc; Fedora: dnf install gcc; macOS: xcode-select --install)"
    " or name it in the CC environment variable."
)


class ToolchainError(RuntimeError):
    """No compiler, or one that failed; the message holds the command and what the compiler printed."""


class MissingToolError(ToolchainError):
    """What a back end needs is not installed; the message says how to get it."""


class NoCompilerError(MissingToolError):
    """There is no C compiler here."""


class CompileTimeoutError(ToolchainError):
    """The compiler took longer than it was given."""


@dataclass(frozen=True)
class Compiler:
    """A C compiler that answered. native: the flags that aim it at this machine. macros: what it then predefines."""

    command: tuple[str, ...]
    version: str
    native: tuple[str, ...]
    macros: frozenset[str]

    @property
    def isa(self) -> str:
        """The widest vector instruction set that `native` gives and our C has a form for."""
        for isa, macro in (("avx512", "__AVX512F__"), ("avx2", "__AVX2__"), ("simd128", "__SSE2__"), ("simd128", "__ARM_NEON")):
            if macro in self.macros:
                return isa
        return "c99"


# How gcc and clang say for which processor they compile, in the command of the compiler proper that -### shows.
_PROCESSOR = re.compile(r'-m(?:arch|cpu)=(?!native)([\w.+-]+)|"-target-cpu" "([\w.+-]+)"')


@cache
def native_processor(compiler: Compiler) -> str | None:
    """The processor that the compiler takes this machine for, as rocketlake; None if it does not say."""
    shown = _run([*compiler.command, *compiler.native, "-###", "-E", "-x", "c", os.devnull])
    found = _PROCESSOR.search(shown.stderr) if shown is not None else None
    return next(filter(None, found.groups())) if found else None


@dataclass(frozen=True)
class Library:
    """A compiled shared library, or a program. compile_seconds is the time of the compilation itself, also when it came from the
    cache."""

    path: Path
    compile_seconds: float
    command: str
    cached: bool


def find_compiler() -> Compiler:
    """$CC if set, else the first of cc, gcc, clang on the path. Raises ToolchainError that says how to get one."""
    return _probe(os.environ.get("CC", "").strip(), os.environ.get("PATH", ""))


@cache
def _probe(wanted: str, path: str) -> Compiler:
    try:
        named = tuple(shlex.split(wanted))
    except ValueError as error:
        raise NoCompilerError(f"CC={wanted} cannot be read as a command: {error}. {_INSTALL_HINT}") from error
    candidates = [named] if named else [("cc",), ("gcc",), ("clang",)]
    for command in candidates:
        if shutil.which(command[0], path=path) is None:
            continue
        version = _output([*command, "--version"])
        for native in (("-march=native",), ("-mcpu=native",), ()):
            macros = _output([*command, *native, "-dM", "-E", "-x", "c", os.devnull])
            if version and macros:
                names = frozenset(line.split()[1] for line in macros.splitlines() if line.startswith("#define"))
                return Compiler(command, version.splitlines()[0], native, names)
        raise ToolchainError(f"The C compiler {shlex.join(command)} does not run. {_INSTALL_HINT}")
    looked_for = f"CC={wanted}" if wanted else "cc, gcc or clang on the PATH"
    raise NoCompilerError(f"No C compiler found: looked for {looked_for}. {_INSTALL_HINT}")


def _output(command: list[str]) -> str:
    """What the command prints, or nothing if it fails."""
    done = _run(command)
    return done.stdout if done is not None else ""


def _run(command: list[str]) -> subprocess.CompletedProcess[str] | None:
    """The command after it has run, None if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done if done.returncode == 0 else None


def compile_library(source: str, flags: tuple[str, ...], timeout_seconds: float = 600, native: bool = True) -> Library:
    """Compile C source to a shared library aimed at this machine or, if not native, at every one of its architecture.

    The cache key covers the source, the flags, the compiler and what -march=native resolves to, so that a cache on a
    shared file system never hands one machine's code to another. Raises ToolchainError with the compiler's own words.
    """
    compiler = find_compiler()
    return _built(source, (*flags, *(compiler.native if native else ()), "-shared", "-fPIC"), ".so", timeout_seconds)


def compile_program(source: str, flags: tuple[str, ...], timeout_seconds: float = 600) -> Library:
    """The same of C source with a main function, to a program for the machines that the flags name."""
    return _built(source, flags, "", timeout_seconds)


def _built(source: str, flags: tuple[str, ...], suffix: str, timeout_seconds: float) -> Library:
    compiler = find_compiler()
    arguments = (*compiler.command, *flags)
    identity = json.dumps([source, arguments, compiler.version, sorted(compiler.macros)])
    folder = cache_dir() / "libraries"
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}{suffix}"
    report = library.with_suffix(".json")
    if not (library.exists() and report.exists()):
        _compile(source, arguments, library, report, timeout_seconds)
        cached = False
    else:
        cached = True
    done = json.loads(report.read_text())
    return Library(library, done["seconds"], done["command"], cached)


def _compile(source: str, arguments: tuple[str, ...], library: Path, report: Path, timeout_seconds: float) -> None:
    # Built aside and moved into place, report last, so that two jobs may compile the same thing at once.
    with tempfile.TemporaryDirectory(dir=library.parent) as aside:
        c_file, built = Path(aside, "circuit.c"), Path(aside, f"circuit{library.suffix}")
        c_file.write_text(source)
        command = [*arguments, str(c_file), "-o", str(built)]
        shown = shlex.join([*arguments, c_file.name, "-o", built.name])
        start = time.perf_counter()
        # A session of its own: a time-out or Ctrl-C must end what the driver started (cc1, as, ld), not only the driver.
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
            try:
                _, printed = process.communicate(timeout=timeout_seconds)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise CompileTimeoutError(
                        f"The C compiler did not finish in {timeout_seconds:g} s: {shown}."
                        " Allow it more with timing.compile_seconds=N."
                    ) from error
                raise
        seconds = time.perf_counter() - start
        if process.returncode != 0:
            raise ToolchainError(f"The C compiler failed with exit code {process.returncode}: {shown}\n{printed.strip()}")
        report_aside = Path(aside, "report.json")
        report_aside.write_text(json.dumps({"seconds": seconds, "command": shown}))
        os.replace(built, library)
        os.replace(report_aside, report)
