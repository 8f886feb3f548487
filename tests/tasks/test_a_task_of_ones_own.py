"""A task that is defined in this very file is trained, evaluated, predicted with, verified and traced by the
command line like any other: nothing else has to be edited."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import regard
from regard.cli.main import app
from regard.data.field import Encoded, Field
from regard.data.rows import Row, Rows
from regard.data.store import ExampleStore
from regard.model.head import Classes
from regard.model.mask import Full
from regard.model.presets import Size, one_stack
from regard.model.transformer import ModelConfig, TransformerConfig
from regard.recipes.reference import configuration_page
from regard.tasks import TASKS, Decoding, InputSpec, Metric, Prediction, Task, TaskConfig
from regard.tasks.known_data import Suited
from regard.tasks.task import NO_FILES, Column
from regard.training.config import TrainConfig
from regard.training.resolve import Asked, resolve
from regard.values import Labels

NAMES = ("even", "odd")


@dataclass(frozen=True)
class ParityConfig(TaskConfig):
    """How words are read."""

    source: str = "word"
    """The column that holds the word."""
    target: str = "parity"
    """The column that holds whether its letters of the alphabet are even in number, or odd."""
    letters: str = "ab"
    """The letters that there are."""
    kind: Literal["parity"] = "parity"


@dataclass(frozen=True)
class Words:
    ids: Tensor
    wanted: Tensor

    @property
    def tokens(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device) -> Words:
        return Words(self.ids.to(device), self.wanted.to(device))


class Right(Metric):
    key = "accuracy"

    def __init__(self) -> None:
        self.right = self.count = 0

    def update(self, predictions: Sequence[Prediction[Labels]], rows: Sequence[Row]) -> None:
        self.count += len(rows)
        self.right += sum(
            p.value.answer == (row.values[1],) for p, row in zip(predictions, rows, strict=True)
        )

    def compute(self) -> dict[str, Any]:
        return {"count": self.count, "accuracy": 100 * self.right / max(1, self.count)}


class Parity(Task):
    name: ClassVar[str] = "parity"
    presets: ClassVar[Mapping[str, ModelConfig]] = {
        "tiny": one_stack(Size(1, 1, 16, 24, 2, 0.0), mask=Full(), head=Classes())
    }
    Config = ParityConfig
    input = InputSpec()  # type: ignore[assignment]
    output = Labels  # type: ignore[assignment]
    independent = False
    fields = Field.indices("letters", 2), Field.indices("parity", 2, ())  # type: ignore[assignment]

    def __init__(self, config: ParityConfig) -> None:
        self.config = config

    @classmethod
    def columns(cls, config: Any) -> tuple[Column, ...]:
        return Column(config.source), Column(config.target, Labels)

    @classmethod
    def prepare(cls, config: Any, rows: Rows | None, files: Mapping[str, str] = NO_FILES) -> Parity:
        return cls(config)

    def files(self) -> dict[str, str]:
        return {"letters.json": json.dumps(self.config.letters)}

    def configure_model(self, model: ModelConfig) -> ModelConfig:
        assert isinstance(model, TransformerConfig)
        embed = replace(model.embed, vocab=len(self.config.letters))  # type: ignore[call-arg]
        return replace(model, embed=embed, head=replace(model.head, count=2))  # type: ignore[call-arg]

    def encode(self, rows: Iterable[Row]) -> Iterator[Encoded | None]:
        return ((self._ids(row.values[0]), NAMES.index(row.values[1])) for row in rows)

    def _ids(self, word: str) -> list[int]:
        return [self.config.letters.index(letter) for letter in word]

    def batch(self, store: ExampleStore, rows: np.ndarray, epoch: int = 0) -> Words:
        ids, _ = store.padded(rows, "letters", 0)
        return Words(torch.from_numpy(ids), torch.from_numpy(store.take(rows, "parity")))

    def loss(self, model: nn.Module, batch: Words) -> dict[str, Tensor]:
        logits = model(batch.ids)
        right = (logits.argmax(1) == batch.wanted).sum().float()
        return {"loss": F.cross_entropy(logits, batch.wanted, reduction="sum"), "right": right}

    def predict(self, model: nn.Module, inputs: Sequence[Any], decoding: Decoding) -> list[Prediction[Any]]:
        shares = [model(torch.tensor([self._ids(text.text)])).softmax(-1)[0].tolist() for text in inputs]
        return [Prediction(Labels((NAMES[int(no < yes)],)), max(no, yes)) for no, yes in shares]

    def metric(self) -> Right:
        return Right()

    def outputs(self) -> list[str]:
        return list(NAMES)

    def tokens(self, source: Sequence[int], target: Sequence[int]) -> tuple[list[str], list[str]]:
        return [], [self.config.letters[token] for token in target]

    def model_inputs(
        self, model: nn.Module, inputs: Sequence[Any], decoding: Decoding
    ) -> tuple[list[list[int]], list[list[int]]]:
        return [], [self._ids(text.text) for text in inputs]

    def dummy_inputs(self, model: nn.Module) -> tuple[list[list[int]], list[list[int]]]:
        return [], [[0, 1], [1, 1, 0]]


@pytest.fixture
def parity(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an installed package adds it."""
    len(TASKS)
    monkeypatch.setitem(TASKS._members, "parity", Parity)  # type: ignore[attr-defined]


def _regard(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    app([*arguments, "--threads", "1"], standalone_mode=False)
    return capsys.readouterr().out


def test_nothing_else_has_to_be_edited(
    parity: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    words = ["".join(rng.choice(list("ab"), 4)) for _ in range(200)]
    lines = [f"{word}\t{NAMES[word.count('a') % 2]}" for word in words]
    data, run = tmp_path / "words.tsv", tmp_path / "run"
    data.write_text("\n".join(["word\tparity", *lines]) + "\n", "utf-8")
    options = ("--steps", "20", "--set", "train.lr=1e-2", "--set", "train.evaluations=1")
    _regard(capsys, "train", "parity", str(data), "--out", str(run), *options)
    events = [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]
    assert "loss_right" in next(event for event in events if "loss" in event)
    figures = json.loads(_regard(capsys, "evaluate", str(run), str(data), "--split", "all", "--json"))
    assert figures["metrics"]["count"] == 200
    said = json.loads(_regard(capsys, "predict", str(run), "abba", "--json"))
    assert said["predictions"][0]["text"] in NAMES
    assert _regard(capsys, "predict", str(run), "abba", "aaab").split()[0] == said["predictions"][0]["text"]
    assert "BROKEN" not in _regard(capsys, "verify", str(run), "ab", "bba")
    _regard(capsys, "trace", str(run), "abba", "--json", str(tmp_path / "trace.json"))
    assert json.loads((tmp_path / "trace.json").read_text("utf-8"))["task"] == "parity"
    assert "accuracy" in _regard(capsys, "ablate", str(run), str(data), "--split", "all", "--limit", "20")
    loaded = regard.load(run)
    assert loaded.predict(["abba"])[0] == Labels((said["predictions"][0]["text"],))
    assert loaded.explorer().naming.outputs == NAMES
    assert "task.letters" in configuration_page()


def test_what_suits_a_data_set_is_said_by_the_task(parity: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Parity, "known_data", {"letters": Suited("tiny", ("train.tokens=77",))})
    tokens = [resolve(Asked("parity", data)).train.tokens for data in ("letters", "others")]
    assert tokens == [77, TrainConfig().tokens]
