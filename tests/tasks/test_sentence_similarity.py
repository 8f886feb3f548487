"""Sentence similarity: vectors, the two losses, retrieval, rank correlation, neighbours, what is learned."""

from __future__ import annotations

import itertools
import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import regard
from regard.data.readers import columns_of
from regard.data.rows import Row, Rows
from regard.data.store import write_store
from regard.errors import ConfigError, DataError, InputError
from regard.insight.neighbours import nearest
from regard.model.head import Vector, VectorHead
from regard.model.mask import Contiguous, Ragged
from regard.model.transformer import Transformer
from regard.tasks import Decoding
from regard.tasks import similarity_metrics as metrics
from regard.tasks.sentence_similarity import SentenceSimilarity, SentenceSimilarityConfig
from regard.tasks.similarity_metrics import (
    correlation_metrics,
    partners,
    retrieval_metrics,
    uniformity_metrics,
)
from regard.tasks.similarity_objectives import Contrastive
from regard.tasks.task import open_columns
from regard.training.resolve import Asked, resolve
from tests.shared import refused

QUICK = (
    "task.tokenizer=characters",
    "model.width=16",
    "model.hidden=24",
    "model.depth=1",
    "model.heads=2",
    "model.dropout=0",
)
SCORED = ("task.objective=regression", "task.objective.highest=5")
ROWS = [
    Row(pair, pair[0]) for pair in (("abc", "cb"), ("ca", "ac"), ("abc", "b"), ("bbbb", "cb"), ("a", "aa"))
]
STARS = [Row((*row.values, str(n)), f"t:{n}") for n, row in enumerate(ROWS)]


def made(rows: list[Row], *settings: str) -> tuple[SentenceSimilarity, Transformer]:
    config = resolve(Asked("sentence-similarity", settings=(*QUICK, *settings)))
    task: Any = SentenceSimilarity.prepare(config.task, rows)  # type: ignore[arg-type]
    torch.manual_seed(1)
    model: Any = task.configure_model(config.model).build().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return task, model


def batch_of(task: SentenceSimilarity, rows: list[Row], folder: Path) -> Any:
    store = write_store(folder / "ids", (x for x in task.encode(rows) if x), task.fields)
    return task.batch(store, np.arange(len(rows)))


# ----------------------------------------------------------------------------------------- vectors, losses


@pytest.mark.parametrize("pooling", ["mean", "first"])
@pytest.mark.parametrize("normalised", [False, True])
def test_a_vector_is_pooled_without_padding(pooling: Any, normalised: bool) -> None:
    head: VectorHead = Vector(pooling, normalised).build(4, torch.nn.Parameter(torch.zeros(1, 4)))
    x = torch.randn(2, 5, 4)
    got = head(x, Ragged.from_lengths(torch.tensor([3, 5]), 5))
    for row, length in enumerate((3, 5)):
        want = x[row, :length].mean(0) if pooling == "mean" else x[row, 0]
        want = want / want.norm() if normalised else want
        torch.testing.assert_close(got[row], want)
        torch.testing.assert_close(head(x[row : row + 1, :length], Contiguous(0, length))[0], want)


@pytest.mark.parametrize("normalised", [False, True])
def test_the_contrastive_loss_by_hand(normalised: bool, tmp_path: Path) -> None:
    """Of every text the partner against all others but those that are partners too."""
    task, model = made(
        ROWS,
        f"model.head.normalised={str(normalised).lower()}",
        "task.objective=contrastive",
        "task.objective.temperature=0.3",
    )
    loss = task.loss(model, batch_of(task, ROWS, tmp_path))["loss"]
    sides = [F.normalize(task.vectors(model, [row.values[side] for row in ROWS]), dim=-1) for side in (0, 1)]
    want = 0.0
    for here, there in ((0, 1), (1, 0)):
        for i, row in enumerate(ROWS):
            others = [
                j
                for j, other in enumerate(ROWS)
                if j == i or (other.values[0] != row.values[0] and other.values[1] != row.values[1])
            ]
            cosines = torch.tensor([float(sides[here][i] @ sides[there][j]) / 0.3 for j in others])
            want -= float(cosines.log_softmax(0)[others.index(i)]) / 2
    assert loss.item() == pytest.approx(want, rel=1e-4)


def test_the_regression_loss_by_hand(tmp_path: Path) -> None:
    task, model = made(STARS, *SCORED)
    batch = batch_of(task, STARS, tmp_path)
    pairs = ["\t".join(row.values[:2]) for row in STARS]
    cosines = [prediction.score for prediction in task.predict(model, pairs, Decoding())]
    want = sum((cosine - n / 5) ** 2 for n, cosine in enumerate(cosines) if cosine is not None)
    assert task.loss(model, batch)["loss"].item() == pytest.approx(want, rel=1e-4)


