"""Where the real data are, and small helpers that write files as a user would have them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def real_data(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder REGARD_DATA. In CI its absence is a failure, elsewhere a skip."""
    beside = REPOSITORY.parent / "shared" / "data"
    folder = Path(os.environ.get("REGARD_DATA") or beside)
    if not folder.is_dir():
        assert not os.environ.get("CI"), f"REGARD_DATA must name the folder with the real data, not {folder}"
        pytest.skip("no REGARD_DATA here")
    monkeypatch.setenv("REGARD_DATA", str(folder.resolve()))
    return folder


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Write a file into the test's own folder."""

    def write_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    return write_file
