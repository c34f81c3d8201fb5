"""The pages of docs/ as written: their files are put where they say, and their first command is run."""

import re
import shlex
import shutil
from importlib.metadata import version

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from codegen.circuit import Circuit
from codegen.equivalence import all_rows
from reports.record import FILE, Record
from tests.conftest import ROOT, run_copy

# A file is announced by its path and a colon, a command stands in a block of sh.
_FILE = re.compile(r"`([\w/]+\.(?:py|yaml))`:\n\n```\w+\n(.*?)```", re.DOTALL)
_COMMANDS = re.compile(r"```sh\n(.*?)```", re.DOTALL)
# What takes long is left out: numba compiles everything anew for sources in another place.
_QUICK = ["train.kernels=false", "timing=none", "backend.names=[numpy,c-naive]"]


@pytest.mark.parametrize("page", ["add_a_method", "add_a_task"])
def test_what_a_page_says_to_write_runs(page, copied_sources, tmp_path):
    text = (ROOT / f"docs/{page}.md").read_text()
    files = _FILE.findall(text)
    assert len(files) == 2
    for name, content in files:
        path = copied_sources / name
        assert path.parent.is_dir()
        path.write_text(content)
    python, program, *arguments = shlex.split(_COMMANDS.search(text)[1].splitlines()[0])
    assert (python, program) == ("python", "harness.py")
    done = run_copy(copied_sources, *arguments, *_QUICK, "runs_dir=r", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (record,) = (Record.read(path) for path in (tmp_path / "r").glob(f"*/{FILE}"))
    assert record.training.hard_accuracy == 1.0
    assert record.row("c-naive").exact


def test_every_command_of_a_page_names_what_there_is():
    for page in (ROOT / "docs").glob("*.md"):
        for name in re.findall(r"`((?:codegen|methods|tasks|jobs|reports|conf|tests|docs)/[\w/]+\.\w+)`", page.read_text()):
            known = {path for path, _ in _FILE.findall(page.read_text())} | {"conf/pair/eight_mnist.yaml"}
            assert (ROOT / name).exists() or name in known, f"{page.name} names {name}"


@pytest.mark.parametrize("page", ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / page).read_text()):
        assert (ROOT / page).parent.joinpath(target).exists(), f"{page} links to {target}"


def blocks(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / f"docs/{page}.md").read_text(), re.DOTALL)


def test_the_page_on_the_circuit_file_reads_and_makes_one(finished_job, tmp_path, monkeypatch, capsys):
    (file,) = finished_job[1].glob("*/circuit.safetensors")
    shutil.copy(file, tmp_path / "circuit.safetensors")
    monkeypatch.chdir(tmp_path)
    read, evaluate, make = blocks("circuit_format")
    known = {}
    for block in (read, evaluate, make):
        exec(block, known)
    circuit = Circuit.load("circuit.safetensors")
    assert f"{circuit.netlist.n_gates} gates" in capsys.readouterr().out
    items = np.random.default_rng(0).random((20, 9)) < 0.5
    assert [known["evaluate"]("circuit.safetensors", item.tolist()) for item in items] == circuit.answers(items).tolist()
    adder = Circuit.load("half_adder.safetensors")
    assert adder.answers(all_rows(2)).tolist() == [[False, False], [True, False], [True, False], [False, True]]
    listed = set(re.findall(r"`(\w+)`", (ROOT / "docs/circuit_format.md").read_text()))
    assert set(load_file("circuit.safetensors")) <= listed


def test_the_citation_is_of_this_release():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == version("gatebench")
    assert cited["license"] in (ROOT / "LICENSE").read_text()
