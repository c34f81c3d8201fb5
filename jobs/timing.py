"""The last stage of a job: its forms timed, all in one process and interleaved."""

import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from codegen.backends import CompiledCircuit, Executable, second_copy
from codegen.interfaces import CheckedRun
from codegen.measure import Protocol, Samples, check_outputs, noise_floor, ratio, time_arms, verdict
from codegen.timing_lock import alone
from jobs.config import TimingConfig
from jobs.events import Tell
from jobs.proof import NETWORK_BACKENDS, Proofs
from reports.record import Conditions, Record, Row
from tasks import Workload

_FEW = 4  # what is not the headline is timed in so many times fewer blocks


def protocol(timing: TimingConfig) -> Protocol:
    return Protocol(timing.blocks, timing.sample_seconds, timing.warmup_seconds)


def timeable(row: Row) -> bool:
    """Whether the row's form is right: nothing else is timed."""
    return row.exact is not False and row.status == "ok"


def same_choices(timing: TimingConfig, row: Row) -> TimingConfig:
    """Settings that make a neural-network form as it was made when its row was verified, without choosing again."""
    if row.batch is None:
        return timing
    return replace(timing, batches=[row.batch], torch_compile=row.isa == "torch.compile")


def time_rows(
    record: Record,
    proofs: Proofs,
    forms: dict[str, Executable],
    few_items: Callable[[str, int], Executable],
    timing: TimingConfig,
    tell: Tell,
) -> None:
    """Time every row that is not wrong, interleaved, and fill in times and ratios to the fastest neural-network row.

    few_items: the form of a row for so many items at once, which a network is built for.

    Raises codegen.timing_lock.BusyMachineError, and codegen.measure.WrongOutputError where what was timed was wrong.
    """
    few = replace(protocol(timing), blocks=max(2, timing.blocks // _FEW), warmup_seconds=0.0)
    rows = {row.backend: row for row in record.rows if timeable(row)}
    rng = np.random.default_rng(record.seed)
    n = timing.n_threads
    with (
        alone(
            timing.load_limit, timing.patience_seconds, timing.force, lambda who: tell("waiting", of=who), name=record.key
        ) as quiet,
        tempfile.TemporaryDirectory() as folder,
        _together(n) as together,
    ):
        tell("timing", of=list(rows))
        works = {
            name: fitting(proofs.of(name).workload, forms[name], row.batch or 1, timing.run_seconds) for name, row in rows.items()
        }
        copies = {name: 1 if name in NETWORK_BACKENDS else n for name in rows}  # frameworks have threads of their own

        def arms(start: Callable[[str], CheckedRun]) -> dict[str, CheckedRun]:
            return {name: together([start(name) for _ in range(copies[name])]) for name in rows}

        inside = arms(lambda name: works[name].start(forms[name]))
        compiled = forms.get("c")
        if "c" in rows and isinstance(compiled, CompiledCircuit):
            again = second_copy(compiled, Path(folder))
            inside["c again"] = together([works["c"].start(again) for _ in range(copies["c"])])
        timed = time_arms(inside, protocol(timing), rng)
        outside = arms(lambda name: works[name].whole(forms[name]))
        whole = time_arms(outside, few, rng).samples
        if proofs.of_circuit.workload.part(1).n_items == 1:  # not a board, which is one
            for n_items in timing.few_items:
                parts = {name: proofs.of(name).workload.part(n_items) for name in rows}
                alike = {name: part.whole(few_items(name, n_items)) for name, part in parts.items()}
                for name, sample in time_arms(alike, few, rng).samples.items():
                    rows[name].few_items_ns[str(n_items)] = _median_ns(sample) / parts[name].n_items
        if all(row.exact for row in rows.values()):  # there is an oracle
            check_outputs({**inside, **{f"{name} from arrays": arm for name, arm in outside.items()}})
    items = {name: works[name].n_items * copies[name] for name in rows}
    samples = {name: timed.samples[name].of(items[name]) for name in rows}
    baseline = min((samples[name] for name in rows if name in NETWORK_BACKENDS), key=_median_ns, default=None)
    for name, row in rows.items():
        ns = samples[name].ns
        row.threads = n
        row.ns_samples, row.loops, row.items_timed = ns.tolist(), samples[name].loops, items[name]
        row.ns_per_item, row.ns_per_item_min = float(np.median(ns)), float(ns.min())
        row.end_to_end_ns_per_item = _median_ns(whole[name]) / items[name]
        if baseline is not None:
            speed_up = ratio(baseline, samples[name])
            row.ratio, row.ratio_low, row.ratio_high = speed_up.estimate, speed_up.low, speed_up.high
    if "c again" in timed.samples:
        record.noise_floor = noise_floor(timed.samples["c"], timed.samples["c again"])
        for name, row in rows.items():
            row.versus_c = (
                None if name == "c" else verdict(ratio(timed.samples["c"].of(items["c"]), samples[name]), record.noise_floor)
            )
    record.conditions = Conditions(
        quiet.load, quiet.forced, quiet.waited_seconds, timed.n_flagged, [asdict(block) for block in timed.blocks]
    )


class _Together:
    """Runs of the same form on work of their own, at the same time, a codegen.interfaces.CheckedRun."""

    def __init__(self, runs: list[CheckedRun], pool: ThreadPoolExecutor) -> None:
        self._runs, self._pool = runs, pool

    def __call__(self, times: int) -> None:
        for _ in self._pool.map(lambda run: run(times), self._runs):
            pass

    def where_wrong(self) -> str | None:
        return next((wrong for run in self._runs if (wrong := run.where_wrong()) is not None), None)


@contextmanager
def _together(n: int) -> Iterator[Callable[[list[CheckedRun]], CheckedRun]]:
    """What makes one arm of several runs, each in a thread; a single one stays what it is, in this thread."""
    with ThreadPoolExecutor(n) as pool:
        yield lambda runs: runs[0] if len(runs) == 1 else _Together(runs, pool)


_TRIED_ITEMS = 1024  # more than a word of any back end, which costs the same however few of its lanes are used


def fitting(workload: Workload, form: Executable, batch: int, seconds: float) -> Workload:
    """The first items of the work that the form does in about so many seconds, in whole batches of its own, at least one."""
    tried = workload.part(max(batch, _TRIED_ITEMS))
    run = tried.start(form)
    run(1)
    start = time.perf_counter()
    run(1)
    n_items = int(seconds / (time.perf_counter() - start) * tried.n_items)
    return workload if n_items >= workload.n_items else workload.part(max(1, n_items // batch) * batch)


def _median_ns(samples: Samples) -> float:
    return float(np.median(samples.ns))
