"""Sweeps: what was varied, one line for each choice over its seeds, and experiments that bring their own sweep."""

import pytest
from rich.console import Console

from harness import CONF
from jobs.config import UsageError
from reports.record import Record, Training
from reports.sweep import sweep_table, varied
from tests.conftest import check_line, run_harness, run_reports
from tests.test_reports import bare_record


def job(seed, steps, **choices):
    """A record of a job that was exact after so many steps, or never for None."""
    hard = 1.0 if steps is not None else 0.5
    training = Training(
        engine="torch", threads=2, parameters=1200, gates_learned=75, steps=500, seconds=2.0, compile_seconds=0.1,
        steps_to_exact=steps, seconds_to_exact=None if steps is None else steps / 100, loss=0.1, soft_accuracy=1.0,
        validation_accuracy=1.0,
        hard_accuracy=hard, gap=1.0 - hard, undecided=0.0, entropy=0.0, first_gradient=0.01, last_gradient=0.1,
        steps_per_second=250.0, gate_evaluations_per_second=1e6, gate_types=[],
    )  # fmt: skip
    return bare_record(status="ok", seed=seed, training=training, choices={**choices, "seed": str(seed)})


def lines(records):
    console = Console(width=120, record=True, file=None)  # as the harness has it in a pipe
    with console.capture() as captured:
        console.print(sweep_table(records))
    return captured.get().splitlines()


def shown(records, *labels):
    """The words behind these labels, in the table of accuracies and in that of costs."""
    return [line.split()[len(labels) :] for line in lines(records) if tuple(line.split()[: len(labels)]) == labels]


def accurate(method, *accuracies, **changes):
    """Jobs of seeds 0, 1, ... that had these accuracies."""
    jobs = [job(seed, None, method=method) for seed in range(len(accuracies))]
    for record, accuracy in zip(jobs, accuracies, strict=True):
        record.training.hard_accuracy = accuracy
        for name, value in changes.items():
            setattr(record, name, value)
    return jobs


def test_seeds_are_taken_together_and_the_median_is_over_the_exact_ones():
    records = [job(0, 100, method="dlgn"), job(1, 300, method="dlgn"), job(2, None, method="dlgn"), job(0, 50, method="warp")]
    accuracies, costs = shown(records, "dlgn")
    # 100, 100 and 50: standard deviation 28.87, t of two degrees of freedom 4.303.
    assert accuracies == ["3", "100.00±0.00", "83.33±71.71", "50.00", "16.67", "?"]
    assert costs == ["2/3", "200", "2.0", "1.2k", "1e-02"]
    accuracies, costs = shown(records, "warp")
    assert accuracies == ["1", "seed", "100.00", "100.00", "0.00", "best"]
    assert costs[:2] == ["1/1", "50"]


def test_a_choice_never_exact_has_blanks_for_steps_and_seconds():
    _, costs = shown([job(0, None, method="warp"), job(0, 10, method="dlgn")], "warp")
    assert costs == ["0/1", "1.2k", "1e-02"]


def test_a_failed_job_counts_as_not_exact():
    failed = bare_record(choices={"method": "dlgn", "seed": "1"}, seed=1)
    accuracies, costs = shown([job(0, 10, method="dlgn"), failed], "m", "t")
    assert accuracies[:2] == ["1/2", "seed"]
    assert costs[0] == "1/2"


def test_a_difference_is_only_called_one_where_its_paired_interval_leaves_out_zero():
    """Differences to the best: 2, 3 and 4 %, which is 3 ± 2.5; 1, 2 and 3 %, which is 2 ± 2.5; and of two seeds."""
    records = accurate("best", 0.90, 0.80, 0.70) + accurate("far", 0.88, 0.77, 0.66) + accurate("near", 0.89, 0.78, 0.67)
    records += accurate("few", 0.60, 0.50)
    assert [shown(records, name)[0][-1] for name in ("best", "far", "near", "few")] == ["best", "worse", "~", "?"]


def test_there_is_a_best_of_each_problem():
    records = [job(0, 1, **{"task.inputs": inputs}) for inputs in ("4", "6")]
    for record, inputs in zip(records, (4, 6), strict=True):
        record.config = {"task": {"name": "t", "inputs": inputs}}
    assert [shown(records, inputs)[0][-1] for inputs in ("4", "6")] == ["best", "best"]


