"""What is done with jobs besides running them, on one that is finished."""

import csv
import json
import shutil

import pytest

from reports.record import FILE, Record
from tests.conftest import QUICK, run_harness

LIFE = ["method=dlgn", "task=life", "seed=0", *QUICK]


@pytest.fixture
def runs(finished_job, tmp_path):
    """A copy of the finished job's runs folder."""
    shutil.copytree(finished_job[1], tmp_path / "runs")
    return tmp_path / "runs"


def only(runs):
    (path,) = runs.glob(f"*/{FILE}")
    return path, Record.read(path)


def test_list_says_what_a_run_would_do(runs, tmp_path):
    done = run_harness("-m", "method=dlgn", "task=life", "seed=0,1", *QUICK, f"runs_dir={runs}", "action=list", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    _, record = only(runs)
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if "dlgn-life" in line}
    assert "be shown as it is" in lines.pop(record.key)
    (other,) = lines.values()
    assert "train, compile, time" in other
    assert other.split()[1] == "new"
    shared = run_harness(*LIFE, "timing.blocks=6", f"runs_dir={runs}", "action=list", cwd=tmp_path)
    assert "compile, time" in shared.stdout
    assert "train" not in shared.stdout


def test_time_does_not_train(runs, tmp_path):
    path, before = only(runs)
    done = run_harness(*LIFE, f"runs_dir={runs}", "action=time", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    after = Record.read(path)
    assert after.training == before.training
    assert after.date != before.date
    assert after.row("c").ns_samples != before.row("c").ns_samples


def test_time_of_what_is_not_trained_says_so(tmp_path):
    done = run_harness("-m", *LIFE[:2], "seed=0,1", "runs_dir=r", "action=time", cwd=tmp_path)
    assert done.returncode == 2
    assert "action=time times what is trained" in done.stderr
    assert not list(tmp_path.glob("r/*/"))


def test_compare_of_a_circuit_with_itself_finds_no_difference_of_gates(runs, tmp_path):
    _, record = only(runs)
    compared = run_harness(*LIFE, f"runs_dir={runs}", "action=compare", f"compare=[{record.key},{record.key}]", cwd=tmp_path)
    assert compared.returncode == 0, compared.stderr
    gates = [line.split()[1] for line in compared.stdout.splitlines() if line.strip().startswith("dlgn-life")]
    assert len(gates) == 2
    assert len(set(gates)) == 1
    assert "A second copy of the first differs" in " ".join(compared.stdout.split())


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        ("null", "compare=[A,B]"),
        ("[dlgn-life]", "compare=[A,B]"),
        ("[dlgn-life,no-such-thing]", "neither the beginning of a job's key"),
    ],
)
def test_compare_says_what_it_cannot_find(runs, tmp_path, sides, said):
    done = run_harness(*LIFE, f"runs_dir={runs}", "action=compare", f"compare={sides}", cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr


def test_merge_takes_what_is_new_and_keeps_machines_apart(runs, tmp_path):
    path, record = only(runs)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(path.parent, elsewhere / record.key)
    foreign = json.loads(path.read_text())
    (elsewhere / record.key / FILE).write_text(json.dumps({**foreign, "machine": "another"}))
    (elsewhere / "broken").mkdir()
    (elsewhere / "broken" / FILE).write_text("{")
    for taken, known in ((1, 0), (0, 1)):
        done = run_harness(*LIFE, f"runs_dir={runs}", "action=merge", f"merge=[{elsewhere}]", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert f"{taken} jobs taken over, {known} were there" in done.stdout
        assert "skipped:" in done.stdout
    assert {Record.read(one).machine for one in runs.glob(f"*/{FILE}")} == {record.machine, "another"}
    assert Record.read(path).machine == record.machine


def test_export_is_the_tidy_table(runs, tmp_path):
    done = run_harness(*LIFE, f"runs_dir={runs}", "action=export", "export=all.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "all.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["backend"] for row in rows} == {row.backend for row in only(runs)[1].rows}
    wrong = run_harness(*LIFE, f"runs_dir={runs}", "action=export", "export=all.xlsx", cwd=tmp_path)
    assert wrong.returncode == 2
    assert ".csv" in wrong.stderr


@pytest.mark.parametrize(
    "pair",
    [["method=warp", "task=boolean", "task.inputs=3"], ["method=mlp", "task=digits"], ["method=distill", "task=digits"]],
)
def test_check_holds_a_pair_to_the_contract(pair, tmp_path):
    done = run_harness(*pair, "action=check", f"runs_dir={tmp_path}/r", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a seed builds one network" in done.stdout
    assert "wrong" not in done.stdout


def test_an_unknown_action_is_named(tmp_path):
    done = run_harness("action=dance", cwd=tmp_path)
    assert done.returncode == 2
    assert "There is no action=dance" in done.stderr
