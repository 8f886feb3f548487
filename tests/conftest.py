"""What all tests share: one thread, so that numbers repeat and processes do not fight for processors."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import write_pairs


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of words and the same backwards, from which a tiny model learns in seconds."""
    return write_pairs(tmp_path_factory.mktemp("data") / "pairs.tsv")
