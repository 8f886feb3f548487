"""Question answering: spans, windows, no answer, SQuAD's figures, and what is learned."""

from __future__ import annotations

import json
import math
import random
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import regard
from regard.data.readers.answers import Answer, answers_as_text, read_answers
from regard.data.rows import Row
from regard.data.store import write_store
from regard.data.tokenizer import (
    BPE,
    ByteBPE,
    Characters,
    TokenizerSpec,
    Unigram,
    WordPiece,
    Words,
    train_tokenizer,
)
from regard.decode.spans import best_spans
from regard.errors import BundleError, ConfigError, DataError, InputError
from regard.model.mask import Ragged
from regard.recipes.report import prediction_line
from regard.tasks import Decoding
from regard.tasks.metric import evaluate
from regard.tasks.question_answering import QuestionAnswering
from regard.tasks.span_metrics import best_threshold
from regard.tasks.span_windows import Window, covering, inside, windows
from regard.tasks.task import open_columns
from regard.training.resolve import Asked, resolve
from regard.values import Pair
from tests.shared import refused
from tests.tasks.tiny_questions import CONTEXT, QUICK, ROWS, made, row

SPECS = (ByteBPE(), BPE(), WordPiece(lowercase=True), Unigram(), Characters(), Words())
NOT_THRESHOLDS = ("", "{", "[]", "{}", '{"unanswerable": -1, "threshold": 0.0}', '{"unanswerable": 1}')
NOT_THRESHOLDS += ('{"unanswerable": 1, "threshold": NaN}', '{"unanswerable": 1, "threshold": "0"}')


# ------------------------------------------------------------------------------------------ ids and spans


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_the_tokens_of_an_answer_give_its_text_back(spec: TokenizerSpec) -> None:
    config: Any = resolve(Asked("question-answering")).task
    texts = [text for row in ROWS for text in row.values[:2]]
    task = QuestionAnswering(config, train_tokenizer(spec, texts, at_most=True))
    for asked in ROWS:
        places = task._read(asked.values[0]).places
        for answer in read_answers(asked.values[2], asked.values[0], ""):
            span = covering(places, answer)
            assert span is not None
            said = asked.values[0][places[span[0]][0] : places[span[1]][1]]
            assert answer.text in said
            if spec.kind in ("characters", "wordpiece"):  # of others a piece may be longer than the answer
                assert said == answer.text


def test_an_example_is_question_and_context_and_no_answer_is_the_first_token() -> None:
    task, _ = made(ROWS, "task.tokenizer=characters")
    ids, places, first = next(iter(task.encode([row("ab?", "xaz", "az")])))  # type: ignore[misc]
    t = task.tokenizer
    assert ids == [t.bos, *t.encode("ab?"), t.eos, *t.encode("xaz"), t.eos]
    assert (places, first) == ([(6, 7)], 5)
    assert next(iter(task.encode([row("ab?", "xaz")])))[1] == [(0, 0)]  # type: ignore[index]


@given(length=st.integers(0, 60), room=st.integers(1, 20), stride=st.integers(0, 25), asked=st.integers(1, 5))
@settings(max_examples=300, deadline=None)
def test_windows_hold_all_of_a_context_in_order(length: int, room: int, stride: int, asked: int) -> None:
    context = list(range(100, 100 + length))
    found = list(windows([7] * asked, context, 9, asked + room + 1, stride))
    seen: set[int] = set()
    for window in found:
        assert len(window.ids) <= asked + room + 1
        assert window.ids[: window.first] == [7] * asked
        part = window.ids[window.first : -1]
        assert part == context[window.begin : window.begin + room]
        assert window.ids[-1] == 9
        seen.update(part)
    assert seen == set(context)
    assert len(found) == 1 or length > room


def test_an_answer_counts_in_the_windows_that_hold_it_whole() -> None:
    window = Window([1, 1, 50, 51, 52, 2], first=2, begin=10)
    assert inside(window, [(10, 10), (11, 12), (12, 13), (9, 10), (0, 99)]) == [(2, 2), (3, 4)]
    assert covering([(0, 2), (2, 4), (5, 8)], Answer("x" * 3, 3)) == (1, 2)
    assert covering([(0, 2), (2, 4), (5, 8)], Answer("x", 4)) is None


def test_several_references_share_the_loss_which_is_torchs(tmp_path: Path) -> None:
    task, model = made(ROWS)
    store = write_store(tmp_path / "ids", (x for x in task.encode(ROWS) if x), task.fields)
    batch: Any = task.batch(store, np.arange(len(ROWS)))
    logits = model(batch.ids, Ragged.from_lengths(batch.lengths, batch.ids.shape[1]))
    want = torch.zeros(())
    for number in range(len(ROWS)):
        example = store[number]
        legal = [0, *range(int(example["first"]), len(example["tokens"]) - 1)]
        for side in (0, 1):
            shares = logits[number, legal, side].log_softmax(-1)
            targets = example["spans"][:, side].tolist()
            want -= sum(shares[legal.index(place)] for place in targets) / len(targets)  # type: ignore[misc]
    torch.testing.assert_close(task.loss(model, batch)["loss"], want)
    assert batch.tokens == 10


