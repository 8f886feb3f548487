"""Training speed of a Vision Transformer, side by side with three other libraries.

The model is that of the recipe `mnist-notebook`: images of 28 × 28 pixels in patches of 7 with a class
token, width 64, 4 heads, 2 layers, hidden 2,048. All train on the same batches of 64 digits of MNIST with the
same loss, the same optimizer (torch's fused Adam) and no augmentation, on as many threads, each in a process
of its own, as their users have them (within one, what an entry frees decides how often the next one must ask
the system for memory), in turns, so that a drifting machine treats all alike. Dropout is of one rate for the
entry, what parts add, hidden values and attention weights, or of 0 for all; ours has the same to drop.

What differs, and cannot be avoided:
- nn.TransformerEncoder and ours normalise after each part, as the notebook does, transformers' ViT and
  vit-pytorch before it; those two use GELU where ReLU cannot be had.
- transformers' ViT has no dropout on hidden values.

vit-pytorch wants torchvision only for parts that are not used here, so its file is loaded alone; it is left
out where it is not installed (`pip install --no-deps vit-pytorch einops`).

Usage: REGARD_DATA=… python benchmarks/vision.py [--rounds 7] [--steps 30] [--threads 2]
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from engines import Engine, serve_training, spread, training_speeds
from torch import Tensor, nn

from regard.data.readers import open_data
from regard.data.rows import Rows
from regard.data.store import write_store
from regard.machine import keep_freed_memory, processor_name
from regard.model.describe import describe
from regard.recipes.reproduce import RECIPES
from regard.tasks.image_classification import ImageBatch, ImageClassification
from regard.training.resolve import Asked, resolve

SIDE, PATCH, WIDTH, HEADS, DEPTH, HIDDEN, CLASSES = 28, 7, 64, 4, 2, 2048, 10
ROWS = 64


class Regard(nn.Module):
    """Ours, by the recipe's own settings."""

    def __init__(self, task: ImageClassification, dropout: float) -> None:
        super().__init__()
        self.task, self.model = task, task.configure_model(_config(dropout).model).build()

    def forward(self, batch: ImageBatch) -> Tensor:
        return self.task.loss(self.model, batch)["loss"] / batch.tokens


class Peer(nn.Module):
    """A model of logits, fed the same numbers."""

    def __init__(self, task: ImageClassification) -> None:
        super().__init__()
        self.task = task

    def logits(self, images: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, batch: ImageBatch) -> Tensor:
        return F.cross_entropy(self.logits(self.task._centred(batch.pixels)), batch.wanted)


