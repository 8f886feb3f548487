"""A run of each task, trained for a moment, and the server that shows them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from browsing import Watched, served
from shared import made_once

import regard
from regard.course import EXAMPLES
from regard.run import Run
from regard.serve.app import create_app
from tests.serve.asking import client_of
from tests.tasks.test_registry import DATA, QUICK


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """By the names of their tasks."""
    pytest.importorskip("fastapi")
    torch.set_num_threads(1)
    settings = (*QUICK, "model.depth=2", "train.evaluations=1")

    def make(place: Path) -> None:
        for name, data in DATA.items():
            folder = place / name
            folder.mkdir()
            regard.train(
                name, data(folder), folder / "run", settings=settings, steps=20, quiet=True, threads=1
            )

    place = made_once(tmp_path_factory, "tasks", make)
    return {name: regard.load(place / name / "run") for name in DATA}


@pytest.fixture(scope="session")
def app(runs: dict[str, Run]) -> Any:
    return create_app(runs, course=EXAMPLES)


@pytest.fixture
def client(app: Any) -> Any:
    return client_of(app)


@pytest.fixture(scope="module")
def address(app: Any) -> Iterator[str]:
    with served(app) as where:
        yield where


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """A page that must not complain."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    watched = Watched(context.new_page())
    watched.page.goto(address)
    yield watched.page
    context.close()
    assert not watched.complaints
