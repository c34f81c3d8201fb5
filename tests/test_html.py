"""The page of results: one file that loads nothing, in which blanks are blank and nothing of a record is markup; and how it works
in a browser."""

import json
import re
import sys
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.datasets import POINTS, POINTS_OF_CURVE, Datasets, rounded
from reports.publish import PUBLISHED
from reports.record import FILE, Record, read_all
from reports.standings import standings_of
from tests.conftest import in_browser, opening, run_reports
from tests.test_standings import timed

alt = pytest.importorskip("altair", reason="the extra report is not installed")
from reports import charts, html, papers  # noqa: E402

MOST_BYTES = 3_000_000
HOSTILE = (
    """</script><script>document.title="hacked"</script><img src=x onerror="document.title='hacked'"> & "quoted" <!-- {{ 7*7 }}"""
)


def unpacked(columns):
    values = [column if isinstance(column, list) else [column["of"][i] for i in column["at"]] for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


class Page(HTMLParser):
    """tags: (name, attributes) of each. data: the JSON. cells: text by row of the leaderboard, the headers first."""

    VOID = ("meta", "link", "input", "br", "img")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text, self.rows, self.data = [], [], [], [], None
        self.feed(text)
        assert not self.open, "not closed"

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if not self.open or self.open[-1][0] in ("script", "style"):
            if self.open and self.open[-1][1].get("id") == "data":
                self.data = json.loads(data)
                self.data["datasets"] = {name: unpacked(columns) for name, columns in self.data["datasets"].items()}
            return
        self.text.append(data)
        if {"td", "th"} & {tag for tag, _ in self.open}:
            self.rows[-1][-1] += data

    @property
    def said(self):
        return " ".join(" ".join(self.text).split())

    def column(self, group, name):
        """The cells of a column, below its header."""
        fields = [attributes["data-field"] for tag, attributes in self.tags if tag == "th" and "data-field" in attributes]
        at = fields.index(f"{group}.{name}" if group else name)
        return [row[at].strip() for row in self.rows[2:]]


def page_of(records, runs, unreadable=()):
    return html.page(standings_of(records), list(unreadable), runs)


@pytest.fixture(scope="module")
def published():
    return page_of([record for record in read_all(PUBLISHED) if isinstance(record, Record)], PUBLISHED)


def test_the_page_is_whole_and_loads_nothing(published):
    page = Page(published)
    assert len(published.encode()) < MOST_BYTES
    loaded = [attributes.get(name) for tag, attributes in page.tags for name in ("src", "srcset", "poster", "action")]
    assert not any(loaded)
    assert all(attributes["href"] == "data:," for tag, attributes in page.tags if tag == "link")
    assert all(attributes["href"].startswith("#") for tag, attributes in page.tags if tag == "a")
    style = re.search("<style>(.*?)</style>", published, re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(attributes["content"] for tag, attributes in page.tags if attributes.get("http-equiv"))
    assert policy.startswith("default-src 'none';")
    assert "'unsafe-eval'" not in policy  # which WebAssembly does not need


def test_headings_regions_and_links_are_of_this_page(published):
    page = Page(published)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["href"][1:] for tag, attributes in page.tags if tag == "a"} <= set(ids)
    assert {attributes["aria-labelledby"] for _, attributes in page.tags if "aria-labelledby" in attributes} <= set(ids)
    headings = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))
    assert [tag for tag, _ in page.tags].count("main") == 1
    assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
    assert all(attributes.get("tabindex") == "0" for _, attributes in page.tags if "scroll" in attributes.get("class", ""))


def test_each_line_of_the_published_records_is_there(published):
    page = Page(published)
    lines = page.data["datasets"]["lines"]
    assert len(page.rows) == 2 + len(lines)
    assert {line["method"] for line in lines} == {"cnn", "conv", "dlgn", "light", "mlp", "warp"}
    assert sum(line["jobs"] for line in lines) == len(list(PUBLISHED.glob(f"*/{FILE}")))
    assert "97.82 ± 0.12" in page.column("", "accuracy")
    assert {"curves", "kinds", "timings"} <= {name for name, rows in page.data["datasets"].items() if rows}


