"""Chromium, and one page in it whose modules compute for all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from regard.onepage import export_page
from tests.onepage.made import run_of, task_of

sys.path.insert(0, str(Path(__file__).parents[1] / "serve"))
from browsing import arguments, browser_path


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    if os.environ.get("CI"):
        assert browser_path(), "CI needs Chromium: apt-get install chromium"
    playwright = pytest.importorskip("playwright.sync_api", reason="the extra `browser` is not installed")
    if browser_path() is None:
        pytest.skip("there is no Chromium")
    torch.set_num_threads(1)
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=browser_path(), args=arguments())
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def laboratory(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A page with all modules, to be asked for other models than its own."""
    folder = tmp_path_factory.mktemp("laboratory")
    export_page(run_of(task_of("translation"), folder), folder / "page.html", title="laboratory")
    context = chromium.new_context()
    page = context.new_page()
    page.goto((folder / "page.html").as_uri())
    yield page
    context.close()
