"""Records and what is made from them: tables that parse, fit and leave blanks blank, pictures that show the circuit."""

import csv
import io
import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace

import back_ends
import numpy as np
import pytest
from PIL import Image

from reports.life import Shape, opening
from reports.publish import PUBLISHED, publish
from reports.record import COLUMNS, FILE, SCHEMA, Pruning, Record, RecordError, Row, Size, Training, read_all, tidy
from reports.text import figure, percent, quantity
from tests.conftest import ROOT, run_reports

CONTRACT = {
    *("method", "relaxation", "task", "seed", "status", "soft_accuracy", "hard_accuracy", "compiled_accuracy", "exact"),
    *("parameters", "gates_learned", "gates_compiled", "ops_compiled", "depth", "train_seconds", "steps", "backend", "isa"),
    *("threads", "batch", "compile_seconds", "ns_per_item", "items_per_second", "end_to_end_items_per_second"),
    *("ratio_vs_nn", "ratio_low", "ratio_high", "noise_floor", "key", "machine", "commit", "dirty", "date"),
}


def bare_record(**changes):
    facts = {
        "key": "k", "status": "failed", "method": "m", "relaxation": "r", "task": "t", "seed": 0, "config": {}, "environment": {},
        "machine": "here", "commit": None, "dirty": None, "date": "2026-01-01", "command": "c", "reason": "Out of luck.",
    }  # fmt: skip
    return Record(**{**facts, **changes})


def test_columns_are_the_ones_that_others_rely_on():
    assert set(COLUMNS) >= CONTRACT


def test_a_record_reads_back_as_written(tmp_path):
    record = bare_record(rows=[Row("c", ns_samples=[1.0, 2.0]), Row("numba", status="failed", reason="because")])
    assert Record.read(record.write(tmp_path)) == record
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_look_up_tables_are_found_where_older_records_have_them(tmp_path):
    training = Training("torch", 1, 48, 300, 2.0, 0.0, None, None, 0.1, 0.97, 0.96, 1.0, 1.0, 150.0, gates_learned=3)
    record = bare_record(training=training, size=Size(10, 20, 5, 3))
    data = json.loads(record.write(tmp_path).read_text())
    for name in ("luts4", "luts6"):
        data["training"][name] = data["size"].pop(name)
    data["schema"] = 5
    (tmp_path / FILE).write_text(json.dumps(data))
    assert Record.read(tmp_path / FILE) == record
    pruning = Pruning("0.1 points", True, None, 20, 15, 0.96, 0.96, 1.0, 0.97, 0.97, 1.0, [])
    (tmp_path / FILE).write_text(json.dumps({**data, "pruning": asdict(pruning)}))
    assert Record.read(tmp_path / FILE) == replace(record, pruning=pruning, size=Size(10, 20))
    del data["size"]
    (tmp_path / FILE).write_text(json.dumps(data))
    assert Record.read(tmp_path / FILE) == replace(record, size=None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not readable as a record"),
        ('{"schema": 2', "not readable as a record"),
        ("[]", "has record schema None"),
        ('{"schema": 99}', f"has record schema 99; this release reads 3 to {SCHEMA}. Update Gatebench."),
        ('{"schema": 3, "training": null, "rows": []}', "is no complete record"),
    ],
)
def test_a_bad_record_is_named_and_the_others_are_read(tmp_path, content, message):
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
    bare_record().write(tmp_path / "good")
    (tmp_path / "bad" / FILE).write_text(content)
    error, record = read_all(tmp_path)
    assert isinstance(error, RecordError)
    assert message in str(error)
    assert str(tmp_path / "bad") in str(error)
    assert record.key == "k"


def test_a_job_without_rows_is_one_line_with_blanks_not_zeros():
    (line,) = tidy(bare_record())
    assert line["status"] == "failed"
    assert line["reason"] == "Out of luck."
    assert all(line[name] is None for name in ("backend", "ns_per_item", "hard_accuracy", "exact", "ratio_vs_nn"))


@pytest.mark.parametrize(
    ("value", "shown"), [(1.49e11, "149G"), (1.5e6, "1.5M"), (999, "999"), (0.123, "0.123"), (2.5e12, "2.5T"), (4096, "4.1k")]
)
def test_quantities_have_three_digits_and_a_unit(value, shown):
    assert quantity(value) == shown


@pytest.mark.parametrize(
    ("fraction", "shown"), [(1.0, "100.00"), (0.99999, "99.99"), (0.97816, "97.82"), (0.0, "0.00"), (-0.006, "-0.60")]
)
def test_a_percentage_is_100_only_for_all_items(fraction, shown):
    assert percent(fraction) == shown


