"""Training stopped in mid-air: everything that the next step depends on, in one file.

One safetensors file, replaced atomically, holds weights, averages and optimizer state; its header
carries the step, the plan and what the run is. A checksum over it all tells an edited file from a good one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from regard.errors import BundleError, damaged, why
from regard.files import atomic_file, check_space
from regard.training.plan import Plan
from regard.weights import check_finite, digest, read_weights

FILE = "checkpoint.safetensors"
_SUM = "sha256"
_WEIGHTS = ("model.", "average.", "best.")
_ANEW = "give --overwrite instead of --resume to start anew"


def other_run(folder: Path) -> BundleError:
    """An error to raise: what is asked for is not what the folder began with."""
    sentence = "{where} was trained with other options or data; repeat them, or {remedy}"
    return BundleError(sentence, folder, _ANEW)


@dataclass
class Progress:
    """Where a run stands; all of it goes into the checkpoint."""

    step: int = 0
    seconds: float = 0.0
    tokens: int = 0
    plan: Plan | None = None
    best: float = -math.inf
    best_step: int = 0
    worse: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)
    unlogged: list[float] = field(default_factory=list)
    """Losses of the last steps that no event has told of yet."""


def save_checkpoint(tensors: Mapping[str, Tensor], state: Mapping[str, Any], folder: Path) -> None:
    """Write `tensors` by dotted name, and `state` as JSON values; a crash leaves what was written before.

    Raises: StorageError.
    """
    here = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    said = json.dumps(state)
    data = to_bytes(here, {"state": said, _SUM: digest(here, said)})
    check_space(folder, len(data))
    with atomic_file(folder / FILE) as file:
        file.write(data)


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save_checkpoint` was given, read and checked; the tensors are on the host.

    Raises: BundleError when there is none or it is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        raise BundleError("{where} holds no checkpoint to resume from; {remedy}", folder, _ANEW)
    try:
        tensors = read_weights(path, finite=False)  # of the optimizer, some may not be
        check_finite({name: value for name, value in tensors.items() if name.startswith(_WEIGHTS)}, f"{path}")
        with safe_open(str(path), framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
    except BundleError as problem:
        raise BundleError.of(problem, remedy=_ANEW) from problem
    except (SafetensorError, OSError, ValueError) as problem:
        raise damaged(BundleError, path, why(problem), _ANEW) from problem
    state = metadata.get("state", "")
    if metadata.get(_SUM) != digest(tensors, state):
        raise BundleError("{where} was changed after it was written; {remedy}", path, _ANEW)
    return tensors, json.loads(state)
