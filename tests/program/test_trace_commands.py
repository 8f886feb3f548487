"""`regard trace` and `regard ablate` as a user runs them, and the page that is written."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import regard
from regard.insight.ablation import heads_of
from regard.insight.trace import Trace
from regard.insight.trace_page import trace_page
from tests.shared import refused

WEIGHTS = "decoder.blocks.0.cross.weights"


def test_trace_writes_json_and_a_page(run: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    page, numbers = tmp_path / "a.html", tmp_path / "a.json"
    said = cli("trace", str(run), "abcd", "--html", str(page), "--json", str(numbers), "--threads", "1")
    assert said.status == 0, said.err
    assert said.out.splitlines() == [str(numbers), str(page)]
    trace = json.loads(numbers.read_text("utf-8"))
    assert trace["answer"] == regard.load(run).predict(["abcd"])[0].plain()
    assert trace["answer"] in page.read_text("utf-8")


def test_trace_prints_a_summary(run: Path, cli: Callable[..., Any]) -> None:
    said = cli("trace", str(run), "abcd", "--layers", "0", "--heads", "1", "--steps", "1-2", "--threads", "1")
    assert said.status == 0, said.err
    assert f"  {WEIGHTS:46} head 1, query 2, memory" in said.out
    assert "softmax(logits)" in said.out


def test_what_is_traced_of_an_int8_model_is_what_it_predicts(
    run: Path, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    numbers = tmp_path / "a.json"
    said = cli("trace", str(run), "abcd", "--dtype", "int8", "--json", str(numbers), "--threads", "1")
    assert said.status == 0, said.err
    small = regard.load(run, dtype="int8")
    assert json.loads(numbers.read_text("utf-8"))["answer"] == small.predict(["abcd"])[0].plain()
    said = cli("ablate", str(run), "--limit", "3", "--dtype", "int8", "--json", "--threads", "1")
    assert json.loads(said.out)["whole"] == small.ablate(limit=3).whole


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--layers", "7"),
        ("--heads", "x"),
        ("--steps", "0"),
        ("--steps", "9999"),
        ("--layers", "1-"),
        ("--steps", "2-1"),
        ("--heads", "99999999999"),
    ],
)
def test_trace_refuses_what_is_not_there(run: Path, cli: Callable[..., Any], option: str, value: str) -> None:
    said = cli("trace", str(run), "abcd", option, value, "--threads", "1")
    assert (said.status, said.out) == (2, "")
    assert said.err.startswith("regard: ")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_parameters_that_are_shared_count_once_wherever_they_are_told(run: Path, dtype: str) -> None:
    opened = regard.load(run, dtype=dtype)
    trained = regard.describe(opened.bundle.build()).parameters
    assert opened.bundle.parameters == trained
    assert opened.trace("abcd").about["parameters"] == trained
    assert opened.explorer().parameters == trained


def test_two_files_in_one_place_are_refused(run: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    page = tmp_path / "a.html"
    said = cli("trace", str(run), "abcd", "--html", str(page), "--json", str(tmp_path / "." / "a.html"))
    assert (said.status, said.out, said.err.count("\n")) == (2, "", 1)
    assert not page.exists()


def test_trace_says_what_a_logit_is_the_sum_of(run: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    page, numbers = tmp_path / "a.html", tmp_path / "a.json"
    asked = ("trace", str(run), "abcd", "--logit", "b", "--against", "c", "--place", "1", "--threads", "1")
    lines = cli(*asked).out.splitlines()
    assert lines[0].startswith("logit of 'b' over 'c' after ")
    assert any(line.startswith("decoder.blocks.0.cross ") for line in lines)
    said = cli(*asked, "--html", str(page), "--json", str(numbers))
    assert said.status == 0, said.err
    found = json.loads(numbers.read_text("utf-8"))["logit"]
    parts = sum(part["value"] for part in (*found["heads"], *found["rest"]))
    trace = regard.load(run).trace("abcd")
    logits = trace["head.logits"].value[1]
    b, c = (trace.outputs.index(letter) for letter in "bc")
    assert parts == pytest.approx(float(logits[b] - logits[c]), abs=1e-4)
    assert lines[0].endswith(f"{found['logit']:.4f}")
    text = page.read_text("utf-8")
    assert "The logit of &#x27;b&#x27; over &#x27;c&#x27; as a sum" in text
    assert "decoder.blocks.0.feedforward.out" in text


@pytest.mark.parametrize(
    "options",
    [
        ("--logit", "zz"),
        ("--logit", "b", "--place", "99"),
        ("--logit", "b", "--heads", "0"),
        ("--against", "b"),
    ],
)
def test_trace_refuses_a_sum_that_there_is_not(run: Path, cli: Callable[..., Any], options: Any) -> None:
    said = cli("trace", str(run), "abcd", *options, "--threads", "1")
    assert (said.status, said.out) == (2, "")
    assert said.err.startswith("regard: ")
    assert said.err.count("\n") == 1


def test_ablate_judges_all_of_a_file_that_the_run_has_not_learned_from(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.tsv"
    other.write_text("source\ttarget\nabc\tcba\nfed\tdef\n", "utf-8")
    loaded = regard.load(run)
    judged = loaded.evaluate(other).metrics
    assert judged["count"] == 2
    assert loaded.ablate(other).whole == judged["exact"]  # of a part by a hash there would be nothing


def test_ablate_prints_a_table_and_json(run: Path, pairs: Path, cli: Callable[..., Any]) -> None:
    asked = ("ablate", str(run), str(pairs), "--split", "valid", "--limit", "20", "--threads", "1")
    said = cli(*asked)
    assert said.status == 0, said.err
    assert "decoder.blocks.0.cross" in said.out
    found = json.loads(cli(*asked, "--json").out)
    assert found["metric"] == "exact"
    assert len(found["heads"]) == len(heads_of(regard.load(run).model))
    assert found["whole"] == regard.load(run).evaluate(pairs, "valid", limit=20).metrics["exact"]
    figures = [head["worse"] for head in found["heads"]]
    assert figures == sorted(figures, reverse=True)


@pytest.fixture(scope="module")
def trace(run: Path) -> Trace:
    from regard.tasks import Decoding

    return regard.load(run).trace("abc", Decoding(beam=3))


def stored(page: str) -> tuple[dict[str, Any], np.ndarray]:
    """What the page's script reads."""
    about = json.loads(re.search(r'id="trace">(.*?)</script>', page, re.S)[1])
    raw = base64.b64decode(re.search(r'id="numbers">(.*?)</script>', page, re.S)[1])
    return about, np.frombuffer(raw, np.float16 if about["half"] else np.float32)


