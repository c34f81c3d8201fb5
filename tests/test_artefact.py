"""The C artefact: whatever it is compiled by and for, its own test agrees with the oracle, without a warning or a bad access."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from strategies import busy_stencil

from codegen.__main__ import main
from codegen.artefact import artefact, drawn_items
from codegen.circuit import Circuit
from codegen.emit_c import ANY, LANES
from codegen.encoder import Encoder
from codegen.netlist import Netlist
from codegen.prove import Proof
from codegen.readout import GroupSum, Majority
from codegen.toolchain import find_compiler

STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic")
C99, CPP = ("-std=c99",), ("-x", "c++", "-std=c++11")
COMPILERS = [compiler for compiler in ("gcc", "clang") if shutil.which(compiler)]
NATIVE = find_compiler().native
WIDTHS = {"avx512": "__AVX512F__", "avx2": "__AVX2__"}
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1", "-g")


def drawn(n_inputs, n_gates, n_outputs, seed=0):
    """A circuit's netlist of gates of up to four inputs."""
    rng = np.random.default_rng(seed)
    gates = []
    for gate in range(n_gates):
        arity = int(rng.integers(1, 5))
        gates.append((int(rng.integers(1 << (1 << arity))), tuple(rng.integers(0, n_inputs + gate, arity).tolist())))
    outputs = rng.integers(0, n_inputs + n_gates, n_outputs)
    return Netlist.from_gates(n_inputs, gates, outputs.tolist(), rng.random(n_outputs) < 0.5)


def classifier(n_features=70, n_inputs=90, n_gates=150, n_outputs=33, n_classes=7, seed=0):
    rng = np.random.default_rng(seed)
    encoder = Encoder(n_features, rng.integers(0, n_features, n_inputs), rng.integers(-2, 256, n_inputs).astype(np.float32))
    return Circuit(drawn(n_inputs, n_gates, n_outputs, seed), {"task": "drawn"}, encoder, GroupSum(n_classes, 3.7))


CIRCUITS = {
    "classifier": classifier(),
    "one class": classifier(n_classes=1),
    "few features": classifier(n_features=3, n_inputs=5),
    "stencil": Circuit(busy_stencil()),
    "voted stencil": Circuit(drawn(9, 40, 5), readout=Majority(1, 5, 1.0)),
    "bits": Circuit(drawn(12, 50, 9)),
    "many bits": Circuit(drawn(12, 50, 40)),
    "constants": Circuit(Netlist.from_gates(0, [(1, ()), (0, ())], [0, 1, 1], [False, True, False])),
    "nothing": Circuit(Netlist.from_gates(2, [], [])),
}


def written(folder, circuit, name="circuit", isa=ANY):
    for file, text in artefact(circuit, name, isa).files.items():
        (folder / file).write_text(text)


