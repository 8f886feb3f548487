"""Kinds of task, one file each. `TASKS` is the registry: a task's options by its name."""

from __future__ import annotations

from regard.tasks.task import Batch, Decoding, Prediction, Task
from regard.tasks.translation import Translation, TranslationConfig

TaskConfig = TranslationConfig

TASKS: dict[str, type[Task]] = {Translation.name: Translation}

__all__ = [
    "TASKS",
    "Batch",
    "Decoding",
    "Prediction",
    "Task",
    "TaskConfig",
    "Translation",
    "TranslationConfig",
]
