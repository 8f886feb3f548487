"""What makes the documentation stands beside it, not in the package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parents[2] / "docs")]


@pytest.fixture(scope="module")
def built() -> Path:
    """The site of both languages, built now. Of one file of tests only: it has one place."""
    pytest.importorskip("mkdocs")
    from maker import site

    return site.build()
