"""The command line: jobs, sweeps, and every mistake answered in one clear line before any work is spent."""

import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import time

import back_ends
import pytest
import yaml
from rich.console import Console
from safetensors.numpy import load_file

from codegen.backends import BACKENDS
from codegen.circuit import Circuit
from codegen.equivalence import all_rows
from codegen.simulate import simulate
from codegen.toolchain import CompileTimeoutError
from harness import CONF, compose
from jobs.config import UsageError, check
from jobs.display import show
from jobs.forms import ALL_BACKENDS
from jobs.job import Request, run_job, source
from jobs.store import finished, job_key, training_key
from methods import METHODS
from reports.record import Record
from reports.standings import lines, standings_of
from tasks import TASKS
from tasks.life import CONWAY, truth
from tests.conftest import HARNESS, ROOT, check_line, run_harness, run_harness_process, run_reports

TINY = ["method.widths=[16,8,4,2]", "train.max_steps=20", "timing=none", "backend=circuit", "task.height=20", "task.width=20"]


def only_job(runs):
    (path,) = runs.glob("*/record.json")
    return path.parent, Record.read(path)


def test_the_main_job_ends_ok_exact_and_leaves_its_files(finished_job):
    done, runs = finished_job
    assert done.returncode == 0, done.stderr
    assert "status ok, exact" in done.stdout
    folder, record = only_job(runs)
    assert record.status == "ok"
    assert record.training.hard_accuracy == 1.0
    assert record.training.seconds_to_exact > 0
    assert 1 < record.size.luts6 <= record.size.luts4 < record.training.gates_learned
    assert f"{record.size.luts4} of four inputs, {record.size.luts6} of six" in done.stdout
    files = {path.name for path in folder.iterdir()}
    assert {"record.json", "config.yaml", "circuit.safetensors", "curve.csv", "log.txt", "c.c", "c-naive.c"} <= files
    assert "checkpoint.safetensors" not in files
    for name in ("record.json", "circuit.safetensors", "c.c"):
        assert str(folder / name) in done.stdout


def test_the_circuit_file_is_conways_rule(finished_job):
    folder, record = only_job(finished_job[1])
    circuit = Circuit.load(folder / record.circuit_file)
    assert (simulate(circuit.netlist, all_rows(9)) == truth(CONWAY).target).all()
    assert f"trainings/{circuit.provenance['key']}" == record.trained_in


def test_every_back_end_is_exact_and_timed_against_the_fastest_network(finished_job):
    _, record = only_job(finished_job[1])
    rows = {row.backend: row for row in record.rows}
    assert set(rows) == {"nn-torch", "nn-jax", "numba", "c-naive", "c-portable", "c", "wasm", "reference"}
    assert {name for name, row in rows.items() if row.status == "skipped"} == back_ends.LACKING
    for row in (row for name, row in rows.items() if name not in back_ends.LACKING):
        assert (row.status, row.exact, row.compiled_accuracy) == ("ok", True, 1.0)
        assert row.ns_per_item > 0
        assert row.ns_per_item_min <= row.ns_per_item
        assert row.ratio_low <= row.ratio <= row.ratio_high
        assert len(row.ns_samples) == len(record.conditions.blocks) >= record.config["timing"]["blocks"]
    baseline = min((rows["nn-torch"], rows["nn-jax"]), key=lambda row: row.ns_per_item)
    assert baseline.ratio == 1
    assert record.noise_floor >= 0
    assert rows["c"].gates <= rows["c-naive"].gates <= record.training.gates_learned


def test_the_table_fits_80_columns_in_a_pipe(finished_job):
    done, _ = finished_job
    lines = [line for line in done.stdout.splitlines() if "/" not in line or "cells/s" in line]
    assert max(map(len, lines)) <= 80
    assert "…" not in done.stdout


def test_the_config_file_runs_the_same_job_again(finished_job):
    folder, record = only_job(finished_job[1])
    assert job_key(yaml.safe_load((folder / "config.yaml").read_text())) == record.key


def test_a_sweep_makes_a_job_of_each_value_and_runs_from_anywhere(tmp_path):
    done = run_harness_process("-m", "seed=0,1", f"runs_dir={tmp_path}/deep/er", *TINY, cwd="/")
    assert done.returncode == 0, done.stderr
    records = [Record.read(path) for path in (tmp_path / "deep/er").glob("*/record.json")]
    assert sorted(record.seed for record in records) == [0, 1]
    assert len({record.key for record in records}) == 2


