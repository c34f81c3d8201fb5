"""The Boolean task: every function against its definition in plain Python, and the rows on which back ends are timed."""

import random
from types import SimpleNamespace

import back_ends
import numpy as np
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from codegen.backends import BACKENDS
from codegen.equivalence import all_rows
from codegen.netlist import Netlist
from jobs.config import UsageError
from reports.record import Record
from tasks.base import TaskError
from tasks.boolean import FUNCTIONS, MAX_INPUTS, Boolean, BooleanConfig, truth
from tasks.rows import LEAST_ROWS, RowsWorkload, repeated
from tests.conftest import ROOT, check_line, run_harness


def config(**changes):
    base = {"name": "boolean", "function": "parity", "inputs": 4, "outputs": 1, "function_seed": 0}
    return TypeAdapter(BooleanConfig).validate_python(base | changes)


def value(bits):
    return sum(1 << i for i, bit in enumerate(bits) if bit)


def digits(number, n):
    return [bool(number >> i & 1) for i in range(n)]


def multiplexer(bits):
    n_address = {3: 1, 6: 2, 11: 3}[len(bits)]
    return [bits[n_address + value(bits[:n_address])]]


DEFINITIONS = {
    "parity": lambda bits: [bits.count(True) in range(1, 17, 2)],
    "majority": lambda bits: [bits.count(True) > bits.count(False)],
    "multiplexer": multiplexer,
    "adder": lambda bits: digits(value(bits[: len(bits) // 2]) + value(bits[len(bits) // 2 :]), len(bits) // 2 + 1),
    "multiplier": lambda bits: digits(value(bits[: len(bits) // 2]) * value(bits[len(bits) // 2 :]), len(bits)),
}
SMALL = [(name, size) for name in DEFINITIONS for size in FUNCTIONS[name].sizes if size <= 11]


@pytest.mark.parametrize(("name", "size"), SMALL)
def test_function_is_its_definition_on_every_row(name, size):
    split = truth(config(function=name, inputs=size))
    assert split.inputs.shape == (2**size, size)
    for number, (bits, target) in enumerate(zip(split.inputs.tolist(), split.target.tolist(), strict=True)):
        assert value(bits) == number
        assert target == DEFINITIONS[name](bits), bits


@pytest.mark.parametrize("name", [name for name in DEFINITIONS if 16 in FUNCTIONS[name].sizes])
def test_function_of_sixteen_inputs_is_its_definition_on_drawn_rows(name):
    split = truth(config(function=name, inputs=16))
    assert len(split.inputs) == 65536
    for row in random.Random(0).sample(range(65536), 500):
        assert split.target[row].tolist() == DEFINITIONS[name](digits(row, 16))


def test_a_tie_is_no_majority():
    assert truth(config(function="majority", inputs=2)).target[:, 0].tolist() == [False, False, False, True]


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (5, 3), (16, 2), (3, 64)])
def test_a_random_function_has_the_outputs_asked_for_and_depends_on_its_seed_alone(inputs, outputs):
    def table(seed):
        return truth(config(function="random", inputs=inputs, outputs=outputs, function_seed=seed)).target

    assert table(1).shape == (2**inputs, outputs)
    np.testing.assert_array_equal(table(1), table(1))
    if table(1).size > 32:
        assert abs(table(1).mean() - 0.5) < 3 / np.sqrt(table(1).size)
        assert (table(1) != table(2)).any()


@pytest.mark.parametrize("name", DEFINITIONS)
def test_outputs_are_a_setting_of_the_random_function_only(name):
    few, many = (Boolean(config(function=name, inputs=6, outputs=outputs)) for outputs in (1, 7))
    assert few.n_outputs == many.n_outputs == len(DEFINITIONS[name]([False] * 6))
    assert Boolean(config(function="random", inputs=6, outputs=7)).n_outputs == 7


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_size_that_a_function_lists_can_be_built(name):
    for size in FUNCTIONS[name].sizes:
        assert truth(config(function=name, inputs=size)).inputs.shape == (2**size, size)


MISTAKES = [
    ({"function": "xor"}, "There is no task.function=xor. Choices: parity, majority, multiplexer, adder, multiplier, random."),
    ({"function": "multiplexer", "inputs": 7}, "task.inputs=7 makes no multiplexer. Expected 3, 6 or 11: 1, 2 or 3 address bits"),
    ({"function": "multiplexer", "inputs": 1}, "task.inputs=1 makes no multiplexer. Expected 3, 6 or 11"),
    ({"function": "multiplexer", "inputs": 20}, "task.inputs=20 makes a truth table of 2**20 rows. Expected at most 16 inputs"),
    ({"function": "adder", "inputs": 5}, "task.inputs=5 makes no adder. Expected an even number from 2 to 16: two numbers of"),
    ({"function": "multiplier", "inputs": 1}, "task.inputs=1 makes no multiplier. Expected an even number from 2 to 16"),
    ({"inputs": 17}, "Expected at most 16 inputs, 65,536 rows, since all rows are learned and tested. Choose fewer."),
]


@pytest.mark.parametrize(("changes", "said"), MISTAKES)
def test_a_function_that_there_is_not_is_refused_with_those_that_there_are(changes, said):
    with pytest.raises(TaskError) as refused:
        Boolean(config(**changes))
    assert said in str(refused.value)


def test_a_mistake_on_the_command_line_is_told_before_any_work(tmp_path):
    job = ["task=boolean", "task.function=multiplexer", "task.inputs=7", f"runs_dir={tmp_path}/r"]
    with pytest.raises(UsageError, match=r"task\.inputs=7 makes no multiplexer"):
        check_line(job)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("method", ["dlgn", "warp"])
def test_every_function_has_a_network_that_reads_all_inputs_at_its_smallest_and_largest(method, function, tmp_path):
    for inputs in (FUNCTIONS[function].sizes[0], FUNCTIONS[function].sizes[-1]):
        settings = [f"method={method}", "task=boolean", f"task.function={function}", f"task.inputs={inputs}", "task.outputs=16"]
        check_line([*settings, f"runs_dir={tmp_path}"])


@pytest.mark.parametrize("change", [{"inputs": 0}, {"outputs": 0}, {"outputs": 65}, {"function_seed": -1}, {"inputs": "many"}])
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(ValidationError, match=next(iter(change))):
        config(**change)


def test_the_settings_file_is_a_sound_task():
    task = Boolean(TypeAdapter(BooleanConfig).validate_python(yaml.safe_load((ROOT / "conf/task/boolean.yaml").read_text())))
    assert (task.name, task.n_inputs, task.n_outputs) == ("boolean", 6, 1)


def test_all_splits_are_the_whole_truth_table():
    task = Boolean(config(function="adder", inputs=6))
    assert task.train is task.validation is task.test
    assert (task.test.inputs.dtype, task.test.target.dtype) == (np.bool_, np.bool_)
    np.testing.assert_array_equal(task.test.inputs, all_rows(6))
    assert task.test.target.shape == (64, 4)
    assert task.reference_source() is None


def test_score_counts_rows_with_every_output_right():
    task = Boolean(config(function="adder", inputs=4))
    outputs = task.test.target.copy()
    assert task.score(outputs, task.test) == 1.0
    outputs[3] ^= True
    outputs[9, 0] ^= True
    assert task.score(outputs, task.test) == 14 / 16


@pytest.mark.parametrize("inputs", [1, 6, MAX_INPUTS])
def test_the_work_is_the_table_over_and_over_each_time_in_another_order(inputs):
    task = Boolean(config(function="parity", inputs=inputs))
    work, n_rows = task.workload(None), 2**inputs
    assert (work.item, work.n_items) == ("row", LEAST_ROWS)
    orders = (work.bits @ (1 << np.arange(inputs))).reshape(-1, n_rows)
    assert np.all(np.sort(orders, axis=1) == np.arange(n_rows))
    assert n_rows < 4 or (orders[0] != np.arange(n_rows)).any()
    assert n_rows in (2, LEAST_ROWS) or (orders[0] != orders[1]).any()
    np.testing.assert_array_equal(work.answers[:, 0], work.bits.sum(axis=1) % 2 == 1)
    np.testing.assert_array_equal(work.bits, Boolean(config(function="parity", inputs=inputs)).workload(None).bits)


def test_a_split_larger_than_the_least_is_run_once():
    assert len(repeated(16, least=5)) == 16
    assert len(repeated(16, least=17)) == 32


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("backend", back_ends.ALL)
def test_verify_finds_an_exact_circuit_exact(backend, quick):
    executable = BACKENDS[backend](Netlist.from_gates(3, [(0b10010110, (0, 1, 2))], [3]), 60)
    found = Boolean(config(inputs=3)).workload(None).verify(executable, quick)
    assert found.exact
    assert found.where is None
    assert found.items_checked == LEAST_ROWS if quick else found.items_checked > LEAST_ROWS


def rows_with_a_mistake(wrong, at_run=1):
    """An executable of the 3-bit adder's second output that is wrong on one row number, from the at_run-th run on."""

    class Batch:
        def __init__(self, bits):
            self._bits, self._runs = bits, 0

        def run(self, times):
            self._runs += times

        def outputs(self):
            numbers = self._bits @ (1 << np.arange(6))
            right = truth(config(function="adder", inputs=6)).target[numbers]
            right[(numbers == wrong) & (self._runs >= at_run), 1] ^= True
            return right

    return SimpleNamespace(batch=Batch)


def test_verify_finds_a_single_wrong_row_of_the_table_and_says_which():
    found = Boolean(config(function="adder", inputs=6)).workload(None).verify(rows_with_a_mistake(0b001101), quick=True)
    assert (found.items_checked, found.items_checked - found.items_equal, found.exact) == (LEAST_ROWS, LEAST_ROWS // 64, False)
    assert found.where == "row 0b001101, output 1"


def test_verify_finds_a_mistake_that_only_repeated_runs_make():
    workload = Boolean(config(function="adder", inputs=6)).workload(None)
    assert workload.verify(rows_with_a_mistake(5, at_run=2), quick=True).exact
    assert workload.verify(rows_with_a_mistake(5, at_run=2), quick=False).where == "row 0b000101, output 1"


def test_a_row_of_many_inputs_is_named_by_its_place():
    bits = np.zeros((3, 33), dtype=bool)
    workload = RowsWorkload(bits, np.array([[False], [False], [True]]))
    found = workload.verify(BACKENDS["numpy"](Netlist.from_gates(33, [(0, ())], [33]), 60), quick=True)
    assert (found.items_equal, found.where) == (2, "row 2, output 0")


TINY = [
    "method=dlgn",
    "task=boolean",
    "task.inputs=2",
    "method.widths=[16,8,4]",
    "timing=quick",
    "timing.batches=[4096]",
    "runs_dir=r",
]


def test_a_boolean_job_is_learned_proven_and_timed_in_every_back_end_but_the_hand_written(tmp_path):
    done = run_harness(*TINY, "train.max_steps=500", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "status ok, exact" in done.stdout
    assert "rows/s" in done.stdout
    assert "rows/s" in done.stdout
    (path,) = tmp_path.glob("r/*/record.json")
    record = Record.read(path)
    assert (record.task, record.item, record.training.hard_accuracy) == ("boolean", "row", 1.0)
    *rows, reference = record.rows
    assert [row.backend for row in rows] == ["nn-torch", "nn-jax", "numba", "c-naive", "c-portable", "c", "wasm"]
    for row in (row for row in rows if row.backend not in back_ends.LACKING):
        assert (row.status, row.exact, row.compiled_accuracy) == ("ok", True, 1.0)
        assert row.ns_per_item > 0
    assert (reference.status, reference.reason) == ("skipped", "Task boolean has no hand-written form.")
    assert record.noise_floor >= 0


def test_a_boolean_function_that_was_not_learned_is_compiled_and_proven_but_not_timed(tmp_path):
    few_steps = ["task.inputs=10", "method.widths=[32,16,8,4]", "train.max_steps=5", "backend.names=[nn-torch,numba,c]"]
    done = run_harness(*TINY, *few_steps, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.glob("r/*/record.json")
    record = Record.read(path)
    assert record.training.hard_accuracy < 1
    for row in record.rows:
        assert (row.status, row.exact, row.compiled_accuracy) == ("ok", False, record.training.hard_accuracy)
        assert row.ns_per_item is None
        assert "rows, first row 0b" in row.reason