def test_a_page_holds_every_number_of_the_answer(trace: Trace) -> None:
    about, numbers = stored(trace_page(trace))
    assert not about["half"]
    for sequence, one in zip(about["sequences"], trace.sequences, strict=True):
        assert sequence["tokens"] == list(one.tokens)
        for entry in sequence["entries"]:
            want = one[entry["name"]]
            found = torch.from_numpy(numbers[entry["at"] :][: want.value.numel()].copy())
            torch.testing.assert_close(found.view(want.value.shape), want.value.float(), equal_nan=True)
            assert [about["labels"][i] for i in entry["labels"]] == [list(a.labels) for a in want.axes]
    names = {entry["name"] for sequence in about["sequences"] for entry in sequence["entries"]}
    assert set(trace.names) - names == {"source_given", "target_given"}


def test_many_numbers_are_stored_as_halves(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    import regard.insight.trace_page as module

    whole, full = stored(trace_page(trace))
    monkeypatch.setattr(module, "_WHOLE", 1)
    about, numbers = stored(trace_page(trace))
    assert about["half"]
    assert about["sequences"] == whole["sequences"]
    np.testing.assert_allclose(numbers.astype(np.float32), full, rtol=1e-3, atol=1e-6)
    monkeypatch.setattr(module, "_MOST", 1)
    with refused(regard.errors.InputError, value=6400, limit=1):
        trace_page(trace)


def test_a_page_needs_no_network_and_speaks_both_languages(trace: Trace) -> None:
    page = trace_page(trace, "zh")
    own = re.sub(r"<script[^>]*>.*?</script>", "", page, flags=re.S)
    assert not re.search(r"(?:src|href)\s*=", own)
    assert "default-src 'none'" in unescape(page)
    assert "编码器" in page
    assert "Encoder" in page
    assert 'data-lang="zh"' in page
    assert len(page) < 6_000_000
    assert page.count("</body>") == 1


def test_what_is_typed_cannot_become_markup(run: Path) -> None:
    text = "</script><b>a"
    own = re.sub(r"<script[^>]*>.*?</script>", "", trace_page(regard.load(run).trace(text)), flags=re.S)
    assert "<b>" not in own
    assert "&lt;b&gt;" in own
