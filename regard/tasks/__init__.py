"""Kinds of task, one file each, which the registry `TASKS` imports when it is first looked into."""

from __future__ import annotations

from regard.decode.sampling import Sampling
from regard.tasks.task import TASKS, Batch, Decoding, Evaluation, InputSpec, Prediction, Task, TaskConfig

__all__ = [
    "TASKS",
    "Batch",
    "Decoding",
    "Evaluation",
    "InputSpec",
    "Prediction",
    "Sampling",
    "Task",
    "TaskConfig",
]