def test_a_text_is_a_vector_and_a_pair_a_cosine_whatever_stands_beside_them() -> None:
    task, model = made(ROWS)
    first, pair, second = task.predict(model, ["abc", "abc\tcbcbcbcb", "cbcbcbcb"], Decoding())
    a, b = (torch.tensor(json.loads(prediction.value.plain())) for prediction in (first, second))
    assert a.norm().item() == pytest.approx(1, abs=1e-4)
    assert pair.score == pytest.approx(float(a @ b), abs=1e-4)
    assert str(pair.value) == f"{pair.score:.4f}"
    (alone,) = task.predict(model, ["abc"], Decoding())
    torch.testing.assert_close(torch.tensor(json.loads(alone.value.plain())), a, atol=1e-5, rtol=1e-4)


def test_what_is_too_long_is_cut_and_said() -> None:
    task, _ = made(ROWS, "task.max_length=4")
    assert list(map(len, task.frame([("abcabc",), ("ab",), ("",)])[0])) == [4, 4, 2]
    assert task.notes() == ["1 inputs were cut at task.max_length = 4 tokens"]


def test_a_text_alone_is_to_find_itself_by_another_dropout(tmp_path: Path) -> None:
    task, model = made(ROWS, "task.objective=simcse", "model.dropout=0.2")
    alone = [Row(row.values[:1], row.where) for row in ROWS]
    assert len(list(task.encode([*alone, Row((" ",), "blank")]))) == len(ROWS)
    batch = batch_of(task, alone, tmp_path)
    assert torch.equal(batch.left.ids, batch.right.ids)
    loss = task.loss(model.train(), batch)["loss"]
    places = Ragged.from_lengths(batch.left.lengths, batch.left.ids.shape[1])
    first, other = (F.normalize(model(batch.left.ids, places), dim=-1) for _ in range(2))
    assert not torch.allclose(first, other)
    still = task.loss(model.eval(), batch)[
        "loss"
    ]  # without dropout a text is itself, and only the others count
    assert 0 < still.item() < loss.item()


# ------------------------------------------------------------------------------------------------ figures


def test_uniformity_by_its_definition() -> None:
    x = torch.randn(7, 3)
    points = F.normalize(x, dim=-1)
    apart = [math.exp(-2 * float((a - b).square().sum())) for a, b in itertools.permutations(points, 2)]
    got = uniformity_metrics(x)
    assert got == {"count": 7, "uniformity": pytest.approx(math.log(sum(apart) / len(apart)), abs=1e-4)}
    assert uniformity_metrics(torch.ones(4, 3))["uniformity"] == pytest.approx(0, abs=1e-5)
    assert uniformity_metrics(x[:1]) == {"count": 1}


def test_ranks_by_hand() -> None:
    left = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]])
    right = torch.tensor([[2.0, 0.0], [1.0, 0.2], [0.0, 1.0]])
    ranks, found = partners(left, right, [("a", "x"), ("b", "y"), ("c", "z")])
    assert (ranks, found) == ([1, 2, 3], [0, 2, 1])
    # A copy of the text beside it is no mistake, on either side.
    assert partners(left, right, [("a", "x"), ("b", "z"), ("c", "z")])[0] == [1, 1, 2]
    assert partners(left, right, [("a", "x"), ("b", "y"), ("a", "z")])[0] == [1, 2, 2]
    figures = retrieval_metrics([1, 2, 4])
    assert figures == {"count": 3, "accuracy": pytest.approx(100 / 3), "mrr": pytest.approx(175 / 3)}
    assert retrieval_metrics([]) == correlation_metrics([], []) == {"count": 0}


def test_vectors_that_are_all_the_same_find_nobody() -> None:
    same = torch.ones(5, 3)
    assert partners(same, same, [(f"{n}", f"{n}x") for n in range(5)])[0] == [5] * 5


def test_partners_are_looked_for_in_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "POOL", 4)
    x = F.normalize(torch.randn(11, 3), dim=-1)
    ranks, found = partners(x, x, [(f"{n}", f"{n}") for n in range(11)])
    assert (ranks, found) == ([1] * 11, list(range(11)))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=9))
