"""Text classification: labels, pairs, what is cut, the losses, and what is learned."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import regard
from regard.data.rows import Row
from regard.data.store import ExampleStore, write_store
from regard.errors import BundleError, ConfigError, DataError, InputError
from regard.model.head import Classes, ClassHead
from regard.model.mask import Contiguous, Ragged
from regard.model.transformer import Transformer
from regard.tasks import Decoding
from regard.tasks.class_metrics import class_metrics
from regard.tasks.task import open_columns
from regard.tasks.text_classification import TextClassification
from regard.training.resolve import Asked, resolve
from regard.values import Text
from tests.shared import refused

QUICK = (
    "task.tokenizer=characters",
    "model.width=16",
    "model.hidden=24",
    "model.depth=1",
    "model.heads=2",
    "model.dropout=0",
)


def rows_of(*values: tuple[str, ...]) -> list[Row]:
    return [Row(some, some[0]) for some in values]


ROWS = rows_of(("abc", "x"), ("ca", "y"), ("bbbb", "x"), ("c", "z"), ("ab", "x"))
SEVERAL = rows_of(("abc", "x;y"), ("ca", "y"), ("b", " ; "), ("c", "z; x;"))
PAIRS = rows_of(("abc", "cab", "x"), ("ca", "a", "y"), ("bbbb", "c", "x"))
NO_LABELS = ("", "{", "[]", '{"a": 1}', '{"a": 1, "b": -1}', '{"a": 1, "b": true}', '{"a": 1, "b": "2"}')


def in_training(model: Any) -> Any:
    """The model, whose loss is that of training, with dropout still off."""
    model.training = True
    return model


def made(rows: list[Row], *settings: str) -> tuple[TextClassification, Transformer]:
    config = resolve(Asked("text-classification", settings=(*QUICK, *settings)))
    task: Any = TextClassification.prepare(config.task, rows)  # type: ignore[arg-type]
    torch.manual_seed(1)
    model: Any = task.configure_model(config.model).build().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return task, model


def stored(task: TextClassification, rows: list[Row], folder: Path) -> ExampleStore:
    return write_store(folder / "ids", (x for x in task.encode(rows) if x), task.fields)


# -------------------------------------------------------------------------------------------- labels, ids


def test_labels_are_counted_and_kept() -> None:
    task, _ = made(ROWS)
    assert task.target.labels == {"x": 3, "y": 1, "z": 1}
    again = TextClassification.prepare(task.config, None, task.files())
    assert (again.target.labels, again.tokenizer) == (task.target.labels, task.tokenizer)
    several, _ = made(SEVERAL, "task.separator=;")
    assert several.target.labels == {"x": 2, "y": 2, "z": 1}


@pytest.mark.parametrize("text", NO_LABELS)
def test_a_damaged_file_of_labels_is_refused(text: str) -> None:
    task, _ = made(ROWS)
    with refused(BundleError, where="labels.json"):
        TextClassification.prepare(task.config, None, task.files() | {"labels.json": text})
    with refused(BundleError, where="labels.json"):
        TextClassification.prepare(task.config, None, {"tokenizer.json": task.files()["tokenizer.json"]})


def test_one_label_is_no_choice() -> None:
    with refused(DataError, key="label", limit=10_000):
        made(ROWS[:1])


def test_texts_stand_between_start_and_end_and_the_longer_of_a_pair_is_cut() -> None:
    task, _ = made(PAIRS, "task.second=b", "task.max_length=9")
    bos, eos = task.tokenizer.bos, task.tokenizer.eos
    a, b = task.tokenizer.encode("abcabcabc"), task.tokenizer.encode("ca")
    assert task.frame([["abca", "ca"]])[0] == [[bos, *a[:4], eos, *b, eos]]
    assert task.notes() == []
    assert task.frame([["abcabcabc", "ca"]])[0] == [[bos, *a[:4], eos, *b, eos]]
    assert task.frame([["ca", "abcabcabc"]])[0] == [[bos, *b, eos, *a[:4], eos]]
    assert [len(row) for row in task.frame([["abcabcabc", "abcabcabc"]])[0]] == [9]
    assert task.notes() == ["3 inputs were cut at task.max_length = 9 tokens"]


def test_a_pair_needs_two_texts() -> None:
    task, model = made(PAIRS, "task.second=b")
    assert task.predict(model, ["abc\tca"], Decoding())[0].value.plain() in ("x", "y")
    with refused(InputError, where="pair"):
        task.predict(model, ["abc"], Decoding())


def test_rows_of_pairs_are_inputs_whatever_stands_in_their_cells() -> None:
    rows = rows_of(("a\tb", "c\ta\tb", "x"), ("ca", "a", "y"))
    task, model = made(rows, "task.second=b")
    inputs = task.inputs(rows)
    assert (
        len(task.predict(model, inputs, Decoding()))
        == len(task.model_inputs(model, inputs, Decoding())[1])
        == 2
    )
    alone, _ = made(rows_of(("a\tb", "x"), ("b", "y")))
    assert alone.inputs(rows_of(("a\tb", "x"))) == [Text("a\tb")]


def test_a_blank_text_is_an_empty_one_and_what_is_cut_is_told(caplog: pytest.LogCaptureFixture) -> None:
    task, model = made(ROWS, "task.max_length=9")
    empty, blank, long, short = task.predict(model, ["", " \t\u2028", "abc" * 9, "abc"], Decoding())
    assert blank == empty
    assert (long.unseen, short.unseen) == (20, 0)
    assert "an input has 20 tokens more than the 9 that this model takes, and was cut" in caplog.text


# ------------------------------------------------------------------------------------------------ losses


@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_the_loss_of_one_label_is_torchs(weights: str, tmp_path: Path) -> None:
    task, model = made(ROWS, f"task.weights={weights}", "task.smoothing=0")
    batch: Any = task.batch(stored(task, ROWS, tmp_path), np.array([3, 0, 1, 4]))
    logits = model(batch.ids, Ragged.from_lengths(batch.lengths, batch.ids.shape[1]))
    shares = torch.tensor([5 / 9, 5 / 3, 5 / 3]) if weights == "balanced" else torch.ones(3)
    target = torch.tensor([2, 0, 1, 0])
    want = F.cross_entropy(logits, target, weight=shares, reduction="sum")
    torch.testing.assert_close(task.loss(in_training(model), batch)["loss"], want)
    torch.testing.assert_close(
        task.loss(model.eval(), batch)["loss"], F.cross_entropy(logits, target, reduction="sum")
    )
    smooth, _ = made(ROWS, "task.smoothing=0.2")
    want = F.cross_entropy(logits, target, label_smoothing=0.2, reduction="sum")
    torch.testing.assert_close(smooth.loss(in_training(model), batch)["loss"], want)


def test_the_loss_of_several_labels_is_torchs(tmp_path: Path) -> None:
    task, model = made(SEVERAL, "task.separator=;")
    batch: Any = task.batch(stored(task, SEVERAL, tmp_path), np.arange(4))
    assert batch.wanted.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 1]]
    logits = model(batch.ids, Ragged.from_lengths(batch.lengths, batch.ids.shape[1]))
    want = F.binary_cross_entropy_with_logits(logits, batch.wanted, reduction="sum") / 3
    torch.testing.assert_close(task.loss(model, batch)["loss"], want)


@pytest.mark.parametrize("separator", [None, ";"])
def test_two_passes_are_told_to_agree(separator: str | None, tmp_path: Path) -> None:
    """R-Drop's loss, from distributions and `kl_div` instead of logits."""
    several = [f"task.separator={separator}"] if separator else []
    rows = SEVERAL if separator else ROWS
    task, model = made(rows, "task.rdrop=3", *several)
    plain, _ = made(rows, *several)
    batch = task.batch(stored(task, rows, tmp_path), np.arange(len(rows)))
    torch.testing.assert_close(
        task.loss(in_training(model), batch)["loss"], plain.loss(in_training(model), batch)["loss"]
    )  # without dropout they do
    dropping = made(rows, "model.dropout=0.5", *several)[1].train()
    torch.manual_seed(2)
    loss = task.loss(dropping, batch)["loss"]
    torch.manual_seed(2)
    twice = batch.repeated(2)
    logits = dropping(twice.ids, Ragged.from_lengths(twice.lengths, twice.ids.shape[1]))
    one, other = (
        torch.stack((x.sigmoid(), (-x).sigmoid()), -1) if separator else x.softmax(-1)
        for x in logits.chunk(2)
    )
    apart = F.kl_div(one.log(), other, reduction="none") + F.kl_div(other.log(), one, reduction="none")
    summed = (apart.sum(-1).mean(1) if separator else apart.sum(-1)).sum()
    assert summed.item() > 0.1
    wrong = plain.target.loss(logits, twice.wanted, plain.config.smoothing, plain._weights(True))
    torch.testing.assert_close(loss, wrong / 2 + 3 / 4 * summed)


