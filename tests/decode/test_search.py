"""Decoding = a plain reference, for every variant; answers depend on nothing but their own input."""

from __future__ import annotations

from typing import Any

import pytest
import reference
import torch
from search_models import (
    BOS,
    CPU,
    EOS,
    LEAN,
    LIMITS,
    NATIVE,
    SOURCES,
    WAYS,
    Make,
    V,
    batch,
    beamed,
    built,
    greedily,
    lean,
    same,
    variants,
    ways,
)
from torch import Tensor

from regard.decode.choose import shareable, stepper_for
from regard.decode.lean import LeanStepper, suits
from regard.decode.native import NativeStepper, suits_native
from regard.decode.parallel import in_shares
from regard.decode.search import Hypothesis, Limits, beam_search, best_continuations, greedy, stream, top
from regard.decode.stepper import EncoderDecoderStepper, Stepper
from regard.model.mask import Ragged
from regard.model.quantize import quantize
from regard.model.tap import open_taps
from regard.model.transformer import EncoderDecoder


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(1)


@ways
@variants
def test_greedy_is_the_reference(variant: str, make: Make) -> None:
    model = built(variant)
    want = [reference.greedy(model, s, BOS, EOS, limit) for s, limit in zip(SOURCES, LIMITS, strict=True)]
    assert greedily(model, SOURCES, LIMITS, make) == want


@ways
@variants
def test_beam_search_is_the_reference(variant: str, make: Make) -> None:
    model = built(variant)
    for width, alpha, n in ((2, 0.6, 1), (4, 1.0, 4)):
        got = beamed(model, make=make, width=width, alpha=alpha, n=n)
        for source, limit, best in zip(SOURCES, LIMITS, got, strict=True):
            same(best, reference.beam(model, source, BOS, EOS, limit, width=width, alpha=alpha, n=n))


@pytest.mark.parametrize("alpha", [-0.5, 0.0, 0.6, 1.0])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
def test_stopping_early_changes_none_of_the_n_best(width: int, alpha: float) -> None:
    """The reference never stops early."""
    model = built(sharp=4.0)
    for n in range(1, width + 1):
        got = beamed(model, width=width, alpha=alpha, n=n)
        for source, limit, best in zip(SOURCES, LIMITS, got, strict=True):
            same(best, reference.beam(model, source, BOS, EOS, limit, width=width, alpha=alpha, n=n))


@pytest.mark.parametrize("alpha", [0.0, 0.6])
@pytest.mark.parametrize("width", [2, 5])
@torch.inference_mode()
def test_what_says_the_same_is_found_once(width: int, alpha: float) -> None:
    """However many ways there are to say it; the first is what is found alone, and nothing is worth less for
    being found among others."""
    model = built(sharp=4.0)

    def said(tokens: list[int]) -> str:
        return "".join("ab"[token % 2] for token in tokens if token % 3)

    def found(n: int, rows: list[int], text: Any = said) -> list[list[Hypothesis]]:
        stepper = batch(model, [SOURCES[row] for row in rows], stepper_for)
        limits = Limits(BOS, EOS, [LIMITS[row] for row in rows])
        return beam_search(stepper, limits, CPU, width=width, alpha=alpha, n=n, text=text)

    rows = list(range(len(SOURCES)))
    several = found(width, rows)
    for best, (alone,), row in zip(several, found(1, rows), rows, strict=True):
        texts = [said(one.tokens) for one in best]
        assert len(texts) == len(set(texts))
        assert [one.score for one in best] == sorted((one.score for one in best), reverse=True)
        assert best[0] == alone
        assert [h.tokens for h in found(width, [row])[0]] == [h.tokens for h in best]
    folded = [said(one.tokens) for best in found(width, rows, None) for one in best]
    assert sum(map(len, several)) > len(set(folded)), "places that are left are used"


def test_both_ways_of_stopping_happen() -> None:
    """Else the tests above would not have tried them: some end, some are cut, and some searches end
    before their limit although places are open."""
    model, steps = built(sharp=4.0), []

    class Counted(LeanStepper):
        def step(self, tokens: Tensor) -> Tensor:
            steps.append(len(tokens))
            return super().step(tokens)

    found = [h for best in beamed(model, make=Counted, width=3, n=3) for h in best]
    assert {h.ended for h in found} == {True, False}
    assert len({len(h.tokens) for h in found}) > 3
    steps.clear()
    beamed(model, SOURCES[4:], [40], make=Counted, width=3)
    assert len(steps) < 40
    assert steps[-1] == 3, "places were open"


