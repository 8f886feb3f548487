"""Whatever a run is asked to show, it shows, or says in a sentence why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

import regard
from regard.course import EXAMPLES
from regard.errors import InputError, RegardError
from regard.insight.ablation import Head, heads_of
from regard.insight.alignment import cross_attention
from regard.insight.attribution import integrated_gradients
from regard.insight.changes import Changes, Edit
from regard.insight.parameters import checked
from regard.insight.patching import Patching, patch
from regard.insight.trace_json import trace_json
from regard.insight.trace_page import trace_page
from regard.insight.trace_text import trace_lines
from regard.looking.analyses import analyses
from regard.looking.explorer import Question
from regard.run import Run
from regard.tasks import Decoding
from tests.shared import refused
from tests.tiny import SETTINGS, write_pairs

Found = TypeVar("Found")
ANY = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
NUMBERS = some.none() | some.lists(
    some.integers(-2, 9) | some.sampled_from([True, 1.5, "a", None]), max_size=4
)
TEXTS = some.text(some.characters(), max_size=8) | some.sampled_from(["abc", "fade", "cab"])
DECODINGS = some.builds(Decoding, beam=some.integers(1, 3), max_length=some.none() | some.integers(1, 9))
NAMES = some.text(max_size=12) | some.sampled_from(
    [
        "head.logits",
        "source_given",
        "target_given",
        "encoder.position.added",
        "encoder.blocks.0.attention.mask",
        "decoder.blocks.0.cross.k",
        "decoder.blocks.0.residual",
        "decoder.blocks.1.residual",
        "source.out",
    ]
)
JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with snapshots."""
    place = tmp_path_factory.mktemp("any")
    data = write_pairs(place / "pairs.tsv", 200)
    options = {"settings": SETTINGS, "steps": 6, "snapshots": 2, "quiet": True, "threads": 1}
    return regard.train("translation", data, place / "run", **options).folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return regard.load(folder)


@pytest.fixture(scope="module")
def small(folder: Path) -> Run:
    return regard.load(folder, dtype="int8")


def answered(ask: Callable[[], Found]) -> Found | None:
    """What it gives; None where it is refused, in one sentence."""
    try:
        return ask()
    except RegardError as problem:
        said = str(problem)
    assert said
    assert "\n" not in said
    return None


@ANY
@given(text=TEXTS, decoding=DECODINGS, layers=NUMBERS, heads=NUMBERS, steps=NUMBERS)
def test_any_choice_of_a_trace_is_shown_or_refused(
    run: Run, text: str, decoding: Decoding, layers, heads, steps
) -> None:
    trace = answered(lambda: run.trace(text, decoding, layers=layers, heads=heads, steps=steps))
    if trace is None:
        return
    (want,) = run.predictions([text], decoding)
    assert trace.answer == want.value.plain()
    assert json.loads("".join(trace_json(trace)))["answer"] == want.value.plain()
    assert list(trace_lines(trace))
    assert trace_page(trace, "zh").startswith("<!doctype html>")


@ANY
@given(text=TEXTS, name=NAMES, head=some.integers(-2, 9))
def test_any_value_is_played_back_or_refused(run: Run, text: str, name: str, head: int) -> None:
    back = answered(lambda: run.playback(text, name))
    if back is not None:
        assert len(back.entries) == 2
        figure = answered(lambda: back.figure(head))
        assert figure is None or len(figure.frames) == 2


@ANY
@given(
    split=some.none() | some.text(max_size=5) | some.just("test"), limit=some.none() | some.integers(-2, 3)
)
def test_any_part_of_the_data_is_ablated_or_refused(run: Run, split: str | None, limit: int | None) -> None:
    found = answered(lambda: run.ablate(split=split, limit=limit))
    assert found is None or found.without.keys() == set(heads_of(run.model))


@ANY
@given(points=some.text("*[]?!.abdeorsu0", max_size=12) | some.just("*.residual"), right=TEXTS, other=TEXTS)
def test_any_points_are_patched_or_refused(run: Run, points: str, right: str, other: str) -> None:
    def said(text: str) -> torch.Tensor:
        source = torch.tensor([[*run.task.model_inputs(run.model, [text], Decoding())[0][0]]])
        return run.model(source, torch.tensor([[1, 5]]))

    def tried() -> Patching:
        return patch(run.model, lambda: said(right), lambda: said(other), lambda y: y[0, 0, 5], points)

    found = answered(tried)
    assert found is None or torch.isfinite(found.effects).all()