def test_csv_is_one_tidy_row_a_back_end_and_nothing_else(finished_job, tmp_path):
    done = run_reports("--runs", str(finished_job[1]), "--format", "csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["backend"] for row in rows] == ["nn-torch", "nn-jax", "numba", "c-naive", "c-portable", "c", "wasm", "reference"]
    assert all(set(row) >= CONTRACT for row in rows)
    assert {row["exact"] for row in rows if row["backend"] not in back_ends.LACKING} == {"True"}
    fastest = rows[5]
    assert float(fastest["items_per_second"]) == pytest.approx(1e9 / float(fastest["ns_per_item"]))
    assert rows[-1]["gates_compiled"] == ""  # the hand-written form has no gates: empty, not zero


def test_json_holds_the_same_rows(finished_job, tmp_path):
    as_csv = run_reports("--runs", str(finished_job[1]), "--format", "csv", cwd=tmp_path).stdout
    rows = json.loads(run_reports("--runs", str(finished_job[1]), "--format", "json", cwd=tmp_path).stdout)
    assert [row["backend"] for row in rows] == [row["backend"] for row in csv.DictReader(io.StringIO(as_csv))]
    assert list(rows[0]) == list(COLUMNS)


def test_the_leaderboard_and_one_job_fit_80_columns(finished_job, tmp_path):
    for command in ((), ("job",)):
        done = run_reports(*command, "--runs", str(finished_job[1]), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert max(map(len, done.stdout.splitlines())) <= 80
        assert "dlgn" in done.stdout
        assert "…" not in done.stdout


@pytest.mark.parametrize(
    ("ratio", "shown"),
    [
        (None, ""),
        (0.5128, "0.513"),
        (12.34, "12.3"),
        (1234.5, "1,234"),
        (99_949, "99,949"),
        (99_950, "100k"),
        (1_234_567, "1,235k"),
    ],
)
def test_speed_ups_are_short_enough_for_intervals_beside_them(ratio, shown):
    assert figure(ratio) == shown


def test_no_records_says_which_command_makes_some(tmp_path):
    command = [sys.executable, "-m", "reports", "--runs", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "python harness.py method=dlgn task=life" in done.stderr
    assert done.stdout == ""


def test_a_corrupt_record_does_not_hide_the_others(finished_job, tmp_path):
    shutil.copytree(finished_job[1], tmp_path / "runs")
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / FILE).write_text("{")
    done = run_reports("--runs", "runs", "--format", "csv", cwd=tmp_path)
    assert len(done.stdout.splitlines()) == 9
    assert "broken" in done.stderr


def test_life_pictures_show_the_circuit_and_the_rule_alike(finished_job, tmp_path):
    size = ["--height", "20", "--width", "40", "--steps", "12"]
    done = run_reports("--runs", str(finished_job[1]), "life", "--gif", "o.gif", "--png", "o.png", *size, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["o.gif", "o.png"]
    with Image.open(tmp_path / "o.gif") as animation:
        assert animation.n_frames > 5
        animation.seek(animation.n_frames - 1)
        pixels = np.asarray(animation.convert("RGB"))
    cells = 40 * 4
    learned, rule = pixels[30:110, 12 : 12 + cells], pixels[30:110, 24 + cells : 24 + 2 * cells]
    assert np.array_equal(learned, rule)
    assert len(np.unique(learned.reshape(-1, 3), axis=0)) == 2  # live and dead, none wrong


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Name a file to write: --gif FILE or --png FILE."),
        (["--gif", "no/such/folder.gif"], "The picture cannot be written"),
        (["--gif", "o.xyz"], "The picture cannot be written"),
        (["--gif", "o.gif", "--height", "0"], "at least 8x16 cells"),
        (["--gif", "o.gif", "--run", "nonsense"], "No job with key nonsense"),
    ],
)
def test_a_picture_that_cannot_be_made_says_why(finished_job, tmp_path, arguments, message):
    done = run_reports("--runs", str(finished_job[1]), "life", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_opening_has_a_glider_alone_in_the_left_half():
    board = opening(Shape(32, 64, 1))
    assert board[:, :32].sum() == 5
    assert board[:, 32:].sum() > 100


def ran(runs, size=70_000, **changes):
    """A job's record as it lies in a folder of jobs, with a curve, and a circuit of so many bytes."""
    facts = {"status": "ok", "reason": None, "dirty": False, "config": {"seed": 1, "runs_dir": str(runs)}}
    facts |= {"choices": {"seed": "1", "runs_dir": str(runs)}, "command": f"python harness.py seed=1 runs_dir={runs}"}
    record = bare_record(**{**facts, "circuit_file": "circuit.safetensors", "rows": [Row("c", source_file="c.c")], **changes})
    (runs / record.key).mkdir()
    record.write(runs / record.key)
    (runs / record.key / "curve.csv").write_text("step,loss\n1,0.5\n")
    (runs / record.key / "circuit.safetensors").write_bytes(bytes(size))
    return record


def test_a_published_record_names_no_folder_of_the_machine(tmp_path):
    runs, to = tmp_path / "runs", tmp_path / "published"
    runs.mkdir()
    folder = publish(ran(runs), runs, to)
    assert sorted(path.name for path in folder.iterdir()) == ["curve.csv", FILE]
    assert str(runs) not in (folder / FILE).read_text()
    (published,) = read_all(to)
    assert published.command == "python harness.py seed=1"
    assert (published.config, published.choices) == ({"seed": 1}, {"seed": "1"})
    assert (published.circuit_file, published.rows) == (None, [Row("c")])


@pytest.mark.parametrize(("size", "asked"), [(60_000, False), (70_000, True)])
def test_a_circuit_is_published_if_it_is_small_or_asked_for(size, asked, tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    folder = publish(ran(runs, size), runs, tmp_path / "published", circuit=asked)
    (published,) = read_all(tmp_path / "published")
    assert (folder / published.circuit_file).stat().st_size == size


@pytest.mark.parametrize(("changes", "why"), [({"status": "failed"}, "status failed"), ({"dirty": True}, "without changes")])
def test_what_nobody_could_run_again_is_not_published(tmp_path, changes, why):
    ran(tmp_path, **changes)
    done = run_reports("publish", "k", "--runs", str(tmp_path), cwd=ROOT)
    assert done.returncode == 1
    assert why in done.stderr
    assert not (PUBLISHED / "k").exists()


def test_every_published_record_is_read_and_from_a_commit():
    records = list(read_all(PUBLISHED))
    assert all(isinstance(record, Record) and record.status == "ok" and not record.dirty for record in records)
    assert all("/" not in record.command for record in records)