@ways
@pytest.mark.parametrize("vocab", [3, 4])
def test_a_vocabulary_may_be_smaller_than_the_beam(vocab: int, make: Make) -> None:
    model = built(vocab=vocab)
    sources, limits = [[0, 1, EOS], [1, EOS]], [4, 3]
    for width in (3, 5):
        got = beamed(model, sources, limits, make, width=width, n=width)
        for source, limit, best in zip(sources, limits, got, strict=True):
            same(best, reference.beam(model, source, BOS, EOS, limit, width=width, alpha=0.6, n=width))


@ways
@variants
def test_a_beam_of_one_is_greedy(variant: str, make: Make) -> None:
    model = built(variant)
    found = beamed(model, make=make, width=1)
    assert [best[0].tokens for best in found] == greedily(model, SOURCES, LIMITS, make)


@ways
def test_answers_do_not_depend_on_their_neighbours(make: Make) -> None:
    model = built()
    together = beamed(model, make=make, width=4, n=3)
    for row, (source, limit) in enumerate(zip(SOURCES, LIMITS, strict=True)):
        (alone,) = beamed(model, [source], [limit], make, width=4, n=3)
        assert [h.tokens for h in alone] == [h.tokens for h in together[row]]
        assert [h.score for h in alone] == pytest.approx([h.score for h in together[row]], abs=1e-4)


@variants
def test_streaming_yields_the_greedy_tokens(variant: str) -> None:
    model = built(variant)
    want = greedily(model, SOURCES, LIMITS, stepper_for)
    with torch.inference_mode():
        steps = list(stream(batch(model, SOURCES, stepper_for), Limits(BOS, EOS, LIMITS), CPU))
    columns = [list(column) for column in zip(*steps, strict=True)]
    padded = [answer + [EOS] * (len(steps) - len(answer)) for answer in want]
    assert columns == padded


def test_an_input_without_room_gets_no_token() -> None:
    model = built()
    limits = [0, 5, 0, 4, 0]
    want = [
        reference.greedy(model, s, BOS, EOS, limit) if limit else []
        for s, limit in zip(SOURCES, limits, strict=True)
    ]
    assert greedily(model, SOURCES, limits, stepper_for) == want


@ways
def test_an_empty_batch_has_no_answers(make: Make) -> None:
    model = built()

    def nothing(model: EncoderDecoder) -> Stepper:
        return make(model, torch.zeros((0, 1), dtype=torch.long), None, 4)

    with torch.inference_mode():
        assert greedy(nothing(model), Limits(BOS, EOS, []), CPU) == []
        assert beam_search(nothing(model), Limits(BOS, EOS, []), CPU, width=3) == []


@pytest.mark.parametrize("sources", [SOURCES, SOURCES[2:3]], ids=["many", "one"])
@variants
@torch.inference_mode()
def test_steppers_reorder_and_keep_as_if_all_was_computed_anew(
    variant: str, sources: list[list[int]]
) -> None:
    """Random walks of both steppers against the model without a cache."""
    model = built(variant)
    steppers = [batch(model, sources, make, capacity) for make in WAYS for capacity in (1, 30)]
    rows = [(source, [BOS]) for source in sources]  # sentence by sentence, each with its history
    inputs, places = len(sources), 1
    for step in range(7):
        want = [reference.log_probabilities(model, source, written) for source, written in rows]
        tokens = torch.tensor([written[-1] for _, written in rows])
        for stepper in steppers:
            got = stepper.step(tokens).double().log_softmax(-1)
            torch.testing.assert_close(got, torch.tensor(want, dtype=torch.double), atol=2e-4, rtol=0)
        parents = torch.randint(0, places, (inputs, 3)) + places * torch.arange(inputs)[:, None]
        if step in (2, 4):
            kept = torch.randperm(inputs)[: max(1, inputs - 2)].sort().values
            parents, inputs = parents[kept], len(kept)
            for stepper in steppers:
                stepper.keep(kept, parents.view(-1))
        else:
            for stepper in steppers:
                stepper.reorder(parents.view(-1))
        places = 3
        rows = [(rows[r][0], [*rows[r][1], int(torch.randint(3, V, ()))]) for r in parents.view(-1).tolist()]


@variants
def test_the_native_stepper_takes_what_it_can_and_nothing_else(variant: str) -> None:
    model = built(variant)
    assert suits_native(model) == (variant in NATIVE)
    assert isinstance(batch(model, SOURCES, stepper_for), NativeStepper) == (variant in NATIVE)
    with torch.no_grad(), open_taps(model, {"*.residual": lambda *_: None}):
        assert not suits_native(model)
    assert not suits_native(built(variant).to(torch.float64))
    assert not suits_native(model.train())


def test_an_engine_follows_the_weights_that_it_was_made_of() -> None:
    model = built()
    before = greedily(model, SOURCES, LIMITS, stepper_for)
    with torch.no_grad():
        model.head.weight.neg_()
    after = greedily(model, SOURCES, LIMITS, stepper_for)
    assert after == greedily(model, SOURCES, LIMITS, EncoderDecoderStepper)
    assert after != before
    quantize(model)
    assert greedily(model, SOURCES, LIMITS, stepper_for) == greedily(model, SOURCES, LIMITS, lean)


