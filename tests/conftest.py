"""What all tests share: one thread, so that numbers repeat and processes do not fight for processors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import arguments, browser_path
from tiny import write_pairs


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of words and the same backwards, from which a tiny model learns in seconds."""
    return write_pairs(tmp_path_factory.mktemp("data") / "pairs.tsv")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium. Of one file of tests only: its driver runs an event loop, beside which no other may."""
    if os.environ.get("CI"):
        assert browser_path(), "CI needs Chromium: apt-get install chromium"
    playwright = pytest.importorskip("playwright.sync_api", reason="the extra `browser` is not installed")
    if browser_path() is None:
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=browser_path(), args=arguments())
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def labelled_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with every kind of file that one can have: labels, a tokenizer, figures."""
    import regard

    place = tmp_path_factory.mktemp("labelled")
    rows = [f"{'the man rides' if i % 2 else 'a dog sleeps'} {i}\t{'ab'[i % 2]}" for i in range(60)]
    (place / "data.tsv").write_text("text\tlabel\n" + "\n".join(rows) + "\n", "utf-8")
    regard.train(
        "text-classification",
        place / "data.tsv",
        place / "run",
        preset="micro",
        steps=2,
        quiet=True,
        threads=1,
    )
    return place / "run"
