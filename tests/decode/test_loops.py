"""The compiled loops = torch, at sizes that fill no tile, no block and no group."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regard.decode import linears, loops
from regard.decode.fast import have_loops
from regard.decode.kernels import products
from regard.decode.linears import Buffer, bias_of, pack
from regard.model.quantize import Int8Linear

ROWS = [1, 2, 3, 4, 5, 6, 7, 13]
SHAPES = [(4, 1), (20, 16), (13, 17), (64, 64), (131, 83)]


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    torch.manual_seed(1)


def test_the_loops_are_tested_at_all() -> None:
    assert have_loops()


@pytest.mark.parametrize("clipped", [False, True])
@pytest.mark.parametrize(("inputs", "outputs"), SHAPES)
@pytest.mark.parametrize("rows", ROWS)
def test_float_kernels_are_a_linear(rows: int, inputs: int, outputs: int, clipped: bool) -> None:
    x, linear, y = (
        torch.randn(rows, inputs),
        nn.Linear(inputs, outputs),
        np.empty((rows, outputs), np.float32),
    )
    products.linear(x.numpy(), pack(linear), bias_of(linear), clipped, y)
    want = linear(x).detach()
    torch.testing.assert_close(torch.from_numpy(y), want.relu() if clipped else want, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("clipped", [False, True])
@pytest.mark.parametrize(("inputs", "outputs"), SHAPES)
@pytest.mark.parametrize("rows", ROWS)
def test_an_int8_kernel_is_the_module_to_the_bit(rows: int, inputs: int, outputs: int, clipped: bool) -> None:
    """Numbers of every size, a row of zeros, and one that fills the largest sums there are."""
    linear, x = (
        nn.Linear(inputs, outputs),
        torch.randn(rows, inputs) * 10.0 ** torch.randint(-30, 31, (rows, 1)),
    )
    with torch.no_grad():
        linear.weight[0] = 1
        linear.weight[-1] = -1
    x[0] = 1
    x[rows // 2] = 0
    module, y = Int8Linear(linear), np.empty((rows, outputs), np.float32)
    products.int8_linear(x.numpy(), pack(module), module.scale.numpy(), bias_of(module), clipped, y)
    want = module(x)
    assert torch.equal(torch.from_numpy(y), want.relu() if clipped else want)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("int8", [False, True])
def test_threads_that_share_a_product_change_nothing(
    int8: bool, rows: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linears, "_SHARED", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    linear = Int8Linear(nn.Linear(64, 331)) if int8 else nn.Linear(64, 331)
    x, y = Buffer.of((rows, 64)), Buffer.of((rows, 331))
    x.tensor.normal_()
    product, results = linears.product(linear), []
    for _ in range(9):  # tried both ways, then chosen
        product(x, y)
        results.append(y.tensor.clone())
    torch.testing.assert_close(results[0], linear(x.tensor).detach(), atol=1e-4, rtol=1e-5)
    assert all(torch.equal(result, results[0]) for result in results)


@pytest.mark.parametrize("rows", [1, 5, 70])
@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("activation", [None, F.relu, F.gelu])
def test_a_product_is_its_linear_by_whichever_way(
    activation: Callable[[Tensor], Tensor] | None, copied: bool, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    linear = nn.Linear(20, 33, bias=copied)
    x = Buffer.of((rows, 20))
    x.tensor.normal_()
    want = linear(x.tensor).detach()
    for torch_from in (0, 6, sys.maxsize):
        monkeypatch.setattr(linears, "torch_from", lambda torch_from=torch_from: torch_from)
        y = Buffer.of((rows, 33))
        linears.product(linear, activation, copied=copied)(x, y)
        torch.testing.assert_close(y.tensor, want if activation is None else activation(want))


@pytest.mark.parametrize("vocab", [1, 5, 127, 128, 129, 1000, 8001])
def test_likeliest_tokens_are_torchs(vocab: int) -> None:
    logits = torch.randn(6, vocab) * 3
    logits[1, : vocab // 2] = float("-inf")
    logits[2] = float("-inf")
    logits[2, -1] = -1e30
    before, k = logits.clone(), min(5, vocab - vocab // 2)
    tokens = torch.empty(6, dtype=torch.long)
    loops.most_likely(logits.numpy(), tokens.numpy())
    assert torch.equal(tokens, logits.argmax(-1))
    rows = torch.tensor([0, 1, 3, 4, 5])
    values, found = torch.empty(5, k), torch.empty((5, k), dtype=torch.long)
    some = logits[rows].contiguous()
    loops.likely(some.numpy(), values.numpy(), found.numpy())
    want = logits[rows].log_softmax(-1).topk(k)
    torch.testing.assert_close(values, want.values, atol=1e-5, rtol=1e-5)
    assert torch.equal(found, want.indices)
    assert torch.equal(some, before[rows])  # what was taken out is put back


def test_what_is_not_a_number_breaks_nothing_else() -> None:
    logits = torch.randn(3, 300)
    logits[1] = float("nan")
    values, tokens = torch.empty(3, 4), torch.empty((3, 4), dtype=torch.long)
    loops.likely(logits.numpy(), values.numpy(), tokens.numpy())
    assert ((tokens >= 0) & (tokens < 300)).all()
    assert torch.equal(tokens[[0, 2]], logits[[0, 2]].topk(4).indices)
    one = torch.empty(3, dtype=torch.long)
    loops.most_likely(logits.numpy(), one.numpy())
    assert ((one >= 0) & (one < 300)).all()


def test_to_measure_the_processor_takes_none_of_the_users_random_numbers() -> None:
    before = torch.get_rng_state()
    linears.torch_from.__wrapped__()
    assert torch.equal(torch.get_rng_state(), before)