def test_sources_padded_on_the_left_take_another_way() -> None:
    source, lengths = torch.tensor([[0, 0, 3, EOS], [3, 4, 5, EOS]]), torch.tensor([2, 4])
    right = batch(built(), [[3, EOS], [3, 4, 5, EOS]], stepper_for)
    left = stepper_for(built(), source, Ragged.from_lengths(lengths, 4, "left"), 3)
    assert isinstance(right, NativeStepper)
    assert isinstance(left, LeanStepper)
    hole = Ragged(torch.arange(4)[None].expand(2, 4), torch.tensor([[0, -1, 0, 0], [0, 0, 0, 0]]), 4)
    assert isinstance(stepper_for(built(), source, hole, 3), LeanStepper)


@pytest.mark.parametrize("wrong", [-1, V])
def test_an_id_outside_of_the_vocabulary_is_refused(wrong: int) -> None:
    with pytest.raises(IndexError):
        batch(built(), [[3, wrong, EOS]], stepper_for)
    with pytest.raises(IndexError):
        batch(built(), [[3, EOS]], stepper_for).step(torch.tensor([wrong]))


@pytest.mark.parametrize("width", [1, 3])
def test_threads_that_share_the_inputs_find_what_one_finds(width: int) -> None:
    model = built()
    sources = [[*torch.randint(3, V, (n % 7 + 1,)).tolist(), EOS] for n in range(50)]

    def decode(share: list[list[int]]) -> list[list[int]]:
        with torch.inference_mode():
            return [best[0].tokens for best in beamed(model, share, [9] * len(share), width=width)]

    want = decode(sources)
    assert shareable(model)
    torch.set_num_threads(3)
    seen = []
    found = in_shares(
        lambda share: seen.append((len(share), torch.get_num_threads())) or decode(share),
        sources,
        lambda: True,
    )
    assert found == want
    assert sorted(seen) == [(16, 1), (17, 1), (17, 1)]
    assert torch.get_num_threads() == 3


@variants
def test_the_lean_stepper_takes_what_it_can_and_nothing_else(variant: str) -> None:
    model = built(variant)
    assert suits(model) == (variant in LEAN)
    with torch.no_grad(), open_taps(model, {"*.residual": lambda *_: None}):
        assert not suits(model)
    assert not suits(model.train())


def test_a_source_of_nothing_but_padding_has_an_answer_by_every_way() -> None:
    model = built()
    positions = Ragged(torch.arange(3)[None], torch.tensor([[0, 0, -1], [-1, -1, -1]]), 3)
    with torch.inference_mode():
        found = [
            make(model, torch.tensor([[5, 6, 0], [0, 0, 0]]), positions, 4).step(torch.full((2,), BOS))
            for make in WAYS
        ]
    for logits in found:
        assert logits.isfinite().all()
        torch.testing.assert_close(logits, found[-1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_lean_steps_keep_the_dtype(dtype: torch.dtype) -> None:
    model = built().to(dtype)
    with torch.inference_mode():
        for make in (LeanStepper, EncoderDecoderStepper):
            assert batch(model, SOURCES, make).step(torch.full((5,), BOS)).dtype == dtype
    assert beamed(model, width=3)[0][0].score < 0


@pytest.mark.parametrize("k", [1, 5, 32])
@pytest.mark.parametrize("length", [7, 900, 1024, 1500, 8001])
def test_top_is_topk(length: int, k: int) -> None:
    x = torch.randn(50, length)
    x[1, : length // 2] = float("-inf")
    k = min(k, length)
    value, index = top(x, k)
    assert torch.equal(value, x.topk(k).values)
    assert torch.equal(x.gather(1, index), value)
    assert all(len(set(row)) == k for row in index.tolist())


def test_continuations_are_the_likeliest_of_all() -> None:
    logits, totals = torch.randn(2 * 3, 2000), -torch.rand(2, 3)
    best, parents, tokens = best_continuations(logits, totals, 4)
    reach = (totals.view(-1, 1) + logits.log_softmax(-1)).view(2, -1)
    want = reach.topk(4)
    torch.testing.assert_close(best, want.values)
    assert torch.equal(parents * 2000 + tokens, want.indices)


def test_an_int8_model_decodes_alike_by_every_way() -> None:
    model = quantize(built())
    assert suits(model)
    found = [beamed(model, make=make, width=3, n=3) for make in WAYS]
    for other in found[1:]:
        assert [[h.tokens for h in best] for best in other] == [[h.tokens for h in best] for best in found[0]]
