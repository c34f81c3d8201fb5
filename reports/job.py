"""One job as tables for a terminal."""

import textwrap

from rich import box
from rich.table import Table

from reports.record import Pruning, Record
from reports.text import figure, quantity, threads

_FACT_COLUMNS = 66  # beside the facts' names, in a terminal of 80


def job_tables(record: Record) -> list[Table]:
    """One job: how it was trained, then a line for every back end, the fastest learned one marked."""
    tables = []
    training = record.training
    if training:
        facts = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        facts.add_column(style="dim")
        facts.add_column()
        spent = [f"{training.steps} steps in {training.seconds:.1f} s"]
        if training.seconds_to_exact is not None:
            spent.append(f"exact after {training.seconds_to_exact:.1f} s")
        elif record.config.get("train", {}).get("confirm"):  # it was trained until exact
            spent.append("never exact")
        facts.add_row("trained", ", ".join(spent))
        if training.hard_accuracy is None:
            facts.add_row("accuracy", _accuracy(training.soft_accuracy))
        else:
            both = f"soft {_accuracy(training.soft_accuracy)}, discretised {_accuracy(training.hard_accuracy)}"
            facts.add_row("accuracy", both)
            if record.pruning is not None:
                facts.add_row("pruned", textwrap.fill(_pruning(record.pruning), _FACT_COLUMNS))
            gates = " → ".join([f"{training.gates_learned} learned", *_gates_left(record)])
            facts.add_row("gates", textwrap.fill(gates, _FACT_COLUMNS))
            if record.size is not None:
                facts.add_row("circuit", f"{record.size.logic} gates of two inputs, {record.size.whole} with the readout")
                if record.size.luts4 is not None:
                    facts.add_row("luts", f"{record.size.luts4} of four inputs, {record.size.luts6} of six")
        facts.add_row("parameters", str(training.parameters))
        tables.append(facts)
    if record.rows:
        tables.append(_rows_table(record))
    return tables


def _pruning(done: Pruning) -> str:
    """What pruning did, the circuit before it and after it side by side."""
    kept = sum(step["constants"] + step["copies"] for step in done.steps)
    said = [
        f"for {done.budget}: {done.gates_before} → {done.gates_after} gates with the readout, {kept} signals replaced in"
        f" {done.seconds:.0f} s.",
        f"Accuracy {_accuracy(done.accuracy_before)} → {_accuracy(done.accuracy_after)} on the test items,"
        f" {_accuracy(done.validation_before)} → {_accuracy(done.validation_after)} on validation;"
        f" {_accuracy(done.training_agreement)} of the training items are answered as before.",
        "The rows are of the pruned circuit, those of the network of the unpruned.",
    ]
    return " ".join([*said, *([done.reason] if done.reason else [])])


def _gates_left(record: Record) -> list[str]:
    """Gates after each pass of the best-optimised circuit that changed their number."""
    row = record.row("c") or record.row("numba")
    passes = row.passes if row else []
    return [f"{step['gates_after']} by {step['name']}" for step in passes if step["gates_after"] != step["gates_before"]]


def _rows_table(record: Record) -> Table:
    item = record.item or "item"
    timed_on = threads(max(row.threads for row in record.rows))
    table = Table(
        title=f"{record.method} on {record.task}, seed {record.seed}, {timed_on}",
        caption=_caption(record),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("  back end", no_wrap=True)
    for name in ("gates", "build s", f"{item}s/s", "end to end", "× nn", "95 %", ""):
        table.add_column(name, justify="right", no_wrap=True)
    best = min(record.learned, key=lambda row: row.ns_per_item or 0, default=None)
    for row in record.rows:
        table.add_row(
            ("★ " if row is best else "  ") + row.backend,
            _shown(row.gates),
            _shown(row.compile_seconds, ".2f"),
            *(quantity(1e9 / ns) if ns else "" for ns in (row.ns_per_item, row.end_to_end_ns_per_item)),
            figure(row.ratio),
            f"{figure(row.ratio_low)}–{figure(row.ratio_high)}" if row.ratio_low and row.ratio_low != row.ratio_high else "",
            "~" if row.versus_c == "~" else "",
            style="bold" if row is best else None if row.ns_per_item else "dim",
        )
    return table


def _caption(record: Record) -> str:
    """What the table's words stand for here."""
    item = record.item or "item"
    said = []
    baseline = next((row for row in record.rows if row.ratio == row.ratio_low == row.ratio_high == 1), None)
    if baseline is not None:
        said.append(f"× nn: times faster than {baseline.backend}, the fastest neural-network row.")
    networks = [f"{row.backend}: {row.isa}, batch {row.batch}" for row in record.rows if row.batch]
    words = [f"{row.backend}: {row.isa}" for row in record.rows if row.backend in ("c", "reference") and row.isa]
    said += [f"{'; '.join(part)}." for part in (networks, words) if part]
    if any(row.end_to_end_ns_per_item for row in record.rows):
        said.append(f"end to end: {item}s/s with packing and unpacking, from what the caller has.")
    most = max((row.items_timed or 0 for row in record.rows), default=0)
    fewer = [f"{row.backend} on {row.items_timed}" for row in record.rows if row.items_timed and row.items_timed < most]
    if fewer:
        said.append(f"Timed on {most} {item}s; {', '.join(fewer)}.")
    if record.noise_floor is not None:
        said.append(f"A second copy of c differs by up to {100 * record.noise_floor:.1f} %.")
    if any(row.versus_c == "~" for row in record.rows):
        said.append("~: no faster or slower than c by more than its second copy or the interval.")
    sizes = [f"{row.backend} {quantity(row.c_bytes)}B" for row in record.rows if row.c_bytes]
    if sizes:
        said.append(f"C text: {', '.join(sizes)}.")
    said += [
        f"{row.backend}: {figure(row.instructions_per_item)} instructions per {item}, counted with AVX2."
        for row in record.rows
        if row.instructions_per_item
    ]
    return "\n".join([*said, *_conditions(record)])


def _conditions(record: Record) -> list[str]:
    """What the timing ran beside, where that is known."""
    beside = record.conditions
    if beside is None:
        return []
    said = [f"{beside.flagged} of {len(beside.blocks)} blocks were disturbed."]
    if beside.forced:
        said.append(f"Forced: other work kept {beside.load:.1f} cores busy. Do not quote these times.")
    return said


def notes(record: Record) -> list[str]:
    """Why rows have no time, one sentence a row, and why the job failed if it did."""
    said = [f"{row.backend}: {row.reason}" for row in record.rows if row.reason]
    return [*([record.reason] if record.reason else []), *said]


def _accuracy(value: float) -> str:
    """A fraction as a percentage that shows 100 only for all items."""
    shown = f"{100 * value:.2f} %"
    return shown if value in (0.0, 1.0) or shown != "100.00 %" else f"{100 * value:.4f} %"


def _shown(value: float | None, style: str = "") -> str:
    return "" if value is None else format(value, style)
