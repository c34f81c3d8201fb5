"""How fast a learned circuit steps 512x512 cells in a browser: `python -m tests.benchmarks.browser_life --run runs/KEY`.

The job's page is opened in headless Chromium, on the largest board and as fast as it goes. What it says is read off it a few
times: cells a second of wall time, with drawing each frame and all else that the browser does.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median

from playwright.sync_api import sync_playwright
from rich.console import Console

from reports.html import write_page
from reports.record import FILE, Record
from reports.standings import standings_of
from tests.conftest import CHROMIUM

_SIZE = "512x512"
_WARM_UP_MS, _READING_MS = 2000, 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished Life job, with its circuit file")
    parser.add_argument("--readings", type=int, default=9)
    options = parser.parse_args()
    job = Record.read(options.run / FILE)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        path = Path(name) / "page.html"
        write_page(standings_of([job]), [], options.run.parent, path)
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(path.as_uri())
        page.evaluate("Gatebench.alive.life.ready")
        page.select_option("#life-size", _SIZE)
        page.select_option("#life-speed", "0")
        page.locator("#life-board").scroll_into_view_if_needed()
        page.wait_for_timeout(_WARM_UP_MS)
        rates = []
        for _ in range(options.readings):
            page.wait_for_timeout(_READING_MS)
            rates.append(page.evaluate("Gatebench.alive.life.cellsPerSecond"))
        version, gates = browser.version, page.inner_text("#life-gates")
        browser.close()
    console = Console(highlight=False)
    console.print(f"{job.key}, {gates} gates, {_SIZE} cells, Chromium {version}")
    console.print(f"{median(rates) / 1e9:.2f} Gcell/s, from {min(rates) / 1e9:.2f} to {max(rates) / 1e9:.2f}")


if __name__ == "__main__":
    main()
