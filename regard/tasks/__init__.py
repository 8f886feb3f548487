"""Kinds of task, one file each, which the registry `TASKS` imports when it is first looked into."""

from __future__ import annotations

from regard.decode.sampling import Sampling
from regard.tasks.decoding import Decoding
from regard.tasks.metric import Evaluation, Metric, evaluate
from regard.tasks.task import TASKS, Batch, InputSpec, Task, TaskConfig
from regard.values import Prediction

__all__ = [
    "TASKS",
    "Batch",
    "Decoding",
    "Evaluation",
    "InputSpec",
    "Metric",
    "Prediction",
    "Sampling",
    "Task",
    "TaskConfig",
    "evaluate",
]
