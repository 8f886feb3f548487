"""SQuAD's files: what is sound is read with its place, what is broken is named, whatever the bytes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regard.data.readers import open_data, squad
from regard.data.readers.answers import Answer, answers_as_text, answers_in, read_answers
from regard.data.readers.lines import LINE_LIMIT, Problem
from regard.errors import DataError, RegardError
from tests.shared import refused

Write = Callable[[str, str | bytes], Path]
WANTED = ("context", "question", "answers")
SOUND = {"id": "1", "question": "who?", "answers": [{"text": "Zoë", "answer_start": 4}]}


def document(*questions: Any, context: Any = "so: Zoë sat") -> str:
    return json.dumps({"data": [{"paragraphs": [{"context": context, "qas": list(questions)}]}]})


def read(path: Path, on_error: Any = "refuse") -> list[tuple[str, ...]]:
    data = open_data(path, WANTED, whole=True, on_error=on_error)
    return [row.values for row in data.split("all")]


def test_a_question_is_a_row_that_knows_its_place(write: Write) -> None:
    path = write("q.json", document(SOUND, {**SOUND, "id": "2", "answers": [], "is_impossible": True}))
    rows = list(open_data(path, WANTED, whole=True).split("all"))
    assert [row.where for row in rows] == [f"{path}:data[0].paragraphs[0].qas[{n}]" for n in (0, 1)]
    context, question, answers = rows[0].values
    assert (context, question) == ("so: Zoë sat", "who?")
    assert read_answers(answers, context, "x") == (Answer("Zoë", 4),)
    assert read_answers(rows[1].values[2], context, "x") == ()


def test_columns_come_as_they_are_asked_for_zipped_or_not(write: Write) -> None:
    path = write("q.json.gz", gzip.compress(b"\xef\xbb\xbf" + document(SOUND).encode()))
    data = open_data(path, ("question", "context"), whole=True)
    assert [row.values for row in data.split("all")] == [("who?", "so: Zoë sat")]


def test_a_folder_of_splits_and_one_file_split_by_its_contexts(write: Write, tmp_path: Path) -> None:
    for split in ("train", "dev", "test"):
        write(f"whole/{split}.json", document(SOUND))
    write("whole/train.tsv.md", "notes")
    assert list(open_data(tmp_path / "whole", WANTED).splits) == ["train", "valid", "test"]
    paragraphs = [
        {"context": f"so: Zoë {n}", "qas": [{**SOUND, "id": f"{n}/{k}"} for k in range(3)]}
        for n in range(300)
    ]
    path = write("one.json", json.dumps({"data": [{"paragraphs": paragraphs}]}))
    data = open_data(path, WANTED)
    contexts = [{row.values[0] for row in rows} for rows in data.splits.values()]
    assert sum(map(len, contexts)) == len(set.union(*contexts)) == 300


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ({**SOUND, "answers": [{"text": "Zoë", "answer_start": 5}]}, "answer not in its place .*stands at 4"),
        ({**SOUND, "answers": [{"text": "Eve", "answer_start": 4}]}, "it stands nowhere in it"),
        ({**SOUND, "answers": [{"text": "sat", "answer_start": -3}]}, "answer not in its place"),
        ({**SOUND, "answers": [{"text": "Zoë", "answer_start": True}]}, "bad answers"),
        ({**SOUND, "answers": [{"text": "Zoë", "answer_start": 4.0}]}, "bad answers"),
        ({**SOUND, "answers": [{"text": "", "answer_start": 4}]}, "empty answer"),
        ({**SOUND, "answers": ["Zoë"]}, "bad answers"),
        ({**SOUND, "answers": None}, "bad answers"),
        ({**SOUND, "answers": SOUND["answers"] * 1001}, "more than 1,000"),
        ({**SOUND, "answers": []}, "must say is_impossible"),
        ({**SOUND, "is_impossible": True}, "said to be impossible, but has some"),
        ({**SOUND, "is_impossible": "no"}, "neither true nor false"),
        ({**SOUND, "question": " "}, "empty question"),
        ({**SOUND, "question": None}, "empty question"),
        ({**SOUND, "question": ["?"]}, "not text"),
        ({**SOUND, "question": "x" * (LINE_LIMIT + 1)}, "cell over 100,000 characters"),
        ({**SOUND, "question": "\x00"}, "NUL byte"),
        ({**SOUND, "question": "\ud800"}, "bad UTF-8"),
        ({**SOUND, "id": "known"}, r"duplicate id \(known\)"),
        ("who?", "a str, no object"),
    ],
)
def test_a_broken_question_is_named_or_counted(write: Write, question: Any, reason: str) -> None:
    path = write("q.json", document({**SOUND, "id": "known"}, question, {**SOUND, "id": "last"}))
    with pytest.raises(DataError, match=rf"q\.json:data\[0\]\.paragraphs\[0\]\.qas\[1\]: .*{reason}"):
        read(path)
    assert len(read(path, "skip")) == 2


@pytest.mark.parametrize(
    ("context", "reason"), [("", "empty context"), (" \n", "empty context"), (None, "empty context"), (7, "")]
)
def test_a_context_without_text_is_named(write: Write, context: Any, reason: str) -> None:
    path = write("q.json", document(SOUND, context=context))
    with pytest.raises(DataError, match=rf"paragraphs\[0\].*{reason}"):
        read(path)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b'{"data": [\n  {"a": }\n]}', {"value": "Expecting value", "where": "q.json:2:9"}),
        (b"[1, 2]", {"where": "q.json", "remedy": "give an array of objects, one an example"}),
        (b'{"x": 1,\n "y": 2}', {"key": "data", "where": "q.json"}),
        (b'{"data": {}}', {"key": "data", "where": "q.json"}),
        (b'{"data": []}', {"value": "holds no usable row", "where": "q.json"}),
        (b'{"data": [1]}', {"value": "bad form (a int, no object)", "where": "q.json:data[0]"}),
        (
            b'{"data": [{"paragraphs": 1}]}',
            {"value": "bad form (a int where a list was expected)", "where": "q.json:data[0].paragraphs"},
        ),
        (b'{"data": "\xff\xfe"}', {"value": 11, "where": "q.json"}),
        (b"[" * 200_000, {"value": "nested too deeply", "where": "q.json:1:2"}),
        (b'{"data": 1' + b"0" * 5000 + b"}", {"where": "q.json", "remedy": "mend it"}),
        (b"", {"value": "is empty", "where": "q.json"}),
    ],
)
def test_a_broken_file_is_named(write: Write, content: bytes, parts: dict[str, Any]) -> None:
    with refused(DataError, **parts):
        read(write("q.json", content))


def test_a_file_that_is_too_large_is_not_parsed(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(squad, "_LIMIT", 40)
    with refused(DataError, limit=40, where="q.json.gz"):
        read(write("q.json.gz", gzip.compress(document(SOUND).encode())))


def test_answers_go_through_text_and_back() -> None:
    answers = (Answer("Zoë", 4), Answer("o: \"Z'", 1))
    context = "so: \"Z' Zoë"
    assert answers_in(json.loads(answers_as_text(())), context) == ()
    assert isinstance(answers_in(json.loads(answers_as_text(answers)), context), Problem)
    good = (Answer("o: \"Z'", 1), Answer("Zoë", 8))
    assert read_answers(answers_as_text(good), context, "x") == good
    assert answers_in({"text": ["Zoë"], "answer_start": [8]}, context) == good[1:]
    assert isinstance(answers_in({"text": ["Zoë"], "answer_start": []}, context), Problem)
    for text in ("", "Zoë", "[", "[" * 100_000, '"Zoë"'):
        with refused(DataError, where="here:3", remedy="mend it"):
            read_answers(text, context, "here:3")


def test_real_questions_have_answers_in_their_places(real_data: Path) -> None:
    data = open_data("qamr", WANTED)
    assert data.columns == WANTED
    assert data.split("valid").count() == 1812
    assert data.report.skipped == {}


# --------------------------------------------------------------------------------------------------- fuzz

_TEXT = st.sampled_from(["", " ", "a", "ab", "b a", "字", "\ud800", "\0"])
_LEAF = st.one_of(st.none(), st.booleans(), st.integers(-3, 9), _TEXT)
_KEYS = ("data", "paragraphs", "context", "qas", "question", "answers", "text", "answer_start", "id")
_ANY = st.recursive(
    _LEAF,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from([*_KEYS, "is_impossible"]), inner)
    ),
    max_leaves=8,
)


def _object(**fields: Any) -> Any:
    return st.one_of(st.fixed_dictionaries({}, optional=fields), _ANY)


_ANSWER = _object(text=st.sampled_from(["a", "b a", "字", ""]), answer_start=st.integers(-1, 4))
_QUESTION = st.one_of(
    st.fixed_dictionaries(
        {"question": st.just("q"), "answers": st.just([{"text": "b a", "answer_start": 1}]), "id": _LEAF}
    ),
    _object(
        question=_LEAF, answers=st.one_of(st.lists(_ANSWER, max_size=2), _ANY), is_impossible=_LEAF, id=_LEAF
    ),
)
_CONTEXT = st.sampled_from(["ab a字", "", "b a"])
_PARAGRAPH = st.one_of(
    st.fixed_dictionaries({"context": _CONTEXT, "qas": st.lists(_QUESTION, max_size=3)}),
    _object(context=_CONTEXT, qas=_ANY),
)
_ARTICLE = st.one_of(
    st.fixed_dictionaries({"paragraphs": st.lists(_PARAGRAPH, min_size=1, max_size=2)}),
    _object(paragraphs=_ANY),
)
_DOCUMENT = st.one_of(st.fixed_dictionaries({"data": st.lists(_ARTICLE, max_size=2)}), _object(data=_ANY))


def test_any_document_gives_rows_or_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "any.json"
    rows = 0

    @settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
    @given(value=_DOCUMENT, cut=st.integers(0, 400), whole=st.booleans(), skip=st.booleans())
    def law(value: Any, cut: int, whole: bool, skip: bool) -> None:
        nonlocal rows
        content = json.dumps(value).encode()
        path.write_bytes(content if whole else content[:cut])
        message = ""
        try:
            data = open_data(path, WANTED, whole=True, on_error="skip" if skip else "refuse")
            found = list(data.split("all"))
        except RegardError as error:
            message = str(error)
        assert "\n" not in message
        if message:
            return
        assert data.report.kept == len(found)
        for row in found:
            context, question, answers = row.values
            assert context.strip()
            assert question.strip()
            for answer in read_answers(answers, context, row.where):
                assert context[answer.start : answer.end] == answer.text
            rows += 1

    law()
    assert rows > 0
