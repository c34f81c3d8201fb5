"""The leaderboard: seeds taken together, what differs told, different places apart, nothing that failed hidden."""

import json
import re

import pytest
from rich.console import Console

from reports.configuration import settings
from reports.export import text
from reports.job import job_tables
from reports.leaderboard import latex, leaderboard, markdown
from reports.ordering import ColumnError
from reports.record import Conditions, Row, Size
from reports.standings import FIGURES, Place, failures, standings_of
from reports.standings import lines as lines_of
from tests.conftest import run_reports
from tests.test_reports import bare_record
from tests.test_sweep import job


def timed(seed, ns=10.0, method="dlgn", threads=1, machine="here", arity=2, hard=None, **changes):
    """A job of one configuration that was exact, or had the accuracy, with a row c of so many nanoseconds an item."""
    record = job(seed, 10)
    if hard is not None:
        record.training.hard_accuracy = hard
    rows = [
        Row("nn-jax", threads=threads, ns_per_item=100 * ns, ratio=1.0, ratio_low=1.0, ratio_high=1.0),
        Row("c", threads=threads, gates=13, ns_per_item=ns, ratio=100.0, ratio_low=90.0, ratio_high=110.0),
        Row("reference", threads=threads, ns_per_item=ns / 2, ratio=200.0, ratio_low=190.0, ratio_high=210.0, versus_c="faster"),
    ]
    config = {"method": {"name": method, "arity": arity}, "timing": {"threads": threads}}
    facts = {
        "method": method,
        "machine": machine,
        "config": config,
        "rows": rows,
        "item": "cell",
        "size": Size(8, 13),
        "key": f"{method}{seed}{arity}",
    }
    for name, value in {**facts, **changes}.items():
        setattr(record, name, value)
    return record


def lines(tables, width=80):
    console = Console(width=width)
    with console.capture() as captured:
        for table in tables:
            console.print(table)
    return captured.get().splitlines()


def shown(records, start, sort=None):
    """Lines of the first of the tables that there are in 80 columns, without their numbers."""
    found = [line.split() for line in lines(leaderboard(standings_of(records), sort))]
    return [line[1:] for line in found if len(line) > 1 and line[1].startswith(start)]


def known(records):
    (here,) = standings_of(records).values()
    return lines_of(here)


def test_seeds_are_one_line_with_the_median_of_their_times():
    records = [timed(seed, ns, hard=hard) for seed, ns, hard in ((0, 1.0, 0.9), (1, 2.0, 0.8), (2, 9.0, 1.0))]
    assert shown(records, "dlgn") == [["dlgn", "3", "90.00±24.84", "80.00", "13", "c", "500M", "100", "★"]]


def test_a_single_seed_is_marked_and_has_neither_interval_nor_worst():
    assert shown([timed(0)], "dlgn") == [["dlgn", "1", "seed", "100.00", "13", "c", "100M", "100", "★"]]


def test_settings_are_told_of_methods_that_have_several_lines():
    records = [timed(0, method="warp", arity=arity) for arity in (2, 4, 6)] + [timed(0)]
    assert sorted(line[:2] for line in shown(records, "warp")) == [["warp", f"arity={arity}"] for arity in (2, 4, 6)]
    assert shown(records, "dlgn")[0][:2] == ["dlgn", "1"]


def test_records_from_before_wiring_could_be_learned_are_of_the_same_line():
    def wired(seed, **method):
        return timed(
            seed, config={"method": {"name": "dlgn", "arity": 2, "wiring": "unique", **method}, "timing": {"threads": 1}}
        )

    fixed, learned = {"candidates": 1, "choice_temperature": 1.0}, {"candidates": 16, "choice_temperature": 1.0}
    found = known([wired(0), wired(1, **fixed), wired(2, **learned)])
    assert sorted((line["label"], line["seeds"]) for line in found) == [("dlgn candidates=1", 2), ("dlgn candidates=16", 1)]


def test_records_from_before_images_could_be_distorted_are_of_the_same_line():
    def of_images(seed, **task):
        return timed(seed, config={"method": {"name": "dlgn"}, "task": {"shift": True, **task}, "timing": {"threads": 1}})

    distorted = of_images(2, shift=False, distort={"copies": 8, "degrees": 10.0})
    found = known([of_images(0), of_images(1, distort=None), distorted])
    assert sorted((line["label"], line["seeds"]) for line in found) == [("dlgn", 2), ("dlgn copies=8", 1)]


@pytest.mark.parametrize(
    ("changes", "titles"),
    [
        ({"threads": 2}, ["t on here, timed on one thread", "t on here, timed on 2 threads"]),
        ({"machine": "there"}, ["t on here, timed on one thread", "t on there, timed on one thread"]),
        ({"task": "u"}, ["t on here, timed on one thread", "u on here, timed on one thread"]),
    ],
)
def test_what_does_not_compare_is_in_tables_of_its_own(changes, titles):
    tables = leaderboard(standings_of([timed(0), timed(1, **changes)]))
    assert [table.title for table in tables] == titles
    assert [len(table.lines) for table in tables] == [1, 1]


