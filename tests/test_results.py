"""README.md and docs/results.md say what the published records say."""

import pytest

from reports import results
from reports.publish import PUBLISHED
from reports.record import read_all
from reports.results import PAGE, README, ROOT, MarkerError, page, readme
from reports.standings import standings_of
from tests.test_standings import timed


@pytest.fixture(scope="module")
def published():
    return list(read_all(PUBLISHED))


def test_the_pages_agree_with_the_records(published):
    again = "Run `python -m reports results`."
    text = (ROOT / README).read_text()
    assert readme(text, published) == text, again
    assert (ROOT / PAGE).read_text() == page(published), again


def test_every_task_has_its_best_lines_in_the_readme(published):
    text = (ROOT / README).read_text()
    for place in standings_of(published):
        assert f"| {place.task} | " in text


def test_a_method_has_one_line_a_task_in_the_readme_that_of_three_seeds_the_most_accurate():
    several = [timed(seed, ns=2.0, hard=0.9) for seed in range(3)]
    faster = [timed(seed, ns=1.0, hard=0.9, machine="there", key=f"there{seed}") for seed in range(3)]
    alone = timed(0, ns=1.0, hard=0.99, arity=4)
    text = readme(f"{results._BEGIN}{results._END}\n", [*several, alone, *faster])
    (row,) = (line for line in text.splitlines() if "| dlgn" in line)
    assert "| 90.00±0.00 |" in row
    assert "| 1G |" in row


def test_a_published_number_stands_beside_ours():
    settings = {"name": "dlgn", "widths": [8000] * 6, "arity": 2}
    records = [timed(seed, task="mnist", hard=0.97 + 0.001 * seed, config={"method": settings}) for seed in range(3)]
    (line,) = (line for line in page(records).splitlines() if "97.69 ± 0.11" in line)
    assert line.endswith("| 97.10±0.25 | 3 | -0.59 |")
    assert "| not run to its end |" in page(records)


def test_a_readme_without_a_place_for_them_is_an_error():
    with pytest.raises(MarkerError, match="results: made by"):
        readme("# Gatebench\n", [])
