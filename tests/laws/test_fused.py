"""Fused = explicit: for every mask, bias, scale and number of heads, with gradients."""

from __future__ import annotations

import itertools

import pytest
import torch
from members import MASKS, close, members, name
from torch import Tensor

from regard.model.attention import (
    attend,
    attention_scores,
    attention_weights,
    weigh,
)
from regard.model.mask import Lowered, MaskRule
from regard.model.score import Additive, Score

B, T, S, C, CV = 2, 5, 11, 7, 3


def masks() -> dict[str, MaskRule | Lowered]:
    booleans = torch.rand(B, 1, T, S) < 0.5
    booleans[0, :, 2] = False  # this query sees nothing
    return {
        "None": None,
        "booleans": booleans,
        "one row of keys": torch.rand(B, 1, 1, S) < 0.5,
        "one mask a head": torch.rand(1, 6, T, S) < 0.5,
        "two axes": torch.rand(T, S) < 0.5,
        "nothing": torch.zeros(1, 1, 1, S, dtype=torch.bool),
        **{name(rule): rule for rule in MASKS},
    }


def biases(heads: int) -> dict[str, Tensor | None]:
    forbidding = torch.randn(1, heads, T, S).masked_fill_(torch.rand(1, heads, T, S) < 0.3, -torch.inf)
    forbidding[:, :, 1] = -torch.inf
    return {
        "no": None,
        "heads": torch.randn(1, heads, T, S),
        "rows": torch.randn(B, 1, T, S),
        "-inf": forbidding,
    }


