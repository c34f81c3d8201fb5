"""Circuits that run in the page: they step boards and tell classes as the oracle does, and obey the keyboard and the pointer."""

import json
import re

import numpy as np
import pytest

from codegen.backends import NumpyCircuit
from codegen.circuit import Circuit
from codegen.encoder import Encoder
from codegen.equivalence import all_rows
from codegen.netlist import Netlist
from codegen.readout import GroupSum
from codegen.simulate import simulate
from reports.publish import PUBLISHED
from reports.record import Record, read_all
from reports.standings import standings_of
from tasks.life import CONWAY, run, truth
from tests.conftest import in_browser
from tests.test_standings import timed

pytest.importorskip("altair", reason="the extra report is not installed")
from reports import alive, html

SUM, CARRY = 0x96, 0xE8
# Counts the eight neighbours: ones to gate 16, twos to 10, 12, 14 and 17. Two or three are alive where one of the twos is true.
COUNTING = [
    (SUM, (0, 1, 2)), (CARRY, (0, 1, 2)), (SUM, (3, 5, 6)), (CARRY, (3, 5, 6)), (0b0110, (7, 8)), (0b1000, (7, 8)),
    (SUM, (9, 11, 13)), (CARRY, (9, 11, 13)), (SUM, (10, 12, 14)), (CARRY, (10, 12, 14)), (0b0110, (17, 16)), (0b0010, (19, 18)),
]  # fmt: skip
EXACT = Netlist.from_gates(9, [*COUNTING, (0b1110, (4, 15)), (0b1000, (20, 21))], [22])
WRONG = Netlist.from_gates(9, [*COUNTING, (0b1110, (4, 15)), (0b1000, (20, 21)), (0b1110, (22, 0))], [23])
SIDE, N_CLASSES, BRIGHTEST = 8, 10, 16


def life_job(seed, **changes):
    settings = {
        "method": {"name": "dlgn", "arity": 2 + seed},
        "task": {"name": "life", "rule": "B3/S23"},
        "timing": {"threads": 1},
    }
    return timed(seed, task="life", circuit_file="circuit.safetensors", config=settings, key=f"dlgn-life-{seed}", **changes)


def image_job(**changes):
    settings = {"method": {"name": "dlgn"}, "task": {"name": "digits", "encoder": {"kind": "uniform"}}, "timing": {"threads": 1}}
    return timed(0, task="digits", circuit_file="circuit.safetensors", config=settings, key="dlgn-digits-0", **changes)


def image_circuit():
    rng = np.random.default_rng(0)
    n_inputs, n_gates, n_outputs = 2 * SIDE * SIDE, 700, 257  # groups that are not all of one size
    gates = [
        (int(rng.integers(16)), tuple(int(signal) for signal in rng.integers(max(0, n_inputs + gate - 300), n_inputs + gate, 2)))
        for gate in range(n_gates)
    ]
    outputs = rng.integers(n_inputs + n_gates - 400, n_inputs + n_gates, n_outputs)
    threshold = rng.integers(0, BRIGHTEST, n_inputs) + np.float32(0.1)
    encoder = Encoder(SIDE * SIDE, np.repeat(np.arange(SIDE * SIDE), 2), threshold)
    return Circuit(
        Netlist.from_gates(n_inputs, gates, outputs, rng.random(n_outputs) < 0.5), {}, encoder, GroupSum(N_CLASSES, 3.0)
    )


def write(folder, *jobs):
    """Circuit files and the page of jobs, each with its circuit or None."""
    for job, circuit in jobs:
        if circuit is not None:
            (folder / job.key).mkdir()
            circuit.save(folder / job.key / job.circuit_file)
    path = folder / "page.html"
    html.write_page(standings_of([job for job, _ in jobs]), [], folder, path)
    return path


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """A page without charts, which take seconds to draw: of Life an exact circuit and a wrong one, and one of images."""
    folder = tmp_path_factory.mktemp("alive")
    exact = life_job(0, date="2026-01-02T00:00:00+00:00")
    wrong = life_job(1, date="2026-01-01T00:00:00+00:00")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html, "SECTIONS", [name for name in html.SECTIONS if name != "charts"])
        return write(folder, (exact, Circuit(EXACT)), (wrong, Circuit(WRONG)), (image_job(), image_circuit()))


