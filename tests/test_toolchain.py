"""The C compiler as a function: its cache, its failures in plain words, and two jobs at once."""

import ctypes
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from codegen.cache import cache_dir
from codegen.toolchain import (
    Compiler,
    CompileTimeoutError,
    NoCompilerError,
    ToolchainError,
    compile_library,
    compile_program,
    find_compiler,
    native_processor,
)

ANSWER = "int answer(void) { return 42; }\n"

# Answers the compiler's questions about itself; what it does when it is to compile comes after.
FAKE_COMPILER = """#!/bin/sh
case "$*" in
    *--version*) echo "fake 1.0"; exit 0;;
    *-dM*) echo "#define __AVX2__ 1"; exit 0;;
esac
"""

COMPILE_IN_ANOTHER_PROCESS = """
import sys
from codegen.toolchain import compile_library
library = compile_library(sys.argv[1], ("-O1",))
print(library.path, library.cached)
"""

# Compiles once two compilers have come this far, or after ten seconds.
MEET_THEN_COMPILE = """
touch "{meeting}/$$"
for _ in $(seq 200); do
    [ "$(ls "{meeting}" | wc -l)" -ge 2 ] && break
    sleep 0.05
done
exec {command} "$@"
"""


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("GATEBENCH_CACHE", str(folder))
    cache_dir.cache_clear()
    yield folder
    cache_dir.cache_clear()


@pytest.fixture
def fake_compiler(tmp_path, monkeypatch):
    def make(compiling):
        script = tmp_path / "fake-cc"
        script.write_text(FAKE_COMPILER + compiling)
        script.chmod(0o755)
        monkeypatch.setenv("CC", str(script))
        return script

    return make


def test_library_runs(empty_cache):
    library = compile_library(ANSWER, ("-O1",))
    assert ctypes.CDLL(str(library.path)).answer() == 42
    assert library.path.parent == empty_cache / "libraries"
    assert "-O1" in library.command
    assert library.compile_seconds > 0


def test_second_compilation_comes_from_the_cache(empty_cache):
    first = compile_library(ANSWER, ("-O1",))
    second = compile_library(ANSWER, ("-O1",))
    assert (first.cached, second.cached) == (False, True)
    assert (first.path, first.compile_seconds, first.command) == (second.path, second.compile_seconds, second.command)
    assert sorted(path.suffix for path in first.path.parent.iterdir()) == [".json", ".so"]


def test_other_source_flags_or_compiler_is_another_library(empty_cache, fake_compiler):
    command = " ".join(find_compiler().command)
    paths = {compile_library(ANSWER, ("-O1",)).path, compile_library(ANSWER, ("-O2",)).path}
    paths.add(compile_library(ANSWER + "/* */", ("-O1",)).path)
    fake_compiler(f'exec {command} "$@"')
    paths.add(compile_library(ANSWER, ("-O1",)).path)
    assert len(paths) == 4


def test_library_for_every_machine_is_not_aimed_at_this_one(empty_cache):
    native = find_compiler().native
    assert native, "This compiler takes no flags for its machine."
    here, everywhere = compile_library(ANSWER, ()), compile_library(ANSWER, (), native=False)
    assert all(flag in here.command and flag not in everywhere.command for flag in native)
    assert here.path != everywhere.path


def test_library_without_its_report_is_compiled_again(empty_cache):
    first = compile_library(ANSWER, ("-O1",))
    first.path.with_suffix(".json").unlink()
    assert not compile_library(ANSWER, ("-O1",)).cached


def test_compilation_error_shows_the_compilers_words_and_leaves_nothing(empty_cache):
    with pytest.raises(ToolchainError, match=r"(?s)failed with exit code \d+: .*-O1.*circuit\.c.*no_such_thing"):
        compile_library("int answer(void) { return no_such_thing; }", ("-O1",))
    assert list((empty_cache / "libraries").iterdir()) == []


def test_silent_failure_names_exit_code_and_command(empty_cache, fake_compiler):
    script = fake_compiler("echo out of luck >&2\nexit 3\n")
    with pytest.raises(ToolchainError, match=rf"exit code 3: {script} -O1.*\nout of luck"):
        compile_library(ANSWER, ("-O1",))


