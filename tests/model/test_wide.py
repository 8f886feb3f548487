"""A wide feed-forward part in one pass over the rows: the same values, gradients and chances."""

from __future__ import annotations

import pytest
import torch

from regard.model import wide
from regard.model.feedforward import MLP, FeedForward
from regard.model.tap import open_taps

B, T, D, HIDDEN = 7, 131, 13, 1024
SEED = 3


def made(dropout: float = 0.0) -> tuple[FeedForward, torch.Tensor]:
    torch.manual_seed(SEED)
    part = FeedForward(D, MLP(HIDDEN, dropout=dropout)).train()
    return part, torch.randn(B, T, D, requires_grad=True)


def gradients(part: FeedForward, x: torch.Tensor, seen: list[str] | None = None) -> list[torch.Tensor]:
    """The output and all gradients; with a tap open where `seen` is given, which takes the plain way."""
    torch.manual_seed(SEED)
    if seen is None:
        y = part(x)
    else:
        with open_taps(part, {"hidden": lambda name, h: seen.append(name)}):
            y = part(x)
    return [y, *torch.autograd.grad(y.square().sum(), [x, *part.parameters()])]


@pytest.mark.parametrize("dropout", [0.0, 0.1, 0.5])
def test_values_gradients_and_what_is_dropped_are_those_of_the_plain_way(dropout: float) -> None:
    part, x = made(dropout)
    assert part._wide(x)
    seen: list[str] = []
    want = gradients(part, x, seen)
    assert seen
    for got, plain in zip(gradients(part, x), want, strict=True):
        torch.testing.assert_close(got, plain, atol=1e-4 * float(plain.detach().abs().max()), rtol=1e-4)


def test_it_steps_aside_where_it_is_not_the_same() -> None:
    part, x = made()
    with torch.no_grad():
        assert not part._wide(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert not part._wide(x)
    assert not part._wide(x.double())
    part.up.weight.requires_grad_(False)
    assert not part._wide(x)
    for other in (MLP(HIDDEN, "gelu"), MLP(HIDDEN, bias=False), MLP(HIDDEN, dropout=1.0), MLP(4 * D)):
        assert not FeedForward(D, other)._wide(x)


@pytest.mark.parametrize("rows", [0, 1, 17, 131, 1088, 4099])
def test_rows_are_cut_into_like_parts_each_once(rows: int) -> None:
    parts = [range(rows)[part] for part in wide._chunks(rows, 2048)]
    assert [row for part in parts for row in part] == list(range(rows))
    assert all(len(part) > len(parts[0]) - len(parts) for part in parts)
