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
    console = Console(width=80, record=True, file=None)
    with console.capture() as captured:
        console.print(sweep_table(records))
    return captured.get().splitlines()


def test_seeds_are_taken_together_and_the_median_is_over_the_exact_ones():
    records = [job(0, 100, method="dlgn"), job(1, 300, method="dlgn"), job(2, None, method="dlgn"), job(0, 50, method="warp")]
    dlgn, warp = (line.split() for line in lines(records) if line.split()[:1] in (["dlgn"], ["warp"]))
    assert dlgn == ["dlgn", "2/3", "200", "2.0", "1,200", "100.0", "83.3", "16.7", "1e-02"]
    assert warp[:3] == ["warp", "1/1", "50"]


def test_a_choice_never_exact_has_blanks_for_steps_and_seconds():
    (line,) = (line.split() for line in lines([job(0, None, method="warp"), job(0, 10, method="dlgn")]) if "warp" in line)
    assert line == ["warp", "0/1", "1,200", "100.0", "50.0", "50.0", "1e-02"]


def test_a_failed_job_counts_as_not_exact():
    failed = bare_record(choices={"method": "dlgn", "seed": "1"})
    assert any("1/2" in line for line in lines([job(0, 10, method="dlgn"), failed]))


def test_only_what_differs_is_a_column():
    records = [job(0, 1, method="warp", **{"task.inputs": "4"}), job(0, 1, method="warp", **{"task.inputs": "6"})]
    assert varied(records) == ["task.inputs"]
    assert varied(records[:1]) == []


def test_a_long_list_is_shown_by_its_length():
    records = [job(0, 1, **{"method.widths": widths}) for widths in ("[" + "64," * 23 + "1]", "[64,32]")]
    shown = [line.split()[:2] for line in lines(records)]
    assert ["24", "items"] in shown
    assert any(start[0] == "[64,32]" for start in shown if start)


def test_the_table_fits_80_columns():
    records = [job(0, 10_000, method=name, **{"method.smoothing": "gumbel_hard"}) for name in ("dlgn", "warp")]
    assert max(map(len, lines(records))) <= 80


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
