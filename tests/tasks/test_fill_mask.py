"""Fill-mask: what is hidden, how often and anew, and what is guessed."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import regard
from regard.data.rows import Row
from regard.data.store import ExampleStore, write_store
from regard.errors import BundleError, ConfigError, InputError
from regard.model.transformer import Transformer
from regard.tasks import Decoding
from regard.tasks.fill_mask import FillMask
from regard.tasks.metric import evaluate
from regard.training.resolve import Asked, resolve
from tests.shared import refused

SETTINGS = (
    "task.context=24",
    "task.tokenizer=wordpiece",
    "task.tokenizer.vocab=60",
    "model.width=24",
    "model.hidden=40",
    "model.depth=1",
    "model.heads=3",
    "model.dropout=0",
)


def documents(count: int, seed: int = 1) -> list[Row]:
    chance = random.Random(seed)
    words = ["".join(chance.choices("abcde", k=chance.randint(1, 6))) for _ in range(80)]
    return [Row((" ".join(chance.choices(words, k=chance.randint(1, 40))),), f"{i}") for i in range(count)]


def made(rows: list[Row], *settings: str) -> tuple[FillMask, Transformer]:
    config = resolve(Asked("fill-mask", settings=(*SETTINGS, *settings)))
    task: Any = FillMask.prepare(config.task, rows)  # type: ignore[arg-type]
    torch.manual_seed(1)
    model: Any = task.configure_model(config.model).build().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return task, model


def stored(task: FillMask, rows: list[Row], folder: Path) -> ExampleStore:
    return write_store(folder / "ids", (x for x in task.encode(rows) if x), task.fields)


def test_examples_are_the_documents_in_stretches(tmp_path: Path) -> None:
    rows = documents(30)
    task, _ = made(rows)
    examples = [example[0] for example in task.encode(rows) if example]
    assert all(ids[0] == task.tokenizer.bos and ids[-1] == task.tokenizer.eos for ids in examples)
    assert max(map(len, examples)) == 24
    inner = [token for ids in examples for token in ids[1:-1]]
    assert inner == [token for row in rows for token in task.tokenizer.encode(row.values[0])]
    starts = sum(math.ceil(len(task.tokenizer.encode(row.values[0])) / 22) for row in rows)
    assert len(examples) == starts  # no example holds two documents


@pytest.mark.parametrize("whole", ["true", "false"])
def test_fifteen_in_a_hundred_are_chosen_and_most_of_them_hidden(whole: str, tmp_path: Path) -> None:
    rows = documents(300)
    task, _ = made(rows, f"task.whole_words={whole}")
    store = stored(task, rows, tmp_path)
    chosen = hidden = kept = texts = 0
    for epoch in range(20):
        batch: Any = task.batch(store, np.arange(len(store)), epoch)
        ids, lengths = store.padded(np.arange(len(store)), "tokens", task.tokenizer.pad)
        places = batch.real.numpy()
        assert (ids.reshape(-1)[places] == batch.wanted.numpy()).all()
        same = np.ones(ids.size, bool)
        same[places] = False
        assert (batch.ids.numpy().reshape(-1)[same] == ids.reshape(-1)[same]).all()
        column, row = places % ids.shape[1], places // ids.shape[1]
        assert ((column > 0) & (column < lengths[row] - 1)).all()  # neither start nor end nor padding
        assert len(np.unique(row)) == len(store)
        given = batch.ids.numpy().reshape(-1)[places]
        chosen, texts = chosen + len(places), texts + int((lengths - 2).sum())
        hidden, kept = (
            hidden + int((given == task.mask).sum()),
            kept + int((given == batch.wanted.numpy()).sum()),
        )
    assert 0.14 < chosen / texts < 0.18  # short texts have one chosen whatever the draw
    assert hidden / chosen == pytest.approx(0.8, abs=0.015)
    assert kept / chosen == pytest.approx(0.1 + 0.1 / 55, abs=0.012)


def test_pieces_of_a_word_are_chosen_together(tmp_path: Path) -> None:
    rows = documents(100)
    task, _ = made(rows, "task.whole_words=true")
    store = stored(task, rows, tmp_path)
    batch: Any = task.batch(store, np.arange(len(store)), 3)
    ids, _ = store.padded(np.arange(len(store)), "tokens", task.tokenizer.pad)
    chosen = np.zeros(ids.size, bool)
    chosen[batch.real.numpy()] = True
    chosen = chosen.reshape(ids.shape)
    goes_on = task._goes_on[ids]
    goes_on[:, :2] = False
    assert goes_on.sum() > 100
    row, column = np.nonzero(goes_on)
    assert (chosen[row, column] == chosen[row, column - 1]).all()


def test_the_choice_is_anew_in_each_epoch_and_repeats(tmp_path: Path) -> None:
    rows = documents(50)
    task, _ = made(rows)
    store = stored(task, rows, tmp_path)
    first, again, other = (task.batch(store, np.arange(20), epoch) for epoch in (1, 1, 2))
    assert torch.equal(first.ids, again.ids)
    assert torch.equal(first.real, again.real)
    assert not torch.equal(first.ids, other.ids)


@torch.inference_mode()
def test_the_loss_is_that_of_the_hidden_tokens_alone(tmp_path: Path) -> None:
    rows = documents(9)
    task, model = made(rows)
    store = stored(task, rows, tmp_path)
    batch: Any = task.batch(store, np.arange(len(store)), 0)
    total, wanted = 0.0, iter(batch.wanted.tolist())
    width = batch.ids.shape[1]
    for row, length in enumerate(batch.lengths.tolist()):
        logits = model(batch.ids[row : row + 1, :length])[0].log_softmax(-1)
        for place in batch.real[batch.real // width == row] % width:
            total -= float(logits[place, next(wanted)])
    assert float(task.loss(model, batch)["loss"]) == pytest.approx(total, rel=1e-5)


def test_judging_chooses_the_same_tokens_each_time() -> None:
    rows = documents(40)
    task, model = made(rows)
    figures = evaluate(task, model, rows, Decoding()).figures
    assert figures == evaluate(task, model, rows, Decoding()).figures
    assert figures["perplexity"] == pytest.approx(math.exp(figures["nats"]))
    assert 0 <= figures["accuracy"] <= 100
    assert task.metric().selection_score(figures) == figures["accuracy"]


def test_masks_are_filled_with_what_is_likeliest() -> None:
    task, model = made(documents(40))
    (prediction,) = task.predict(model, ["ab [MASK] cd"], Decoding(beam=5, n=5))
    ids = [
        task.tokenizer.bos,
        *task.tokenizer.encode("ab "),
        task.mask,
        *task.tokenizer.encode(" cd"),
        task.tokenizer.eos,
    ]
    shares = model(torch.tensor([ids]))[0, ids.index(task.mask)]
    shares[: len(task.tokenizer.special)] = -math.inf
    best = shares.softmax(-1).topk(5)
    assert [score for _, score in prediction.ranked] == pytest.approx(best.values.tolist(), rel=1e-4)
    whole = [best.indices[0] if token == task.mask else token for token in ids]
    assert (
        prediction.value.plain()
        == prediction.ranked[0][0].plain()
        == task.tokenizer.decode([int(token) for token in whole])
    )
    (two,) = task.predict(model, ["[MASK] ab [MASK]"], Decoding(beam=5, n=5))
    assert two.candidates == ()
    assert "[MASK]" not in two.value.plain()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("ab cd", {"value": "ab cd", "limit": "[MASK]"}),
        ("[MASK] " + "ab " * 40, {"value": 83, "limit": 24}),
    ],
)
def test_what_cannot_be_filled_is_refused(text: str, parts: dict[str, Any]) -> None:
    task, model = made(documents(40))
    with refused(InputError, **parts):
        task.predict(model, [text], Decoding())


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        (("task.tokenizer=characters",), {"key": "task.tokenizer", "value": "characters"}),
        (("task.rate=1",), {"key": "rate", "value": 1.0}),
        (("task.context=2",), {"key": "context", "value": 2}),
        (("model.stack.mask=causal",), {"key": "model.stack.mask", "value": "causal"}),
        (("model.head=classes",), {"key": "model.head.kind", "value": "classes"}),
        (("model.embed.vocab=7",), {"key": "model.embed.vocab", "value": 7}),
    ],
)
def test_what_does_not_go_together_is_refused(settings: tuple[str, ...], parts: dict[str, Any]) -> None:
    with refused(ConfigError, **parts):
        made(documents(30), *settings)


def test_it_learns_a_word_from_what_follows_it(tmp_path: Path) -> None:
    """The middle word is known by the last one, so that a model which looks back only cannot know it."""
    chance = random.Random(1)
    middle = {"sun": "bright", "moon": "pale", "sea": "deep", "night": "long"}
    lines = []
    for last in chance.choices(list(middle), k=2000):
        lines.append(f"{' '.join(chance.choices('uvwxyz', k=4))} the {middle[last]} {last} .")
    (tmp_path / "t.tsv").write_text("text\n" + "\n".join(lines) + "\n", "utf-8")
    better = (
        "task.tokenizer=null",
        "train.tokens=256",
        "train.lr=5e-3",
        "train.evaluations=1",
        "task.rate=0.3",
    )
    asked: Any = {"settings": (*SETTINGS, *better), "steps": 400, "quiet": True, "threads": 1}
    trained = regard.train("fill-mask", tmp_path / "t.tsv", tmp_path / "run", **asked)
    run = regard.load(trained.folder)
    wanted = [f"u v w x the {word} {last}." for last, word in middle.items()]
    assert [str(x) for x in run.predict([f"u v w x the [MASK] {last} ." for last in middle])] == wanted
    assert run.evaluate().metrics["accuracy"] > 40  # what stands before "the" cannot be known


def test_it_is_restored_from_what_a_bundle_holds() -> None:
    task, model = made(documents(30))
    again = FillMask.prepare(task.config, None, task.files())
    assert again.predict(model, ["a [MASK]"], Decoding()) == task.predict(model, ["a [MASK]"], Decoding())
    with refused(BundleError, where="tokenizer.json"):
        FillMask.prepare(task.config, None, {})
