"""A run of each task, trained for a moment, and the server that shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import regard
from regard.insight.explain import EXAMPLES
from regard.run import Run
from regard.serve.app import create_app
from tests.serve.asking import client_of
from tests.tasks.test_registry import DATA, QUICK


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """By the names of their tasks."""
    pytest.importorskip("fastapi")
    torch.set_num_threads(1)
    found = {}
    for name, data in DATA.items():
        folder: Path = tmp_path_factory.mktemp("task")
        settings = (*QUICK, "model.depth=2", "train.evaluations=1")
        trained = regard.train(
            name, data(folder), folder / "run", settings=settings, steps=20, quiet=True, threads=1
        )
        found[name] = regard.load(trained.folder)
    return found


@pytest.fixture(scope="session")
def app(runs: dict[str, Run]) -> Any:
    return create_app(runs, course=EXAMPLES)


@pytest.fixture
def client(app: Any) -> Any:
    return client_of(app)