def test_what_the_tokenizer_does_not_see_is_counted() -> None:
    task, _ = made(ROWS)
    hidden = Row(("a \u200d b", "q", answers_as_text([Answer("\u200d", 2)])), "x")
    if covering(task._read(hidden.values[0]).places, Answer("\u200d", 2)) is None:
        assert list(task.encode([hidden])) == []
        assert task.notes() == ["1 left out: the tokenizer sees nothing of the answer"]


# --------------------------------------------------------------------------------------------- predicting


@given(
    numbers=st.lists(st.integers(-5, 5), min_size=14, max_size=14),
    first=st.integers(0, 6),
    size=st.integers(0, 6),
    longest=st.integers(1, 9),
)
@settings(max_examples=300, deadline=None)
def test_the_best_spans_are_those_of_a_search_through_all(
    numbers: list[int], first: int, size: int, longest: int
) -> None:
    logits = torch.tensor(numbers, dtype=torch.float32).view(1, 7, 2)
    stop = min(7, first + size)
    legal = {
        (i, j): float(logits[0, i, 0] + logits[0, j, 1])
        for i, j in product(range(first, stop), repeat=2)
        if i <= j < i + longest
    }
    best = best_spans(logits, torch.tensor([first]), torch.tensor([stop]), longest=longest, n=4)
    said = [x for x in best.scores[0].tolist() if x > -math.inf]
    assert said == sorted(legal.values(), reverse=True)[: len(best.scores[0])]
    for score, i, j in zip(said, best.starts[0].tolist(), best.ends[0].tolist(), strict=False):
        assert legal[i, j] == score
    assert best.null.item() == numbers[0] + numbers[1]
    total = torch.tensor(list(legal.values())).logsumexp(0).item() if legal else -math.inf
    assert best.total.item() == pytest.approx(total, abs=1e-4)


def test_answers_stand_where_they_say_and_do_not_depend_on_their_neighbours() -> None:
    task, model = made(ROWS)
    asked = [f"who?\t{CONTEXT}", "where was she?\tZoë sat in the café.", f"what?\t{CONTEXT * 9}"]
    together = task.predict(model, asked, Decoding(beam=5, n=5))
    for text, prediction in zip(asked, together, strict=True):
        context = text.partition("\t")[2]
        assert len(prediction.ranked) == 5
        for answer, _ in prediction.ranked:
            assert answer.text == context
            assert len(answer.spans) <= 1
        scores = [score for _, score in prediction.candidates]
        assert scores == sorted(scores, reverse=True)
        assert 0 < sum(scores) <= 1 + 1e-5
        (alone,) = task.predict(model, [text], Decoding(beam=5, n=5))
        assert [score for _, score in alone.candidates] == pytest.approx(scores, abs=1e-5)
        assert alone.value == prediction.value == prediction.ranked[0][0]


def test_json_says_where_an_answer_stands() -> None:
    task, model = made(ROWS)
    text = f"who?\t{CONTEXT}"
    (prediction,) = task.predict(model, [text], Decoding())
    (said,) = json.loads(prediction_line(text, prediction, as_json=True))["predictions"]
    assert set(said) == {"text", "score", "start", "end"}
    if said["start"] is not None:
        assert CONTEXT[said["start"] : said["end"]] == said["text"]


def test_a_window_more_or_less_does_not_change_what_one_window_says() -> None:
    task, model = made(ROWS[:4])
    context = "Zoë sat in the café."
    (whole,) = task.predict(model, [f"q\t{context}"], Decoding())
    task.config = type(task.config)(max_length=5 + 64, max_question=64, stride=1)
    (again,) = task.predict(model, [f"q\t{context}"], Decoding())
    assert (again.value, again.score) == (whole.value, pytest.approx(whole.score))


def test_no_answer_is_said_when_it_wins_by_more_than_the_threshold() -> None:
    task, model = made(ROWS)
    asked = [Pair("who?", CONTEXT)]
    (found,) = task._found(model, asked, Decoding())
    for threshold, silent in ((found.margin - 0.1, True), (found.margin + 0.1, False)):
        task.threshold = threshold
        (prediction,) = task.predict(model, [f"who?\t{CONTEXT}"], Decoding())
        assert (prediction.value.plain() == "") == silent
        assert (prediction.value.spans == ()) == silent
        again = QuestionAnswering.prepare(task.config, None, task.files())
        assert again.threshold == threshold
    always, model = made(ROWS[:4])
    always.threshold = -1e9
    assert always.predict(model, [f"who?\t{CONTEXT}"], Decoding())[0].value.plain() != ""


def test_the_threshold_is_the_best_of_all() -> None:
    chance = random.Random(1)
    for _ in range(200):
        count = chance.randint(1, 8)
        margins = [float(chance.randint(-3, 3)) for _ in range(count)]
        answered = [chance.choice([0.0, 0.5, 1.0]) for _ in range(count)]
        silent = [chance.choice([0.0, 1.0]) for _ in range(count)]

        def score(at: float) -> float:
            three = zip(margins, answered, silent, strict=True)  # noqa: B023
            return sum(s if margin > at else a for margin, a, s in three)

        tried = [x + d for x in margins for d in (-0.5, 0.5)]
        assert score(best_threshold(margins, answered, silent)) == max(map(score, tried))


