"""How large the page of a trace is, and how long a browser takes to open it: 20 tokens read and 20 written by
a tiny translator.

    python benchmarks/trace_page.py [--rounds 6] [--width 128] [--depth 4]

Seconds by the clock, of a fresh browser profile each time: until the page is loaded (it can be read and used
then), and until the first figure is drawn. Needs Chromium and playwright (the extra `browser`).
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from explorer import LETTERS, TOKENS, made

from regard.insight.trace_page import trace_page
from regard.tasks import Decoding

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def opened(page: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds until it is loaded, and until the first figure is there, of each round but the first."""
    from playwright.sync_api import sync_playwright

    path = next(found for name in _BROWSERS if (found := shutil.which(name)))
    loaded, drawn = [], []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for _ in range(rounds + 1):
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            tab, started = context.new_page(), time.perf_counter()
            tab.goto(page.as_uri(), wait_until="load")
            loaded.append(time.perf_counter() - started)
            tab.wait_for_selector("canvas.heat", state="attached")
            drawn.append(time.perf_counter() - started)
            context.close()
        browser.close()
    return loaded[1:], drawn[1:]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    for name, value in (("--rounds", 6), ("--width", 128), ("--depth", 4)):
        options.add_argument(name, type=int, default=value)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = made("translation", Path(folder), asked.width, asked.depth)
        trace = run.trace(LETTERS[:TOKENS], Decoding(max_length=TOKENS))
        page = Path(folder) / "trace.html"
        page.write_text(trace_page(trace), "utf-8")
        tokens = " and ".join(str(len(one.tokens)) for one in trace.sequences)
        parameters = run.bundle.parameters
        size = page.stat().st_size / 1e6
        print(f"{parameters / 1e6:.1f} million parameters, {tokens} tokens: {size:.2f} MB")
        for said, times in zip(("loaded", "first figure"), opened(page, asked.rounds), strict=True):
            print(f"{said:13} {statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})")


if __name__ == "__main__":
    main()
