"""What every task promises, whatever it learns: it is trained, kept, judged and asked in one way."""

from __future__ import annotations

import json
import math
import random
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

import regard
from regard.data.store import write_store
from regard.errors import ConfigError, InputError
from regard.model.presets import ENCODER_DECODER
from regard.tasks import TASKS, Decoding, Sampling, Task, TaskConfig
from regard.tasks.decoding import check_decoding, supported
from regard.tasks.protocols import PROTOCOLS, members_of
from regard.tasks.task import open_columns
from regard.training.loop import Trainer
from regard.training.resolve import Asked, resolve
from regard.values import Score
from tests.shared import refused


def _pairs(folder: Path) -> Path:
    chance = random.Random(1)
    rows = ["".join(chance.choices("abcd", k=chance.randint(2, 6))) for _ in range(300)]
    path = folder / "pairs.tsv"
    path.write_text("source\ttarget\n" + "".join(f"{row}\t{row[::-1]}\n" for row in rows), "utf-8")
    return path


def _text(folder: Path) -> Path:
    path = folder / "text.txt"
    path.write_text("a man is riding a bicycle.\n" * 400, "utf-8")
    return path


def _labelled(folder: Path) -> Path:
    chance = random.Random(1)
    rows = [
        (label, "".join(chance.choices("abcd" + 5 * label[0], k=9)))
        for label in ("a", "b", "c")
        for _ in range(99)
    ]
    chance.shuffle(rows)
    path = folder / "labelled.tsv"
    path.write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in rows), "utf-8")
    return path


def _shapes(folder: Path) -> Path:
    """A bright bar on a dark ground, lying or standing: images as every format has them."""
    chance = np.random.default_rng(1)
    for number in range(300):
        label = ("lying", "standing")[number % 2]
        pixels = chance.integers(0, 60, (6, 6), dtype=np.uint8)
        place = chance.integers(0, 6)
        (pixels if label == "lying" else pixels.T)[place] = 250
        path = folder / "shapes" / label / f"{number}.pgm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"P5 6 6 255\n" + pixels.tobytes())
    return folder / "shapes"


def _asked(folder: Path) -> Path:
    chance = random.Random(1)
    paragraphs = []
    for number in range(150):
        context = " ".join(chance.choices("abcdefgh", k=6))
        answer = {"text": context[4], "answer_start": 4}
        question = {"id": f"{number}", "question": f"after {context[2]} ?", "answers": [answer]}
        silent = {"id": f"{number}x", "question": "after z ?", "answers": [], "is_impossible": True}
        paragraphs.append({"context": context, "qas": [question, silent]})
    path = folder / "asked.json"
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}), "utf-8")
    return path


def _tagged(folder: Path) -> Path:
    chance = random.Random(1)
    sentences = []
    for _ in range(300):
        words = ["".join(chance.choices("abcd", k=chance.randint(1, 3))) for _ in range(chance.randint(1, 5))]
        sentences.append("".join(f"{word} {'B-x' if 'a' in word else 'O'}\n" for word in words))
    path = folder / "tagged.conll"
    path.write_text("\n".join(sentences), "utf-8")
    return path


DATA: dict[str, Callable[[Path], Path]] = {
    "translation": _pairs,
    "text-generation": _text,
    "fill-mask": _text,
    "text-classification": _labelled,
    "image-classification": _shapes,
    "question-answering": _asked,
    "token-classification": _tagged,
    "sentence-similarity": _pairs,
}
INPUTS = {
    "translation": ["abc", "dcba"],
    "text-generation": ["a man", "riding"],
    "fill-mask": ["a [MASK] is", "[MASK] bicycle."],
    "text-classification": ["aab", "bdc"],
    "image-classification": ["shapes/lying/0.pgm", "shapes/standing/1.pgm"],
    "token-classification": ["abc b, dd", '["ca", "b"]'],
    "question-answering": ["after a ?\tb a c", "after z ?\th g f e"],
    "sentence-similarity": ["dcba\tab", "abc"],
}
QUICK = ("model.width=16", "model.hidden=24", "model.depth=1", "model.heads=2")
every = pytest.mark.parametrize("name", TASKS)


def test_every_task_is_tried_here() -> None:
    assert DATA.keys() == INPUTS.keys() == TASKS.keys()


@every
def test_every_preset_makes_a_model_for_it(name: str) -> None:
    for preset in TASKS[name].presets:
        config = resolve(Asked(name, preset=preset))
        assert (config.task.kind, TASKS[name].name) == (name, name)
        with torch.device("meta"):
            assert sum(x.numel() for x in config.model.build().parameters()) > 0


@every
def test_the_usual_sizes_are_known_to_it(name: str) -> None:
    assert ENCODER_DECODER.keys() <= TASKS[name].presets.keys()


@every
def test_a_wish_is_heeded_or_refused(name: str) -> None:
    """Nothing that was asked for is ignored."""
    task: Any = object.__new__(TASKS[name])
    wishes = {
        "beam": Decoding(beam=2),
        "max_length": Decoding(max_length=3),
        "sampling": Decoding(sampling=Sampling()),
        "stop": Decoding(stop=("x",)),
        "begin": Decoding(begin=(7,)),
    }
    assert supported(task) <= wishes.keys()
    check_decoding(task, Decoding(beam=3, n=3))
    for wish, decoding in wishes.items():
        if wish in supported(task):
            check_decoding(task, decoding)
        else:
            with refused(InputError, where=name):
                check_decoding(task, decoding)


