"""The compiled loops = torch, at sizes that fill no tile, no block and no group."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from regard.decode import loops, tiles
from regard.decode.fast import have_loops
from regard.model.quantize import Int8Linear, int8_product, to_int8

ROWS = [1, 3, 4, 5, 9]
SHAPES = [(4, 1), (20, 16), (12, 17), (64, 64), (132, 83)]


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    torch.manual_seed(1)


def test_the_loops_are_tested_at_all() -> None:
    assert have_loops()


@pytest.mark.parametrize("clipped", [False, True])
@pytest.mark.parametrize(("inputs", "outputs"), SHAPES)
@pytest.mark.parametrize("rows", ROWS)
def test_float_tiles_are_a_linear(rows: int, inputs: int, outputs: int, clipped: bool) -> None:
    x, weight, bias = torch.randn(rows, inputs), torch.randn(outputs, inputs), torch.randn(outputs)
    packed, y = tiles.pack(weight.numpy()), np.empty((rows, outputs), np.float32)
    loops.linear(x.numpy(), packed, bias.numpy(), clipped, np.empty((rows, 16 * len(packed)), np.float32), y)
    want = F.linear(x, weight, bias)
    torch.testing.assert_close(torch.from_numpy(y), want.relu() if clipped else want, atol=1e-4, rtol=1e-5)


@pytest.mark.skipif(not tiles.has_int8(), reason="this processor has no instruction for products of bytes")
@pytest.mark.parametrize(("inputs", "outputs"), SHAPES)
@pytest.mark.parametrize("rows", ROWS)
def test_int8_tiles_are_exact(rows: int, inputs: int, outputs: int) -> None:
    x, weight = (torch.randint(-127, 128, (n, inputs), dtype=torch.int8) for n in (rows, outputs))
    packed = tiles.pack_int8(weight.numpy())
    sums = np.empty((rows, 16 * len(packed)), np.int32)
    tiles.int8_product(x.numpy(), packed, sums)
    assert torch.equal(torch.from_numpy(sums[:, :outputs]), int8_product(x, weight))


@pytest.mark.skipif(not tiles.has_int8(), reason="this processor has no instruction for products of bytes")
@pytest.mark.parametrize("rows", ROWS)
def test_an_int8_linear_is_the_modules_to_the_bit(rows: int) -> None:
    linear = Int8Linear(nn.Linear(132, 83))
    x = torch.randn(rows, 132)
    x[0] = 0
    packed, y = tiles.pack_int8(linear.weight.numpy()), np.empty((rows, 83), np.float32)
    assert linear.bias is not None
    room = np.empty((rows, 132), np.int8), np.empty((rows, 16 * len(packed)), np.int32)
    loops.int8_linear(x.numpy(), packed, linear.scale.numpy(), linear.bias.numpy(), False, *room, y)
    assert torch.equal(torch.from_numpy(y), linear(x))


def test_rows_are_rounded_as_by_the_module() -> None:
    x = torch.randn(7, 131) * torch.tensor([1e-30, 1e-3, 1, 3, 1e3, 1e30, 0])[:, None]
    whole, largest = np.empty((7, 131), np.int8), np.empty(7, np.float32)
    loops.to_int8(x.numpy(), largest, whole)
    want, sizes = to_int8(x)
    assert np.array_equal(largest, sizes[:, 0].numpy())
    assert np.array_equal(whole[:-1], want[:-1].numpy())
    assert not whole[-1].any()


@pytest.mark.parametrize("vocab", [1, 5, 127, 128, 129, 1000, 8001])
def test_likeliest_tokens_are_torchs(vocab: int) -> None:
    logits = torch.randn(6, vocab) * 3
    logits[1, : vocab // 2] = float("-inf")
    logits[2] = float("-inf")
    logits[2, -1] = -1e30
    before, k = logits.clone(), min(5, vocab - vocab // 2)
    tokens = torch.empty(6, dtype=torch.long)
    loops.likeliest(logits.numpy(), tokens.numpy())
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
    loops.likeliest(logits.numpy(), one.numpy())
    assert ((one >= 0) & (one < 300)).all()