def test_a_page_says_where_it_comes_from(published):
    said = Page(published).said
    for words in ("Gatebench 0.1.0", "x86_64-2c-e5e030", "folder published", f"jobs {len(list(PUBLISHED.glob('*')))}, of which"):
        assert words in said


def test_what_was_not_measured_is_blank_not_zero(tmp_path):
    unmeasured = timed(0, method="warp", status="failed", reason="Out of luck.", training=None, rows=[])
    page = Page(page_of([timed(0), unmeasured], tmp_path))
    for group, name in (("", "accuracy"), ("speeds", "c"), ("", "ratio_vs_nn"), ("", "gates_compiled"), ("", "train_seconds")):
        timed_cell, blank = page.column(group, name)
        assert timed_cell
        assert blank == ""
    failed = page.data["datasets"]["lines"][1]
    assert {failed[name] for name in ("accuracy", "items_per_second", "gates_compiled", "parameters", "noise_floor")} == {None}
    assert page.said.count("one seed") == 1
    assert "failed: warp on t, seed 0: Out of luck." in page.said


def test_columns_that_no_line_has_a_value_for_are_left_out(tmp_path):
    fields = [attributes.get("data-field") for _, attributes in Page(page_of([timed(0)], tmp_path)).tags]
    assert "speeds.c" in fields
    assert "speeds.numba" not in fields
    assert "compiled_accuracy" not in fields


def test_times_of_different_machines_and_threads_have_lines_of_their_own(tmp_path):
    page = Page(page_of([timed(0), timed(1, machine="there"), timed(2, threads=2)], tmp_path))
    assert sorted(zip(page.column("", "machine"), page.column("", "threads"), strict=True)) == [
        ("here", "1"), ("here", "2"), ("there", "1"),
    ]  # fmt: skip
    names = [line["name"] for line in page.data["datasets"]["lines"]]
    assert len(set(names)) == 3


def test_of_a_task_the_machine_of_the_newest_job_comes_first(tmp_path):
    """Records come the newest first."""
    page = Page(page_of([timed(0, machine="b"), timed(0, machine="c", task="a"), timed(1, machine="a")], tmp_path))
    assert list(zip(page.column("", "task"), page.column("", "machine"), strict=True)) == [("a", "c"), ("t", "b"), ("t", "a")]


def hostile_records():
    words = {"reason": HOSTILE, "command": HOSTILE, "machine": HOSTILE, "environment": {"cpu": HOSTILE}, "commit": HOSTILE}
    failed = timed(0, status="failed", training=None, rows=[], task=HOSTILE, key="k", **words)
    return [failed, timed(1, method=HOSTILE, **words)]


def test_nothing_of_a_record_is_markup(tmp_path):
    text = page_of(hostile_records(), tmp_path, [ValueError(HOSTILE)])
    page = Page(text)
    harmless = Page(page_of([timed(0)], tmp_path))

    def scripts(of):
        return [attributes for tag, attributes in of.tags if tag in ("script", "img")]

    assert scripts(page) == scripts(harmless)
    assert "<script>document.title" not in text
    assert "49" not in page.rows[2][0]
    assert page.data["datasets"]["lines"][0]["command"] == HOSTILE
    assert page.said.count(" ".join(HOSTILE.split())) >= 3


def test_curves_are_thinned_so_that_many_jobs_fit(tmp_path):
    steps = range(0, 100_000, 10)
    for seed in range(2):
        record = timed(seed)
        (tmp_path / record.key).mkdir()
        lines = "\n".join(f"{step},{step / 1e5},{'' if step < 50 else step / 2e5}" for step in steps)
        (tmp_path / record.key / "curve.csv").write_text(f"step,soft_accuracy,hard_accuracy\n{lines}\n")
    found = Datasets(standings_of([timed(0), timed(1)]), tmp_path).curves
    assert [curve["seed"] for curve in found] == [0, 1]
    for curve in found:
        assert POINTS_OF_CURVE[0] <= len(curve["step"]) <= POINTS_OF_CURVE[1] <= POINTS
        assert (curve["step"][0], curve["step"][-1], curve["hard"][0]) == (0, steps[-1], None)