def test_a_job_without_times_stands_where_it_would_have_been_timed():
    asked = {"timing": {"threads": None}}
    assert Place.of(bare_record(config=asked, environment={"cores": 4})) == Place("t", "here", 4)
    assert Place.of(bare_record()) == Place("t", "here", 1)


@pytest.mark.parametrize("status", ["failed", "crashed", "timeout", "skipped"])
def test_what_did_not_come_out_is_there_with_its_reason(status):
    gone = {"status": status, "reason": "Out of luck.", "training": None, "rows": []}
    records = [timed(0), timed(1, **gone), timed(2, **gone), timed(0, method="warp", **gone)]
    standings = standings_of(records)
    assert [line[:3] for line in shown(records, "dlgn")] == [["dlgn", "1/3", "seed"]]
    assert shown(records, "warp") == [["warp", "0/1"]]
    assert failures(standings) == [
        f"{status}: dlgn on t, seeds 1, 2: Out of luck.",
        f"{status}: warp on t, seed 0: Out of luck.",
    ]


def test_a_failed_back_end_says_why_and_keeps_what_was_trained():
    record = timed(0, status="failed", reason="A back end failed.", rows=[Row("c", status="failed", reason="No memory.")])
    (line,) = known([record])
    assert (line["seeds"], line["accuracy"], line["items_per_second"]) == (1, 1.0, None)
    assert failures(standings_of([record])) == ["failed: dlgn on t, seed 0: A back end failed. c: No memory."]


def test_a_wide_terminal_has_all_in_one_table():
    boards = leaderboard(standings_of([timed(0), timed(1)]))
    narrow, wide = (lines(boards, width) for width in (80, 200))
    assert sum("───" in line for line in narrow) == 3
    assert sum("───" in line for line in wide) == 1
    (line,) = (line for line in wide if line.startswith("dlgn"))
    assert len(line.split()) == 1 + len([column for column in boards[0].shown() if column.of(boards[0].lines[0])])


def test_every_figure_of_a_line():
    records = [
        timed(seed, ns, hard=hard, noise_floor=floor) for seed, ns, hard, floor in ((0, 1.0, 0.9, 0.1), (1, 4.0, 0.7, 0.2))
    ]
    for record, ratio in zip(records, (50.0, 200.0), strict=True):
        record.rows[1].ratio, record.rows[1].compiled_accuracy = ratio, record.training.hard_accuracy
        record.rows[1].compile_seconds = 3.0
    (line,) = known(records)
    assert set(line) == {*FIGURES, "of", "label"}
    assert line["accuracy"] == line["hard_accuracy"] == line["compiled_accuracy"] == pytest.approx(0.8)
    assert (line["accuracy_low"] + line["accuracy_high"]) / 2 == pytest.approx(0.8)
    assert line["worst"] == 0.7
    assert line["c_items_per_second"] == line["items_per_second"] == pytest.approx(4e8)
    assert line["nn_items_per_second"] == pytest.approx(4e6)
    assert line["numba_items_per_second"] is None
    assert line["ratio_vs_nn"] == pytest.approx(100.0)  # the geometric mean, with an interval that is as far below as above
    assert line["ratio_low"] * line["ratio_high"] == pytest.approx(100.0**2)
    assert line["ratio_low"] < 50.0
    assert (line["noise_floor"], line["compile_seconds"]) == (0.2, 3.0)
    assert (line["gates_logic"], line["gates_whole"]) == (8, 13)


def test_a_single_seeds_ratio_has_the_interval_of_its_blocks():
    (line,) = known([timed(0)])
    assert (line["ratio_vs_nn"], line["ratio_low"], line["ratio_high"]) == (100.0, 90.0, 110.0)


def test_the_front_is_what_no_other_line_beats():
    records = [timed(0, ns, method=name, hard=hard) for name, ns, hard in (("a", 1.0, 0.9), ("b", 2.0, 0.9), ("c", 3.0, 0.95))]
    records += [timed(0, method="untimed", hard=0.99, rows=[Row("c", gates=99)]), timed(0, method="mlp", hard=1.0, rows=[])]
    assert {line["method"]: line["pareto"] for line in known(records)} == {
        "a": True, "b": False, "c": True, "untimed": True, "mlp": None,
    }  # fmt: skip


def test_markdown_and_latex_are_the_leaderboard():
    records = [timed(0, method="a|b_c", hard=0.5), timed(0)]
    found = markdown(standings_of(records)).splitlines()
    assert found[0] == "### t on here, timed on one thread"
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in found[2:6]}) == 1
    assert found[5].startswith(r"| a\|b_c | 1 seed | 50.00 |")
    found = latex(standings_of(records)).splitlines()
    (line,) = (line for line in found if line.startswith(r"a|b\_c & 1 seed & 50.00"))
    header = found[found.index(r"\toprule") + 1]
    assert line.count(" & ") == header.count(" & ")
    assert not {*"±×★–"} & {*"".join(found)}
    with pytest.raises(ColumnError):
        markdown(standings_of(records), "speed")


