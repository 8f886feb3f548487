"""Token classification: tag schemes, words and subwords, windows, seqeval's figures, what is learned."""

from __future__ import annotations

import json
import random
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import regard
from regard.data.readers.lines import Problem
from regard.data.rows import Row, Rows
from regard.data.store import write_store
from regard.data.tokenizer import BPE, ByteBPE, Characters, Unigram, WordPiece, train_tokenizer
from regard.data.tokenizer import Words as WordTokenizer
from regard.errors import ConfigError, DataError, InputError
from regard.model.mask import Contiguous
from regard.tasks import Decoding
from regard.tasks.metric import scored
from regard.tasks.token_classification import TokenClassification, TokenClassificationConfig
from regard.tasks.token_classification.baselines import Gazetteer, UsualTags
from regard.tasks.token_classification.metrics import EntityMetric, WordMetric
from regard.tasks.token_classification.schemes import (
    SCHEMES,
    Entity,
    Scheme,
    entities,
    is_tag,
    scheme_of,
    tags_for,
    write_tags,
)
from regard.tasks.token_classification.sentences import Tags, Tokens, covered, sentence_of
from regard.tasks.token_classification.task import _best
from regard.tasks.token_classification.windows import first_tokens, windows
from regard.values import Span, Spans, Text
from regard.values.words import Words
from tests.shared import refused

TAGS = ["O", "B", "I", "E", "S", *(f"{letter}-{label}" for letter in "BIES" for label in ("A", "B-C"))]
SPECS = (ByteBPE(), BPE(), WordPiece(lowercase=True), Unigram(), Characters(), WordTokenizer())
each_scheme = pytest.mark.parametrize("scheme", get_args(Scheme))


def row(words: list[str], tags: list[Any]) -> Row:
    return Row((json.dumps(words), json.dumps(tags)), "x.conll:1")


def task_for(rows: list[Row], **options: Any) -> TokenClassification:
    return TokenClassification.prepare(TokenClassificationConfig(**options), Rows.of(rows))


@st.composite
def flat(draw: st.DrawFn) -> tuple[list[Entity], int]:
    """Entities of a sentence that do not overlap, some of which touch, and its length."""
    found, at = list[Entity](), 0
    for gap, size, label in draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from("ab")))
    ):
        found.append(Entity(at + gap, at + gap + size, label))
        at += gap + size
    return found, at + draw(st.integers(0, 2))


# ------------------------------------------------------------------------------------------ tags


@each_scheme
@given(made=flat())
def test_tags_say_the_entities_that_they_were_written_for(
    scheme: Scheme, made: tuple[list[Entity], int]
) -> None:
    found, length = made
    tags = write_tags(found, length, scheme)
    assert set(tags) <= set(tags_for("ab", scheme))
    assert len(tags) == length
    apart = all(a.end < b.start or a.label != b.label for a, b in pairwise(found))
    if scheme != "IO" or apart:
        assert entities(tags) == found


@each_scheme
def test_a_scheme_is_known_by_its_tags(scheme: Scheme) -> None:
    found = [Entity(0, 1, "a"), Entity(1, 4, "a"), Entity(5, 6, "b")]
    same = {"IOB1": "IOB2", "IOE1": "IOE2"}.get(scheme, scheme)
    assert scheme_of(write_tags(found, 7, scheme)) == same


@pytest.mark.parametrize("tags", [["O"], ["NOUN", "VERB"], ["B-x", "NOUN"], ["-LRB-", "I"], ["B-"]])
def test_names_are_no_tags_of_a_scheme(tags: list[str]) -> None:
    assert scheme_of(tags) is None


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("O I-a I-a", [(1, 3, "a")]),
        ("B-a I-b", [(0, 1, "a"), (1, 2, "b")]),
        ("I-a B-a", [(0, 1, "a"), (1, 2, "a")]),
        ("E-a E-a", [(0, 1, "a"), (1, 2, "a")]),
        ("B-a S-a I-a", [(0, 1, "a"), (1, 2, "a"), (2, 3, "a")]),
        ("U-a U-a B-a L-a", [(0, 1, "a"), (1, 2, "a"), (2, 4, "a")]),
        ("B M E S", [(0, 3, "_"), (3, 4, "_")]),
    ],
)
def test_broken_sequences_have_a_meaning(tags: str, found: list[tuple[int, int, str]]) -> None:
    assert entities(tags.split()) == found