@pytest.mark.parametrize("pooling", ["mean", "first"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_pooling_leaves_padding_out(pooling: Any, side: Any) -> None:
    head: ClassHead = Classes(3, pooling).build(4, torch.nn.Parameter(torch.zeros(1, 4)))
    torch.nn.init.normal_(head.weight)
    x = torch.randn(2, 5, 4)
    lengths = torch.tensor([3, 5])
    got = head(x, Ragged.from_lengths(lengths, 5, side))
    for row, length in enumerate(lengths.tolist()):
        real = x[row, 5 - length :] if side == "left" else x[row, :length]
        alone = head(real[None], Contiguous(0, length))[0]
        torch.testing.assert_close(got[row], alone)
        pooled = real.mean(0) if pooling == "mean" else real[0]
        torch.testing.assert_close(alone, F.linear(pooled, head.weight, head.bias))


# --------------------------------------------------------------------------------------------- predicting


def test_an_answer_does_not_depend_on_its_neighbours_and_scores_are_probabilities() -> None:
    task, model = made(ROWS)
    texts = ["abc", "", "cabcab", "b"]
    together = task.predict(model, texts, Decoding(beam=3, n=3))
    for text, prediction in zip(texts, together, strict=True):
        (alone,) = task.predict(model, [text], Decoding(beam=3, n=3))
        assert alone.value.plain() == prediction.value.plain() == prediction.ranked[0][0].plain()
        assert sum(score for _, score in prediction.candidates) == pytest.approx(1)
        scores = [score for _, score in prediction.candidates]
        assert [score for _, score in alone.candidates] == pytest.approx(scores, abs=1e-5)


def test_of_several_labels_those_are_said_that_are_likelier_than_not() -> None:
    task, model = made(SEVERAL, "task.separator=;")
    outputs, _ = task.read(model, [("abc",), ("c",), ("b",)], 99, torch.sigmoid)
    for text, row in zip(["abc", "c", "b"], outputs, strict=True):
        said = ";".join(label for label, share in zip("xyz", row, strict=True) if share >= 0.5)
        assert task.predict(model, [text], Decoding())[0].value.plain() == said


def test_the_metrics_by_hand() -> None:
    figures = class_metrics(["a", "b", "a", "b", "b"], ["a", "a", "b", "b", "d"], ["a", "b", "c"])
    assert figures["accuracy"] == 40
    assert figures["f1"] == pytest.approx({"a": 50, "b": 40, "c": 0})
    assert figures["macro_f1"] == pytest.approx(30)  # c stands in no reference, and d can never be right
    assert figures["unknown_labels"] == {"d": 1}
    assert figures["confusion"] == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]  # d is no label of the model
    several = class_metrics([["a", "b"], []], [["b", "a"], ["a"]], ["a", "b"])
    assert several["accuracy"] == 50
    assert "confusion" not in several
    assert class_metrics([], [], ["a"]) == {"count": 0}


# ----------------------------------------------------------------------------------------------- learning


def test_it_learns_which_of_two_letters_comes_first(tmp_path: Path) -> None:
    """A bag of letters cannot tell: each text holds both."""
    chance = random.Random(1)
    lines = ["label\ttext"]
    for _ in range(600):
        others = chance.choices("cdef", k=6)
        first, second = sorted(chance.sample(range(8), 2))
        letters = chance.choice(["ab", "ba"])
        others.insert(first, letters[0])
        others.insert(second, letters[1])
        lines.append(f"{letters}\t{''.join(others)}")
    (tmp_path / "t.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    better = ("model.depth=2", "model.width=32", "train.tokens=512", "train.lr=5e-3", "train.evaluations=1")
    asked: Any = {"settings": (*QUICK, *better), "steps": 250, "quiet": True, "threads": 1}
    trained = regard.train("text-classification", tmp_path / "t.tsv", tmp_path / "run", **asked)
    result = regard.load(trained.folder).evaluate()
    assert result.metrics["accuracy"] > 90
    assert result.baselines["most frequent label"]["accuracy"] < 75


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        (("task.max_length=2",), {"key": "max_length", "value": 2}),
        (('task.separator=""',), {"key": "separator"}),
        (("model.head=vocabulary",), {"key": "model.head.kind", "limit": "classes"}),
        (("model.head.count=9",), {"key": "model.head.count", "value": 9, "limit": 3}),
    ],
)
def test_what_does_not_go_together_is_refused(settings: tuple[str, ...], parts: dict[str, Any]) -> None:
    with refused(ConfigError, **parts):
        made(ROWS, *settings)


def test_columns_are_asked_for_by_name(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("sentence\tlabel\na\tx\nb\ty\n", "utf-8")
    config: Any = resolve(Asked("text-classification", settings=("task.source=sentence",))).task
    rows = open_columns(TextClassification.columns(config), path, whole=True).split("all")
    assert next(iter(rows)).values == ("a", "x")
    with refused(DataError, key="text"):
        open_columns(TextClassification.columns(resolve(Asked("text-classification")).task), path)


def test_a_length_that_no_data_decide_must_be_said(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text(
        "text\tlabel\n" + "".join(f"{n} a\tx\n{n} b\ty\n" for n in range(50)), "utf-8"
    )
    settings = (*QUICK, "model.stack.position=learned")
    with refused(ConfigError, key="model.stack.position.length"):
        regard.train(
            "text-classification", tmp_path / "t.tsv", tmp_path / "run", settings=settings, quiet=True
        )
