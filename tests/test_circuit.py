"""Circuit files: whole, equal for equal circuits, and refused with a reason when they are something else."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file
from strategies import netlists

from codegen.circuit import FORMAT, FORMAT_VERSION, Circuit, CircuitFileError
from codegen.netlist import Netlist

NETLIST = Netlist.from_gates(3, [(0b1000, (0, 1)), (0b01, (3,)), (0b10010110, (0, 2, 4))], [5, 3], [True, False])
PROVENANCE = {"task": "parity", "method": "dlgn", "seed": "3"}

SAVE_IN_ANOTHER_PROCESS = """
import sys
from codegen.circuit import Circuit
circuit = Circuit.load(sys.argv[1])
Circuit(circuit.netlist, dict(reversed(circuit.provenance.items()))).save(sys.argv[2])
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "circuit.safetensors"
    Circuit(NETLIST, PROVENANCE).save(path)
    return path


def rewrite(path, header=None, **changed):
    """Write the circuit file again with other arrays (None: leave it out) or another header."""
    with safe_open(path, framework="numpy") as opened:
        arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        metadata = opened.metadata()
    arrays |= changed
    if header is not None:
        metadata = {FORMAT: json.dumps(header)}
    save_file({name: array for name, array in arrays.items() if array is not None}, path, metadata)


@settings(deadline=None, max_examples=40)
@given(netlist=netlists(inputs=(0, 12), outputs=(0, 20)), provenance=st.dictionaries(st.text(max_size=8), st.text(max_size=8)))
def test_loaded_circuit_is_the_saved_one(tmp_path_factory, netlist, provenance):
    path = tmp_path_factory.mktemp("circuits") / "circuit.safetensors"
    Circuit(netlist, provenance).save(path)
    loaded = Circuit.load(path)
    assert loaded.netlist.identical(netlist)
    assert loaded.provenance == provenance


def test_saving_leaves_only_the_file(file):
    Circuit(NETLIST).save(file)
    assert Circuit.load(file).provenance == {}
    assert list(file.parent.iterdir()) == [file]


def test_failed_saving_leaves_nothing_behind(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        Circuit(NETLIST).save(tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_equal_circuits_give_equal_bytes_in_every_process(file, tmp_path):
    for seed in ("1", "2"):
        again = tmp_path / f"again-{seed}"
        subprocess.run(
            [sys.executable, "-c", SAVE_IN_ANOTHER_PROCESS, file, again], check=True, env=os.environ | {"PYTHONHASHSEED": seed}
        )
        assert again.read_bytes() == file.read_bytes()


def test_another_provenance_gives_other_bytes(file, tmp_path):
    Circuit(NETLIST, PROVENANCE | {"seed": "4"}).save(tmp_path / "other")
    assert (tmp_path / "other").read_bytes() != file.read_bytes()


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_truncated_file_is_refused(file, kept):
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(CircuitFileError, match=r"Expected a circuit file at .*circuit\.safetensors, but it cannot be read"):
        Circuit.load(file)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(CircuitFileError, match=r"Expected a circuit file at .*nowhere, but it cannot be read"):
        Circuit.load(tmp_path / "nowhere")


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_foreign_safetensors_file_is_refused(tmp_path, metadata):
    save_file({"weight": np.zeros(3, dtype=np.float32)}, tmp_path / "model", metadata)
    with pytest.raises(CircuitFileError, match="it is a safetensors file of another kind"):
        Circuit.load(tmp_path / "model")


def test_newer_version_is_refused_with_what_to_do(file):
    rewrite(file, header={"format": FORMAT, "version": FORMAT_VERSION + 1, "provenance": {}})
    with pytest.raises(CircuitFileError, match=rf"version {FORMAT_VERSION + 1}; this Gatebench reads version {FORMAT_VERSION}"):
        Circuit.load(file)


@pytest.mark.parametrize("array", ["table", "fan_in", "arity", "outputs", "inverted", "n_inputs"])
def test_file_without_one_of_the_arrays_is_refused(file, array):
    rewrite(file, **{array: None})
    with pytest.raises(CircuitFileError, match="cannot be read.*" + array):
        Circuit.load(file)


def test_fan_in_out_of_range_is_refused_with_the_gate(file):
    fan_in = NETLIST.fan_in.copy()
    fan_in[1, 0] = 9
    rewrite(file, fan_in=fan_in)
    with pytest.raises(CircuitFileError, match=r"holds an invalid circuit: Gate 1 \(signal 4\) reads signal 9"):
        Circuit.load(file)


def test_output_out_of_range_is_refused_with_the_output(file):
    rewrite(file, outputs=np.array([5, 6], dtype=np.int32))
    with pytest.raises(CircuitFileError, match="holds an invalid circuit: Output 1 is signal 6"):
        Circuit.load(file)


@pytest.mark.parametrize("array", ["table", "fan_in", "arity", "outputs", "inverted"])
def test_arrays_of_unequal_length_are_refused(file, array):
    rewrite(file, **{array: getattr(NETLIST, array)[:-1].copy()})
    with pytest.raises(CircuitFileError, match="holds an invalid circuit"):
        Circuit.load(file)
