"""Questions, sentences and dialogues from the command line, as a stranger would try them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import regard
from regard.tasks import Decoding

Cli = Callable[..., Any]
SMALL = ("model.width=16", "model.hidden=24", "model.depth=1", "model.heads=2", "train.evaluations=1")
QUICK = ("--steps", 6, "--threads", 1, *(word for setting in SMALL for word in ("--set", setting)))
CONTEXT = "Ada wrote the notes. 她写了程序。"


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("asked")
    answer = {"text": "Ada", "answer_start": 0}
    paragraphs = [
        {"context": f"{CONTEXT} {n}", "qas": [{"id": str(n), "question": "who?", "answers": [answer]}]}
        for n in range(90)
    ]
    path = folder / "squad.json"
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}), "utf-8")
    return path


def test_from_questions_to_answers_with_their_places(cli: Cli, asked: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    trained = cli("train", "question-answering", asked, "--out", out, *QUICK)
    assert trained.status == 0, trained.err
    assert "training examples (context → question → answers)" in trained.err
    judged = cli("evaluate", out, "--split", "valid", "--threads", 1)
    assert judged.status == 0
    assert "the words beside the question's" in judged.out
    assert "who? | Ada wrote" in judged.out
    said = cli("predict", out, f"who?\t{CONTEXT}", "--json", "-n", 2, "--threads", 1)
    for found in json.loads(said.out)["predictions"]:
        assert CONTEXT[found["start"] : found["end"]] == found["text"]
    refused = cli("predict", out, "who?", "--threads", 1)
    assert (refused.status, refused.out) == (2, "")
    assert "give two texts with a tab between them" in refused.err
    broken = asked.with_name("broken.json")
    broken.write_text(asked.read_text("utf-8").replace('"answer_start": 0', '"answer_start": 1', 1), "utf-8")
    refused = cli("train", "question-answering", broken, "--out", tmp_path / "no", *QUICK)
    assert refused.status == 2
    assert "qas[0]: answer not in its place ('Ada' is not at character 1" in refused.err
    skipped = cli(
        "train", "question-answering", broken, "--out", tmp_path / "yes", "--on-error", "skip", *QUICK
    )
    assert skipped.status == 0
    assert "answer not in its place 1:" in skipped.err


def test_the_nearest_sentences_and_words(cli: Cli, pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert cli("train", "sentence-similarity", pairs, "--out", out, *QUICK).status == 0
    assert "mean 1 / rank" in cli("evaluate", out, "--threads", 1).out
    (tmp_path / "known.txt").write_text("abc\n\nfed\nabcdef\n", "utf-8")
    found = cli("predict", out, "abc", "--among", tmp_path / "known.txt", "-n", 2, "--threads", 1)
    lines = [line.split("\t") for line in found.out.splitlines()]
    assert lines[0] == ["1.000", "abc"]
    assert len(lines) == 2
    words = cli("predict", out, "abc", "bc", "--words", "-n", 3, "--json", "--threads", 1)
    assert [len(json.loads(line)["predictions"]) for line in words.out.splitlines()] == [3, 3]
    vector, cosine = cli("predict", out, "abc", "abc\tabc", "--threads", 1).out.splitlines()
    assert len(json.loads(vector)) == 16
    assert float(cosine) == pytest.approx(1, abs=1e-3)


def test_what_makes_no_vectors_says_so(cli: Cli, run: Path, tmp_path: Path) -> None:
    (tmp_path / "known.txt").write_text("abc\n", "utf-8")
    said = cli("predict", run, "abc", "--among", tmp_path / "known.txt")
    assert (said.status, said.out) == (2, "")
    assert "translation makes no vectors of texts; train sentence-similarity" in said.err
    assert "holds no dialogue" in cli("predict", run, "--chat", stdin=b"hi\n", typed=True).err


def test_a_dialogue_in_the_terminal(cli: Cli, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    data = tmp_path / "chat.jsonl"
    data.write_text("".join(json.dumps({"messages": turns, "n": n}) + "\n" for n in range(60)), "utf-8")
    out = tmp_path / "run"
    trained = cli("train", "text-generation", data, "--out", out, "--set", "task.turns=turns", *QUICK)
    assert trained.status == 0, trained.err
    assert "training examples (messages)" in trained.err
    assert f"next: regard predict {out} --chat, or:" in trained.out
    said = cli("predict", out, "--chat", "--max-length", 4, "--threads", 1, stdin=b"hi\nhi\n\n", typed=True)
    assert said.status == 0
    assert said.out.count("> ") == 3
    chat = regard.load(out).chat()
    answer = list(chat.say("hi", Decoding(max_length=4)))
    assert f"> {answer[-1]}\n" in said.out
    data.write_text(data.read_text("utf-8").replace('"user"', '"robot"', 1), "utf-8")
    refused = cli(
        "train", "text-generation", data, "--out", tmp_path / "no", "--set", "task.turns=turns", *QUICK
    )
    assert refused.status == 2
    assert "chat.jsonl:1: bad dialogue (message 1 needs a content and one of the roles" in refused.err


def test_a_number_from_pairs_to_a_trace(cli: Cli, tmp_path: Path) -> None:
    rows = [{"one": f"b {n}", "two": "ab" * (n % 5 + 1), "score": 100 + n % 5} for n in range(120)]
    data, out = tmp_path / "pairs.jsonl", tmp_path / "run"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    columns = ("task.source=one", "task.second=two", "task.target=score", "task.number=plain")
    options = [word for setting in columns for word in ("--set", setting)]
    trained = cli("train", "text-classification", data, "--out", out, *options, *QUICK)
    assert trained.status == 0, trained.err
    judged = cli("evaluate", out, "--split", "valid", "--threads", 1)
    assert judged.status == 0, judged.err
    for title in ("Pearson", "Spearman", "RMSE", "MAE", "mean of the training part"):
        assert title in judged.out
    (number,) = regard.load(out).predict(["b 7\tabab"])
    assert 95 < number.number < 110
    assert cli("predict", out, "b 7\tabab", "--threads", 1).out == f"{number}\n"
    said = json.loads(cli("predict", out, "b 7\tabab", "--json", "--threads", 1).out)
    assert said["predictions"] == [{"text": str(number), "score": pytest.approx(number.number)}]
    assert cli("verify", out, "--threads", 1).status == 0
    traced = cli("trace", out, "b 7\tabab", "--json", tmp_path / "trace.json", "--threads", 1)
    assert traced.status == 0, traced.err
    text = (tmp_path / "trace.json").read_text("utf-8")
    assert ("head.logits" in text, "head.probabilities" in text) == (True, False)
    refused = cli("export", out, tmp_path / "page.html", "--to", "html")
    assert refused.status == 2
    broken = tmp_path / "broken.jsonl"
    broken.write_text(data.read_text("utf-8").replace("104", '"many"', 1), "utf-8")
    refused = cli("train", "text-classification", broken, "--out", tmp_path / "no", *options, *QUICK)
    assert refused.status == 2
    assert "broken.jsonl:5: no number ('many'" in refused.err
