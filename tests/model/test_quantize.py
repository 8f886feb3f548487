"""int8 models: near the float ones, exact where they promise to be, and unchanged in all else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from regard.model import quantize as quantize_module
from regard.model.attention import AttentionConfig
from regard.model.embed import Tokens
from regard.model.feedforward import MLP
from regard.model.head import Int8VocabularyHead, VocabularyHead
from regard.model.mask import Causal
from regard.model.quantize import (
    Int8Linear,
    int8_product,
    quantize,
    to_int8,
)
from regard.model.stack import StackConfig
from regard.model.tap import open_taps
from regard.model.transformer import EncoderDecoder, EncoderDecoderConfig, Transformer, TransformerConfig

SIZES = [(1, 1), (7, 13), (128, 384), (301, 67), (512, 1000)]
sizes = pytest.mark.parametrize(("width", "out"), SIZES)
rows = pytest.mark.parametrize("rows", [1, 3, 17, 64])


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(1)


@pytest.fixture(params=[True, False], ids=["integers", "floats"])
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """By torch's own product of integers, unless it is never taken here, and by floats."""
    by_torch = request.param and quantize_module._int_mm_is_exact()
    monkeypatch.setattr(quantize_module, "_int_mm_is_fast", lambda: by_torch)


def test_a_product_of_torch_that_saturates_is_never_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of processors without AVX is: sums of two products in 16 bits."""

    def saturating(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        pairs = ((x.int() + 128)[:, :, None] * weight.int()).unflatten(1, (-1, 2)).sum(2)
        return pairs.clamp(-(2**15), 2**15 - 1).sum(1) - 128 * weight.int().sum(0)

    monkeypatch.setattr(torch, "_int_mm", saturating)
    assert not quantize_module._int_mm_is_exact()
    assert not quantize_module._int_mm_is_fast.__wrapped__()


@sizes
@rows
@pytest.mark.usefixtures("_either_way")
def test_products_are_those_of_whole_numbers(width: int, out: int, rows: int) -> None:
    x = torch.randint(-127, 128, (rows, width), dtype=torch.int8)
    weight = torch.randint(-127, 128, (out, width), dtype=torch.int8)
    want = x.long() @ weight.long().t()
    assert torch.equal(int8_product(x, weight).long(), want)


@pytest.mark.usefixtures("_either_way")
def test_products_of_the_largest_numbers_do_not_saturate() -> None:
    for sign in (1, -1):
        x, weight = torch.full((3, 2048), 127 * sign), torch.full((5, 2048), 127)
        got = int8_product(x.to(torch.int8), weight.to(torch.int8))
        assert torch.equal(got, torch.full((3, 5), 2048 * 127 * 127 * sign, dtype=torch.int32))


@sizes
@rows
def test_a_row_is_the_same_beside_any_other(width: int, out: int, rows: int) -> None:
    linear = Int8Linear(nn.Linear(width, out))
    x = torch.randn(rows, width) * 10.0 ** torch.randint(-3, 4, (rows, 1))
    together = linear(x)
    for row in range(rows):
        assert torch.equal(linear(x[row : row + 1]), together[row : row + 1])
    many = linear(x.repeat(-(-(2**17) // x.numel()), 1))  # where another way to the largest is taken
    assert torch.equal(many.view(-1, rows, out), together.expand(len(many) // rows, rows, out))
    assert torch.equal(linear(x.view(1, rows, width)), together.view(1, rows, out))


@sizes
def test_the_error_is_within_what_rounding_may_do(width: int, out: int) -> None:
    """Each factor is wrong by half a step at most."""
    linear = nn.Linear(width, out)
    x = torch.randn(9, width)
    with torch.no_grad():
        error = (Int8Linear(linear)(x) - linear(x)).abs()
        half_x, half_w = x.abs().amax(1, True) / 254, linear.weight.abs().amax(1) / 254
        bound = half_x * linear.weight.abs().sum(1) + half_w * x.abs().sum(1, True) + width * half_x * half_w
    assert (error <= bound * 1.001 + 1e-6).all()


def test_rows_of_zeros_stay_zeros() -> None:
    linear = Int8Linear(nn.Linear(5, 3))
    assert linear.bias is not None
    assert torch.equal(linear(torch.zeros(2, 5)), linear.bias.expand(2, 3))
    whole, largest = to_int8(torch.tensor([[0.0, 0.0], [-2.0, 1.0]]))
    assert largest.tolist() == [[0.0], [2.0]]
    assert whole[1].tolist() == [-127, 64]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_dtype_that_comes_in_goes_out(dtype: torch.dtype) -> None:
    linear = nn.Linear(31, 17)
    x = torch.randn(5, 31)
    got = Int8Linear(linear)(x.to(dtype))
    assert got.dtype == dtype
    torch.testing.assert_close(got.float(), linear(x).detach(), atol=0.05, rtol=0.05)


def small(vocab: int = 37) -> EncoderDecoder:
    encoder = StackConfig(32, 2, AttentionConfig(4), MLP(64), dropout=0.1)
    decoder = StackConfig(32, 2, AttentionConfig(4), MLP(64), Causal(), cross=AttentionConfig(4), dropout=0.1)
    return EncoderDecoderConfig(Tokens(vocab), Tokens(vocab), encoder, decoder).build()


def test_every_linear_is_int8_and_tables_stay_float() -> None:
    model = quantize(small())
    kinds = {type(m) for m in model.modules() if isinstance(m, nn.Linear | VocabularyHead | Int8Linear)}
    assert kinds == {Int8Linear, Int8VocabularyHead}
    assert model.target.weight.dtype == torch.float32


@pytest.mark.parametrize("training", [False, True])
def test_the_mode_is_left_alone(training: bool) -> None:
    model = small().train(training)
    assert quantize(model) is model
    assert {module.training for module in model.modules()} == {training}


def test_taps_see_the_logits_of_an_int8_head() -> None:
    model = quantize(small()).eval()
    source, target = torch.randint(0, 37, (2, 5)), torch.randint(0, 37, (2, 4))
    seen = {}
    with torch.no_grad():
        plain = model(source, target)
        with open_taps(model, {"head.logits": seen.__setitem__, "decoder.*.hidden": seen.__setitem__}):
            assert torch.equal(model(source, target), plain)
    assert torch.equal(seen["head.logits"], plain)
    assert len(seen) == 3


def test_a_trained_model_hardly_changes_its_mind() -> None:
    """A small GPT that learned to count: the answers stay, the logits move by little."""
    stack = StackConfig(48, 2, AttentionConfig(4), MLP(96), Causal(), dropout=0.0)
    model: Transformer = TransformerConfig(Tokens(29), stack).build()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(150):
        x = (torch.randint(0, 29, (32, 1)) + torch.randint(1, 4, (32, 1)) * torch.arange(12)) % 29
        loss = nn.functional.cross_entropy(model(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x = (torch.arange(29)[:, None] + 3 * torch.arange(12)) % 29
    with torch.no_grad():
        before = model.eval()(x)
        after = quantize(model)(x)
    known = slice(2, 11)  # two numbers tell the step
    assert (before[:, known].argmax(-1) == x[:, 3:]).float().mean() > 0.95, "has learned nothing"
    assert (before[:, known].argmax(-1) == after[:, known].argmax(-1)).float().mean() > 0.98
    assert (before - after).norm() < 0.03 * before.norm()


def test_nothing_of_an_int8_linear_is_trained() -> None:
    model = quantize(small())
    names = {name for name, p in model.named_parameters() if "norm" not in name}
    assert names == {"target.weight"}


def test_a_product_of_torch_that_saturates_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = torch._int_mm
    quantize_module._int_mm_is_fast.cache_clear()
    monkeypatch.setattr(torch, "_int_mm", lambda x, weight: exact(x, weight).clamp(max=256 * 2**13))
    try:
        assert not quantize_module._int_mm_is_fast()
    finally:
        quantize_module._int_mm_is_fast.cache_clear()