def test_jobs_of_one_choice_that_were_configured_differently_are_told_apart():
    records = accurate("dlgn", 0.9) + accurate("dlgn", 0.8)
    for record, steps in zip(records, (10, 20), strict=True):
        record.config = {"train": {"max_steps": steps}}
    assert [line.split()[:2] for line in lines(records) if "1 seed" in line] == [["10", "1"], ["20", "1"]]


def test_seconds_of_different_machines_are_left_out_and_the_rest_is_taken_together():
    records = [job(0, 100, method="dlgn"), job(1, 300, method="dlgn"), job(0, 1, method="warp")]
    assert "s is left out" not in " ".join(lines(records))
    records[0].machine = "there"
    accuracies, costs = shown(records, "dlgn")
    assert accuracies[0] == "2"
    assert costs == ["2/2", "200", "1.2k", "1e-02"]
    assert "s is left out" in " ".join(lines(records))


def test_of_a_seed_that_ran_twice_the_newest_counts():
    old, new = job(0, None, method="dlgn"), job(0, 10, method="dlgn")
    old.date, new.date = "2026-01-01", "2026-01-02"
    assert shown([new, old, job(0, 1, method="warp")], "dlgn")[1][0] == "1/1"


def test_only_what_differs_is_a_column():
    records = [job(0, 1, method="warp", **{"task.inputs": "4"}), job(0, 1, method="warp", **{"task.inputs": "6"})]
    assert varied(records) == ["task.inputs"]
    assert varied(records[:1]) == []


def test_a_long_list_is_shown_by_its_length():
    records = [job(0, 1, **{"method.widths": widths}) for widths in ("[" + "64," * 23 + "1]", "[64,32]")]
    shown = [line.split()[:2] for line in lines(records)]
    assert ["24", "items"] in shown
    assert any(start[0] == "[64,32]" for start in shown if start)


@pytest.mark.parametrize(
    "more", [{}, {"experiment": "quite_a_long_name", "task": "fashion_mnist", "train.optimiser.learning_rate": "0.001"}]
)
def test_the_tables_fit_80_columns(more):
    records = []
    for i, smoothing in enumerate(("soft", "gumbel_hard")):
        choices = {"method.smoothing": smoothing, **{name: f"{value}{i}" for name, value in more.items()}}
        records += [job(seed, 10_000 if seed else None, **choices) for seed in range(3)]
    found = lines(records)
    assert max(map(len, found)) <= 80
    assert not any("…" in line for line in found)
    assert any("gumbel" in line for line in found)


def test_an_experiment_sweeps_by_itself_and_ends_in_its_table(tmp_path):
    small = ["method.widths=[16,8,4,2]", "train.max_steps=5", "seed=0", "method=dlgn,warp2", "method.residual=0.9"]
    done = run_harness("experiment=warp_residual", "runs_dir=r", *small, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = done.stdout[done.stdout.rindex("warp_residual") :]
    assert [line.split()[:2] for line in table.splitlines() if "/1" in line] == [["dlgn", "0/1"], ["warp2", "0/1"]]
    records = [Record.read(path) for path in tmp_path.glob("r/*/record.json")]
    assert {record.choices["method"] for record in records} == {"dlgn", "warp2"}
    again = run_reports("--runs", "r", "sweep", "--experiment", "warp_residual", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "dlgn" in again.stdout
    unknown = run_reports("--runs", "r", "sweep", "--experiment", "warp", cwd=tmp_path)
    assert unknown.returncode == 1
    assert "No job of experiment=warp here. There are: warp_residual." in unknown.stderr


def test_a_mistake_in_an_experiments_sweep_is_told_before_its_first_job():
    with pytest.raises(UsageError, match=r"There is no method=dlgm. Did you mean dlgn"):
        check_line(["experiment=warp_residual", "method=dlgm,warp"])


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "experiment").glob("*.yaml")))
def test_every_job_of_every_experiment_is_sound(name, tmp_path, few_images):
    check_line([f"experiment={name}", f"runs_dir={tmp_path}"])
    assert f"Command:  python harness.py experiment={name}" in (CONF / "experiment" / f"{name}.yaml").read_text()