def inputs(heads: int, groups: int) -> list[Tensor]:
    shapes = ((B, heads, T, C), (B, groups, S, C), (B, groups, S, CV))
    return [torch.randn(shape, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize(("heads", "groups"), [(6, 6), (6, 2), (6, 1)])
@pytest.mark.parametrize("scale", [None, 1.0])
@pytest.mark.parametrize("mask", masks().keys())
def test_fused_is_explicit(mask: str, scale: float | None, heads: int, groups: int) -> None:
    allowed = masks()[mask]
    for bias in biases(heads).values():
        q, k, v = inputs(heads, groups)
        results = []
        for explicit in (False, True):
            z = attend(q, k, v, allowed, scale=scale, bias=bias, explicit=explicit)
            results.append((z, torch.autograd.grad(z.square().sum(), (q, k, v))))
        (fused, fused_to), (explicit, explicit_to) = results
        assert fused.shape == (B, heads, T, CV)
        close(fused, explicit)
        for ours, theirs in zip(fused_to, explicit_to, strict=True):
            close(ours, theirs)


@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize("groups", [6, 2])
def test_a_query_that_sees_nothing_gets_zeros_and_no_gradient(groups: int, explicit: bool) -> None:
    for mask, bias in itertools.product((None, masks()["booleans"]), biases(6).values()):
        q, k, v = inputs(6, groups)
        z = attend(q, k, v, mask, bias=bias, explicit=explicit)
        z.square().sum().backward()
        blind = torch.zeros(B, T, dtype=torch.bool)
        blind[0, 2] = mask is not None
        blind[:, 1] = bias is not None and bool(bias[0, 0, 1].isneginf().all())
        for row, t in blind.nonzero().tolist():
            assert torch.equal(z[row, :, t], torch.zeros(6, CV))
            assert torch.equal(q.grad[row, :, t], torch.zeros(6, C))
        assert z[~blind[:, None].expand(B, 6, T)].abs().amax(-1).min() > 0
        assert all(x.grad.isfinite().all() for x in (q, k, v))


def test_the_causal_flag_is_the_causal_mask() -> None:
    q, k, v = (torch.randn(B, 3, T, C) for _ in range(3))
    triangle = torch.ones(T, T, dtype=torch.bool).tril()
    for explicit in (False, True):
        close(attend(q, k, v, "causal", explicit=explicit), attend(q, k, v, triangle, explicit=explicit))
    bias = torch.randn(1, 3, T, T)
    close(attend(q, k, v, "causal", bias=bias), attend(q, k, v, triangle, bias=bias, explicit=True))


def test_permuting_keys_with_their_values_changes_nothing() -> None:
    q, k, v = inputs(6, 2)
    order = torch.randperm(S)
    for explicit in (False, True):
        whole = attend(q, k, v, explicit=explicit)
        close(attend(q, k[:, :, order], v[:, :, order], explicit=explicit), whole)
        assert not torch.allclose(attend(q, k[:, :, order], v, explicit=explicit), whole)


@pytest.mark.parametrize("groups", [6, 2])
def test_attention_is_the_formula(groups: int) -> None:
    """softmax(q kᵀ / √C) v, written out for every head."""
    q, k, v = inputs(6, groups)
    got = attend(q, k, v)
    for row, head in itertools.product(range(B), range(6)):
        shared = head * groups // 6
        scores = q[row, head] @ k[row, shared].T / C**0.5
        close(got[row, head], torch.softmax(scores, -1) @ v[row, shared])


@pytest.mark.parametrize("scale", [None, 0.5])
def test_additive_scores_are_bahdanaus(scale: float | None) -> None:
    """v · tanh(q + k), written out (arXiv 1409.0473, appendix A.1.2; the projections stand before)."""
    q, k, v = inputs(6, 2)
    learned = torch.randn(6, C)
    scores = attention_scores(q, k, score=Additive(), learned=learned, scale=scale)
    for row, head, t, s in itertools.product(range(B), range(6), range(T), range(S)):
        want = learned[head] @ torch.tanh(q[row, head, t] + k[row, head // 3, s])
        close(scores[row, head, t, s], want * (scale or 1.0))
    close(attend(q, k, v, additive=learned, scale=scale), weigh(attention_weights(scores), v))


def test_weights_are_a_distribution_over_what_is_allowed() -> None:
    for mask in masks().values():
        if mask is None or isinstance(mask, Tensor):
            weights = attention_weights(torch.randn(B, 6, T, S) * 50, mask)
            allowed = torch.ones(()).bool() if mask is None else mask
            assert (weights >= 0).all()
            assert (weights.masked_fill(allowed, 0.0) == 0).all()
            close(weights.sum(-1), (allowed.expand(B, 6, T, S)).any(-1).float())


def test_dropped_weights_leave_the_mean_as_it_was() -> None:
    q, k, v = (torch.randn(1, 2, T, C).expand(4000, -1, -1, -1) for _ in range(3))
    want = attend(q[:1], k[:1], v[:1])
    dropped = attend(q, k, v, dropout=0.25)
    assert not torch.allclose(dropped[0], dropped[1])
    spread = dropped.std(0) / 4000**0.5
    assert ((dropped.mean(0) - want[0]).abs() < 5 * spread).all()


@pytest.mark.parametrize("groups", [6, 2])
@pytest.mark.parametrize("score", members(Score), ids=name)
def test_every_score_is_its_explicit_path_with_gradients_and_a_blind_query_gets_zeros(
    score: Score, groups: int
) -> None:
    own = [] if score.learned is None else [torch.randn(score.shape(6, C), requires_grad=True)]
    for mask, bias in itertools.product((None, masks()["booleans"]), biases(6).values()):
        leaves = [*inputs(6, groups), *own]
        results = []
        for explicit, kind in ((False, torch.float32), (True, torch.float32), (True, torch.float64)):
            q, k, v, *learned = (leaf.to(kind) for leaf in leaves)
            more = {"learned": learned[0]} if learned else {}
            added = None if bias is None else bias.to(kind)
            z = attend(q, k, v, mask, score=score, bias=added, explicit=explicit, **more)
            results.append((z.float(), *torch.autograd.grad(z.square().sum(), leaves)))
        for others in results[1:]:
            for ours, theirs in zip(results[0], others, strict=True):
                close(ours, theirs)
        blind = torch.zeros(B, T, dtype=torch.bool)
        blind[0, 2] = mask is not None
        blind[:, 1] = bias is not None and bool(bias[0, 0, 1].isneginf().all())
        rows = blind[:, None].expand(B, 6, T)
        assert (results[0][0][rows] == 0).all()
        assert (results[0][1][rows] == 0).all()
        assert all(x.isfinite().all() for x in results[0])


@pytest.mark.parametrize("score", members(Score), ids=name)
def test_weights_of_every_score_are_shares_and_nothing_where_it_is_forbidden(score: Score) -> None:
    learned = None if score.learned is None else torch.randn(score.shape(6, C))
    allowed = masks()["booleans"]
    assert isinstance(allowed, Tensor)
    scores = attention_scores(*inputs(6, 6)[:2], score=score, learned=learned)
    weights = attention_weights(scores, allowed, score=score, learned=learned)
    assert ((weights >= 0) & (weights <= 1)).all()
    assert (weights.masked_fill(allowed, 0.0) == 0).all()
    other = attention_weights(scores.masked_fill(~allowed, 50.0), allowed, score=score, learned=learned)
    close(other, weights)
