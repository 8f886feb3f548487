"""Laws of the batch plan."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regard.data.batches import Batches
from regard.data.tokenizer import BPE, train_pair
from regard.errors import ConfigError


def padding(lengths: np.ndarray, batches: Iterable[np.ndarray]) -> float:
    """The fraction of padding in the batches, each column padded to the longest of its own batch."""
    some = [lengths[rows] for rows in batches]
    padded = sum(int(batch.max(axis=0).sum()) * len(batch) for batch in some)
    return 1 - sum(int(batch.sum()) for batch in some) / padded


DATA = Path(os.environ.get("REGARD_DATA") or Path(__file__).parents[2] / "../shared/data")


@st.composite
def plans(draw: st.DrawFn) -> tuple[np.ndarray, dict[str, int]]:
    columns = draw(st.integers(1, 3))
    rows = draw(st.integers(1, 60))
    chance = np.random.default_rng(draw(st.integers(0, 99)))
    lengths = chance.integers(0, draw(st.integers(1, 40)), (rows, columns))
    limits = {"tokens": draw(st.integers(1, 300)), "seed": draw(st.integers(0, 1 << 40))}
    if draw(st.booleans()):
        limits["max_rows"] = draw(st.integers(1, 9))
    return lengths, limits


def flat(batches: list[np.ndarray]) -> list[int]:
    return np.concatenate(batches).tolist()


@settings(max_examples=1000, deadline=None)
@given(plans(), st.integers(0, 3))
def test_every_example_is_in_exactly_one_batch_of_an_epoch_and_the_budget_is_held(plan, number):
    lengths, limits = plan
    batches = list(Batches(lengths.T, **limits).epoch(number))
    assert sorted(flat(batches)) == list(range(len(lengths)))
    for rows in batches:
        assert len(rows) == 1 or len(rows) * lengths[rows].max() <= limits["tokens"]
        assert len(rows) <= limits.get("max_rows", len(lengths))


@settings(max_examples=300, deadline=None)
@given(plans(), st.sampled_from([1, 2, 3, 4]), st.integers(1, 2))
def test_processes_share_an_epoch_in_equal_disjoint_parts_that_do_not_depend_on_their_number(
    plan, world, accumulated
):
    lengths, limits = plan
    multiple = world * accumulated
    if len(lengths) < multiple:
        return
    batches = Batches(lengths.T, **limits, multiple=multiple)
    parts = [list(batches.epoch(1, rank, world)) for rank in range(world)]
    whole = list(batches.epoch(1))
    assert {len(part) for part in parts} == {batches.count(1, world)}
    assert [b.tolist() for step in zip(*parts, strict=True) for b in step] == [b.tolist() for b in whole]
    everybody = flat(whole)
    assert len(set(everybody)) == len(everybody)
    if any(len(rows) > 1 for rows in whole):
        assert sorted(everybody) == list(range(len(lengths)))


@settings(max_examples=200, deadline=None)
@given(plans(), st.integers(0, 60))
def test_a_plan_resumes_at_any_batch(plan, used):
    lengths, limits = plan
    plan_a, plan_b = Batches(lengths.T, **limits), Batches(lengths.T, **limits)
    straight = []
    number = 0
    while len(straight) <= used:
        straight += list(plan_a.epoch(number))
        number += 1
    epoch, start = plan_b.locate(used)
    assert next(plan_b.epoch(epoch, start=start)).tolist() == straight[used].tolist()


def test_the_same_seed_and_epoch_give_the_same_batches_and_others_do_not():
    lengths = np.random.default_rng(7).integers(3, 30, (997, 2))

    def epoch(seed: int, number: int) -> list[list[int]]:
        return [rows.tolist() for rows in Batches(lengths.T, 509, seed).epoch(number)]

    assert epoch(1, 0) == epoch(1, 0)
    assert len({str(epoch(seed, number)) for seed in (1, 2) for number in (0, 1)}) == 4
    together = [{frozenset(rows) for rows in epoch(1, number)} for number in (0, 1)]
    assert together[0] != together[1], "not only the order of the batches changes"


def test_a_large_set_is_shuffled_in_windows_that_hold_examples_from_all_over(monkeypatch):
    monkeypatch.setattr("regard.data.batches._STRETCH", 16)
    monkeypatch.setattr("regard.data.batches._WINDOW", 512)
    lengths = np.random.default_rng(3).integers(1, 30, (5003, 2))
    plan = Batches(lengths.T, 251, 5, multiple=2)
    batches = list(plan.epoch(2))
    assert sorted(flat(batches)) == list(range(5003))
    assert len(batches) == 2 * plan.count(2, 2)
    first = flat(batches)[:400]
    assert min(first) < 500
    assert max(first) > 4500
    assert flat(batches) != flat(list(plan.epoch(1)))
    assert plan.locate(plan.count(0) + plan.count(1) + 3) == (2, 3)


def test_examples_may_have_one_length():
    assert len(list(Batches([np.array([3, 5, 2])], 6, 0).epoch(0))) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        {"costs": [np.array([1])], "tokens": 0},
        {"costs": [np.array([], int)], "tokens": 9},
        {"costs": [np.array([1])], "tokens": 9, "max_rows": 0},
        {"costs": [np.array([1])], "tokens": 9, "multiple": 2},
    ],
)
def test_limits_that_cannot_be_kept_are_refused(arguments):
    with pytest.raises(ConfigError):
        Batches(**arguments, seed=1)


def test_processes_that_the_plan_was_not_made_for_are_refused():
    plan = Batches([np.array([1, 2, 3])], 9, 1)
    for rank, world in ((0, 2), (1, 1)):  # by a run before that: it accumulates a multiple of its processes
        with pytest.raises(AssertionError):
            plan.epoch(0, rank, world)


@pytest.mark.parametrize("name", ["multi30k", "multi30k-tok"])
def test_padding_on_multi30k_is_under_five_percent(name):
    folder = DATA / name
    if not folder.is_dir() and not os.environ.get("CI"):
        pytest.skip(f"no {folder}; set REGARD_DATA")
    sides = [(folder / f"train.{side}").read_text(encoding="utf-8").splitlines() for side in ("en", "de")]
    tokenizer, _ = train_pair(BPE(), None, zip(*sides, strict=True))
    lengths = np.array([[len(ids) + 1 for ids in tokenizer.encode_batch(side)] for side in sides]).T
    assert padding(lengths, Batches(lengths.T, 4096, 1).epoch(0)) < 0.05
    assert padding(lengths, Batches(lengths.T, 1 << 30, 1, max_rows=128).epoch(0)) < 0.05