def built_and_run(folder, compiler, flags, sources=("circuit.c", "circuit_test.c")):
    """Compile, as C if not said otherwise, and run the self-test; returns what it prints."""
    subprocess.run([compiler, *flags, *sources, "-o", "program"], cwd=folder, check=True, timeout=300)
    done = subprocess.run([folder / "program"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", CIRCUITS)
def test_the_self_test_passes_under_sanitizers_without_a_warning(tmp_path, name):
    written(tmp_path, CIRCUITS[name])
    assert "600 items as expected" in built_and_run(tmp_path, COMPILERS[0], (*C99, *STRICT, *NATIVE, *SANITIZERS))


def test_chunks_pass_under_sanitizers_too(tmp_path, in_chunks):
    written(tmp_path, CIRCUITS["classifier"])
    assert "circuit_chunk1" in (tmp_path / "circuit.c").read_text()
    assert "600 items as expected" in built_and_run(tmp_path, COMPILERS[0], (*C99, *STRICT, *NATIVE, *SANITIZERS))


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("language", [C99, CPP], ids=["C99", "C++11"])
@pytest.mark.parametrize("flags", [("-O0",), ("-O3", *NATIVE), ("-O2", "-DLANES=1")], ids=["plain", "native", "words"])
@pytest.mark.parametrize("name", ["classifier", "stencil"])
def test_one_text_serves_compilers_languages_and_targets(tmp_path, compiler, language, flags, name):
    written(tmp_path, CIRCUITS[name])
    built_and_run(tmp_path, compiler, (*language, *STRICT, *flags))


@pytest.mark.parametrize("isa", LANES)
def test_an_instruction_set_is_forced(tmp_path, isa, in_chunks):
    written(tmp_path, CIRCUITS["classifier"], isa=isa)
    # A machine without the registers computes the same with those that it has; gcc warns of how it would pass them on.
    flags = ("-O1", "-Wno-psabi", *(STRICT if isa == "c99" else ()), *NATIVE)
    assert f"words of {LANES[isa]} x 64 lanes" in built_and_run(tmp_path, COMPILERS[0], flags)


def test_the_widest_words_of_the_target_are_taken(tmp_path):
    written(tmp_path, CIRCUITS["classifier"])
    printed = built_and_run(tmp_path, find_compiler().command[0], ("-O1", *NATIVE))
    assert f"words of {LANES[find_compiler().isa]} x 64 lanes" in printed


def test_two_circuits_link_together(tmp_path):
    written(tmp_path, CIRCUITS["classifier"], "first")
    written(tmp_path, CIRCUITS["stencil"], "second")
    calls = "".join(f'int {name}_main(void);\n#include "{name}.h"\n' for name in ("first", "second"))
    (tmp_path / "main.c").write_text(f"{calls}int main(void) {{ return first_main() || second_main(); }}\n")
    for name in ("first", "second"):
        test = tmp_path / f"{name}_test.c"
        test.write_text(test.read_text().replace("int main(void)", f"int {name}_main(void);\nint {name}_main(void)"))
    sources = ["main.c", *(f"{name}{part}.c" for name in ("first", "second") for part in ("", "_test"))]
    assert built_and_run(tmp_path, COMPILERS[0], ("-O1", *STRICT), sources).count("as expected") == 2


def test_the_self_test_fails_for_another_circuit(tmp_path):
    written(tmp_path, classifier())
    other = artefact(classifier(seed=1)).files["circuit_test.c"]
    (tmp_path / "circuit_test.c").write_text(other)
    with pytest.raises(AssertionError, match="differ from what was expected"):
        built_and_run(tmp_path, COMPILERS[0], ("-O1",))


def test_the_same_circuit_is_the_same_text_in_any_process():
    code = "from test_artefact import CIRCUITS, artefact; print(hash(tuple(artefact(CIRCUITS['classifier']).files.items())))"
    path = os.pathsep.join(sys.path)
    printed = {
        subprocess.run(
            [sys.executable, "-c", code.replace("hash", "repr")],
            env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1


def test_items_are_drawn_as_the_c_draws_them():
    """In Python's own integers, a draw at a time."""
    state, items = 0, []
    for item in range(600):
        row = []
        for _ in range(3):
            state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
            value = state >> 56
            row.append(0 if item == 0 else 255 if item == 1 else (4 * value if value < 64 else 0) if item % 2 else value)
        items.append(row)
    assert drawn_items(3).tolist() == items


def test_what_a_circuit_says_of_itself_cannot_end_the_comment(tmp_path):
    circuit = Circuit(busy_stencil(), {"task": "*/ int x; /*", "method": "what??/\n\u00e9"})
    written(tmp_path, circuit)
    built_and_run(tmp_path, COMPILERS[0], (*C99, *STRICT))


@pytest.mark.parametrize("name", ["", "1st", "a-b", "a b", "\u00e9", "_x"])
def test_a_prefix_that_is_no_identifier_is_refused(name):
    with pytest.raises(ValueError, match="prefix of letters, digits and underscores"):
        artefact(CIRCUITS["bits"], name)


def test_the_command_writes_c_that_passes_its_test(tmp_path):
    job = tmp_path / "job"
    job.mkdir()
    CIRCUITS["classifier"].save(job / "circuit.safetensors")
    folder = tmp_path / "new" / "folder"
    command = [sys.executable, "-m", "codegen", job, "-o", folder, "--name", "mine", "--isa", "c99", "--prove"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "proven equal to the" in done.stdout
    assert sorted(path.name for path in folder.iterdir()) == ["mine.c", "mine.h", "mine_test.c"]
    assert "mine: 600 items as expected" in built_and_run(folder, COMPILERS[0], ("-O1",), ("mine.c", "mine_test.c"))


def test_the_command_says_what_is_wrong_and_writes_nothing(tmp_path, capsys):
    circuit, output = tmp_path / "circuit.safetensors", tmp_path / "out"
    CIRCUITS["bits"].save(circuit)
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(circuit.read_bytes()[:-10])
    (tmp_path / "file").write_text("")
    for arguments, message in (
        ((tmp_path / "none.safetensors", "-o", output), "Expected a circuit file at"),
        ((damaged, "-o", output), "cannot be read"),
        ((circuit, "-o", output, "--name", "a b"), "prefix of letters"),
        ((circuit, "-o", tmp_path / "file" / "out"), "cannot be written"),
        ((circuit, "-o", output, "--isa", "mmx"), "invalid choice: 'mmx'"),
    ):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as exit_of_argparse:
            code = exit_of_argparse.code
        assert code == 2
        assert message in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize(("equal", "message"), [(False, "differ from those as learned"), (None, "was not decided")])
def test_c_that_is_not_proven_is_not_written(tmp_path, monkeypatch, capsys, equal, message):
    monkeypatch.setattr("codegen.__main__.prove_equal", lambda first, second: Proof(equal, "SAT"))
    CIRCUITS["bits"].save(tmp_path / "circuit.safetensors")
    assert main([str(tmp_path), "-o", str(tmp_path / "out"), "--prove"]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