def test_settling_chooses_the_threshold_on_the_rows_it_is_given() -> None:
    task, model = made(ROWS)
    task.calibrate(model, ROWS)
    best = evaluate(task, model, ROWS, Decoding()).figures["token_f1"]
    for threshold in np.linspace(-20, 20, 41):
        task.threshold = float(threshold)
        assert evaluate(task, model, ROWS, Decoding()).figures["token_f1"] <= best + 1e-6


@pytest.mark.parametrize("text", ["who?", "who?\t", "who?\t  ", ""])
def test_a_question_needs_a_context(text: str) -> None:
    task, model = made(ROWS)
    with refused(InputError):
        task.predict(model, [text], Decoding())


@pytest.mark.parametrize("text", NOT_THRESHOLDS)
def test_a_damaged_threshold_is_refused(text: str) -> None:
    task, _ = made(ROWS)
    with refused(BundleError, where="threshold.json"):
        QuestionAnswering.prepare(task.config, None, task.files() | {"threshold.json": text})


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        (("task.max_length=67",), {"key": "max_length", "value": 67, "limit": "68 or more"}),
        (("task.max_answer=0",), {"key": "max_answer", "value": 0}),
        (("task.stride=-1",), {"key": "stride", "value": -1}),
        (("model.head=vocabulary",), {"key": "model.head.kind", "value": "vocabulary", "limit": "spans"}),
    ],
)
def test_what_does_not_go_together_is_refused(settings: tuple[str, ...], parts: dict[str, Any]) -> None:
    with refused(ConfigError, **parts):
        made(ROWS, *settings)


# ----------------------------------------------------------------------------------------------- learning


KINDS = {"who": "ann ben cem dot", "when": "1700 1800 1900 2000", "where": "rome bonn lima oslo"}


def write_squad(path: Path, impossible: bool, seed: int = 1) -> Path:
    """Who, when or where? Each is somewhere in the context, or sometimes not."""
    chance = random.Random(seed)
    paragraphs = []
    for number in range(600):
        asked = chance.choice([*KINDS])
        silent = impossible and chance.random() < 0.4
        words = [chance.choice(KINDS[kind].split()) for kind in KINDS if kind != asked or not silent]
        words += chance.choices("tuvwxyz", k=6)
        chance.shuffle(words)
        context = " ".join(words)
        answers = [
            {"text": word, "answer_start": context.index(word)}
            for word in words
            if word in KINDS[asked].split()
        ]
        question = {"id": str(number), "question": f"{asked} ?", "answers": answers, "is_impossible": silent}
        paragraphs.append({"context": context, "qas": [question]})
    path.write_text(json.dumps({"version": "2", "data": [{"title": "t", "paragraphs": paragraphs}]}), "utf-8")
    return path


LEARNS = (*QUICK, "model.width=32", "model.hidden=64", "model.depth=2", "train.evaluations=1")
LEARNS += ("train.tokens=1024", "train.lr=1e-2", "task.tokenizer=words")


@pytest.mark.parametrize("impossible", [False, True])
def test_it_learns_to_find_what_is_asked_for(impossible: bool, tmp_path: Path) -> None:
    """Without a look at the question one answer in three is right."""
    data = write_squad(tmp_path / "q.json", impossible)
    trained = regard.train(
        "question-answering",
        data,
        tmp_path / "run",
        settings=LEARNS,
        steps=120,
        quiet=True,
        threads=1,
    )
    run = regard.load(trained.folder)
    result = run.evaluate(split="valid")
    assert result.metrics["token_f1"] > 90
    assert max(figures["token_f1"] for figures in result.baselines.values()) < 60
    assert ("unanswerable_f1" in result.metrics) == impossible
    assert [str(x) for x in run.predict(["when ?\tx lima y 1800 t ben z w u"])] == ["1800"]
    silent = run.predict(["when ?\tx lima y t ben z w v u"] * impossible)
    assert [str(x) for x in silent] == [""] * impossible


def test_questions_may_come_in_a_table(tmp_path: Path) -> None:
    answers = {"text": ["b"], "answer_start": [2]}
    rows = [{"question": "q", "context": f"a b {n}", "answers": answers} for n in range(40)]
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    config: Any = resolve(Asked("question-answering")).task
    task: Any = QuestionAnswering.prepare(
        config, open_columns(QuestionAnswering.columns(config), path).split("train")
    )
    assert task.unanswerable == 0
    path.write_text(path.read_text("utf-8").replace("[2]", "[1]", 1), "utf-8")
    with refused(DataError, where="t.jsonl:1", value="it stands at 2"):
        whole = open_columns(QuestionAnswering.columns(config), path, whole=True)
        QuestionAnswering.prepare(config, whole.split("all"))
