"""Arithmetic on a GPU: its fused kernels, its formats, its caches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from members import HEADS, MASKED, PARTS, STEPPED, encoder_decoder, ids, left, transformer

from regard.decode.choose import prompt_stepper_for, stepper_for
from regard.decode.sampling import Sampler, Sampling
from regard.decode.search import Limits, beam_search, greedy
from regard.model.attention import attend
from regard.model.device import moved, slowdown
from regard.model.head import vocabulary_loss
from regard.model.layout import prepared
from regard.model.mask import Causal, Contiguous, Ragged
from regard.model.quantize import _by_floats, int8_product
from regard.training.muon import orthogonal

CUDA = torch.device("cuda", 0)
HALVES = [torch.float16, torch.bfloat16]
SOME = [key for number, key in enumerate(MASKED) if number % 7 == 0 or key.startswith("Causal")]


def near(got: torch.Tensor, want: torch.Tensor, atol: float = 1e-4) -> None:
    torch.testing.assert_close(got.cpu().float(), want.cpu().float(), atol=atol, rtol=1e-3)


@pytest.mark.parametrize("part", SOME)
def test_values_and_gradients_are_those_of_the_processor(part: str) -> None:
    model: Any = transformer(replace(MASKED[part], dropout=0.0))
    given, lengths, found = ids(3, 7), torch.tensor([7, 4, 2]), []
    for device in (torch.device("cpu"), CUDA):
        model = model.to(device).train()
        model.zero_grad()
        logits = model(given.to(device), Ragged.from_lengths(lengths.to(device), 7))
        logits.square().mean().backward()
        found.append((logits.detach().cpu(), model.embed.weight.grad.cpu().clone()))
    for got, want in zip(*found, strict=True):
        near(got, want)


@pytest.mark.parametrize("dtype", [torch.float32, *HALVES], ids=str)
@pytest.mark.parametrize("masked", ["none", "causal", "padding", "rows", "bias"])
@pytest.mark.parametrize("grouped", [False, True])
def test_fused_attention_is_the_explicit_one(dtype: torch.dtype, masked: str, grouped: bool) -> None:
    """Of each kernel that the device may choose; a query that may see nothing gets zeros and no NaN."""
    B, H, T, C = 2, 4, 17, 32
    q = torch.randn(B, H, T, C, device=CUDA, dtype=dtype, requires_grad=True)
    k, v = (torch.randn(B, 2 if grouped else H, T, C, device=CUDA, dtype=dtype) for _ in range(2))
    mask: Any = {"none": None, "causal": Causal(), "bias": Causal()}.get(masked)
    bias = torch.randn(1, H, T, T, device=CUDA) if masked == "bias" else None
    if masked == "padding":
        mask = (torch.arange(T, device=CUDA) < torch.tensor([[T], [5]], device=CUDA))[:, None, None]
    elif masked == "rows":
        mask = torch.ones(1, 1, T, T, dtype=torch.bool, device=CUDA)
        mask[:, :, 3] = False
    fused, explicit = (attend(q, k, v, mask, bias=bias, explicit=how) for how in (False, True))
    near(fused, explicit, 2e-2 if dtype in HALVES else 1e-4)
    fused.float().square().sum().backward()
    assert q.grad is not None
    assert torch.isfinite(q.grad).all()
    if masked == "rows":
        assert not fused[:, :, 3].any()


@pytest.mark.parametrize("part", [key for number, key in enumerate(STEPPED) if number % 5 == 0])
def test_a_cache_changes_nothing(part: str) -> None:
    model: Any = transformer(STEPPED[part]).to(CUDA)
    given = ids(2, 9).to(CUDA)
    with torch.inference_mode():
        whole, cache = model(given), model.cache()
        start = 3 if "Prefix" in part else 1
        parts = [model(given[:, :start], cache=cache)]
        parts += [model(given[:, at : at + 1], cache=cache) for at in range(start, 9)]
        near(torch.cat(parts, 1), whole)
        padded = torch.cat((torch.zeros_like(given[:, :2]), given), 1)
        if "Prefix" not in part:
            at = left(torch.tensor([9, 9], device=CUDA), 11)
            near(model(padded, at)[:, 2:], whole)


@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("part", ["multi-head", "grouped"])
def test_a_search_finds_what_the_processor_finds(width: int, part: str) -> None:
    model: Any = encoder_decoder(PARTS[part])
    source, found = ids(5, 6), []
    for device in (torch.device("cpu"), CUDA):
        model = model.to(device)
        with torch.inference_mode():
            stepper = stepper_for(model, source.to(device), Contiguous(0, 6), 8)
            limits = Limits(1, 0, [8] * 5)
            if width == 1:
                found.append(greedy(stepper, limits, device))
            else:
                best = beam_search(stepper, limits, device, width=width, n=2)
                found.append([[h.tokens for h in one] for one in best])
    assert found[0] == found[1]


def test_prompts_of_different_lengths_go_on_as_on_the_processor() -> None:
    model: Any = transformer(PARTS["multi-head"])
    prompts, found = [[1, 2, 3, 4], [5], [6, 7]], []
    for device in (torch.device("cpu"), CUDA):
        stepper = prompt_stepper_for(model.to(device), prompts, 12)
        found.append(greedy(stepper, Limits(4, 0, [7] * 3), device))
    assert found[0] == found[1]


def test_a_seed_decides_what_is_drawn() -> None:
    logits = torch.randn(3, 97, device=CUDA)
    drawn = [Sampler(Sampling(seed=seed), [[]] * 3, 97, CUDA).draw(logits)[0].tolist() for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("shape", [(1, 24, 16), (17, 24, 16), (40, 2400, 64), (3, 20, 13), (500, 768, 3072)])
def test_int8_products_are_exact(shape: tuple[int, int, int]) -> None:
    rows, width, made = shape
    x = torch.randint(-127, 128, (rows, width), dtype=torch.int8)
    weight = torch.randint(-127, 128, (made, width), dtype=torch.int8)
    want = (x.long() @ weight.long().t()).to(torch.int32)
    assert torch.equal(int8_product(x.to(CUDA), weight.to(CUDA)).cpu(), want)
    assert torch.equal(_by_floats(x.to(CUDA), weight.to(CUDA)).cpu(), want)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int8"])
def test_every_format_says_about_the_same(dtype: str) -> None:
    given = ids(2, 9)
    with torch.inference_mode():
        want = transformer(PARTS["multi-head"])(given)
        torch.manual_seed(1)
        ids(2, 9)
        model = prepared(transformer(PARTS["multi-head"]), CUDA, dtype)
        got = model(given.to(CUDA)).float().cpu()
    assert float((got - want).abs().max() / want.abs().max()) < (1e-4 if dtype == "float32" else 0.1)


@pytest.mark.parametrize("dtype", [torch.float32, *HALVES], ids=str)
def test_the_loss_over_a_vocabulary_is_torchs(dtype: torch.dtype) -> None:
    """Under autocast its large products are computed in halves; gradients arrive in float32."""
    x, weight = torch.randn(300, 64, device=CUDA), torch.randn(997, 64, device=CUDA) * 0.2
    target = torch.randint(0, 997, (300,), device=CUDA)
    found = []
    for ours in (True, False):
        a, b = x.clone().requires_grad_(), weight.clone().requires_grad_()
        with torch.autocast("cuda", dtype=dtype, enabled=dtype != torch.float32):
            if ours:
                loss = vocabulary_loss(a, b, target, smoothing=0.1)
            else:
                logits = torch.nn.functional.linear(a, b).float()
                loss = torch.nn.functional.cross_entropy(logits, target, label_smoothing=0.1, reduction="sum")
        loss.backward()
        assert a.grad is not None
        assert b.grad is not None
        assert a.grad.dtype == b.grad.dtype == torch.float32
        found.append((loss.detach(), a.grad, b.grad))
    for got, want in zip(*found, strict=True):
        apart = (got - want).abs().max() / want.abs().max()
        assert float(apart) < (2e-2 if dtype in HALVES else 1e-4)


@pytest.mark.parametrize("heads", HEADS)
def test_a_compiled_model_computes_the_same(heads: str) -> None:
    model: Any = transformer(PARTS[heads]).to(CUDA)
    given = ids(2, 9).to(CUDA)
    with torch.inference_mode():
        near(torch.compile(model)(given), model(given), 1e-3)


def test_muons_matrices_are_orthogonal() -> None:
    values = torch.linalg.svdvals(orthogonal(torch.randn(2, 48, 64, device=CUDA)).float())
    assert float(values.min()) > 0.6
    assert float(values.max()) < 1.4


def test_what_is_moved_is_what_was_there_though_its_memory_is_used_again() -> None:
    moves = [moved(torch.full((1 << 16,), float(number)), CUDA) for number in range(50)]
    assert [float(x.mean()) for x in moves] == [float(number) for number in range(50)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_format_is_measured(dtype: torch.dtype) -> None:
    assert 0 < slowdown(CUDA, dtype) < 100
