"""Loops that tests import by themselves are those that decoding uses, compiled and tried once."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from trials import Trials

from regard.decode import fast, probe

fast.have_loops()


@pytest.fixture
def trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trials:
    """A machine on which nothing was tried yet; what is loaded afterwards is left out."""
    pytest.importorskip("numba", reason="the extra `fast` is not installed")
    made = Trials()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("REGARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("REGARD_KERNELS", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(probe, "run_probe", made)
    monkeypatch.setattr(fast, "_loaded", lambda verdict, folder: "")
    monkeypatch.setattr(fast, "_decision", None)
    return made
