"""Searches: what a sweeper is told, the best of what it tried, and what is said where one cannot be."""

import re

import pytest

import harness
from jobs.config import UsageError
from jobs.search import OBJECTIVES, best, objectives
from reports.record import Row
from tests.conftest import check_line, run_harness_process
from tests.test_reports import bare_record
from tests.test_sweep import job


def with_gates(accuracy, gates, **values):
    record = job(0, 10)
    record.training.hard_accuracy = accuracy
    record.rows = [Row(backend="nn-torch", gates=None), Row(backend="c-naive", gates=gates + 1), Row(backend="c", gates=gates)]
    return record


def test_objectives_are_numbers_of_the_training_and_gates_as_compiled():
    assert objectives(with_gates(0.5, 7), ["hard_accuracy", "gates", "seconds"]) == [0.5, 7, 2.0]
    assert {"hard_accuracy", "soft_accuracy", "gates", "seconds", "parameters", "luts4"} <= set(OBJECTIVES)
    assert not {"engine", "gate_types"} & set(OBJECTIVES)


def test_a_job_without_an_objective_has_failed():
    assert objectives(job(0, 10), ["gates"]) is None
    assert objectives(bare_record(), ["seconds"]) is None
    failed = with_gates(1.0, 7)
    failed.status = "failed"
    assert objectives(failed, ["gates"]) is None


def test_the_best_are_those_that_none_beats():
    jobs = [with_gates(*one) for one in ((0.9, 5), (1.0, 9), (0.9, 6), (1.0, 9), (0.8, 5), (0.7, 1))]
    found = best([*jobs, bare_record()], ["hard_accuracy", "gates"], ["maximize", "minimize"])
    assert [id(one) for one in found] == [id(jobs[i]) for i in (1, 3, 0, 5)]
    assert best(jobs, ["gates"], ["maximize"]) == [jobs[1], jobs[3]]


@pytest.mark.parametrize(
    ("extra", "choice"),
    [("joblib", "launcher=joblib"), ("submitit", "launcher=submitit_slurm"), ("ray", "launcher=ray_cluster"),
     ("optuna", "sweeper=optuna")],
)  # fmt: skip
def test_what_is_not_installed_is_named_with_its_extra(extra, choice, monkeypatch):
    found = harness.find_spec
    monkeypatch.setattr(
        harness, "find_spec", lambda name: None if name.startswith(f"hydra_plugins.hydra_{extra}") else found(name)
    )
    with pytest.raises(UsageError) as refused:
        harness.parse(["-m", f"hydra/{choice}", "seed=0,1"])
    assert str(refused.value) == f'hydra/{choice} needs an extra that is not installed: pip install "gatebench[{extra}]".'


def test_our_settings_of_a_launcher_come_before_those_of_the_command_line():
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    asked = harness.parse(["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=3", "seed=0,1"])
    assert asked.hydra_arguments == [
        "hydra/launcher=joblib", "+hydra/settings/launcher@hydra.launcher=joblib", "hydra.launcher.n_jobs=3",
    ]  # fmt: skip
    assert harness.hydra_settings(asked).launcher.n_jobs == 3
    assert harness.hydra_settings(harness.parse(["hydra/launcher=joblib"])).launcher.n_jobs >= 2


MISTAKES = {
    "objectives=null": "A search needs objectives=[...], what it is to improve. Choices: gates,",
    "objectives=[gate,hard_accuracy]": "There is no objectives=gate. Did you mean gates",
    "objectives=[gates]": "objectives=[gates] and hydra.sweeper.direction=['maximize', 'minimize']: expected a direction",
    "hydra.sweeper.direction=[up,down]": "expected a direction, maximize or minimize, for each objective.",
    "task=bolean": "There is no task=bolean. Did you mean boolean?",
    "train.evaluate_every=0": "train.evaluate_every=0",
    "hydra.sweeper.trials=3": "trials",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_search_is_told_before_its_first_job(mistake):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    with pytest.raises(UsageError) as refused:
        check_line(["experiment=search_gates", mistake])
    assert MISTAKES[mistake] in str(refused.value)


def test_a_job_of_a_search_can_be_run_alone():
    chosen = ["method.widths=[32,16,8]", "method.temperature=1", "train.optimiser.learning_rate=0.1"]
    asked = harness.parse(["experiment=search_gates", *chosen])
    assert not asked.searches
    assert harness.jobs_of(asked)[0].config["method"]["widths"] == [32, 16, 8]


def test_a_search_goes_on_after_a_failure_and_ends_in_its_best(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    given = ["experiment=search_gates", "hydra.sweeper.n_trials=3", "hydra/sweeper/sampler=random", "train.max_steps=5"]
    # The second does not fit: nothing reads most of its inputs.
    varied = ["method.widths=[32,16,8],[1]", "method.temperature=1", "train.optimiser.learning_rate=0.1", "runs_dir=r"]
    done = run_harness_process(*given, *varied, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert re.search("1 ok, 1 failed|1 failed, 1 ok", done.stdout), done.stderr
    table = done.stdout[done.stdout.rindex(" best ") :]
    (line,) = (words for words in map(str.split, table.splitlines()) if words[:1] == ["[32,16,8]"])
    assert line[-1].startswith("dlgn-boolean-s0-")
