"""One page in Chromium whose modules compute for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from regard.onepage import export_page
from tests.onepage.made import run_of, task_of


@pytest.fixture(scope="module")
def laboratory(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A page with all modules, to be asked for other models than its own."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("laboratory")
    export_page(run_of(task_of("translation"), folder), folder / "page.html", title="laboratory")
    context = browser.new_context()
    page = context.new_page()
    page.goto((folder / "page.html").as_uri())
    yield page
    context.close()