def test_convolutions_of_images_are_compiled_to_what_was_trained(tmp_path):
    kernels = "method.convolutions=[{kernels: 6, size: 3, stride: 2, padding: 1, depth: 2, channels: 2, pool: 3}]"
    sizes = [kernels, "method.widths=[60]", "method.relaxation=warp", "task.encoder={kind: uniform, bits: 2}"]
    arguments = ["method=conv", "task=digits", *sizes, "train.max_steps=100", "train.optimiser.learning_rate=0.2"]
    done = run_harness(*arguments, "timing=none", "backend.names=[nn-torch,numba,c-portable,c]", "runs_dir=r", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    _, record = only_job(tmp_path / "r")
    assert 0 < record.size.logic < record.size.whole == record.row("c-portable").gates
    assert record.training.gates_learned == 6 * 16 * 3 + 60
    assert record.training.hard_accuracy > 0.3
    assert all((row.exact, row.compiled_accuracy) == (True, record.training.hard_accuracy) for row in record.rows)


def test_what_gates_read_is_learned_and_compiled_and_the_same_when_it_is_read_again(tmp_path):
    kernels = "method.convolutions=[{kernels: 6, size: 3, stride: 2, padding: 1, depth: 2, channels: 2, pool: 3}]"
    sizes = [kernels, "method.widths=[60]", "method.relaxation=warp", "method.candidates=6", "method.choice_temperature=0.3"]
    arguments = ["method=conv", "task=digits", *sizes, "train.max_steps=60", "train.optimiser.learning_rate=0.2", "timing=none"]
    for backends in ("[nn-torch,numba]", "[nn-torch,nn-jax,numpy]"):
        done = run_harness(*arguments, f"backend.names={backends}", "runs_dir=r", cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    found = [Record.read(path) for path in tmp_path.glob("r/*/record.json")]
    assert len({record.trained_in for record in found}) == 1
    assert len([row for record in found for row in record.rows]) == 5
    for record in found:
        assert record.training.hard_accuracy > 0.3
        assert record.training.parameters == 6 * 3 * 4 + 60 * 4 + (6 * 2 + 60) * 2 * 6
        assert all((row.exact, row.compiled_accuracy) == (True, record.training.hard_accuracy) for row in record.rows)
    (learned,) = tmp_path.glob("r/trainings/*/learned.safetensors")
    assert load_file(learned)["parameter.choice"].any()


def test_a_sweep_skips_pairs_that_do_not_fit_and_says_why(tmp_path):
    arguments = ["method=dlgn,conv", "task=boolean", "train.max_steps=5", "timing=none", "backend.names=[numpy]"]
    done = run_harness("-m", *arguments, "runs_dir=.", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    records = {record.method: record for record in map(Record.read, tmp_path.glob("*/record.json"))}
    assert (records["dlgn"].status, records["conv"].status) == ("ok", "skipped")
    assert records["conv"].reason == "method=conv is for images, and this task's items are not."
    assert records["conv"].reason in done.stdout
    alone = run_harness("method=conv", "task=boolean", "runs_dir=alone", cwd=tmp_path)
    assert (alone.returncode, alone.stdout) == (2, "")
    assert alone.stderr.strip() == records["conv"].reason


def test_the_same_seed_gives_the_same_circuit_file_in_another_process_and_on_one_thread(tmp_path):
    files = []
    for name, threads in (("a", 2), ("b", 1)):
        settings = ["seed=3", f"threads={threads}", f"runs_dir={name}", "backend.names=[numpy]"]
        done = run_harness(*settings, *TINY, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        folder, record = only_job(tmp_path / name)
        files.append(folder.joinpath("circuit.safetensors").read_bytes())
        assert record.training.threads == threads
    assert files[0] == files[1]


def test_a_rule_of_ones_own_on_a_dead_edged_board(tmp_path):
    arguments = ["task.rule=B36/S23", "task.edges=dead", "backend.names=[c,reference]", "timing=none"]
    done = run_harness(*arguments, "task.height=37", "task.width=65", "runs_dir=r", cwd=tmp_path)
    _, record = only_job(tmp_path / "r")
    assert done.returncode == 0, done.stderr + done.stdout
    assert record.config["task"]["rule"] == "B36/S23"
    assert all(row.ns_per_item is None for row in record.rows)


def test_a_circuit_that_is_not_exact_is_proven_but_not_timed(tmp_path):
    done = run_harness(*TINY, "timing=quick", "backend.names=[nn-torch,numba,c]", "runs_dir=r", cwd=tmp_path)
    _, record = only_job(tmp_path / "r")
    assert record.training.hard_accuracy < 1
    for row in record.rows:
        assert row.compiled_accuracy == record.training.hard_accuracy
        assert row.exact is False
        assert row.ns_per_item is None
        assert "wrong on" in row.reason
    assert done.returncode == 0
    assert "Not timed" in done.stdout


def test_without_a_compiler_the_other_rows_go_on_and_the_c_rows_say_how_to_get_one(tmp_path):
    arguments = ["timing=quick", "task.height=20", "task.width=20", "backend.names=[nn-torch,numba,c-naive,c,reference]"]
    environment = {**os.environ, "CC": "no-such-compiler"}
    done = run_harness_process(*arguments, "runs_dir=r", cwd=tmp_path, env=environment)
    _, record = only_job(tmp_path / "r")
    assert done.returncode == 0, done.stderr
    assert {row.backend: row.status for row in record.rows} == {
        "nn-torch": "ok", "numba": "ok", "c-naive": "skipped", "c": "skipped", "reference": "skipped",
    }  # fmt: skip
    assert record.row("numba").ns_per_item > 0
    assert "apt-get install gcc" in done.stdout
    installed = run_harness(*arguments, "runs_dir=r", cwd=tmp_path)
    assert installed.returncode == 0, installed.stderr
    _, record = only_job(tmp_path / "r")
    assert {row.status for row in record.rows} == {"ok"}


def test_without_wasmtime_its_row_says_how_to_get_it_and_is_made_once_it_is_there(tmp_path, monkeypatch):
    pytest.importorskip("wasmtime", reason='pip install "gatebench[wasm]"')
    config = compose([*(one for one in TINY if one != "backend=circuit"), "backend.names=[numpy,wasm]", f"runs_dir={tmp_path}"])
    request = Request(config, job_key(config), "python harness.py", {}, source())
    with monkeypatch.context() as uninstalled:
        uninstalled.setitem(sys.modules, "wasmtime", None)
        record = run_job(request)
        assert (record.status, [row.status for row in record.rows]) == ("ok", ["ok", "skipped"])
        assert 'pip install "gatebench[wasm]"' in record.row("wasm").reason
        assert finished(config, request.key) is not None
    assert finished(config, request.key) is None
    record = run_job(request)
    assert [row.status for row in record.rows] == ["ok", "ok"]
    assert (tmp_path / request.key / record.row("wasm").source_file).read_bytes()[:4] == b"\0asm"
    assert finished(config, request.key) is not None


def test_a_compiler_that_fails_is_quoted_and_costs_only_its_rows(tmp_path):
    fake = tmp_path / "cc"
    fake.write_text(
        '#!/bin/sh\ncase "$*" in *-shared*) echo "circuit.c:1: out of cheese" >&2; exit 1;; *) exec gcc "$@";; esac\n'
    )
    fake.chmod(0o755)
    done = run_harness_process(*TINY, "backend.names=[numba,c]", "runs_dir=r", cwd=tmp_path, env={**os.environ, "CC": str(fake)})
    _, record = only_job(tmp_path / "r")
    assert done.returncode == 1
    assert (record.row("numba").status, record.row("c").status) == ("ok", "failed")
    assert "out of cheese" in record.row("c").reason
    assert "out of cheese" in done.stdout
    assert "Traceback" not in done.stderr + done.stdout
    steps = record.training.steps
    again = run_harness(*TINY, "backend.names=[numba,c]", "runs_dir=r", cwd=tmp_path)
    _, record = only_job(tmp_path / "r")
    assert again.returncode == 0
    assert (record.status, record.training.steps) == ("ok", steps)


MISTAKES = {
    "method=dlgm": "There is no method=dlgm. Did you mean dlgn? Choices: cnn, conv, distill, dlgn, learned, light, mlp, warp,",
    "task=live": "There is no task=live. Did you mean life?",
    "experiment=life_publishd": "Did you mean life_published",
    "backend.names=[numbat]": "Did you mean numba or numpy?",
    "task.rul=B3/S23": "There is no setting task.rul. Did you mean task.rule",
    "nonsense=1": "There is no setting nonsense.",
    "task.rule=3/23": "is not in B/S notation",
    "task.height=0": "task.height=0",
    "task.width=-1": "task.width=-1",
    "task.edges=mirror": "'torus' or 'dead'",
    "seed=first": "seed=first",
    "seed=-1": "seed=-1",
    "seed=0,1": "add -m",
    "train.optimiser.learning_rate=0": "train.optimiser.learning_rate=0",
    "train.optimiser.learning_rate=inf": "train.optimiser.learning_rate=inf: expected a finite number.",
    "train.optimiser.betas=[0.9,nan]": "train.optimiser.betas.1=nan: expected a finite number.",
    "train.evaluate_every=0": "train.evaluate_every=0",
    "method.widths=[8,0]": "method.widths.1=0",
    "method.temperature=0": "method.temperature=0",
    "method.widths=[4]": "9 inputs, first",
    "method.candidates=10": "method.candidates=10 is more than the 9 signals that a layer of",
    "method.candidates=0": "method.candidates=0",
    "method.residual=1": "method.residual=1",
    "method.smoothing=gumbel": "There is no method.smoothing=gumbel here. Choices: soft, hard, gumbel_soft, gumbel_hard.",
    "method.arity=3": "There is no method.arity=3 here. Choices: 2.",
    "method.thresholds={bits: 2, softness: 0.1}": "this task's are bits",
    "engine=tensorflow": "There is no engine=tensorflow. Choices: torch, jax.",
    "train.schedule=linear": "train.schedule=linear",
    "train.batch_size=0": "train.batch_size=0",
    "method.wiring=none": "There is no method.wiring=none here. Choices: unique, aligned, coverage.",
    "runs_dir=/proc/none": "cannot be written",
    "task.rule=[": "Overrides are written name=value",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_line_and_nothing_runs(mistake, tmp_path, monkeypatch, capsys):
    import harness

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["harness.py", "runs_dir=r" if not mistake.startswith("runs_dir") else mistake, mistake])
    with pytest.raises(SystemExit) as ended:
        harness.main()
    said = capsys.readouterr().err.strip()
    assert ended.value.code == 2
    assert MISTAKES[mistake] in said
    assert len(said.splitlines()) == 1
    assert not list(tmp_path.glob("r/*/record.json"))


def test_a_mistake_anywhere_in_a_sweep_is_told_before_its_first_job(tmp_path):
    done = run_harness("-m", "task.rule=B3/S23,B36", "runs_dir=r", *TINY, cwd=tmp_path)
    assert done.returncode == 2
    assert "task.rule=B36 is not in B/S notation" in done.stderr
    assert not list(tmp_path.glob("r/*/record.json"))


def test_ctrl_c_while_training_keeps_what_was_trained(tmp_path):
    arguments = ["train.confirm=0", "train.max_steps=1000000", "train.checkpoint_seconds=0.1", "runs_dir=r", *TINY[2:]]
    # Where the tests run in the background SIGINT is ignored, and a child would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*HARNESS, *arguments], cwd=tmp_path, **pipes) as process:
        signal.signal(signal.SIGINT, before)
        try:
            while not list(tmp_path.glob("r/trainings/*/checkpoint.safetensors")):
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, err
    assert "the same command continues" in out
    assert "Traceback" not in out + err
    _, record = only_job(tmp_path / "r")
    assert record.status == "failed"
    assert re.fullmatch(r"Interrupted at step [\d,]+ of 1,000,000, from which checkpoint.safetensors continues.", record.reason)
    assert (tmp_path / "r" / record.trained_in / "checkpoint.safetensors").exists()


def test_help_lists_every_method_task_and_back_end(tmp_path):
    done = run_harness_process("--help", cwd=tmp_path)
    assert done.returncode == 0
    words = done.stdout.replace(",", " ").split()
    assert {*METHODS, *TASKS, *ALL_BACKENDS} <= set(words)
    assert "experiment=life_published" in words
    assert list(tmp_path.iterdir()) == []


def test_the_whole_configuration_can_be_printed(tmp_path):
    done = run_harness("--cfg", "job", "seed=7", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["seed"] == 7


def test_every_registry_has_its_config_and_every_config_its_entry():
    for registry, group in ((METHODS, "method"), (TASKS, "task")):
        names = {path.stem for path in (CONF / group).glob("*.yaml")}
        assert set(registry) <= names
        assert {compose([f"{group}={name}"])[group]["name"] for name in names} == set(registry)
    assert set(BACKENDS) < set(ALL_BACKENDS)


@pytest.mark.parametrize("group", ["method", "task", "backend", "timing"])  # experiments: tests/test_sweep.py
def test_every_config_composes_to_a_sound_job(group, tmp_path, few_images):
    for path in (CONF / group).glob("*.yaml"):
        check_line([f"{group}={path.stem}", f"runs_dir={tmp_path}"])


def test_settings_of_a_pair_and_of_an_experiment_override_the_general_ones():
    assert check(compose([])).train.optimiser.weight_decay == 0.03  # conf/pair/dlgn_life.yaml
    published = check(compose(["experiment=life_published"]))
    assert (published.train.optimiser.weight_decay, published.train.optimiser.epsilon) == (0.01, 1e-8)
    assert sum(published.method.widths) == 2303
    assert published.method.residual == pytest.approx(math.exp(5) / (math.exp(5) + 15), abs=1e-5)


def test_the_key_covers_settings_and_source_but_not_places(tmp_path):
    config = {"method": {"name": "m"}, "task": {"name": "t"}, "seed": 0, "runs_dir": "a", "threads": 1}
    assert job_key(config) == job_key({**config, "runs_dir": "b", "threads": 2})
    assert job_key(config) != job_key({**config, "seed": 1})
    assert job_key(config) != job_key({**config, "timing": {}})
    assert training_key(config) == training_key({**config, "timing": {}, "backend": {}})
    assert training_key(config) != training_key({**config, "train": {"max_steps": 1}})
    assert job_key(config).startswith("m-t-s0-")


def test_makefile_and_readme_name_the_same_two_commands():
    readme = (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    for command in ("run", "test"):
        assert f"make {command}" in readme
        assert f"\n{command}: " in makefile
    assert "harness.py method=dlgn task=life" in makefile


def test_show_prints_a_failed_job_with_its_reason(tmp_path, finished_job):
    _, record = only_job(finished_job[1])
    record.status, record.reason = "failed", "The moon was in the wrong phase."
    console = Console(width=80, file=io.StringIO())
    show(console, record, tmp_path)
    said = console.file.getvalue()
    assert "status failed" in said
    assert "The moon was in the wrong phase." in said


def test_a_compiler_that_takes_too_long_costs_its_row_only(tmp_path, monkeypatch):
    def outwaited(*_):
        raise CompileTimeoutError("The C compiler did not finish in 1 s.")

    monkeypatch.setitem(BACKENDS, "c", outwaited)
    config = compose([*(one for one in TINY if one != "backend=circuit"), "backend.names=[c,numpy]", f"runs_dir={tmp_path}"])
    record = run_job(Request(config, job_key(config), "python harness.py", {}, source()))
    assert record.status == "ok"
    assert [row.status for row in record.rows] == ["timeout", "ok"]
    assert record.rows[0].reason == "The C compiler did not finish in 1 s."


PRUNED = ["method=dlgn", "task=digits", "method.widths=[100,60]", "train.max_steps=200", "timing=none"]


@pytest.fixture(scope="module")
def pruned_jobs(tmp_path_factory):
    """(output, records by what was asked) of a sweep that trains once and prunes in two ways, beside the job that does not."""
    folder = tmp_path_factory.mktemp("pruned")
    budgets = "prune=null,{points: 2},{gates: 1}"
    done = run_harness("-m", *PRUNED, "backend.names=[nn-torch,numpy,numba,c]", budgets, "runs_dir=r", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    records = [Record.read(path) for path in folder.glob("r/*/record.json")]
    return done, {record.choices["prune"]: record for record in records}, folder


def test_a_pruned_job_has_rows_of_the_pruned_circuit_beside_the_unpruned(pruned_jobs):
    done, records, folder = pruned_jobs
    assert len({record.trained_in for record in records.values()}) == 1
    plain, pruned, least = records["null"], records["{points:2}"], records["{gates:1}"]
    assert plain.pruning is None
    for record in (pruned, least):
        said, learned = record.pruning, plain.training.hard_accuracy
        assert said.accuracy_before == record.training.hard_accuracy == learned
        assert record.hard_accuracy == record.accuracy == said.accuracy_after
        assert record.gap == record.training.soft_accuracy - said.accuracy_after
        assert all(row.exact for row in record.rows)
        accuracies = {row.backend: row.compiled_accuracy for row in record.rows}
        assert accuracies == {"nn-torch": learned, **dict.fromkeys(("numpy", "numba", "c"), said.accuracy_after)}
        assert record.row("c").gates < plain.row("c").gates
        job = folder / "r" / record.key
        circuit, unpruned = (Circuit.load(one / "circuit.safetensors") for one in (job, folder / "r" / record.trained_in))
        assert circuit.provenance == {**unpruned.provenance, "pruned": f"for {said.budget}"}
        task = TASKS["digits"].build(check(record.config).task)
        assert task.score(circuit.answers(circuit.bits(task.test.raw)), task.test) == said.accuracy_after
    assert pruned.pruning.reached
    assert pruned.pruning.validation_after >= pruned.pruning.validation_before - 0.02
    assert pruned.pruning.gates_after < pruned.pruning.gates_before
    assert "pruned" in done.stdout


def test_a_budget_that_is_not_met_says_what_was(pruned_jobs):
    _, records, folder = pruned_jobs
    record = records["{gates:1}"]
    assert not record.pruning.reached
    assert record.pruning.reason.startswith(f"Not reached: best was {record.pruning.gates_after} gates, with ")
    shown = run_reports("--runs", "r", "job", "--run", record.key, cwd=folder).stdout
    assert f"best was {record.pruning.gates_after} gates" in " ".join(shown.split())


def test_pruned_jobs_are_lines_and_columns_of_their_own(pruned_jobs):
    _, records, folder = pruned_jobs
    labels = {line["label"]: line["accuracy"] for here in standings_of(records.values()).values() for line in lines(here)}
    assert labels == {
        "dlgn": records["null"].accuracy,
        "dlgn prune=2 points": records["{points:2}"].accuracy,
        "dlgn prune=1 gates": records["{gates:1}"].accuracy,
    }
    (alone,) = standings_of([records["{points:2}"]]).values()
    assert [line["label"] for line in lines(alone)] == ["dlgn prune=2 points"]
    table = json.loads(run_reports("--runs", "r", "--format", "json", cwd=folder).stdout)
    for row in table:
        record = next(one for one in records.values() if one.key == row["key"])
        assert row["hard_accuracy"] == record.accuracy
        assert row["pruned"] == (record.pruning and record.pruning.budget)
        assert row["unpruned_accuracy"] == (record.pruning and records["null"].accuracy)
    shown = " ".join(run_reports("--runs", "r", "job", "--run", records["{points:2}"].key, cwd=folder).stdout.split())
    said = records["{points:2}"].pruning
    assert f"for 2 points: {said.gates_before} → {said.gates_after} gates" in shown
    assert run_reports("--runs", "r", "circuit", records["{points:2}"].key, cwd=folder).returncode == 0


def test_a_job_that_is_pruned_again_has_the_same_circuit(pruned_jobs):
    _, records, folder = pruned_jobs
    file = folder / "r" / records["{points:2}"].key / "circuit.safetensors"
    before = file.read_bytes()
    again = [*PRUNED, "backend.names=[nn-torch,numpy,numba,c]", "prune={points: 2}", "runs_dir=r"]
    for force in ("force=time", "force=compile"):
        assert run_harness(*again, force, cwd=folder).returncode == 0
        assert file.read_bytes() == before


def test_an_exact_circuit_of_all_rows_stays_exact(tmp_path):
    settings = [
        "method=dlgn",
        "task=boolean",
        "task.function=adder",
        "task.inputs=4",
        "timing=none",
        "backend.names=[numpy,numba]",
    ]
    done = run_harness(*settings, "prune={points: 0}", "runs_dir=.", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    _, record = only_job(tmp_path)
    assert record.training.hard_accuracy == record.accuracy == record.pruning.training_agreement == 1.0
    assert all(row.exact for row in record.rows)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["prune={points: 0.1, gates: 5}"],
            "prune: Expected one budget, such as prune={points: 0.1} or prune={gates: 5000}; got points=0.1 and gates=5",
        ),
        (["prune={}"], "got neither points nor gates"),
        (["prune={points: -1}"], "prune: Expected a budget of 0 to 100 percentage points, got -1"),
        (["prune={gates: 0}"], "prune: Expected a budget of at least one gate, got 0."),
        (["prune={gates: 2.5}"], "prune.gates=2.5"),
        (["prune={gate: 5}"], "prune"),
        (["prune={points: 1}", "method=mlp", "task=digits"], "prune is for circuits of gates, and method=mlp has none."),
    ],
)
def test_budgets_that_cannot_be_are_refused_before_any_work(arguments, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        check_line(arguments)


def test_jobs_that_differ_in_pruning_share_a_training():
    plain, pruned = compose([]), compose(["prune={points: 0.1}"])
    assert training_key(plain) == training_key(pruned)
    assert job_key(plain) != job_key(pruned)