def test_entities_are_those_of_seqeval() -> None:
    theirs = pytest.importorskip("seqeval.metrics.sequence_labeling")
    rng = random.Random(1)
    for _ in range(20_000):
        tags = rng.choices(TAGS, k=rng.randint(0, 7))
        ours = [(label, start, end - 1) for start, end, label in entities(tags)]
        assert ours == theirs.get_entities(tags), tags


def test_figures_are_those_of_seqeval() -> None:
    theirs = pytest.importorskip("seqeval.metrics")
    rng = random.Random(1)
    for _ in range(100):
        sizes = [rng.randint(1, 7) for _ in range(5)]
        said, wanted = ([rng.choices(TAGS, k=size) for size in sizes] for _ in range(2))
        rows = [row(["x"] * len(tags), tags) for tags in wanted]
        answers = [
            Spans(sentence.text, sentence.at(entities(tags)))
            for sentence, tags in zip(map(sentence_of, rows), said, strict=True)
        ]
        ours = scored(EntityMetric(), answers, rows)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that some rate is 0 of 0
            report = theirs.classification_report(wanted, said, output_dict=True)
        micro = report["micro avg"]
        assert ours["span_f1"] / 100 == pytest.approx(micro["f1-score"], abs=1e-9)
        assert ours["span_precision"] / 100 == pytest.approx(micro["precision"], abs=1e-9)
        assert ours["span_recall"] / 100 == pytest.approx(micro["recall"], abs=1e-9)
        assert ours["macro_f1"] / 100 == pytest.approx(report["macro avg"]["f1-score"], abs=1e-9)
        assert ours["weighted_f1"] / 100 == pytest.approx(report["weighted avg"]["f1-score"], abs=1e-9)
        for label in ours["f1"]:
            each = report[label]
            assert ours["f1"][label] / 100 == pytest.approx(each["f1-score"], abs=1e-9)
            assert ours["precision"][label] / 100 == pytest.approx(each["precision"], abs=1e-9)
            assert ours["recall"][label] / 100 == pytest.approx(each["recall"], abs=1e-9)
            assert ours["support"][label] == each["support"]


# ------------------------------------------------------------------------------------------ sentences


def test_words_of_a_text_keep_their_places() -> None:
    sentence = sentence_of(Text("It's O'Brien's café, e\u0301 3.5 我爱 नमस्ते!"))
    words = "It|'s|O|'|Brien|'s|café|,|e\u0301|3|.|5|我|爱|नमस्ते|!"
    assert "|".join(sentence.text[start:end] for start, end in sentence.words) == words


@given(st.lists(st.text(min_size=1, max_size=4).filter(str.strip), min_size=1, max_size=5))
def test_words_that_are_known_are_not_cut_anew(words: list[str]) -> None:
    form = Tokens().text(list(words), ())
    if isinstance(form, Problem):
        assert any("\ud800" <= c <= "\udfff" for word in words for c in word)
        return
    sentence = sentence_of(Row((form, json.dumps(["O"] * len(words))), "x"))
    assert [sentence.text[start:end] for start, end in sentence.words] == words


def test_spans_become_entities_of_the_words_that_they_touch() -> None:
    spans = [
        [0, 3, "a"],
        {"start": 7, "end": 11, "label": "b"},
        [8, 9, "inside"],
        {"start": 17, "end": 18, "label": 2},
    ]
    tags = Tags(("x", "y", "z")).text(list(spans), ["Ada in London, UK."])
    sentence = sentence_of(Row(("Ada in London, UK.", str(tags)), "x"))
    assert covered(sentence) == [(0, 1, "a"), (2, 3, "b"), (5, 6, "z")]


@pytest.mark.parametrize(
    ("tags", "text"),
    [
        ("O O", '["a", "b"]'),
        (["O"], '["a", "b"]'),
        (["O", None], '["a", "b"]'),
        (["O", ""], '["a", "b"]'),
        ([0, 9], '["a", "b"]'),
        ([[0, 4, "x"]], "abc"),
        ([[1, 1, "x"]], "abc"),
        ([{"start": 0, "end": 1}], "abc"),
        ([[0, 1.5, "x"]], "abc"),
        (["O"], "abc"),
        ({"start": 0}, "abc"),
    ],
)
def test_tags_that_cannot_be_meant_are_a_problem(tags: Any, text: str) -> None:
    assert isinstance(Tags(("a", "b")).text(tags, [text]), Problem)


@pytest.mark.parametrize("words", [[], ["a", ""], ["a", 1], {"a": 1}, ["x" * 100_001]])
def test_words_that_are_none_are_a_problem(words: Any) -> None:
    assert isinstance(Tokens().text(words, ()), Problem)


