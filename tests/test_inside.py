"""Pictures of a circuit: what they show is counted here by hand."""

import re
import shutil

import numpy as np
import pytest

from codegen.circuit import Circuit
from codegen.encoder import Encoder
from codegen.netlist import Netlist
from reports.inside import DRAWN, dot, fan_out, gate_name, pictures
from tests.conftest import run_reports

AND, XOR, NOT = 0b1000, 0b0110, 0b01


def small():
    """in 0 and in 1, exclusive or in 2; a gate that nothing reads; the second output is the complement of an input."""
    gates = [(AND, (0, 1)), (XOR, (4, 2)), (NOT, (3,))]
    return Netlist.from_gates(4, gates, outputs=[5, 2], inverted=[False, True])


def test_the_graph_has_what_is_alive():
    text = dot(small())
    assert set(re.findall(r'label="([^"]+)", shape=box', text)) == {"and", "xor"}
    assert set(re.findall(r'label="(in \d)"', text)) == {"in 0", "in 1", "in 2"}
    edges = set(re.findall(r"(\w+) -> (\w+)", text))
    assert edges == {("s0", "s4"), ("s1", "s4"), ("s4", "s5"), ("s2", "s5"), ("s5", "o0"), ("s2", "o1")}
    assert "s2 -> o1 [arrowhead=odot]" in text


def test_names_of_gates_say_what_they_compute():
    words = {
        "and": all,
        "or": any,
        "xor": lambda bits: sum(bits) % 2 == 1,
        "majority": lambda bits: sum(bits) > len(bits) / 2,
        "nand": lambda bits: not all(bits),
        "nor": lambda bits: not any(bits),
        "xnor": lambda bits: sum(bits) % 2 == 0,
    }
    n_named = 0
    for arity in (2, 3):
        for table in range(1 << (1 << arity)):
            name = gate_name(table, arity)
            rows = [[row >> i & 1 for i in range(arity)] for row in range(1 << arity)]
            if name in words:
                n_named += 1
                assert [table >> row & 1 for row in range(1 << arity)] == [int(words[name](bits)) for bits in rows]
            elif arity == 2 and " " in name:
                values = [int(eval(name, {"a": bits[0], "b": bits[1]})) for bits in rows]
                assert [table >> row & 1 for row in range(4)] == values
    assert n_named == 6 + 4
    assert gate_name(0x1234, 4) == "1234"


def test_reads_are_counted_for_each_number_of_an_item():
    circuit = Circuit(small())
    assert fan_out(circuit, small()).tolist() == [1, 1, 2, 0]
    encoder = Encoder(3, np.array([0, 0, 2, 1]), np.array([1.0, 2.0, 3.0, 4.0], dtype=np.float32))
    assert fan_out(Circuit(small(), encoder=encoder), small()).tolist() == [2, 0, 2]


def test_a_large_circuit_has_no_graph_and_says_so(tmp_path):
    rng = np.random.default_rng(0)
    pairs = np.array([rng.choice(64, 2, replace=False) for _ in range(2 * DRAWN)])
    netlist = Netlist.from_gates(64, [(AND, tuple(pair)) for pair in pairs.tolist()], 64 + np.arange(2 * DRAWN))
    written, said = pictures(Circuit(netlist), tmp_path / "p")
    assert [path.name for path in written] == ["layers.svg", "passes.svg", "inputs.svg"]
    assert "too many to draw" in said[0]
    for path in written:
        assert path.read_text().startswith("<svg")


@pytest.mark.parametrize("installed", [True, False])
def test_the_command_draws_a_job(installed, finished_job, tmp_path, monkeypatch):
    if installed and shutil.which("dot") is None:
        pytest.skip("graphviz is not installed")
    if not installed:
        monkeypatch.setattr(shutil, "which", lambda _: None)
    done = run_reports("--runs", str(finished_job[1]), "circuit", "dlgn", "-o", str(tmp_path / "p"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "p").iterdir()}
    assert names == {"graph.dot", "layers.svg", "passes.svg", "inputs.svg"} | ({"graph.svg"} if installed else set())
    assert ("apt-get install graphviz" in done.stdout) == (not installed)
    absent = run_reports("--runs", str(finished_job[1]), "circuit", "nope", cwd=tmp_path)
    assert absent.returncode == 1
    assert "No job with key nope" in absent.stderr