@every
def test_from_files_to_answers_and_back_from_a_bundle(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = DATA[name](tmp_path)
    trained = regard.train(
        name,
        data,
        tmp_path / "run",
        settings=(*QUICK, "train.evaluations=1"),
        steps=12,
        quiet=True,
        threads=1,
    )
    assert trained.bundle.metrics["steps"] == 12
    run, again = regard.load(trained.folder), regard.load(trained.folder)
    answers = run.predict(INPUTS[name])
    assert len(answers) == 2
    assert answers == again.predict(INPUTS[name])
    assert list(run.write(INPUTS[name][0]))[-1:] in ([answers[0].plain()], [])
    assert all(isinstance(answer, run.task.output | Score) for answer in answers)
    assert run.predict([]) == []
    figures = run.evaluate().metrics
    assert np.isfinite(run.task.metric().selection_score(figures))
    assert figures["count"] > 0
    assert all(finding.holds for finding in run.verify())
    restored = TASKS[name].prepare(run.task.config, None, run.task.files())
    assert restored.files() == run.task.files()
    assert restored.configure_model(run.bundle.model) == run.bundle.model


@every
def test_a_run_that_was_stopped_ends_as_if_it_never_was(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DATA[name](tmp_path)
    asked: dict[str, Any] = {
        "settings": (*QUICK, "train.save_steps=5"),
        "steps": 12,
        "quiet": True,
        "threads": 1,
    }
    whole = regard.load(regard.train(name, data, tmp_path / "whole", **asked).folder)
    save = Trainer.save

    def save_and_stop(trainer: Trainer) -> None:
        save(trainer)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            regard.train(name, data, tmp_path / "stopped", **asked)
    resumed = regard.load(regard.train(name, data, tmp_path / "stopped", resume=True, **asked).folder)
    assert resumed.bundle.weights.keys() == whole.bundle.weights.keys()
    assert all(torch.equal(x, whole.bundle.weights[key]) for key, x in resumed.bundle.weights.items())


TOGETHER = {"sentence-similarity", "fill-mask", "text-generation"}
"""Tasks in which the examples of a batch are each other's wrong answers, or what is asked of them, or where
they begin, is drawn for the whole batch."""


def _prepared(name: str, tmp_path: Path) -> tuple[Any, Any, Any]:
    """The task, a store of its examples, a model without dropout."""
    plain = ("model.dropout=0", *(("task.smoothing=0",) if "classification" in name else ()))
    config = resolve(Asked(name, str(DATA[name](tmp_path)), settings=(*QUICK, *plain)))
    rows = open_columns(TASKS[name].columns(config.task), DATA[name](tmp_path)).split("train")
    task: Any = TASKS[name].prepare(config.task, rows)
    store = write_store(tmp_path / "ids", (x for x in task.encode(rows) if x), task.fields)
    assert all(len(some) == len(store) for some in task.costs(store))
    torch.manual_seed(1)
    return task, store, task.configure_model(config.model).build()


@every
def test_the_loss_is_a_sum_over_tokens_whose_gradient_reaches_every_weight(name: str, tmp_path: Path) -> None:
    task, store, model = _prepared(name, tmp_path)
    batch: Any = task.batch(store, np.arange(4), 0)
    loss = task.loss(model, batch)["loss"]
    loss.backward()
    assert loss.shape == ()
    assert all(parameter.grad is not None for parameter in model.parameters())
    if name in TOGETHER:
        return
    alone = [task.batch(store, np.arange(row, row + 1), 0) for row in range(4)]
    assert sum(one.tokens for one in alone) == batch.tokens
    total = sum(float(task.loss(model, one)["loss"].detach()) for one in alone)
    assert float(loss.detach()) == pytest.approx(total, rel=1e-4)


@every
def test_who_knows_nothing_pays_for_every_choice_alike(name: str, tmp_path: Path) -> None:
    """With all weights at 0, each prediction costs the logarithm of how many things it chooses among."""
    task, store, model = _prepared(name, tmp_path)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    batch: Any = task.batch(store, np.arange(4), 0)
    if name == "question-answering":
        expected = 2 * float(batch.allowed.sum(1).double().log().sum())
    else:
        choices = {"sentence-similarity": 4}.get(name) or len(task.outputs())
        expected = batch.tokens * math.log(choices)
    for training in (True, False):
        loss = task.loss(model.train(training), batch)["loss"]
        assert float(loss.detach()) == pytest.approx(expected, rel=1e-4), training


@every
def test_the_contract_is_small_and_a_protocol_is_had_whole(name: str) -> None:
    assert len(Task.__abstractmethods__) <= 13
    for protocol in PROTOCOLS:
        has = {member for member in members_of(protocol) if hasattr(TASKS[name], member)}
        assert has in (set(), members_of(protocol)), protocol.__name__


def test_what_is_incomplete_does_not_join() -> None:
    class Half(TASKS["translation"]):  # type: ignore[name-defined,misc]
        name = "half"

    with refused(ConfigError, where="test_what_is_incomplete_does_not_join.<locals>.Half", key="Config"):
        TASKS.register(Half)  # type: ignore[attr-defined]

    @dataclass(frozen=True)
    class Options(TaskConfig):
        kind: Literal["half"] = "half"

    Half.Config, Half.calibrate = Options, None
    with refused(ConfigError) as caught:
        TASKS.register(type("Fewer", (Half,), {"configure_model": abstractmethod(lambda self, model: model)}))  # type: ignore[attr-defined]
    assert caught.value.value == "configure_model"
    assert "half" not in TASKS