def test_a_broken_row_is_refused_with_its_place() -> None:
    with refused(DataError, where="x.conll:1"):
        sentence_of(row(["a", "b"], ["O"]))


# ------------------------------------------------------------------------------------------ subwords, windows


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_a_word_is_read_where_its_first_token_stands(spec: Any) -> None:
    words = ["unbelievable", "'s", "x", "Café", "我爱", "\u00a0", "."]
    sentence = sentence_of(Words(tuple(words)))
    tokenizer = train_tokenizer(spec, [sentence.text] * 3, at_most=True)
    tokens, places = tokenizer.encode_with_offsets(sentence.text)
    for (start, end), token in zip(sentence.words, first_tokens(sentence.words, places), strict=True):
        before = [i for i, (_, stop) in enumerate(places) if stop <= start]
        assert token == min(len(before), len(tokens) - 1)
        if sentence.text[start:end].strip():
            assert places[token][0] < end
            assert places[token][1] > start


def test_a_token_may_hold_several_words() -> None:
    assert first_tokens([(0, 1), (1, 2), (3, 5)], [(0, 2), (3, 4), (4, 5)]) == [0, 0, 1]


@given(st.data())
def test_each_word_is_read_once_where_most_is_seen_of_both_sides(data: st.DataObject) -> None:
    count, room = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 12))
    first = sorted(data.draw(st.lists(st.integers(0, count - 1), max_size=20)))
    found = list(windows(first, count, room, data.draw(st.integers(0, 14))))
    assert sorted(word for window in found for word in window.words) == list(range(len(first)))
    assert {i for window in found for i in range(window.begin, window.end)} == set(range(count))
    for window in found:
        assert window.end - window.begin <= room
        for word, at in zip(window.words, window.at, strict=True):
            token = window.begin + at
            assert token == first[word]
            sides = [min(token - other.begin, other.end - 1 - token) for other in found]
            assert min(at, window.end - 1 - token) == max(sides)


def test_a_window_of_a_long_text_says_what_it_says_alone(tmp_path: Path) -> None:
    """The labels that a text gets in windows are those of the windows, each word's from the right one."""
    rows = [row(["a", "b", "c"] * 9, ["X", "Y", "Z"] * 9)]
    task = task_for(rows, max_length=9, tokenizer=WordTokenizer())
    torch.manual_seed(1)
    model = task.configure_model(TokenClassification.presets["micro"]).build().eval()
    (answer,) = task.predict(model, [Words(tuple("abc" * 9))], Decoding())
    sentence = sentence_of(rows[0])
    said: dict[int, str] = {}
    for ids, window in task._read(sentence):
        logits = model(torch.tensor([ids]), Contiguous(0, len(ids)))[0]
        said |= {
            w: task.outputs()[int(logits[at].argmax())] for w, at in zip(window.words, window.at, strict=True)
        }
    assert [span.label for span in answer.value.spans] == [said[word] for word in range(27)]


# ------------------------------------------------------------------------------------------ the task


def test_only_words_have_a_part_in_the_loss(tmp_path: Path) -> None:
    rows = [row(["aaa", "b"], ["X", "Y"]), row(["b"], ["Y"]), row(["b", "b", "c"], ["Y", "new", "Y"])]
    task = task_for(rows[:2], tokenizer=Characters())
    examples = [example for example in task.encode(rows) if example is not None]
    assert [list(example[1]) for example in examples] == [[1, 5], [1], [1, 5]]
    assert [list(example[2]) for example in examples] == [[0, 1], [1], [1, 1]]
    store = write_store(tmp_path / "store", examples, task.fields)
    batch = task.batch(store, np.array([1, 0, 2]))
    assert batch.tokens == 5
    torch.manual_seed(1)
    model = task.configure_model(TokenClassification.presets["micro"]).build().eval()
    each = [task.loss(model, task.batch(store, np.array([number])))["loss"] for number in range(3)]
    torch.testing.assert_close(task.loss(model, batch)["loss"], sum(each), atol=1e-4, rtol=1e-4)


def test_entities_are_learned_in_the_scheme_that_is_asked_for() -> None:
    rows = [row(["a", "b", "c"], ["I-x", "I-x", "O"])]
    assert set(task_for(rows, scheme="BIOES").labels) == {"O", "B-x", "I-x", "E-x", "S-x"}
    assert set(task_for(rows, scheme="none").labels) == {"I-x", "O"}
    assert task_for(rows).labels == {"O": 1, "I-x": 2}


