"""Every task's predictions traced: the answer is the one that is given when nobody looks."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from test_registry import DATA, INPUTS, QUICK

import regard
from regard.errors import InputError
from regard.insight.logit_sum import logit_sum
from regard.insight.trace_json import trace_json
from regard.insight.trace_text import trace_lines
from regard.run import Run
from regard.tasks import TASKS, Decoding, Sampling
from tests.shared import refused

every = pytest.mark.parametrize("name", TASKS)
OPTIONS = {
    "translation": (Decoding(max_length=9), Decoding(beam=3, n=2, max_length=9)),
    "text-generation": (
        Decoding(max_length=7),
        Decoding(beam=3, n=3, sampling=Sampling(temperature=2.0, seed=3), max_length=7),
    ),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Run, str]]:
    """A run of each task, trained for a few steps, and something to ask it."""

    @cache
    def make(name: str) -> tuple[Run, str]:
        folder = tmp_path_factory.mktemp("task")
        options = {"steps": 3, "quiet": True, "threads": 1}
        settings = (*QUICK, "model.depth=2", "train.evaluations=1")
        trained = regard.train(name, DATA[name](folder), folder / "run", settings=settings, **options)
        given = INPUTS[name][0]
        return regard.load(trained.folder), str(folder / given) if name.startswith("image") else given

    return make


@every
def test_a_prediction_that_is_looked_into_is_the_same(
    name: str, made: Callable[[str], tuple[Run, str]]
) -> None:
    run, text = made(name)
    for options in OPTIONS.get(name, (Decoding(),)):
        (want,) = run.predictions([text], options)
        trace = run.trace(text, options)
        assert (trace.answer, [text for text, _ in trace.alternatives]) == (
            want.value.plain(),
            [value.plain() for value, _ in want.candidates],
        )
        assert trace.score == pytest.approx(want.score, abs=1e-5)
        assert trace.task == name
        points = [entry.rpartition(".")[2] for entry in trace.names]
        for point in ("q", "k", "v", "scores", "mask", "weights", "heads", "out", "sum", "normed", "hidden"):
            assert points.count(point) >= 2, point
        assert {"embed.out", "source.out"} & set(trace.names)
        for one in trace.sequences:
            for entry in one:
                for axis, size in zip(entry.axes, entry.value.shape, strict=True):
                    assert len(axis.labels) in (0, size), entry
        assert any(trace.answer[:40] in line for line in trace_lines(trace))


@every
def test_its_json_is_all_of_it(name: str, made: Callable[[str], tuple[Run, str]]) -> None:
    run, text = made(name)
    trace = run.trace(text, OPTIONS.get(name, (Decoding(),))[-1])
    said = json.loads("".join(trace_json(trace)))
    assert (said["format"], said["task"], said["answer"]) == (1, name, trace.answer)
    assert [one["tokens"] for one in said["passes"]] == [list(one.tokens) for one in trace.passes]
    for one, want in zip(said["passes"], trace.passes, strict=True):
        assert [entry["name"] for entry in one["entries"]] == list(want.entries)
        for entry in one["entries"]:
            value = want[entry["name"]].value
            assert entry["shape"] == list(value.shape)
            assert torch.equal(torch.tensor(entry["value"], dtype=value.dtype), value)


@every
def test_each_logit_of_the_answer_is_the_sum_of_its_parts(
    name: str, made: Callable[[str], tuple[Run, str]]
) -> None:
    """Of what was searched for token by token, with a cache and beams, as of what was read at once."""
    run, text = made(name)
    for options in OPTIONS.get(name, (Decoding(),)):
        trace = run.trace(text, options)
        if "head.logits" not in trace.names:
            with refused(InputError, key="head", value="VectorHead"):
                logit_sum(run.model, trace)  # type: ignore[arg-type]
            continue
        logits = torch.atleast_2d(trace["head.logits"].value)
        for back in range(1, 1 + len(logits)):
            whole = trace["head.logits"].value.dim() == 1
            found = logit_sum(run.model, trace, place=None if whole else -back)  # type: ignore[arg-type]
            assert found.logit == pytest.approx(float(logits[-back].max()), abs=1e-4)
            assert found.difference < 1e-4
            assert found.heads


@pytest.mark.parametrize("name", ["text-classification", "image-classification", "fill-mask"])
def test_probabilities_are_those_of_the_answer(name: str, made: Callable[[str], tuple[Run, str]]) -> None:
    run, text = made(name)
    trace = run.trace(text)
    shares = trace["head.probabilities"].value
    if name == "fill-mask":  # which never says a token that is no text
        (place,) = (i for i, token in enumerate(trace.sequences[0].tokens) if token == "[MASK]")
        shares = shares[place].index_fill(0, torch.tensor(run.task.tokenizer.special_ids), 0.0)
        shares = shares / shares.sum()
    else:
        assert trace.outputs[int(shares.argmax())] == trace.answer
    assert float(shares.sum()) == pytest.approx(1.0, abs=1e-5)
    assert float(shares.max()) == pytest.approx(trace.score, abs=1e-5)


def test_a_folder_is_as_good_as_a_run(made: Callable[[str], tuple[Run, str]]) -> None:
    run, text = made("text-classification")
    chosen = {"layers": [1], "heads": [0]}
    one, other = regard.trace(run, text, **chosen), regard.trace(Path(run.folder), text, **chosen)
    assert one.names == other.names
    assert all(torch.equal(one[name].value, other[name].value) for name in one.names)
    assert not any(".blocks.0." in name for name in one.names)
