"""The record of a job: one versioned JSON file, written whole or not at all, that every report is made from."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

SCHEMA = 6
# A record of an earlier one lacks fields that may be empty, and has the learned circuit's look-up tables with its training.
_READABLE = range(3, SCHEMA + 1)
FILE = "record.json"


class RecordError(ValueError):
    """A record that cannot be read; names the file and what to do."""


@dataclass
class Training:
    """How the network was trained. Seconds are wall time of the loop; compile_seconds, before it, is not among them.

    parameters: numbers that were trained. soft_accuracy and hard_accuracy, of the network as trained and as discretised, are
    fractions of the whole test split, gap their difference. validation_accuracy, of the discretised network that was chosen
    by it, loss, undecided and entropy (see methods.readings) are of the evaluation whose network was kept. steps_to_exact,
    seconds_to_exact: until the first evaluation of the unbroken exact run that the training ended in, None if it never was.
    first_gradient, last_gradient: norms of the gradient to the first and last layer's parameters at the first evaluation.
    gate_types: for each layer, how many gates are of which kind. What is said of gates and of what they are discretised to is
    None for an ordinary network, which has none.
    """

    engine: str
    threads: int
    parameters: int
    steps: int
    seconds: float
    compile_seconds: float
    steps_to_exact: int | None
    seconds_to_exact: float | None
    loss: float | None
    soft_accuracy: float
    validation_accuracy: float
    first_gradient: float | None
    last_gradient: float | None
    steps_per_second: float | None
    gates_learned: int | None = None
    hard_accuracy: float | None = None
    gap: float | None = None
    undecided: float | None = None
    entropy: float | None = None
    gate_evaluations_per_second: float | None = None
    gate_types: list[dict[str, int]] = field(default_factory=list)


@dataclass
class Pruning:
    """What pruning made of the learned circuit. budget: what it was for, in words; reason: what was reached instead, None if it
    was. gates: with the readout, as codegen.prune.gate_count. validation, accuracy: fractions of the validation and of the test
    items that are right, before and after; the test items were only scored. training_agreement: the fraction of training items
    with the answer of the learned circuit. steps: each the fields of codegen.prune.Step.
    """

    budget: str
    reached: bool
    reason: str | None
    gates_before: int
    gates_after: int
    validation_before: float
    validation_after: float
    training_agreement: float
    accuracy_before: float
    accuracy_after: float
    seconds: float
    steps: list[dict[str, Any]]


@dataclass
class Size:
    """Gates of two inputs that are left of the circuit that runs, optimised, for what has no others. logic: without its readout.
    whole: with it: the counting of a class's votes and the comparison of counts. luts4, luts6: look-up tables of four and six
    inputs that cover the circuit without its readout."""

    logic: int
    whole: int
    luts4: int | None = None
    luts6: int | None = None


@dataclass
class Row:
    """One back end of a job. Absent values are None: the row's status and reason say why.

    isa: what its words are. batch: items at once, where it has a choice. gates, depth: of the circuit it runs. operators:
    bitwise operators a word. c_bytes: of the C text. instructions_per_item: counted by valgrind, of the same circuit compiled
    for AVX2 (see codegen.instructions). exact: it agreed with both oracles, the circuit's and the task's, on every item
    checked; None where there is no circuit to agree with. ns_per_item, ns_per_item_min: median and least of ns_samples,
    nanoseconds an item in each block of `loops` runs on items_timed items. ratio: times faster than the fastest neural-
    network row, with a 95 % interval. few_items_ns: nanoseconds an item, end to end, when there are only so many. versus_c:
    faster or slower than the row c, or "~" where that cannot be said (see codegen.measure.verdict).
    """

    backend: str
    status: str = "ok"
    reason: str | None = None
    isa: str | None = None
    threads: int = 1
    batch: int | None = None
    gates: int | None = None
    depth: int | None = None
    operators: int | None = None
    compile_seconds: float | None = None
    compile_cached: bool | None = None
    compile_command: str | None = None
    source_file: str | None = None
    passes: list[dict[str, Any]] = field(default_factory=list)
    c_bytes: int | None = None
    instructions_per_item: float | None = None
    items_checked: int | None = None
    exact: bool | None = None
    compiled_accuracy: float | None = None
    ns_per_item: float | None = None
    ns_per_item_min: float | None = None
    end_to_end_ns_per_item: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    versus_c: str | None = None
    few_items_ns: dict[str, float] = field(default_factory=dict)
    loops: int | None = None
    items_timed: int | None = None
    ns_samples: list[float] = field(default_factory=list)


@dataclass
class Conditions:
    """What a timing ran beside. load: processors that other work kept busy when it began. forced: that was more than
    timing.max_load. waited_seconds: for other timings. flagged: how many of the blocks were disturbed (see
    codegen.measure.Block, of which each is the fields)."""

    load: float
    forced: bool
    waited_seconds: float
    flagged: int
    blocks: list[dict[str, Any]]


@dataclass
class Record:
    """A job: what it was, what came out, where and when. choices: what the command line, or the experiment's sweep, set for
    this job. noise_floor: the 95 % half-width of the ratio of one library to its own second copy, a fraction; a smaller
    difference between rows is no difference. log: the end of the log of a job that did not end as it should. trained_in: the
    folder of its training, beside its own. pruning: of a job that prunes; its circuit and its rows, but for those of the network,
    are then of the pruned circuit."""

    key: str
    status: str
    method: str
    relaxation: str | None
    task: str
    seed: int
    config: dict[str, Any]
    environment: dict[str, Any]
    machine: str
    commit: str | None
    dirty: bool | None
    date: str
    command: str
    choices: dict[str, str] = field(default_factory=dict)
    reason: str | None = None
    log: str | None = None
    trained_in: str | None = None
    item: str | None = None
    training: Training | None = None
    pruning: Pruning | None = None
    size: Size | None = None
    circuit_file: str | None = None
    rows: list[Row] = field(default_factory=list)
    noise_floor: float | None = None
    conditions: Conditions | None = None
    schema: int = SCHEMA

    def row(self, backend: str) -> Row | None:
        return next((row for row in self.rows if row.backend == backend), None)

    @property
    def hard_accuracy(self) -> float | None:
        """Of the circuit that runs, on the test split: the pruned one, if it was pruned. None if there is no circuit."""
        if self.pruning is not None:
            return self.pruning.accuracy_after
        return self.training.hard_accuracy if self.training else None

    @property
    def gap(self) -> float | None:
        """Soft accuracy less hard_accuracy."""
        if self.training is None or self.hard_accuracy is None:
            return None
        return self.training.soft_accuracy - self.hard_accuracy

    @property
    def accuracy(self) -> float | None:
        """Of what the job ends in: the circuit that runs, or the ordinary network."""
        if self.training is None or self.hard_accuracy is not None:
            return self.hard_accuracy
        return self.training.soft_accuracy

    @property
    def learned(self) -> list[Row]:
        """The back ends of the learned circuit or network that were timed."""
        return [row for row in self.rows if row.ns_per_item and row.backend != "reference"]

    def write(self, folder: Path) -> Path:
        """Write folder/record.json atomically."""
        from codegen.whole_file import write_whole  # here: what only reads records has no need of the compiler's modules

        path = folder / FILE
        write_whole(path, (json.dumps(asdict(self), indent=1, allow_nan=False) + "\n").encode())
        return path

    @classmethod
    def read(cls, path: Path) -> "Record":
        """Read a record. Raises RecordError if it is damaged or of a schema that this release does not know."""
        try:
            data = json.loads(path.read_text())
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise RecordError(f"{path} is not readable as a record: {error}. Delete its folder, or run the job again.") from error
        schema = data.get("schema") if isinstance(data, dict) else None
        if schema not in _READABLE:
            newer = isinstance(schema, int) and schema > SCHEMA
            advice = "Update Gatebench." if newer else "Run the job again."
            raise RecordError(f"{path} has record schema {schema!r}; this release reads {_READABLE[0]} to {SCHEMA}. {advice}")
        try:
            training = data.pop("training")
            rows = data.pop("rows")
            conditions = data.pop("conditions", None)
            pruning = data.pop("pruning", None)
            size = data.pop("size", None)
            luts = {name: training.pop(name) for name in ("luts4", "luts6") if name in (training or {})}
            if pruning:  # another circuit's than the one that runs
                luts = {}
            data["schema"] = SCHEMA
            data["pruning"] = Pruning(**pruning) if pruning else None
            data["size"] = Size(**{**luts, **size}) if size else None
            data["conditions"] = Conditions(**conditions) if conditions else None
            return cls(training=Training(**training) if training else None, rows=[Row(**row) for row in rows], **data)
        except (TypeError, KeyError) as error:
            raise RecordError(f"{path} is no complete record: {error}. Run the job again.") from error


def read_all(runs: Path) -> Iterator[Record | RecordError]:
    """The records of a folder of jobs, newest first; an unreadable one as the error that it raised."""
    found = [_try_read(path) for path in sorted(runs.glob(f"*/{FILE}"))]
    yield from (entry for entry in found if isinstance(entry, RecordError))
    yield from sorted((entry for entry in found if isinstance(entry, Record)), key=lambda record: record.date, reverse=True)


def _try_read(path: Path) -> Record | RecordError:
    try:
        return Record.read(path)
    except RecordError as error:
        return error


# The tidy table's columns, which others rely on: one row a job and back end. Empty means not applicable, never zero.
COLUMNS = (
    "method", "relaxation", "task", "seed", "status", "soft_accuracy", "hard_accuracy", "compiled_accuracy", "exact",
    "parameters", "gates_learned", "gates_compiled", "ops_compiled", "depth", "train_seconds", "steps", "backend", "isa",
    "threads", "batch", "compile_seconds", "ns_per_item", "items_per_second", "end_to_end_items_per_second",
    "ratio_vs_nn", "ratio_low", "ratio_high", "noise_floor", "key", "machine", "commit", "dirty", "date", "reason",
    "c_bytes", "instructions_per_item", "versus_c", "load", "forced", "blocks", "blocks_flagged",
    "pruned", "unpruned_accuracy", "gates_logic", "gates_whole",
)  # fmt: skip


_OF_RECORD, _OF_ROW = ([f.name for f in fields(kind) if f.name in COLUMNS] for kind in (Record, Row))


def tidy(record: Record) -> list[dict[str, Any]]:
    """One dict of COLUMNS a back end; a job that built none has one row without a back end."""
    job = {name: getattr(record, name) for name in _OF_RECORD}
    if record.training:
        training = record.training
        job |= {
            "soft_accuracy": training.soft_accuracy,
            "hard_accuracy": record.hard_accuracy,
            "parameters": training.parameters,
            "gates_learned": training.gates_learned,
            "train_seconds": training.seconds,
            "steps": training.steps,
        }
    if record.pruning:
        job |= {"pruned": record.pruning.budget, "unpruned_accuracy": record.pruning.accuracy_before}
    if record.size:
        job |= {"gates_logic": record.size.logic, "gates_whole": record.size.whole}
    if record.conditions:
        beside = record.conditions
        job |= {
            "load": beside.load,
            "forced": beside.forced,
            "blocks": len(beside.blocks),
            "blocks_flagged": beside.flagged,
        }
    blank = dict.fromkeys(COLUMNS)
    if not record.rows:
        return [blank | job]
    return [blank | job | _tidy_row(record, row) for row in record.rows]


def _tidy_row(record: Record, row: Row) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in _OF_ROW}
    values["status"] = row.status if record.status == "ok" else record.status
    values["reason"] = row.reason or record.reason
    values |= {
        "gates_compiled": row.gates,
        "ops_compiled": row.operators,
        "items_per_second": 1e9 / row.ns_per_item if row.ns_per_item else None,
        "end_to_end_items_per_second": 1e9 / row.end_to_end_ns_per_item if row.end_to_end_ns_per_item else None,
        "ratio_vs_nn": row.ratio,
    }
    return values