@pytest.fixture
def page(open_file, page_file):
    """The page as opened by who wants less motion: nothing moves before it is told to."""
    opened = open_file(page_file, reduced_motion="reduce")
    opened.evaluate("Promise.all([Gatebench.alive.life.ready, Gatebench.alive.image.ready])")
    return opened


def board_of(page):
    rows = page.evaluate("Gatebench.alive.life.board()")
    return np.array([list(row) for row in rows]) == "1"


def generation(page):
    return int(page.inner_text("#life-generation").replace(",", ""))


def press(page, selector, key="Enter"):
    page.focus(selector)
    page.keyboard.press(key)


def policy(path):
    """What the browser is told, without which scripts are of the page."""
    text = re.search('Content-Security-Policy" content="([^"]*)', path.read_text())[1].replace("&#39;", "'")
    return re.sub(" 'sha256-[^']*'", "", text)


def test_the_circuit_made_by_hand_is_life_and_the_other_is_not():
    split = truth(CONWAY)
    np.testing.assert_array_equal(simulate(EXACT, split.inputs), split.target)
    assert not np.array_equal(simulate(WRONG, all_rows(9)), simulate(EXACT, all_rows(9)))


@in_browser
@pytest.mark.parametrize(("size", "steps"), [("128x96", 100), ("512x512", 8)])
def test_a_pentomino_is_stepped_as_by_the_oracle_and_the_rule(page, size, steps):
    page.select_option("#life-size", size)
    press(page, "[data-preset=pentomino]")
    board = board_of(page)
    width, height = map(int, size.split("x"))
    assert board.shape == (height, width)
    assert board.sum() == 5
    page.evaluate(f"Gatebench.alive.life.step({steps})")
    after = board_of(page)
    oracle = NumpyCircuit(EXACT).stepper(board, torus=True)
    oracle.run(steps)
    np.testing.assert_array_equal(after, oracle.board())
    np.testing.assert_array_equal(after, run(board, CONWAY, True, steps))
    assert page.inner_text("#life-alive") == str(after.sum())


@in_browser
def test_a_glider_gun_shoots_every_thirty_generations_and_soups_differ(page):
    press(page, "[data-preset=gun]")
    gun = board_of(page)
    page.evaluate("Gatebench.alive.life.step(60)")
    after = board_of(page)
    assert gun.sum() == 36
    assert after.sum() == 36 + 2 * 5
    assert after[gun].all()
    soups = []
    for _ in range(2):
        press(page, "[data-preset=soup]")
        soups.append(board_of(page))
    assert 0.3 < soups[0].mean() < 0.4
    assert not np.array_equal(*soups)


@in_browser
def test_buttons_obey_the_keyboard(page):
    assert page.inner_text("#life-play") == "Play"
    press(page, "[data-preset=pentomino]")
    press(page, "#life-step", "Space")
    assert generation(page) == 1
    page.select_option("#life-speed", "0")
    page.locator("#life-board").scroll_into_view_if_needed()
    press(page, "#life-play", "Space")
    assert page.inner_text("#life-play") == "Pause"
    page.wait_for_function("() => Gatebench.alive.life.cellsPerSecond > 0")
    assert page.inner_text("#life-cells") != "–"
    press(page, "#life-play", "Space")
    stopped = generation(page)
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert generation(page) == stopped > 1
    press(page, "#life-clear")
    assert not board_of(page).any()
    assert generation(page) == 0


@in_browser
def test_a_pointer_draws_and_erases_cells(page):
    press(page, "#life-clear")
    canvas = page.locator("#life-board")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()

    def at(x, y):
        return box["x"] + 1 + (x + 0.5) * (box["width"] - 2) / 128, box["y"] + 1 + (y + 0.5) * (box["height"] - 2) / 96

    page.mouse.click(*at(70, 80))
    assert np.argwhere(board_of(page)).tolist() == [[80, 70]]
    page.mouse.click(*at(70, 80))
    assert not board_of(page).any()
    page.mouse.move(*at(60, 80))
    page.mouse.down()
    page.mouse.move(*at(70, 80))
    page.mouse.up()
    assert np.argwhere(board_of(page)).tolist() == [[80, x] for x in range(60, 71)]