class TorchEncoder(Peer):
    """nn.TransformerEncoder behind a convolution, batch first."""

    def __init__(self, task: ImageClassification, dropout: float) -> None:
        super().__init__(task)
        self.patches = nn.Conv2d(1, WIDTH, PATCH, PATCH)
        self.first = nn.Parameter(torch.randn(1, 1, WIDTH) * 0.02)
        self.places = nn.Parameter(torch.randn(1, (SIDE // PATCH) ** 2 + 1, WIDTH) * 0.02)
        self.drop = nn.Dropout(dropout)
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, dropout, batch_first=True)
        self.body = nn.TransformerEncoder(layer, DEPTH, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, CLASSES)

    def logits(self, images: Tensor) -> Tensor:
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat((self.first.expand(len(x), -1, -1), x), 1) + self.places
        return self.head(self.body(self.drop(x))[:, 0])


class TransformersViT(Peer):
    """transformers' ViTForImageClassification."""

    def __init__(self, task: ImageClassification, dropout: float) -> None:
        super().__init__(task)
        from transformers import ViTConfig, ViTForImageClassification

        self.body = ViTForImageClassification(
            ViTConfig(
                hidden_size=WIDTH,
                num_hidden_layers=DEPTH,
                num_attention_heads=HEADS,
                intermediate_size=HIDDEN,
                hidden_act="relu",
                hidden_dropout_prob=dropout,
                attention_probs_dropout_prob=dropout,
                image_size=SIDE,
                patch_size=PATCH,
                num_channels=1,
                num_labels=CLASSES,
            )
        )

    def logits(self, images: Tensor) -> Tensor:
        return self.body(pixel_values=images).logits


class ViTPytorch(Peer):
    """vit-pytorch's ViT."""

    def __init__(self, task: ImageClassification, dropout: float) -> None:
        super().__init__(task)
        self.body = _vit_pytorch().ViT(
            image_size=SIDE,
            patch_size=PATCH,
            num_classes=CLASSES,
            dim=WIDTH,
            depth=DEPTH,
            heads=HEADS,
            mlp_dim=HIDDEN,
            channels=1,
            dim_head=WIDTH // HEADS,
            dropout=dropout,
            emb_dropout=dropout,
        )

    def logits(self, images: Tensor) -> Tensor:
        return self.body(images)


CONTENDERS: dict[str, Callable[[ImageClassification, float], nn.Module]] = {
    "regard": Regard,
    "nn.TransformerEncoder": TorchEncoder,
    "transformers ViT": TransformersViT,
    "vit-pytorch": ViTPytorch,
}


def _vit_pytorch() -> Any:
    """The one file of it that is needed. Raises: ImportError where it is not installed."""
    package = importlib.util.find_spec("vit_pytorch")
    if package is None or package.origin is None:
        raise ImportError("vit-pytorch is not installed")
    spec = importlib.util.spec_from_file_location("vit", Path(package.origin).with_name("vit.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _config(dropout: float) -> Any:
    rates = ("", "stack.feedforward.", "stack.attention.")
    dropped = [f"model.{part}dropout={dropout}" for part in rates]
    return resolve(Asked("image-classification", settings=(*RECIPES["mnist-notebook"].settings, *dropped)))


def data(steps: int) -> tuple[ImageClassification, list[ImageBatch]]:
    """The task and some batches of the first digits."""
    rows = list(islice(open_data("mnist", ("image", "label")).split("train"), ROWS * steps))
    task = ImageClassification.prepare(_config(0.0).task, Rows.of(rows))
    with tempfile.TemporaryDirectory() as folder:
        encoded = (example for example in task.encode(rows) if example is not None)
        store = write_store(Path(folder) / "ids", encoded, task.fields)
        return task, [task.batch(store, np.arange(step * ROWS, (step + 1) * ROWS)) for step in range(steps)]


class Training:
    """A contender with its optimizer."""

    def __init__(self, name: str, task: ImageClassification, dropout: float) -> None:
        torch.manual_seed(1)
        self.model = CONTENDERS[name](task, dropout).train()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, fused=True)

    def speed(self, batches: list[ImageBatch]) -> float:
        """Images a second."""
        started = time.perf_counter()
        for batch in batches:
            self.model(batch).backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        return sum(batch.tokens for batch in batches) / (time.perf_counter() - started)


def serve(pipe: Connection, name: str, threads: int) -> None:
    """A contender, of a rate of dropout and so many steps."""
    if name == "regard":
        keep_freed_memory()  # as `regard train` does

    def prepare(asked: tuple[float, int]) -> tuple[Training, list[ImageBatch]]:
        dropout, steps = asked
        task, batches = data(steps)
        return Training(name, task, dropout), batches

    serve_training(pipe, threads, prepare)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    model: Any = Regard(data(1)[0], 0.0).model
    work = describe(model).flops
    print(f"{processor_name()}, {options.threads} threads, {work:,} FLOPs an image forward")
    engines = [Engine(serve, name, options.threads) for name in CONTENDERS]
    for dropout in (0.1, 0.0):
        print(f"\ndropout {dropout}: training images/s, median of {options.rounds} rounds (min–max)")
        speeds = training_speeds(engines, (dropout, options.steps), options.rounds)
        for name in speeds:
            line, ratio = spread(name, speeds)
            print(f"  {name:22} {line}   regard is {ratio:.2f} ×")
    for engine in engines:
        engine.ask(None)


if __name__ == "__main__":
    main()