def test_compiler_that_takes_too_long_is_ended_with_its_children(empty_cache, fake_compiler, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    fake_compiler(f"(echo started; exec sleep 60) > {tmp_path}/pipe &\nwait\n")
    with pytest.raises(CompileTimeoutError, match=r"did not finish in 1 s: .*circuit\.c.*timing\.compile_seconds"):
        compile_library(ANSWER, ("-O1",), timeout_seconds=1)
    assert read_until_closed(reader) == b"started\n"
    assert list((empty_cache / "libraries").iterdir()) == []


def read_until_closed(reader):
    """What came through the pipe until nobody held its other end; fails if somebody still does after ten seconds."""
    printed = b""
    while select.select([reader], [], [], 10)[0]:
        piece = os.read(reader, 100)
        if not piece:
            os.close(reader)
            return printed
        printed += piece
    pytest.fail("The pipe is still held open.")


def test_missing_compiler_is_named_with_a_hint(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler -m64")
    with pytest.raises(NoCompilerError, match=r"looked for CC=no-such-compiler -m64\. Install one .*apt-get install gcc"):
        find_compiler()


def test_empty_path_has_no_compiler(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NoCompilerError, match=r"looked for cc, gcc or clang on the PATH\. Install one"):
        compile_library(ANSWER, ())


def test_program_that_is_no_compiler_is_refused(monkeypatch):
    monkeypatch.setenv("CC", "false")
    with pytest.raises(ToolchainError, match="The C compiler false does not run"):
        find_compiler()


def test_compiler_is_asked_what_it_is_and_what_it_aims_at(fake_compiler):
    script = fake_compiler("exit 1")
    assert find_compiler() == Compiler((str(script),), "fake 1.0", ("-march=native",), frozenset({"__AVX2__"}))
    assert find_compiler().isa == "avx2"


def test_compiler_may_be_given_with_arguments(monkeypatch):
    command = find_compiler().command
    monkeypatch.setenv("CC", f"{' '.join(command)} -DEXTRA=1")
    assert find_compiler().command == (*command, "-DEXTRA=1")
    assert "EXTRA" in find_compiler().macros


@pytest.mark.parametrize(
    ("macros", "isa"),
    [
        ({"__AVX512F__", "__AVX2__", "__SSE2__"}, "avx512"),
        ({"__AVX2__", "__SSE2__"}, "avx2"),
        ({"__SSE2__"}, "simd128"),
        ({"__ARM_NEON"}, "simd128"),
        ({"__SSE__"}, "c99"),
    ],
)
def test_isa_is_the_widest_that_the_macros_name(macros, isa):
    assert Compiler(("cc",), "", (), frozenset(macros)).isa == isa


def test_a_program_is_compiled_once_and_runs():
    source = "int main(int n_arguments, char **arguments) { (void)arguments; return 41 + n_arguments; }\n"
    program = compile_program(source, ("-O1",))
    assert subprocess.run([program.path], check=False).returncode == 42
    assert compile_program(source, ("-O1",)).cached
    assert program.path != compile_library(source, ("-O1",)).path


GCC_SHOWS = """Using built-in specs.
COLLECT_GCC_OPTIONS='-march=native' '-E'
 /usr/lib/cc1 -E -quiet "-march=rocketlake" -mmmx "--param=l1-cache-size=48" "-mtune=rocketlake" -dumpbase null
"""
GCC_ARM_SHOWS = "COLLECT_GCC_OPTIONS='-mcpu=native'\n /usr/lib/cc1 -E -quiet -mcpu=neoverse-n1+crypto+ssbs"
CLANG_SHOWS = 'clang version 14\n "clang" "-cc1" "-triple" "x86_64" "-E" "-target-cpu" "apple-m1" "-target-feature" "+avx2"'


@pytest.mark.parametrize(
    ("shown", "processor"),
    [(GCC_SHOWS, "rocketlake"), (GCC_ARM_SHOWS, "neoverse-n1+crypto+ssbs"), (CLANG_SHOWS, "apple-m1"), ("cc: no -###", None)],
)
def test_the_processor_that_native_means_is_read_from_what_the_compiler_shows(tmp_path, shown, processor):
    script = tmp_path / "cc"
    script.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{shown}\nEND\n")
    script.chmod(0o755)
    assert native_processor(Compiler((str(script),), "fake", ("-march=native",), frozenset())) == processor


def test_a_compiler_that_does_not_show_its_processor_has_none():
    assert native_processor(Compiler(("false",), "fake", (), frozenset())) is None


def test_two_processes_may_compile_the_same_thing_at_once(tmp_path, fake_compiler):
    (tmp_path / "meeting").mkdir()
    command = " ".join(find_compiler().command)
    fake_compiler(MEET_THEN_COMPILE.format(meeting=tmp_path / "meeting", command=command))
    environment = os.environ | {"GATEBENCH_CACHE": str(tmp_path / "cache")}
    start = [sys.executable, "-c", COMPILE_IN_ANOTHER_PROCESS, ANSWER]
    processes = [subprocess.Popen(start, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    printed = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    (line,) = printed
    path, cached = line.split()
    assert cached == "False"
    assert ctypes.CDLL(path).answer() == 42
    assert len(list(Path(path).parent.iterdir())) == 2


def test_cache_goes_where_the_environment_says(empty_cache):
    assert cache_dir() == empty_cache
    assert empty_cache.is_dir()


def test_cache_that_cannot_be_written_is_replaced_by_a_temporary_one(empty_cache, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GATEBENCH_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert cache_dir().parent == tmp_path
    assert cache_dir().name.startswith("gatebench-cache-")
