"""The vocabulary's loss is torch's cross-entropy, however it is cut into chunks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from regard.model import loss as losses
from regard.model.head import VocabularyHead, vocabulary_loss

N, D, V = 23, 7, 31


@pytest.mark.parametrize("chunk", [1, 5 * V, 2**20], ids=["rows", "ragged chunks", "at once"])
@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_gradients_are_cross_entropys(
    smoothing: float, bias: bool, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "CHUNK_ELEMENTS", chunk)
    torch.manual_seed(1)
    leaves = [torch.randn(N, D), torch.randn(V, D), *([torch.randn(V)] if bias else [])]
    target = torch.randint(0, V, (N,))
    results = []
    for ours in (True, False):
        x, weight, *rest = (leaf.clone().requires_grad_() for leaf in leaves)
        shift = rest[0] if rest else None
        if ours:
            loss = vocabulary_loss(x, weight, target, smoothing=smoothing, bias=shift)
        else:
            logits = F.linear(x, weight, shift)
            loss = F.cross_entropy(logits, target, label_smoothing=smoothing, reduction="sum")
        (3 * loss).backward()
        results.append((loss.detach(), *(leaf.grad for leaf in (x, weight, *rest))))
    for got, want in zip(*results, strict=True):
        torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-5)


def test_half_precision_loses_no_more_than_its_own_rounding() -> None:
    x, weight, target = torch.randn(N, D), torch.randn(V, D), torch.randint(0, V, (N,))
    want = vocabulary_loss(x, weight, target)
    got = vocabulary_loss(x.bfloat16(), weight.bfloat16(), target)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, want, rtol=0.02, atol=0.0)
    weight16 = weight.bfloat16().requires_grad_()
    vocabulary_loss(x.bfloat16(), weight16, target).backward()
    assert weight16.grad is not None
    assert weight16.grad.dtype == torch.bfloat16


def test_no_position_has_no_loss() -> None:
    weight = torch.randn(V, D, requires_grad=True)
    loss = vocabulary_loss(torch.zeros(0, D), weight, torch.zeros(0, dtype=torch.long), smoothing=0.1)
    loss.backward()
    assert loss == 0
    assert torch.equal(weight.grad, torch.zeros(V, D))


def test_the_heads_loss_is_that_of_its_logits() -> None:
    table = torch.nn.Parameter(torch.randn(V, D))
    tied = VocabularyHead(D, V, tied=table, bias=True)
    assert tied.weight is table
    x, target = torch.randn(N, D), torch.randint(0, V, (N,))
    want = F.cross_entropy(tied(x), target, label_smoothing=0.1, reduction="sum")
    torch.testing.assert_close(tied.loss(x, target, 0.1), want)