def test_spans_need_a_scheme() -> None:
    with refused(ConfigError, key="task.scheme"):
        task_for([Row(("a b", '[{"start": 0, "end": 1, "label": "x"}]'), "x")], scheme="none")


@pytest.mark.parametrize(
    ("there", "source", "target"),
    [
        (("id", "tokens", "ner_tags", "pos_tags"), "tokens", "ner_tags"),
        (("id", "form", "lemma", "upos", "xpos"), "form", "upos"),
        (("text", "spans"), "text", "spans"),
        (("left", "right"), None, None),
    ],
)
def test_columns_are_found_by_their_usual_names(there: Any, source: Any, target: Any) -> None:
    found = TokenClassification.adapted(TokenClassificationConfig(), lambda: there)
    assert (found.source, found.target) == (source, target)
    named = TokenClassification.adapted(TokenClassificationConfig(source="mine"), lambda: there)
    assert (named.source, named.target) == ("mine", target)


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 9), st.randoms(use_true_random=False))
def test_the_best_taggings_are_the_best_of_all(words: int, classes: int, n: int, rng: random.Random) -> None:
    logs = np.array([[rng.random() for _ in range(classes)] for _ in range(words)])
    every = sorted(sum(logs[i, tag] for i, tag in enumerate(tags)) for tags in np.ndindex(*[classes] * words))
    found = _best(logs, n)
    assert [total for _, total in found] == pytest.approx(every[::-1][:n])
    assert len({tags for tags, _ in found}) == len(found)


def test_baselines_learn_from_words_alone() -> None:
    usual = UsualTags([(["a", "b", "a"], ["X", "Y", "X"]), (["a"], ["Y"])])
    assert usual.tags(["a", "b", "new"]) == ["X", "Y", "X"]
    names = Gazetteer([(["New", "York", "is"], [Entity(0, 2, "place")]), (["York"], [Entity(0, 1, "town")])])
    assert names.entities(["York", "New", "York", "New"]) == [(0, 1, "town"), (1, 3, "place")]


def test_accuracy_counts_words() -> None:
    rows = [row(["a", "b"], ["X", "Y"]), row(["c"], ["X"])]
    answers = [Spans("a b", (Span(0, 1, "X"), Span(2, 3, "X"))), Spans("c", ())]
    figures = scored(WordMetric(), answers, rows)
    assert (figures["words"], figures["count"]) == (3, 2)
    assert figures["accuracy"] == pytest.approx(100 / 3)
    assert figures["f1"] == pytest.approx({"X": 50.0, "Y": 0.0})


def test_is_tag_knows_prefixes() -> None:
    assert all(is_tag(f"{letter}-x") for letters in SCHEMES.values() for letter in letters)


@pytest.mark.slow
def test_entities_are_learned_from_conll_and_from_spans_alike(tmp_path: Path) -> None:
    """Names in capitals after a title are people, all others are none."""
    rng = random.Random(1)
    tagged, marked = [], []
    for _ in range(400):
        words, tags, spans = [], [], []
        for _ in range(rng.randint(3, 6)):
            name = rng.random() < 0.4
            some = ["".join(rng.choices("abcde", k=3)) for _ in range(1 + name)]
            if name:
                some = ["Dr", some[0].title()]
                start = len(" ".join([*words, ""]))
                spans.append({"start": start, "end": start + 6, "label": "person"})
            words += some
            tags += ["B-person", "I-person"] if name else ["O"]
        tagged.append("".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True)))
        marked.append(json.dumps({"text": " ".join(words), "spans": spans}))
    (tmp_path / "some.conll").write_text("\n".join(tagged), "utf-8")
    (tmp_path / "some.jsonl").write_text("\n".join(marked), "utf-8")
    for name in ("some.conll", "some.jsonl"):
        settings = ("model.width=32", "model.hidden=48", "model.depth=1", "train.evaluations=1")
        options: dict[str, Any] = {"preset": "micro", "steps": 120, "quiet": True, "threads": 1}
        trained = regard.train(
            "token-classification", tmp_path / name, tmp_path / f"{name}.run", settings=settings, **options
        )
        run = regard.load(trained.folder)
        assert run.evaluate(split="test").metrics["span_f1"] > 95
        text = "abc Dr Bcd eea"
        for asked in (text, text.split(), json.dumps(text.split()), Words(tuple(text.split()))):
            (found,) = run.predictions([asked])
            assert [span[:3] for span in found.value.spans] == [(4, 10, "person")]
            assert 0.5 < found.value.spans[0].score <= 1
        with refused(InputError):
            run.predictions([["a", 1]])
