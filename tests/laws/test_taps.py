"""Looking changes nothing; replacing does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from members import EMBEDS, PARTS, V, close, embedded, encoder_decoder, ids, transformer
from members import name as named
from torch import Tensor, nn

from regard.model.embed import Embed
from regard.model.score import Softmax
from regard.model.stack import StackConfig
from regard.model.tap import open_taps, tap, wanted, watching

T, S = 5, 7

WALKED = {**PARTS, **{named(embed): embed for embed in EMBEDS}}
parts = pytest.mark.parametrize("stack", WALKED.values(), ids=WALKED.keys())


def runs(stack: StackConfig | Embed) -> list[tuple[nn.Module, Callable[[], Tensor]]]:
    if not isinstance(stack, StackConfig):
        model, given = embedded(stack)
        return [(model, lambda: model(given))]
    alone, pair, source, target = transformer(stack), encoder_decoder(stack), ids(2, S), ids(2, T)
    return [(alone, lambda: alone(target)), (pair, lambda: pair(source, target))]


def seen(model: nn.Module, run: Callable[[], Tensor]) -> dict[str, Tensor]:
    values: dict[str, Tensor] = {}
    with open_taps(model, {"*": values.__setitem__}):
        run()
    return values


def another(value: Tensor) -> Tensor:
    """Of the same type: what was forbidden is allowed, each id becomes the next."""
    if value.dtype == torch.bool:
        return ~value
    return torch.randn_like(value).abs() if value.is_floating_point() else (value + 1) % V


@parts
@torch.no_grad()
def test_observing_changes_nothing_to_the_bit(stack: StackConfig | Embed) -> None:
    for model, run in runs(stack):
        want = run()
        points: dict[str, Tensor] = {}
        with open_taps(model, {"*": points.__setitem__}):
            assert torch.equal(run(), want)
        assert not watching()
        assert torch.equal(run(), want)
        for point in ("q", "k", "v", "scores", "mask", "weights", "heads", "out"):
            assert any(name.endswith(f".blocks.1.attention.{point}") for name in points)
        assert torch.equal(points["head.logits"], want)


@parts
@torch.no_grad()
def test_a_copy_put_in_the_place_of_a_value_changes_nothing(stack: StackConfig | Embed) -> None:
    for model, run in runs(stack):
        want = run()
        for point in seen(model, run):
            with open_taps(model, {point: lambda _, value: value.clone()}):
                close(run(), want)


@parts
@torch.no_grad()
def test_another_value_in_the_place_of_one_acts(stack: StackConfig | Embed) -> None:
    for model, run in runs(stack):
        want = run()
        for point, value in seen(model, run).items():
            other = another(value)
            with open_taps(model, {point: lambda _, __, other=other: other}):
                assert not torch.allclose(run(), want, atol=1e-4), point


@parts
@torch.no_grad()
def test_observed_weights_are_those_that_made_the_answer(stack: StackConfig | Embed) -> None:
    """weights · v, joined and projected, is what attention gave."""
    for model, run in runs(stack):
        values = seen(model, run)
        names = [name.removesuffix(".weights") for name in values if name.endswith(".weights")]
        assert names
        for name in names:
            weights, v = values[f"{name}.weights"], values[f"{name}.v"]
            if isinstance(model.get_submodule(name).score, Softmax):
                close(weights.sum(-1), torch.ones(weights.shape[:-1]))
            v = v.repeat_interleave(weights.shape[1] // v.shape[1], dim=1)
            close(weights @ v, values[f"{name}.heads"])
            joined = values[f"{name}.heads"].transpose(1, 2).flatten(2)
            close(model.get_submodule(name).out(joined), values[f"{name}.out"])


@torch.no_grad()
def test_one_heads_output_can_be_silenced() -> None:
    model, x = transformer(PARTS["multi-head"]), ids(2, T)

    def silence(_: str, heads: Tensor) -> Tensor:
        return heads.index_fill(1, torch.tensor([3]), 0.0)

    with open_taps(model, {"stack.blocks.1.attention.heads": silence}):
        silenced = model(x)
    whole = model(x)
    out = model.stack.blocks[1].attention.out.weight
    out.view(20, 5, 4)[:, 3] = 0  # the columns of W_O that read this head
    close(silenced, model(x))
    assert not torch.allclose(silenced, whole, atol=1e-3)


@torch.no_grad()
def test_scores_put_to_minus_infinity_are_forbidden() -> None:
    model, x = transformer(PARTS["multi-head"]), ids(2, T)
    points = {"*.scores": lambda _, scores: torch.full_like(scores, -torch.inf)}
    weights: list[Tensor] = []
    with open_taps(model, points | {"*.weights": lambda _, value: weights.append(value)}):
        assert model(x).isfinite().all()
    assert all(torch.equal(value, torch.zeros_like(value)) for value in weights)


def test_taps_are_for_one_model_and_by_name() -> None:
    inner = nn.Linear(2, 2)
    model, other = nn.Sequential(inner), nn.Linear(2, 2)
    x = torch.zeros(2)
    with open_taps(model, {"0.here": lambda *_: x + 1}):
        assert watching()
        assert wanted(inner, "there", "here")
        assert not wanted(inner, "there")
        assert not wanted(other, "here")
        assert torch.equal(tap(inner, "here", x), x + 1)
        assert tap(inner, "there", x) is x
        assert tap(other, "here", x) is x
    assert not wanted(inner, "here")
    assert tap(inner, "here", x) is x


def test_taps_close_when_what_they_saw_failed() -> None:
    model = transformer(PARTS["multi-head"])

    def fail(*_: object) -> None:
        raise RuntimeError("seen enough")

    with pytest.raises(RuntimeError, match="seen enough"), open_taps(model, {"*.weights": fail}):
        model(ids(2, T))
    assert not watching()
