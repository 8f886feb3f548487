"""These tests need a process of their own, which `tests/laws/test_devices.py` starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

ALONE = "REGARD_FOREIGN_DEVICE"
collect_ignore_glob = [] if os.environ.get(ALONE) else ["test_*.py"]
for folder in ("laws", "tasks"):  # members of all unions; data for all tasks
    sys.path.append(str(Path(__file__).parent.parent / folder))


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(1)
