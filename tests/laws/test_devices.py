"""All paths on a device: the same numbers, no tensors of the host in between, no needless waiting.

Where there is no device, one is made up: see `tests/foreign_device/foreign.py`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "regard"
FOLDER = "tests/foreign_device"
FILES = sorted(path.name for path in (ROOT / FOLDER).glob("test_*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_every_path_goes_to_its_end_on_a_device_that_is_not_there(file: str) -> None:
    backend = pytest.importorskip("torch.utils.backend_registration")
    if not hasattr(backend, "_setup_privateuseone_for_python_backend"):
        pytest.skip("this torch takes no device that is written in Python")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--tb=short", f"{FOLDER}/{file}"],
        cwd=ROOT,
        env={**os.environ, "REGARD_FOREIGN_DEVICE": "1"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def test_copies_that_nobody_waits_for_are_made_in_one_place() -> None:
    """Only there is it known which memory may be read later, and by which devices (MPS reads what's gone)."""
    found = [path for path in PACKAGE.rglob("*.py") if "non_blocking" in path.read_text("utf-8")]
    assert [path.relative_to(PACKAGE).as_posix() for path in found] == ["model/device.py"]


def test_nothing_names_one_kind_of_device_where_it_is_not_known() -> None:
    """`.cuda()` and `torch.cuda…` work on one kind alone."""
    allowed = {"model/device.py", "training/device.py", "training/muon.py"}
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text("utf-8")
        if re.search(r"\.cuda\(|torch\.cuda\.|torch\.mps\.", text):
            assert path.relative_to(PACKAGE).as_posix() in allowed, path
