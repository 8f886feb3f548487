"""What makes the documentation stands beside it, not in the package. Its pages take minutes, on one core:
they run while other tests do, and are asked last."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1] / "docs")]

_RUNS = pytest.StashKey[Any]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: HERE in item.path.parents)  # stable: all else stays in its order


def pytest_collection_finish(session: pytest.Session) -> None:
    asked = any("ran" in getattr(item, "fixturenames", ()) for item in session.items)
    if asked and not session.config.option.collectonly:
        from beside import Beside

        session.config.stash[_RUNS] = Beside()


@pytest.fixture(scope="session")
def ran(pytestconfig: pytest.Config) -> Iterator[Any]:
    """What running a page, or its notebook, gave."""
    runs = pytestconfig.stash[_RUNS]
    yield runs
    runs.end()


@pytest.fixture(scope="session")
def built() -> Path:
    """The site of both languages, built now."""
    pytest.importorskip("mkdocs")
    from maker import site

    return site.build()