@settings(max_examples=300, deadline=None)
def test_spearman_by_its_definition(pairs: list[tuple[int, int]]) -> None:
    """Pearson's correlation of ranks, where equal values share their mean place."""

    def places(values: list[int]) -> list[float]:
        return [sum(w < v for w in values) + (sum(w == v for w in values) + 1) / 2 for v in values]

    x, y = (places(list(side)) for side in zip(*pairs, strict=True))
    mean = (len(pairs) + 1) / 2
    top = sum((a - mean) * (b - mean) for a, b in zip(x, y, strict=True))
    size = math.sqrt(sum((a - mean) ** 2 for a in x) * sum((b - mean) ** 2 for b in y))
    got = correlation_metrics([a for a, _ in pairs], [b for _, b in pairs])["spearman"]
    assert got == pytest.approx(100 * top / size if size else 0.0, abs=1e-6)


def test_bags_of_tokens_find_what_shares_rare_words() -> None:
    rows = [Row((f"{word} the the", f"the {word}"), word) for word in ("cat", "dog", "fish")]
    task, _ = made(rows, "task.tokenizer=words")
    (figures,) = task.baselines(rows, Rows.of(rows)).values()
    assert figures["accuracy"] == 100
    scored, _ = made(STARS, *SCORED)
    (figures,) = scored.baselines(STARS, None).values()
    assert -100 <= figures["spearman"] <= 100


# ---------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("score", ["", "x", "-1", "6", "nan", "inf"])
def test_a_score_that_is_none_is_refused_with_its_place(score: str) -> None:
    task, _ = made(STARS, *SCORED)
    bad = Row(("a", "b", score), "pairs.tsv:7")
    with refused(DataError, where="pairs.tsv:7", key="score"):
        list(task.encode([bad]))


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        (("task.objective=contrastive", "task.objective.temperature=0"), {"key": "temperature", "value": 0}),
        (("task.objective=simcse", "task.objective.temperature=-1"), {"key": "temperature", "value": -1}),
        (("task.objective=simcse",), {"key": "task.objective.kind", "remedy": "set model.dropout=0.1"}),
        (("task.objective=regression", "task.objective.highest=-1"), {"key": "highest", "value": -1}),
        (("task.max_length=2",), {"key": "max_length", "value": 2}),
        (("model.head=classes",), {"key": "model.head.kind", "value": "classes", "limit": "vector"}),
    ],
)
def test_what_does_not_go_together_is_refused(settings: tuple[str, ...], parts: dict[str, Any]) -> None:
    with refused(ConfigError, **parts):
        made(ROWS, *settings)


# ------------------------------------------------------------------------------------ learning, neighbours

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
LEARNS = (*QUICK[1:], "model.width=32", "model.hidden=64", "task.tokenizer=words", "train.lr=1e-2")
LEARNS += ("train.tokens=1024", "train.evaluations=1")


def numbers(folder: Path, scored: bool = False) -> Path:
    """Numbers in digits and in words: they share no token."""
    chance = random.Random(1)
    lines = ["source\ttarget" + "\tscore" * scored]
    for number in chance.sample(range(1000, 10_000), 1500):
        digits = [*str(number)]
        words = [NAMES[int(digit)] for digit in digits]
        wrong = chance.randint(0, 4) if scored else 0
        for place in chance.sample(range(4), wrong):
            words[place] = chance.choice([name for name in NAMES if name != words[place]])
        lines.append("\t".join([" ".join(digits), " ".join(words), *([str(4 - wrong)] if scored else [])]))
    path = folder / "numbers.tsv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def test_it_learns_to_find_partners_that_share_no_token(tmp_path: Path) -> None:
    asked: Any = {"settings": LEARNS, "steps": 120, "quiet": True, "threads": 1}
    trained = regard.train("sentence-similarity", numbers(tmp_path), tmp_path / "run", **asked)
    run = regard.load(trained.folder)
    result = run.evaluate()
    assert result.metrics["mrr"] > 80
    assert all(figures["mrr"] < 25 for figures in result.baselines.values())
    (best,) = run.neighbours(
        ["7 3 1 4"], ["one two three four", "seven three one four", "two two two two"], 2
    )
    assert best.value.plain() == "seven three one four"
    assert [score for _, score in best.ranked] == sorted((s for _, s in best.ranked), reverse=True)  # type: ignore[type-var]
    (words,) = run.neighbours(["seven"], n=3)
    assert len(words.ranked) == 3
    assert "seven" not in [text for text, _ in words.ranked]
    with refused(InputError, remedy="give at least one"):
        run.neighbours(["7"], [])
    with refused(InputError, value=0):
        run.neighbours(["7"], n=0)
    with refused(InputError, value=" "):
        run.neighbours([" "])
    assert run.neighbours([]) == []


