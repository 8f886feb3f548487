"""Attention over short sequences, in batched products: the same values and gradients as the other ways."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from regard.model import attention
from regard.model.attention import AttentionConfig, attend
from regard.model.mask import Causal, Lowered, MaskRule
from regard.model.short import short_attention, suits_short
from regard.model.tap import open_taps

B, H, T, S, C, CV = 13, 5, 7, 11, 3, 2


def given() -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values as the layers make them: not one after the other in memory."""
    torch.manual_seed(1)
    shapes = ((T, C), (S, C), (S, CV))
    q, k, v = (torch.randn(B, length, H, width).transpose(1, 2) for length, width in shapes)
    return q.requires_grad_(), k.requires_grad_(), v.requires_grad_()


def masks() -> dict[str, MaskRule | Lowered]:
    torch.manual_seed(2)
    rows = torch.rand(B, 1, T, S) < 0.5
    rows[0, :, 2] = False  # this query sees nothing
    return {
        "all": None,
        "causal": Causal(),
        "rows": rows,
        "keys": torch.rand(B, 1, 1, S) < 0.5,
        "heads": torch.rand(1, H, T, S) < 0.5,
        "two axes": torch.rand(T, S) < 0.5,
        "nothing": torch.zeros(1, 1, 1, S, dtype=torch.bool),
    }


@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("mask", masks())
def test_values_and_gradients_are_those_of_the_explicit_way(mask: str, scale: float | None) -> None:
    q, k, v = given()
    assert suits_short(q, k, v)
    flow = torch.randn(B, H, T, CV)
    results = []
    for explicit in (False, True):
        z = attend(q, k, v, masks()[mask], scale=scale, explicit=explicit)
        results.append([z, *torch.autograd.grad(z, (q, k, v), flow)])
    for quick, plain in zip(*results, strict=True):
        torch.testing.assert_close(quick, plain, atol=2e-6, rtol=2e-5)
        assert quick.isfinite().all()


def test_scores_far_apart_do_not_overflow() -> None:
    q, k, v = given()
    hidden = torch.zeros(B, 1, 1, S, dtype=torch.bool)
    hidden[..., 3] = True
    torch.testing.assert_close(attend(q * 1e6, k * 1e6, v, hidden), v[:, :, 3:4].expand(-1, -1, T, -1))


def test_dropped_weights_are_dropped_on_the_way_back_too() -> None:
    """The output is linear in the values, by the weights that were kept."""
    q, k, _ = given()
    v = torch.eye(S).expand(B, H, S, S).clone().requires_grad_()  # z is then the weights
    z = short_attention(q, k, v, None, None, 0.25)
    plain = torch.softmax(q @ k.mT * C**-0.5, -1)
    kept = z != 0
    assert 0.7 < kept.float().mean() < 0.8
    torch.testing.assert_close(z, torch.where(kept, plain / 0.75, 0.0))
    flow = torch.randn_like(z)
    grads = torch.autograd.grad(z, (q, k), flow, retain_graph=True)
    wanted = torch.autograd.grad(torch.where(kept, plain / 0.75, 0.0), (q, k), flow)
    for got, want in zip(grads, wanted, strict=True):
        torch.testing.assert_close(got, want, atol=2e-6, rtol=2e-5)
    torch.testing.assert_close(torch.autograd.grad(z, v, flow)[0], z.detach().mT @ flow)


def test_a_seed_decides_what_is_dropped() -> None:
    q, k, v = given()
    torch.manual_seed(3)
    first = attend(q, k, v, dropout=0.5)
    torch.manual_seed(3)
    assert torch.equal(attend(q, k, v, dropout=0.5), first)
    assert not torch.equal(attend(q, k, v, dropout=0.5), first)


def test_everything_can_be_dropped() -> None:
    q, k, v = given()
    assert not attend(q, k, v, dropout=1.0).any()


def test_it_steps_aside_where_it_is_not_the_same_or_not_faster() -> None:
    q, k, v = given()
    assert suits_short(q, k, v)
    with torch.no_grad():
        assert not suits_short(q, k, v)
    assert not suits_short(q.detach(), k.detach(), v.detach())
    assert not suits_short(q.double(), k.double(), v.double())
    assert not suits_short(q, k[:, :1], v[:, :1])
    assert not suits_short(q[:2], k[:2], v[:2])
    long = torch.randn(B, H, 65, C)
    assert not suits_short(q, long, long)
    assert not suits_short(*(x.detach().to("meta").requires_grad_() for x in (q, k, v)))


def test_functional_transforms_take_torchs_own_way() -> None:
    q, k, v = given()
    got = torch.func.grad(lambda x: attend(x, k.detach(), v.detach()).sum())(q.detach())
    torch.testing.assert_close(got, torch.autograd.grad(attend(q, k, v).sum(), q)[0], atol=2e-6, rtol=2e-5)


def test_being_observed_changes_nothing_of_a_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(4)
    layer = AttentionConfig(heads=H).build(H * C).train()
    x = torch.randn(B, T, H * C, requires_grad=True)
    taken: list[bool] = []
    monkeypatch.setattr(attention, "suits_short", lambda *all: taken.append(suits_short(*all)) or taken[-1])
    plain = layer(x, "causal")
    seen: list[Tensor] = []
    with open_taps(layer, {"weights": lambda name, value: seen.append(value)}):
        assert torch.equal(layer(x, "causal"), plain)
    assert taken == [True, True]
    assert len(seen) == 1
