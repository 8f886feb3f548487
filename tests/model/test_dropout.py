"""Dropout from random bytes: the rate, the scale, and the same mask forwards and backwards."""

from __future__ import annotations

import pytest
import torch

from regard.model.dropout import drop_add, dropout

N = 100_003  # no multiple of the eight bytes of a word


@pytest.mark.parametrize("p", [0.001, 0.1, 0.3, 0.5, 0.99])
def test_the_rate_is_the_one_asked_for_to_a_256th(p: float) -> None:
    torch.manual_seed(1)
    rate = min(255, max(1, round(256 * p))) / 256
    assert abs(rate - p) <= 1 / 256
    kept = dropout(torch.ones(N), p, training=True)
    dropped = (kept == 0).float().mean().item()
    deviation = (rate * (1 - rate) / N) ** 0.5
    assert abs(dropped - rate) < 5 * deviation
    torch.testing.assert_close(kept[kept != 0], torch.full_like(kept[kept != 0], 1 / (1 - rate)))
    assert abs(kept.mean().item() - 1) < 5 * deviation / (1 - rate)


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(1)
    dropped = (dropout(torch.ones(N), 0.5, training=True) == 0).float()
    for step in (1, 2, 7, 8, 64):
        agreement = (dropped[step:] == dropped[:-step]).float().mean().item()
        assert abs(agreement - 0.5) < 5 * 0.5 / N**0.5


@pytest.mark.parametrize("layout", ["contiguous", "transposed"])
def test_what_was_dropped_forwards_is_dropped_backwards(layout: str) -> None:
    y = torch.randn(31, 37).abs() + 0.1
    y = (y.t() if layout == "transposed" else y).requires_grad_()
    out = dropout(y, 0.3, training=True)
    (grad,) = torch.autograd.grad(out.sum(), y)
    torch.testing.assert_close(out, y.detach() * grad)
    assert 0.1 < (grad == 0).float().mean() < 0.5


def test_drop_add_is_the_sum_with_what_dropout_leaves() -> None:
    x, y = torch.randn(31, 37, requires_grad=True), torch.randn(31, 37, requires_grad=True)
    torch.manual_seed(5)
    together = drop_add(x, y, 0.3, training=True)
    torch.manual_seed(5)
    apart = x + dropout(y, 0.3, training=True)
    torch.testing.assert_close(together, apart)
    upstream = torch.randn(31, 37)
    for got, want in zip(
        torch.autograd.grad(together, (x, y), upstream),
        torch.autograd.grad(apart, (x, y), upstream),
        strict=True,
    ):
        torch.testing.assert_close(got, want)
    assert (together == x).any()
    assert not (together == x).all()


def test_the_seed_decides() -> None:
    x = torch.ones(N)
    torch.manual_seed(3)
    first, second = dropout(x, 0.5, training=True), dropout(x, 0.5, training=True)
    torch.manual_seed(3)
    assert torch.equal(dropout(x, 0.5, training=True), first)
    assert not torch.equal(first, second)


def test_nothing_is_dropped_when_nothing_should_be() -> None:
    x, y = torch.randn(31), torch.randn(31)
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0, training=True) is x
    assert torch.equal(drop_add(x, y, 0.5, training=False), x + y)
    assert torch.equal(drop_add(x, y, 0.0, training=True), x + y)


def test_everything_is_dropped_at_one() -> None:
    x, y = torch.randn(31), torch.randn(31)
    assert torch.equal(dropout(x, 1.0, training=True), torch.zeros(31))
    assert torch.equal(drop_add(x, y, 1.0, training=True), x)