def test_it_learns_how_many_words_are_right(tmp_path: Path) -> None:
    scored = (*LEARNS, "task.objective=regression", "task.objective.highest=4")
    asked: Any = {"settings": scored, "steps": 250, "quiet": True, "threads": 1}
    trained = regard.train("sentence-similarity", numbers(tmp_path, True), tmp_path / "run", **asked)
    result = regard.load(trained.folder).evaluate()
    assert result.metrics["spearman"] > 60
    assert all(figures["spearman"] < 30 for figures in result.baselines.values())


def test_the_nearest_are_those_of_a_search_through_all() -> None:
    queries, known = torch.randn(3, 5), torch.randn(7, 5)
    cosines, places = nearest(queries, known, 4)
    for query, found, best in zip(queries, cosines, places, strict=True):
        every = F.cosine_similarity(query[None], known)
        torch.testing.assert_close(found, every.sort(descending=True).values[:4])
        torch.testing.assert_close(every[best], found)
    assert nearest(queries, known, 99)[0].shape == (3, 7)


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("t.txt", "a b\n\nc d\n", "simcse"),
        ("t.tsv", "text\na b\nc d\n", "simcse"),
        ("t.tsv", "source\ttarget\na\tb\nc\td\n", "contrastive"),
        ("t.csv", "one,other,score\na,b,1\nc,d,0\n", "regression"),
    ],
)
def test_what_is_learned_follows_from_the_columns(name: str, text: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    for data in (tmp_path / name, tmp_path):
        config = SentenceSimilarity.adapted(SentenceSimilarityConfig(), lambda data=data: columns_of(data))
        assert config.objective.kind == kind
        rows = open_columns(SentenceSimilarity.columns(config), tmp_path / name, whole=True).split("all")
        assert next(iter(rows)).values[0].split()[0] == "a"
        said = replace(config, objective=Contrastive())
        assert SentenceSimilarity.adapted(said, lambda data=data: columns_of(data)) is said


def test_it_learns_from_texts_alone_to_part_them(tmp_path: Path) -> None:
    lines = numbers(tmp_path).read_text("utf-8").splitlines()[1:]
    (tmp_path / "t.txt").write_text("".join(line.partition("\t")[2] + "\n" for line in lines), "utf-8")
    asked: Any = {"settings": (*LEARNS, "model.dropout=0.1"), "steps": 60, "quiet": True, "threads": 1}
    begun: Any = asked | {"steps": 1}
    before, after = (
        regard.load(regard.train("sentence-similarity", tmp_path / "t.txt", tmp_path / out, **how).folder)
        .evaluate()
        .metrics["uniformity"]
        for out, how in (("before", begun), ("after", asked))
    )
    assert after < min(-2.0, before - 0.5)


def test_other_data_with_scores_are_judged_by_them_without_training(tmp_path: Path) -> None:
    asked: Any = {"settings": LEARNS, "steps": 1, "quiet": True, "threads": 1}
    run = regard.load(
        regard.train("sentence-similarity", numbers(tmp_path), tmp_path / "run", **asked).folder
    )
    chance = random.Random(2)
    lines = [
        f"{chance.randint(1, 9)} 1\t{chance.randint(1, 9)} 1\t{chance.uniform(-3, 7):.3f}" for _ in range(40)
    ]
    (tmp_path / "scored.tsv").write_text("a\tb\tscore\n" + "\n".join(lines) + "\n", "utf-8")
    result = run.evaluate(tmp_path / "scored.tsv", "all")
    pairs = ["\t".join(line.split("\t")[:2]) for line in lines]
    # Of vectors that were made side by side as the evaluation makes them: others differ in their last digits,
    # by which near-equal cosines may rank otherwise.
    left, right = (run.task.vectors(run.model, [pair.split("\t")[side] for pair in pairs]) for side in (0, 1))
    cosines = F.cosine_similarity(left, right).tolist()
    want = correlation_metrics(cosines, [float(line.split("\t")[2]) for line in lines])["spearman"]
    assert result.metrics == {"count": 40, "spearman": pytest.approx(want)}
    assert [value.number for value in run.predict(pairs)] == pytest.approx(cosines, abs=1e-3)
    assert "mrr" in run.evaluate().metrics


def test_columns_may_be_named_and_scored(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("id\ta\tb\tstars\n1\tx\ty\t3\n", "utf-8")
    named = ("task.source=a", "task.target=b", "task.objective=regression", "task.objective.score=stars")
    config: Any = resolve(Asked("sentence-similarity", settings=named)).task
    rows = open_columns(SentenceSimilarity.columns(config), path, whole=True).split("all")
    assert next(iter(rows)).values == ("x", "y", "3")