@given(st.lists(st.fixed_dictionaries({"a": st.sampled_from(["x", "y", None]), "b": st.integers() | st.just([1, 2])})))
def test_what_is_packed_is_unpacked_the_same(rows):
    assert unpacked(json.loads(json.dumps(html.packed(rows)))) == rows


def test_numbers_that_json_does_not_know_are_blank():
    assert [rounded(value) for value in (float("nan"), float("inf"), 1.0, 1.234567, 3, "x", None)] == [
        None, None, 1, 1.2346, 3, "x", None,
    ]  # fmt: skip


def test_the_page_is_written_and_a_corrupt_record_is_named_and_counted(tmp_path):
    runs = tmp_path / "runs"
    (runs / "good").mkdir(parents=True)
    timed(0, key="good").write(runs / "good")
    (runs / "broken").mkdir()
    (runs / "broken" / FILE).write_text("{")
    done = run_reports("--runs", str(runs), "--html", str(tmp_path / "o.html"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "o.html")
    page = Page((tmp_path / "o.html").read_text())
    assert "Unreadable records: 1" in page.said
    assert str(runs / "broken" / FILE) in page.said


def test_an_empty_folder_says_which_command_makes_records(tmp_path):
    done = run_reports("--runs", str(tmp_path), "--html", str(tmp_path / "o.html"), cwd=tmp_path)
    assert done.returncode == 1
    assert "python harness.py method=dlgn task=life" in done.stderr
    assert not (tmp_path / "o.html").exists()


def test_a_folder_that_is_not_there_says_so(tmp_path):
    done = run_reports("--runs", str(PUBLISHED), "--html", str(tmp_path / "no" / "o.html"), cwd=tmp_path)
    assert done.returncode == 1
    assert "The page cannot be written" in done.stderr


@pytest.mark.parametrize("arguments", [["--html", "o.html"], ["plot", "o.svg"]])
def test_a_missing_library_is_named_with_what_to_install(tmp_path, monkeypatch, arguments):
    for name in ("reports.charts", "reports.html"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "altair", None)
    done = run_reports("--runs", str(PUBLISHED), *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert "Charts need altair, which is not installed: pip install 'gatebench[report]'." in done.stderr


def test_every_chart_is_of_the_schema_of_vega_lite():
    scales = charts.Scales(["dlgn"], ["c", "reference"], ["xor"])
    for chart in charts.CHARTS.values():
        alt.Chart.from_dict(chart.spec(scales) | {"datasets": {}}, validate=True)


def test_charts_are_drawn_as_pictures(tmp_path):
    for name in ("pareto", "curves"):
        done = run_reports("--runs", str(PUBLISHED), "plot", f"{name}.svg", "--chart", name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        svg = (tmp_path / f"{name}.svg").read_text()
        assert charts.CHARTS[name].title in svg
        assert "warp" in svg
    done = run_reports("--runs", str(PUBLISHED), "plot", "o.png", "--chart", "gates", "--theme", "dark", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "o.png").read_bytes().startswith(b"\x89PNG")


def test_charts_beside_each_other_have_what_each_shows_alone(tmp_path):
    done = run_reports(
        "--runs", str(PUBLISHED), "--task", "mnist", "plot", "o.svg", "--chart", "pareto,speed", "--width", "200", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    svg = (tmp_path / "o.svg").read_text()
    for name in ("pareto", "speed"):
        assert charts.CHARTS[name].title in svg
    assert "arXiv 2511.12340: 8,000 gates, learned wiring" in svg
    assert float(re.search(r'width="([0-9.]+)"', svg)[1]) < 700


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["o.svg", "--chart", "pie"], "There is no chart 'pie'. Choices: pareto, speed, forest,"),
        (["o.gif"], "A picture's name ends in .svg or .png; got o.gif."),
        (["o.svg", "--chart", "batch"], "no record has what the chart batch shows"),
        (["no/o.svg", "--chart", "speed"], "The picture cannot be written"),
    ],
)
def test_a_chart_that_cannot_be_drawn_says_why(tmp_path, arguments, message):
    done = run_reports("--runs", str(PUBLISHED), "--method", "mlp", "plot", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """A page of lines of three tasks, with curves, failures and hostile text."""
    folder = tmp_path_factory.mktemp("page")
    records = [timed(seed, ns, key=f"dlgn{seed}", hard=0.9 + seed / 50) for seed, ns in ((0, 1.0), (1, 2.0), (2, 4.0))]
    records += [timed(0, 3.0, method="warp", hard=0.97), timed(0, 1.5, method="conv", task="u")]
    records.append(timed(0, method="light", task="mnist"))
    records += hostile_records()
    for record in records:
        record.noise_floor = 0.02
    (folder / "dlgn0").mkdir()
    (folder / "dlgn0" / "curve.csv").write_text("step,soft_accuracy,hard_accuracy\n0,0.5,0.4\n10,0.9,0.8\n20,1,1\n")
    path = folder / "page.html"
    html.write_page(standings_of(records), [], folder, path)
    return path


@pytest.fixture(scope="module")
def opened(browser, page_file):
    """The page in a browser without a network, and what the browser complained of. One page for all tests, because opening it
    takes a second or two; each leaves it as it was."""
    with opening(browser) as (open_page, complaints):
        page = open_page(page_file, viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
        page.wait_for_selector("html[data-drawn]")
        yield page, complaints


@pytest.fixture
def page(opened):
    """The page; fails on whatever the browser complains of meanwhile."""
    page, complaints = opened
    yield page
    page.click("button[type=reset]")
    page.wait_for_selector("html[data-drawn]")
    assert complaints == []


def names(page):
    return [text.split()[0] for text in page.locator("#lines tbody th").all_inner_texts()]


@in_browser
def test_the_browser_has_nothing_to_complain_of_and_runs_nothing_of_a_record(page):
    assert page.title() == "Gatebench results"
    assert page.locator("figure svg").count() >= 4
    for drawing in page.locator(".drawing:visible").all():
        assert "." in drawing.get_attribute("aria-label")


@in_browser
def test_headings_sort_and_blanks_stay_last(page):
    header = page.locator("th[data-field='items_per_second'], th[data-field='speeds.c']").first
    for direction in ("descending", "ascending"):
        header.locator("button").click()
        assert header.get_attribute("aria-sort") == direction
        speeds = page.evaluate(
            "[...document.querySelectorAll('#lines tbody tr')].map((row) => Gatebench.lines[row.dataset.line].speeds.c ?? null)"
        )
        known = [speed for speed in speeds if speed is not None]
        assert known == sorted(known, reverse=direction == "descending")
        assert speeds[: len(known)] == known
        assert len(speeds) > len(known)


@in_browser
def test_task_method_and_text_filter_table_and_charts(page):
    everything = page.locator("#lines tbody tr").count()
    page.select_option("[name=task]", "u")
    assert names(page) == ["conv"]
    assert page.inner_text("#shown") == f"1 of {everything} lines"
    page.wait_for_selector("html[data-drawn]")
    assert page.locator("#chart-forest svg").text_content().count("dlgn") == 0
    page.click("button[type=reset]")
    page.select_option("[name=method]", "warp")
    assert names(page) == ["warp"]
    page.click("button[type=reset]")
    page.fill("[name=text]", "DLGN here")
    assert set(names(page)) == {"dlgn"}
    page.fill("[name=text]", "nothing like this")
    assert page.is_visible("#nothing")
    page.wait_for_selector("html[data-drawn]")
    assert page.is_visible("#chart-pareto .none")


@in_browser
def test_what_is_published_of_a_task_is_marked_beside_its_lines(page):
    published = page.locator("#chart-pareto [role='graphics-symbol'][aria-label*='published: arXiv']")
    rows = page.locator("#chart-pareto details tbody tr", has_text="arXiv")
    page.select_option("[name=task]", "u")
    page.wait_for_selector("html[data-drawn]")
    assert published.count() == 0
    page.select_option("[name=task]", "mnist")
    page.wait_for_selector("html[data-drawn]")
    known = [paper for paper in papers.published() if paper.task == "mnist"]
    assert published.count() == len(known)
    page.locator("#chart-pareto details summary").click()
    rows.last.wait_for()
    assert [row.split("\t")[-2] for row in rows.all_inner_texts()] == [f"{paper.gates:,}" for paper in known]


@in_browser
def test_the_drawer_opens_by_keyboard_closes_by_esc_and_gives_focus_back(page):
    name = page.locator("tr:not(.not-ok) button.name", has_text="dlgn").first
    name.focus()
    page.keyboard.press("Enter")
    drawer = page.locator("#drawer")
    assert drawer.is_visible()
    said = drawer.inner_text()
    for words in ("Seeds: 3", "Configuration", "method.arity", "Back ends"):
        assert words in said
    page.keyboard.press("Escape")
    assert not drawer.is_visible()
    assert name.evaluate("(button) => button === document.activeElement")


@in_browser
def test_the_drawer_shows_what_a_hostile_record_says_as_text(page):
    page.locator("tr.not-ok button.name").click()
    assert HOSTILE.split()[0] in page.locator("#drawer").inner_text()
    assert page.locator("#drawer img").count() == 0
    page.locator("#drawer .copy").first.click()
    page.wait_for_function("() => document.querySelector('#drawer .copy').textContent !== 'Copy'")
    page.click("#drawer .close")
    assert page.title() == "Gatebench results"


@in_browser
def test_pointing_at_a_mark_tells_its_line_and_command(page):
    marks = page.locator("#chart-pareto svg .mark-symbol[role='graphics-object'] path")
    marks.last.evaluate("(mark) => mark.scrollIntoView({ block: 'center' })")
    marks.last.hover()
    page.wait_for_selector("#vg-tooltip-element.visible")
    assert "command" in page.inner_text("#vg-tooltip-element")
    assert page.locator("#vg-tooltip-element img").count() == 0
    page.locator("#chart-curves details summary").click()
    rows = page.locator("#chart-curves details tbody tr")
    rows.last.wait_for()  # they are made once it opens
    assert rows.count() == 3


@in_browser
@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_has_no_horizontal_scroll_of_the_page(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("(([box]) => box.scrollWidth > box.clientWidth)(document.querySelectorAll('.scroll'))")
    page.locator("button.name").first.click()
    assert page.evaluate("document.getElementById('drawer').getBoundingClientRect().width") <= width
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 1280, "height": 900})


@in_browser
def test_colours_follow_the_system_and_are_told_apart(page):
    for scheme, lightness in (("dark", 0.0), ("light", 1.0)):
        page.emulate_media(color_scheme=scheme)
        quiet = charts.THEMES[scheme].quiet
        page.wait_for_selector(f"#chart-pareto .role-axis-label text[fill='{quiet}']", state="attached")
        found = page.evaluate(
            """() => ["body", ".lead", ".brand", "#lines thead button", "#lines .name", ".tag.bad", "output"].map((one) => {
                 const style = getComputedStyle(document.querySelector(one));
                 return [style.color, getComputedStyle(document.body).backgroundColor];
               })"""
        )
        for colour, background in found:
            assert abs(luminance(background) - lightness) < 0.1
            lighter, darker = sorted((luminance(colour), luminance(background)), reverse=True)
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def luminance(colour):
    """Of rgb(r, g, b), by the Web Content Accessibility Guidelines 2.2."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
