"""The command line as a user runs it, one finished job that many tests look at, and what workers do for each other."""

import io
import os
import pickle
import shutil
import subprocess
import sys
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import methods as methods  # isort: skip  # first, before torch loads OpenMP: its threads would spin

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings

import harness
import reports.__main__
from jobs.fit import check_fit, distinct
from tasks import images

ROOT = Path(__file__).resolve().parent.parent
HARNESS = [sys.executable, str(ROOT / "harness.py")]
# No example is too slow: on a busy machine any is.
settings.register_profile("gatebench", deadline=None)
settings.load_profile("gatebench")
# A network that learns the rule in seconds, a small board, few samples.
QUICK = ["timing=quick", "task.height=40", "task.width=100"]


def run_harness_process(*arguments, cwd, env=None, timeout=300):
    """python harness.py in a folder of the user's; returns the finished process with its text."""
    return subprocess.run([*HARNESS, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout, check=False)


def run_harness(*arguments, cwd):
    """The same in this process, without the seconds that starting one takes; jobs have their own processes all the same."""
    out, err = io.StringIO(), io.StringIO()
    before = sys.argv
    sys.argv = ["harness.py", *map(str, arguments)]
    try:
        with chdir(cwd), redirect_stdout(out), redirect_stderr(err):
            harness.main()
    except SystemExit as ended:
        return subprocess.CompletedProcess(sys.argv, ended.code, out.getvalue(), err.getvalue())
    finally:
        sys.argv = before
    raise AssertionError("harness.main returned")


def copy_sources(to):
    """The sources as they are now, for a test to add files to."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.split("\0")[:-1]:
        if (ROOT / name).exists():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to / name)
    return to


def run_copy(sources, *arguments, cwd):
    """python harness.py of such a copy. numba's compiler is off: it would compile everything anew for them."""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": ""}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path and path != str(ROOT))
    command = [sys.executable, str(sources / "harness.py"), *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)


def check_line(arguments):
    """All that is checked of a command line before any work. Raises UsageError."""
    asked = harness.parse(arguments)
    if asked.searches:
        harness.search_base(asked)
        return
    for config in distinct(job.config for job in harness.jobs_of(asked)):
        check_fit(config, asked.multirun)


def run_reports(*arguments, cwd):
    """python -m reports in a folder of the user's, without the second that a process of its own would take to begin."""
    out, err = io.StringIO(), io.StringIO()
    with chdir(cwd), redirect_stdout(out), redirect_stderr(err):
        returncode = reports.__main__.main(list(arguments))
    return subprocess.CompletedProcess(["reports", *arguments], returncode, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def copied_sources(tmp_path_factory):
    return copy_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory, worker_id):
    """A folder of this run of the tests, the same in every worker."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


def compile_kernels():
    from networks import build, learnable

    build("torch with kernels", *learnable()).prepare(None, 1)


def compile_passes():
    from strategies import busy_stencil

    from codegen.backends import BACKENDS
    from codegen.passes import OPTIMISE_TWO_INPUT, run
    from codegen.prove import prove_equal
    from codegen.schedule import schedule

    netlist = busy_stencil()
    schedule(run(netlist, OPTIMISE_TWO_INPUT)[0])
    stepped = BACKENDS["numba"](netlist, 60)
    stepped.stepper(np.zeros((2, 2), dtype=bool), True).run(1)
    stepped.evaluate(np.zeros((1, 9), dtype=bool))
    prove_equal(netlist, netlist)


@pytest.fixture(scope="session", autouse=True)
def compiled(shared_folder, worker_id):
    """Several workers that begin with an empty cache of numba would each compile what most tests need, for half a minute. Each
    compiles a part, while the others compile theirs, and finds the rest in the cache."""
    if worker_id != "master":
        parts = [compile_kernels, compile_passes]
        first = int(worker_id.removeprefix("gw")) % len(parts)
        for compile_part in parts[first:] + parts[:first]:
            with FileLock(shared_folder / f"{compile_part.__name__}.lock"):
                compile_part()


@pytest.fixture(scope="session")
def finished_job(shared_folder):
    """(process, runs folder) of `harness.py method=dlgn task=life` with every back end, run from another folder by one worker."""
    folder, finished = shared_folder / "user", shared_folder / "finished_job.pickle"
    with FileLock(shared_folder / "finished_job.lock"):
        if not finished.exists():
            folder.mkdir()
            done = run_harness_process("method=dlgn", "task=life", "seed=0", "runs_dir=my runs", *QUICK, cwd=folder)
            finished.write_bytes(pickle.dumps(done))
    return pickle.loads(finished.read_bytes()), folder / "my runs"


@pytest.fixture
def few_images(monkeypatch):
    """Made-up images in the place of those that are fetched: of their size, and hardly more than are held out."""
    rng = np.random.default_rng(0)
    part = rng.integers(0, 256, (6000, 28, 28), dtype=np.uint8), rng.integers(0, 10, 6000, dtype=np.uint8)
    for name in ("mnist", "fashion_mnist"):
        monkeypatch.setitem(images.SOURCES, name, lambda _: images.Images(part, part, 255))


@pytest.fixture
def quick_xla():
    """jax compiles with few of XLA's optimisations: half the time of a test that trains a network only just big enough."""
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def in_chunks(monkeypatch):
    """Small circuits are cut into functions as large ones are."""
    monkeypatch.setattr("codegen.emit_c.CHUNK", 7)


CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium or chrome on the PATH to open the page in")


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@contextmanager
def opening(browser):
    """What opens a file without a network, and a list of what the browser complains of. In the end there must be nothing of that,
    nor a request for anything but the files."""
    contexts, complaints, requests, files = [], [], set(), {"data:,"}

    def open_page(path, **options):
        context = browser.new_context(offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.add(request.url))
        files.add(path.as_uri())
        page.goto(path.as_uri())
        return page

    yield open_page, complaints
    for context in contexts:
        context.close()
    assert complaints == []
    assert requests <= files


@pytest.fixture
def open_file(browser):
    with opening(browser) as (open_page, _):
        yield open_page
