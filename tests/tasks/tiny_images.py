"""Random images on disk, and a tiny model that is prepared for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from regard.data.rows import Row, Rows
from regard.data.store import ExampleStore, write_store
from regard.model.transformer import Transformer
from regard.tasks.image_classification import ImageClassification
from regard.training.resolve import Asked, resolve

QUICK = ("model.width=16", "model.hidden=24", "model.depth=1", "model.heads=2", "model.dropout=0")
ROWS, COLUMNS, COUNT, STEPS = 9, 15, 7, 200


def images(folder: Path, *shape: int, count: int = COUNT, classes: str = "xyz") -> list[Row]:
    """Random images on disk, a row each."""
    chance = np.random.default_rng(1)
    found = []
    for number in range(count):
        path = folder / f"{number}.png"
        Image.fromarray(chance.integers(0, 256, shape or (ROWS, COLUMNS), dtype=np.uint8)).save(path)
        found.append(Row((str(path), classes[number % len(classes)]), str(path)))
    return found


def in_training(model: Any) -> Any:
    """The model, whose loss is that of training, with dropout still off."""
    model.training = True
    return model


def made(rows: list[Row], *settings: str) -> tuple[ImageClassification, Transformer]:
    config = resolve(Asked("image-classification", settings=(*QUICK, *settings)))
    task: Any = ImageClassification.prepare(config.task, Rows.of(rows))  # type: ignore[arg-type]
    torch.manual_seed(1)
    model: Any = task.configure_model(config.model).build().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return task, model


def stored(task: ImageClassification, rows: list[Row], folder: Path) -> ExampleStore:
    return write_store(folder / "ids", (x for x in task.encode(rows) if x), task.fields)