@given(layer=some.integers(-2, 3))
@settings(ANY, max_examples=6)
def test_a_layer_is_aligned_or_refused(run: Run, layer: int) -> None:
    found = answered(lambda: cross_attention(run.model, [5, 6, 7], [1, 5], layer))
    assert (found is not None) == (layer in range(len(run.model.decoder.blocks)))
    if found is not None:
        torch.testing.assert_close(found.sum(-1), torch.ones(2))


@ANY
@given(
    name=some.sampled_from(list(EXAMPLES)), changes=some.dictionaries(some.text(max_size=3), JSON, max_size=2)
)
def test_any_change_of_an_example_is_taken_or_refused(name: str, changes: dict) -> None:
    example = EXAMPLES[name]
    known = {
        parameter.name: value for parameter, value in zip(example.parameters, changes.values(), strict=False)
    }
    for some_changes in (changes, known):
        values = answered(partial(checked, example.parameters, some_changes))
        assert values is None or values.keys() == {parameter.name for parameter in example.parameters}


# ---------------------------------------------------------------------- int8


def test_an_int8_run_is_traced_and_its_numbers_have_sums(small: Run) -> None:
    explorer, question = small.explorer(), Question("abc")
    trace = small.trace("abc")
    assert (
        trace.answer
        == small.predict(["abc"])[0].plain()
        == explorer.answer(question).prediction.value.plain()
    )
    for name in ("encoder.blocks.0.attention.q", "decoder.blocks.0.feedforward.up", "head.logits"):
        index = (0,) * len(explorer.outline[name].axes)
        made = explorer.account(question, name, index, None)
        assert all(term.factors[0].rounded for term in made.terms)
        assert made.total == pytest.approx(made.value, rel=1e-6, abs=1e-6)


def test_what_is_searched_without_a_head_is_what_is_shown_of_an_int8_model(small: Run) -> None:
    """The head is silent in both, so that it does not take part in what the others are rounded by."""
    explorer, off = small.explorer(), frozenset({Head("decoder.blocks.0.cross", 1)})
    question = Question("fade", beam=2, changes=Changes(heads_off=off))
    answer, searched = explorer.answer(question, ["head.probabilities"]), explorer.search(question)
    logs = answer.passes[-1]["head.probabilities"].value.log()
    total = sum(float(logs[at, token]) for at, token in enumerate(answer.written))
    assert answer.written
    assert total == pytest.approx(searched.steps[-1].totals[searched.path[-1]], abs=1e-4)


def test_a_table_is_edited_beside_an_int8_head_and_8_bits_are_not(small: Run) -> None:
    explorer = small.explorer()
    token = int(explorer.answer(Question("abc")).passes[0]["source_given"].value[0])
    edited = Question("abc", changes=Changes(edits=(Edit("source.weight", (token, 3), 9.0),)))
    plain = explorer.answer(Question("abc"), ["source.out"]).passes[0]["source.out"].value
    changed = explorer.answer(edited, ["source.out"]).passes[0]["source.out"].value
    assert (changed != plain).sum() == 1
    kept = Question("abc", changes=Changes(edits=(Edit("head.weight", (5, 3), 9.0),)))
    with refused(InputError, key="head.weight"):
        explorer.answer(kept)


def test_every_analysis_that_an_int8_model_offers_is_drawn(small: Run, run: Run) -> None:
    """Those that need gradients, or float weights to go along, are not offered."""
    explorer = small.explorer()
    assert analyses(run.explorer()).keys() - analyses(explorer).keys() == {"gradients", "sum"}
    for name in analyses(explorer):
        assert answered(lambda name=name: small.figure(name, "abc", other="fed"))  # type: ignore[misc]
    with refused(InputError, remedy="float32"):
        integrated_gradients(small.model, torch.tensor([[5, 6]]), lambda y: y[:, 0, 0])