@in_browser
def test_what_differs_from_the_rule_is_counted(page):
    press(page, "#life-difference", "Space")
    for job, is_wrong in (("0", False), ("1", True)):
        press(page, "#life-clear")
        page.select_option("#life-job", job)
        page.wait_for_function(
            f"() => document.getElementById('life-gates').textContent === String(Gatebench.data.life[{job}].gates)"
        )
        press(page, "[data-preset=pentomino]")
        board = board_of(page)
        press(page, "#life-step")
        expected = int((board_of(page) != run(board, CONWAY, True, 1)).sum())
        assert (expected > 0) == is_wrong
        assert page.inner_text("#life-wrong") == f"{expected} / {expected}"
        page.evaluate("Gatebench.alive.life.step(20)")
        assert (page.evaluate("Gatebench.alive.life.wrong()") > expected) == is_wrong


@in_browser
def test_images_are_of_the_class_that_the_circuit_predicts(page):
    circuit = image_circuit()
    images = np.random.default_rng(1).integers(0, BRIGHTEST + 1, (10, SIDE * SIDE)).astype(np.uint8)
    for image in images:
        said = page.evaluate("(pixels) => Gatebench.alive.classify('digits', pixels)", image.tolist())
        assert said["class"] == circuit.predict(image[None])[0]
        assert said["counts"] == circuit.counts(image[None])[0].tolist()
        np.testing.assert_array_equal(np.float32(said["scores"]), circuit.scores(image[None])[0])
    assert len(set(circuit.predict(images))) > 1


@in_browser
def test_an_image_is_drawn_seen_and_cleared(page):
    canvas = page.locator("#image-pixels")
    canvas.scroll_into_view_if_needed()
    assert page.inner_text("#image-class") == "–"
    canvas.click()
    assert page.inner_text("#image-class") in "0123456789"
    assert page.locator("#image-scores .best").count() == 1
    press(page, "#image-clear")
    assert page.inner_text("#image-class") == "–"


@in_browser
def test_it_moves_by_itself_unless_less_motion_is_wanted(open_file, page_file):
    page = open_file(page_file)
    page.evaluate("Gatebench.alive.life.ready")
    assert page.inner_text("#life-play") == "Pause"
    page.locator("#life-board").scroll_into_view_if_needed()
    page.wait_for_function("() => document.getElementById('life-generation').textContent !== '0'")


@in_browser
@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_has_no_horizontal_scroll(open_file, page_file, width):
    page = open_file(page_file, viewport={"width": width, "height": 800})
    page.evaluate("Gatebench.alive.life.ready")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_webassembly_is_allowed_only_where_there_is_any(page_file, tmp_path):
    without = policy(write(tmp_path, (life_job(0), None)))
    assert "wasm" not in without
    assert policy(page_file) == without.replace("script-src;", "script-src 'wasm-unsafe-eval';")


def test_circuits_that_cannot_run_here_say_why(tmp_path, monkeypatch):
    gone, other, big = life_job(0), life_job(1), life_job(2)
    monkeypatch.setattr(alive, "MOST_BYTES", 10)
    text = write(tmp_path, (gone, None), (other, Circuit(Netlist.from_gates(3, [], [0]))), (big, Circuit(EXACT))).read_text()
    for words in (
        "dlgn-life-0: Expected a circuit file",
        "dlgn-life-1: Expected 9 inputs and 1 output of a circuit of Life, got 3 and 1.",
        "dlgn-life-2: It would take 0.0 MB of the page",
        "python harness.py method=dlgn task=life",
    ):
        assert words in text


def test_published_records_have_no_circuits_and_other_tasks_no_such_section(tmp_path):
    published = [record for record in read_all(PUBLISHED) if isinstance(record, Record)]
    assert "python harness.py method=dlgn task=life" in html.page(standings_of(published), [], PUBLISHED)
    assert 'id="alive"' not in html.page(standings_of([timed(0)]), [], tmp_path)


def test_only_the_newest_few_configurations_are_there(tmp_path):
    jobs = [life_job(seed, date=f"2026-01-{seed + 1:02}T00:00:00+00:00") for seed in range(alive.MOST_LIFE + 2)]
    text = write(tmp_path, *((job, Circuit(EXACT)) for job in jobs)).read_text()
    data = json.loads(re.search('id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert [one["key"] for one in data["life"]] == [job.key for job in jobs[:1:-1]]
