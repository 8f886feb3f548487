"""What is tried on a GPU: marked `cuda`, and skipped where there is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

for folder in ("laws", "tasks"):  # members of all unions; data for all tasks
    sys.path.append(str(Path(__file__).parent.parent / folder))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = str(Path(__file__).parent)
    missing = pytest.mark.skip(reason="there is no GPU that CUDA knows")
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.cuda)
            if not torch.cuda.is_available():
                item.add_marker(missing)


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    torch.manual_seed(1)
