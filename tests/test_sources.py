"""What a result depends on: a change of it makes jobs anew, and a change of anything else does not."""

from pathlib import Path

import pytest

from jobs.sources import ROOT, decisive


def names(module):
    return {path.relative_to(ROOT).as_posix() for path in decisive(module)}


def test_a_training_does_not_depend_on_back_ends():
    found = names("jobs.training")
    assert {"methods/kernels.py", "methods/convolution.py", "tasks/life.py", "tasks/fetch.py", "codegen/circuit.py"} <= found
    others = ("emit", "backends", "predictor", "instructions", "measure", "schedule", "chunks", "lower_readout", "prune")
    assert not {name for name in found if Path(name).stem.startswith(others) or "/passes/" in name}
    assert not {name for name in found if name.startswith("codegen/") and name.endswith(".c")}


def test_a_job_depends_on_all_that_it_runs():
    found = names("jobs.job")
    assert names("jobs.training") < found
    assert {"codegen/emit_c.py", "codegen/stencil.c", "codegen/predict.c", "codegen/measure.py", "jobs/timing.py"} <= found
    assert not {name for name in found if name.startswith(("reports/", "tests/")) or name == "harness.py"}


@pytest.mark.parametrize("folder", ["codegen", "tasks"])
def test_all_c_is_named_by_the_module_that_uses_it(folder):
    texts = [path.read_text() for path in (ROOT / folder).glob("*.py")]
    assert all(any(f'"{file.name}"' in text for text in texts) for file in (ROOT / folder).glob("*.c"))
