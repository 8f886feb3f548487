"""Every option of training: what a run's whole resolved configuration consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from regard.errors import ConfigError, both_given, require
from regard.model.transformer import ModelConfig
from regard.tasks import TaskConfig
from regard.training.average import EMA, Averaging
from regard.training.optim import Muon, OptimizerConfig
from regard.training.schedule import Cosine, Schedule
from regard.training.tune import Tune, Whole

Precision = Literal["float32", "bfloat16", "float16"]
ENDS = ("steps", "epochs", "budget")
"""What can decide when training ends; one of them does."""
_POSITIVE = ("tokens", "accumulate")
_NATURAL = ("evaluations", "valid_rows", "patience", "save_seconds", "save_steps", "snapshots", "seed")
_LARGEST = 2**53
"""Larger numbers are not the same in every reader of JSON."""


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained."""

    steps: int | None = None
    """Optimizer steps. One of steps, epochs and budget decides when training ends; 20 epochs if none does."""
    epochs: float | None = None
    """Passes over the training data."""
    budget: float | None = None
    """Seconds, validation included."""
    tokens: int = 2048
    """Tokens a batch, padding included, on the longer side."""
    accumulate: int = 1
    """Batches an optimizer step."""
    optimizer: OptimizerConfig = Muon()
    """What moves the weights."""
    schedule: Schedule = Cosine()
    """How the learning rate changes."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 leaves it alone."""
    average: Averaging = EMA()
    """Which weights are judged and kept."""
    precision: Precision = "float32"
    """What matrix products are computed in while training."""
    evaluations: int = 10
    """How often the validation part is scored, evenly spread over the run."""
    valid_rows: int = 1000
    """At most so many rows of the validation part are decoded each time."""
    patience: int = 0
    """Stop after so many evaluations without a better figure; 0 never."""
    save_seconds: float = 60.0
    """A checkpoint at least this often."""
    save_steps: int = 0
    """A checkpoint every so many steps as well; 0 for none."""
    snapshots: int = 0
    """How many sets of weights to keep along the way, for looking at how they formed."""
    seed: int = 1
    """Decides every random choice."""
    init: str | None = None
    """The bundle whose body and tokenizers training starts from."""
    tune: Tune = Whole()
    """What of that body is trained."""

    def __post_init__(self) -> None:
        given = [name for name in ENDS if getattr(self, name) is not None]
        if len(given) > 1:
            raise both_given(ConfigError, given[0], " and ".join(given[1:]))
        for name in given:
            value = getattr(self, name)
            require(0 < value <= _LARGEST, name, value, f"more than 0 and at most {_LARGEST:,}")
        for name in _POSITIVE:
            require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        for name in (*_NATURAL, "clip"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        for name in (*_POSITIVE, *_NATURAL):
            require(getattr(self, name) <= _LARGEST, name, getattr(self, name), f"at most {_LARGEST:,}")


@dataclass(frozen=True)
class RunConfig:
    """A run, resolved: with its data it can be repeated."""

    task: TaskConfig
    """What is learned."""
    model: ModelConfig
    """What learns it."""
    train: TrainConfig = TrainConfig()
    """How."""
