"""Instructions counted by valgrind: the same every time, about as many as operators, and a reason where there is no count."""

import os
import platform

import pytest
from test_workloads import BOARD_NETLIST, parity

from codegen import instructions as module
from codegen.emit_c import count_operators
from codegen.instructions import instructions_per_cell, instructions_per_item
from codegen.netlist import Netlist
from codegen.toolchain import Compiler
from tasks.life import Life, LifeConfig

MISSING = module._unavailable()
countable = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

ITEMS = 256  # of an AVX2 word
LIFE = Life(LifeConfig("life", "B3/S23", "torus", 8, 8, 0.5, 1, None)).reference_source()


def fake_valgrind(monkeypatch, tmp_path, script):
    (tmp_path / "valgrind").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "valgrind").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


@countable
def test_the_count_is_the_same_every_time(monkeypatch):
    first = instructions_per_item(BOARD_NETLIST)
    assert first.reason is None
    for length in (1, 20, 300):
        monkeypatch.setenv("A_VARIABLE", "x" * length)
        assert instructions_per_item(BOARD_NETLIST) == first


@countable
def test_a_gate_takes_about_an_instruction_a_word():
    short, long = (ITEMS * instructions_per_item(parity(list(range(n)), 200)).per_item for n in (50, 150))
    assert 100 <= long - short <= 250  # an operator, and often a load


@countable
def test_inputs_that_nothing_reads_are_not_moved():
    """Of 400 inputs, 12,800 bytes a word, one is read. The arrays are aligned, so that words are read where they are."""
    netlist = Netlist.from_gates(400, [], [7])
    assert 1 < ITEMS * instructions_per_item(netlist).per_item < 40


@countable
def test_circuits_in_chunks_are_counted(in_chunks):
    found = instructions_per_item(parity(list(range(60)), 60))
    assert ITEMS * found.per_item > 59


@countable
@pytest.mark.parametrize("torus", [True, False])
def test_a_generation_takes_about_as_many_instructions_as_operators(torus):
    learned = ITEMS * instructions_per_cell(BOARD_NETLIST, 128, 512, torus).per_item
    operators = count_operators(module.run(BOARD_NETLIST, module.pipeline("avx2"))[0], "avx2")
    assert operators < learned < 5 * operators + 20


@countable
def test_hand_written_rules_are_counted_too():
    found = instructions_per_cell(LIFE, 128, 512, True)
    assert 19 < ITEMS * found.per_item < 100


@countable
def test_boards_of_partial_words_are_counted():
    whole, partial = (instructions_per_cell(BOARD_NETLIST, height, width, True).per_item for height, width in ((64, 64), (5, 7)))
    assert 0 < whole < partial


def test_what_steps_no_board_is_refused():
    with pytest.raises(ValueError, match="9 inputs and 1 output, got 4 and 1"):
        instructions_per_cell(parity([0, 1], 4), 3, 3, True)
    with pytest.raises(ValueError, match="at least one cell, got 0 x 3"):
        instructions_per_cell(BOARD_NETLIST, 0, 3, True)


def reasoned(netlist=BOARD_NETLIST, **changes):
    found = instructions_per_item(netlist, **changes)
    assert found.per_item is None
    return found.reason


def test_other_processors_have_no_count(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert reasoned() == "Instructions are counted on x86-64; this machine is aarch64."


def on_x86(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


def test_without_valgrind_it_is_said_how_to_get_it(monkeypatch):
    on_x86(monkeypatch)
    monkeypatch.setenv("PATH", "")
    assert "no valgrind" in reasoned()
    assert "apt-get install valgrind" in reasoned()


def test_without_a_compiler_there_is_no_count(monkeypatch, tmp_path):
    on_x86(monkeypatch)
    fake_valgrind(monkeypatch, tmp_path, "exit 0")
    monkeypatch.setenv("CC", "no-such-compiler")
    assert "CC=no-such-compiler" in reasoned()


def test_without_avx2_there_is_no_count(monkeypatch, tmp_path):
    on_x86(monkeypatch)
    fake_valgrind(monkeypatch, tmp_path, "exit 0")
    monkeypatch.setattr(module, "find_compiler", lambda: Compiler(("cc",), "old", (), frozenset({"__SSE2__"})))
    assert "AVX2, which this processor has not" in reasoned()


@countable
@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "echo 'vex amd64->IR: unhandled instruction' >&2; exit 132",
            "exit code 132 and said: vex amd64->IR: unhandled instruction",
        ),
        ("exit 0", "exit code 0 and said: nothing"),
        ("exec sleep 20", "valgrind did not finish in 0.5 s"),
    ],
)
def test_a_valgrind_that_fails_is_quoted(monkeypatch, tmp_path, script, said):
    assert instructions_per_item(BOARD_NETLIST).per_item is not None  # compiled
    fake_valgrind(monkeypatch, tmp_path, script)
    assert said in reasoned(timeout_seconds=0.5)


@countable
def test_a_compiler_that_fails_is_quoted(monkeypatch):
    monkeypatch.setattr(module, "_TARGET", "-march=no-such-processor")
    assert "no-such-processor" in reasoned()