def test_lines_are_sorted_by_a_column_and_blanks_are_last():
    records = [timed(0, ns, method=name) for name, ns in (("dlgn", 2.0), ("warp", 1.0))] + [timed(0, method="mlp", rows=[])]
    assert [line[0] for line in shown(records, ("dlgn", "warp", "mlp"), "items_per_second")] == ["warp", "dlgn", "mlp"]
    assert [line[0] for line in shown(records, ("dlgn", "warp", "mlp"), "method")] == ["dlgn", "mlp", "warp"]
    values = [row["ns_per_item"] for row in json.loads(text(records, "json", "ns_per_item"))]
    assert values == [200.0, 100.0, 2.0, 1.0, 1.0, 0.5, None]


def test_an_unknown_column_is_an_error_with_the_choices():
    with pytest.raises(ColumnError, match=r"There is no column 'speed' to sort by\. Choices: method, seeds, accuracy,"):
        leaderboard(standings_of([timed(0)]), "speed")
    with pytest.raises(ColumnError, match=r"Choices: method, relaxation, task, .*gates_whole\."):
        text([timed(0)], "csv", "speed")


@pytest.fixture
def some_jobs(tmp_path):
    for method in ("dlgn", "warp"):
        for task in ("mnist", "life"):
            key = f"{method}-{task}"
            (tmp_path / key).mkdir()
            timed(0, method=method, task=task, key=key).write(tmp_path / key)
    return tmp_path


def test_methods_and_tasks_are_chosen_by_their_names(some_jobs):
    def keys(*options):
        done = run_reports("--runs", str(some_jobs), "--format", "csv", *options, cwd=some_jobs)
        assert done.returncode == 0, done.stderr
        return sorted(set(re.findall("(?:dlgn|warp)-(?:life|mnist)", done.stdout)))

    assert keys("--method", "w*") == ["warp-life", "warp-mnist"]
    assert keys("--method", "dlgn", "--task", "*n*") == ["dlgn-mnist"]
    assert len(keys()) == 4
    for options, message in (
        (("--task", "digits"), "No job of a task like digits here. There are: life, mnist."),
        (("--sort", "speed"), "There is no column 'speed' to sort by."),
    ):
        done = run_reports("--runs", str(some_jobs), *options, cwd=some_jobs)
        assert (done.returncode, done.stdout) == (1, "")
        assert message in done.stderr


def test_every_table_fits_80_columns_however_long_the_settings_are(some_jobs):
    records = [timed(0, method="warp", arity=f"a_rather_long_word_for_a_setting_{i}", hard=0.5) for i in range(2)]
    records += [timed(seed, 1e-3, method="warp", arity="x y " * 30, hard=seed / 7) for seed in range(7)]
    for line in lines(leaderboard(standings_of(records))):
        assert len(line) <= 80
        assert "…" not in line


def conditions(**changes):
    facts = {"load": 0.1, "forced": False, "waited_seconds": 0.0, "flagged": 3, "blocks": [{}] * 20}
    return Conditions(**{**facts, **changes})


def test_a_jobs_table_says_what_its_timing_ran_beside_and_what_is_no_different_from_c():
    record = timed(0, conditions=conditions(), noise_floor=0.02)
    quiet = "\n".join(lines(job_tables(record)))
    assert "3 of 20 blocks were disturbed." in quiet
    assert "~" not in quiet
    assert "Forced" not in quiet
    record.rows[2].versus_c = "~"
    record.rows[1].c_bytes, record.rows[1].instructions_per_item = 12_345, 0.302
    record.conditions = conditions(load=1.31, forced=True)
    loud = lines(job_tables(record))
    assert any(line.rstrip().endswith("~") for line in loud if line.strip().startswith("reference"))
    said = "\n".join(loud)
    for sentence in (
        "Forced: other work kept 1.3 cores busy. Do not quote these times.",
        "C text: c 12.3kB.",
        "c: 0.302 instructions per cell, counted with AVX2.",
    ):
        assert sentence in said
    assert max(map(len, loud)) <= 80


def test_a_jobs_table_tells_the_threads_that_it_was_timed_on():
    assert "dlgn on t, seed 0, 2 threads" in "\n".join(lines(job_tables(timed(0, threads=2))))


def test_exports_have_what_the_timing_ran_beside():
    row = json.loads(text([timed(0, conditions=conditions(forced=True))], "json"))[2]
    assert {name: row[name] for name in ("versus_c", "load", "forced", "blocks", "blocks_flagged", "c_bytes")} == {
        "versus_c": "faster", "load": 0.1, "forced": True, "blocks": 20, "blocks_flagged": 3, "c_bytes": None,
    }  # fmt: skip


def test_settings_in_lists_of_several_are_told_by_name():
    shapes = [[{"kernels": 4, "size": 3}, {"kernels": 8, "size": 3}], [{"kernels": 6, "size": 3}, {"kernels": 8, "size": 3}]]
    records = [
        timed(0, config={"method": {"name": "conv", "convolutions": shape}}, key=f"k{i}") for i, shape in enumerate(shapes)
    ]
    assert settings(records[0])["method.convolutions.size"] == "3×2"
    (here,) = standings_of(records).values()
    assert {line["label"] for line in lines_of(here)} == {"dlgn kernels=4,8", "dlgn kernels=6,8"}
