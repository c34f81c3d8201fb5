"""How long reports of many records take: `python -m tests.benchmarks.report [--jobs 2000]`.

Records are those of reports/published that were timed, or nearly as many rows, copied over seeds, widths and learning rates, with
training curves of 200 readings, in a temporary folder. Each report is a process of its own; figures are medians of some runs.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from rich.console import Console

from methods.train import Evaluation
from reports.publish import PUBLISHED
from reports.record import FILE

SEEDS = 5
READINGS = 200
_MODEL = "dlgn-mnist-s3-9ac051c860"  # has all rows and their samples


def make(folder: Path, n_jobs: int) -> None:
    """Write so many records and their curves."""
    rng = random.Random(0)
    model = json.loads((PUBLISHED / _MODEL / FILE).read_text())
    block = {"seconds": 0.5, "switches": 3, "stolen": 0.001, "load": 0.4}
    for i in range(n_jobs):
        line, seed = divmod(i, SEEDS)
        record = json.loads(json.dumps(model))
        record |= {"schema": 4, "key": f"dlgn-mnist-s{seed}-{i:010x}", "seed": seed, "date": f"2026-01-01T00:00:{i:05}"}
        record["task"] = ("mnist", "life", "digits")[line % 3]
        record["config"]["seed"] = record["config"]["task"]["split_seed"] = seed
        record["config"]["train"]["optimiser"]["learning_rate"] = 0.01 + line // 30 / 1000
        record["config"]["method"]["widths"] = [1000 + 100 * (line % 30)] * 6
        record["command"] += f" seed={seed} train.optimiser.learning_rate={0.01 + line // 30 / 1000}"
        record["conditions"] = {"load": 0.1, "forced": False, "waited_seconds": 0.0, "flagged": 0, "blocks": [block] * 30}
        record["training"]["hard_accuracy"] = rng.uniform(0.9, 0.99)
        for row in record["rows"]:
            row["ns_samples"] = [rng.uniform(1, 100) for _ in range(30 if row["ns_per_item"] else 0)]
            row["gates"] = row["gates"] and int(row["gates"] * rng.uniform(0.5, 2))
            row["few_items_ns"] = {"1": rng.uniform(1e3, 1e5), "512": rng.uniform(10, 100)} if row["ns_per_item"] else {}
        if i % 50 == 49:
            record |= {"status": "failed", "reason": f"Out of luck at job {i}.", "training": None, "rows": []}
        (folder / record["key"]).mkdir()
        (folder / record["key"] / FILE).write_text(json.dumps(record, indent=1))
        readings = (f"{100 * n},{n},0.1,{rng.random()},{rng.random()},0,0,1,1,9.5,0.1" for n in range(READINGS))
        header = ",".join([*Evaluation.__dataclass_fields__, "gap"])
        (folder / record["key"] / "curve.csv").write_text("\n".join([header, *readings]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3, help="of each report")
    options = parser.parse_args()
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, options.jobs)
        page = folder / "page.html"
        reports = {"leaderboard": [], "--html": ["--html", str(page)], "--format csv": ["--format", "csv"]}
        times: dict[str, list[float]] = {name: [] for name in reports}
        for _ in range(options.runs):
            for name, arguments in reports.items():
                began = time.perf_counter()
                command = [sys.executable, "-m", "reports", "--runs", str(folder), *arguments]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                times[name].append(time.perf_counter() - began)
        n_bytes = sum(path.stat().st_size for path in folder.glob(f"*/{FILE}"))
        console.print(f"{options.jobs} records, {n_bytes / 1e6:.0f} MB of JSON")
        for name, seconds in times.items():
            console.print(f"{name:14} {median(seconds):6.2f} s")
        console.print(f"the page has {page.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
