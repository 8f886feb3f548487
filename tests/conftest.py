"""What all tests share, and how they are shared out among processes, of which each takes one thread."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import arguments, browser_path
from shared import made_once
from slow import is_slow
from tiny import write_pairs

for limit in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ.setdefault(limit, "1")  # before anything is loaded, here and in what tests start

HERE = Path(__file__).parent
LONGEST = (
    "docs/test_tour.py", "docs/test_notebooks.py", "program/test_emulated.py", "laws/test_devices.py",
    "program/test_resume.py", "program/test_interrupts.py", "benchmarks/test_gpu_script.py",
    "data/test_bounds.py", "training/test_processes.py", "program/test_commands.py",
    "decode/test_processors.py", "decode/test_cross_compiled.py", "data/test_tokenizer_bounds.py",
    "data/test_image_bombs.py",
    "serve/test_explorer_links.py", "serve/test_explorer_page.py", "serve/test_explorer_analyses.py",
    "docs/test_site.py", "install/test_requirements.py",
)  # fmt: skip
"""Files that take longest, in this order: they begin first, so that none is left to the end."""
MEMORY = 4 << 30
"""Bytes that a process of tests, and what it starts, may need."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than processors, since tests wait for what they start."""
    import psutil

    from regard.machine import usable_processors

    return max(1, min(usable_processors() + 1, psutil.virtual_memory().total // MEMORY))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Files that are left out are not even read, which takes as long as running the others."""
    return True if "not slow" in config.option.markexpr and is_slow(collection_path) else None


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if is_slow(item.path):
            item.add_marker(pytest.mark.slow)
    if hasattr(config, "workerinput"):  # one of many processes
        places = {HERE / name: number for number, name in enumerate(LONGEST)}
        assert all(path.is_file() for path in places)
        items.sort(key=lambda item: places.get(item.path, len(places)))  # stable


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

    def make(place: Path) -> None:
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

    return made_once(tmp_path_factory, "labelled", make) / "run"
