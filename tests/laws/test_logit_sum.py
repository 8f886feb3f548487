"""A logit is the sum of its parts, for every member of every union; and each part is what it is called."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from members import (
    BASE,
    DEPTH,
    OUTPUTS,
    PARTS,
    D,
    V,
    encoder_decoder,
    ids,
    lively,
    members,
    name,
    transformer,
)
from torch import Tensor

from regard.errors import InputError
from regard.insight.ablation import Head, heads_of, silencing
from regard.insight.logit_sum import LogitSum, logit_sum
from regard.insight.recorded import Naming, passes_of
from regard.insight.recorder import Choice, Recorder
from regard.insight.trace import Trace
from regard.model.attention import AttentionConfig
from regard.model.block import Placement, PostNorm, PreNorm
from regard.model.embed import Patches, Tokens, TokenTypes
from regard.model.feedforward import ACTIVATIONS, MLP, Activation
from regard.model.head import Classes, Pooling, Spans, Transform, Vector, VectorHead, Vocabulary
from regard.model.mask import Full
from regard.model.norm import LayerNorm, Norm, RMSNorm
from regard.model.position import Learned
from regard.model.quantize import quantize
from regard.model.stack import StackConfig
from regard.model.tap import open_taps
from regard.model.transformer import EncoderDecoder, Transformer, TransformerConfig
from tests.shared import refused

T, S, K = 5, 7, 11
NAMING = Naming(
    lambda some: [f"s{i}" for i in some],
    lambda some: [f"t{i}" for i in some],
    tuple(map("w{}".format, range(V))),
)


def traced(model: Any, *given: Tensor, choice: Choice = Choice()) -> Trace:  # noqa: B008
    recorder = Recorder(model, choice)
    with torch.no_grad(), recorder.watching():
        model(*given)
    passes, search = passes_of(recorder, NAMING)
    return Trace("", "", "", None, (), passes, search, NAMING.outputs)


def holds(
    model: Any, trace: Trace, output: int, against: int | None = None, place: int | None = None
) -> LogitSum:
    """The law, against the logits that the trace itself has."""
    found = logit_sum(model, trace, output, against, place)
    logits = trace["head.logits"].value
    row = logits if logits.dim() == 1 else logits[T - 1 if place is None else place]
    want = float(row[output]) - (0.0 if against is None else float(row[against]))
    size = sum(map(abs, (*found.heads.values(), *found.rest.values())))
    assert found.total == pytest.approx(want, abs=1e-5 * max(1.0, size))
    assert found.logit == pytest.approx(want, abs=1e-5 * max(1.0, size))
    assert all(map(math.isfinite, found.heads.values()))
    return found


@pytest.mark.parametrize("stack", PARTS.values(), ids=PARTS.keys())
def test_the_logit_is_the_sum_of_its_parts(stack: StackConfig) -> None:
    alone, pair = transformer(stack), encoder_decoder(stack)
    for model, given in ((alone, (ids(1, T),)), (pair, (ids(1, S), ids(1, T)))):
        trace = traced(model, *given)
        for place in (0, 2, T - 1):
            found = holds(model, trace, 3, place=place)
            own = "decoder." if model is pair else "stack."
            assert list(found.heads) == [head for head in heads_of(model) if head.attention.startswith(own)]
        holds(model, trace, 3, against=7)


@pytest.mark.parametrize("placement", members(Placement), ids=name)
@pytest.mark.parametrize("norm", [*members(Norm), LayerNorm(bias=False)], ids=name)
@pytest.mark.parametrize("entry", [False, True])
def test_every_norm_in_every_place_is_gone_through(placement: Placement, norm: Norm, entry: bool) -> None:
    stack = replace(BASE, placement=placement, norm=norm, entry_norm=entry, position=Learned(37))
    model = transformer(stack)
    found = holds(model, traced(model, ids(1, T)), 3, against=7, place=2)
    shifts = [key for key in found.rest if key.endswith(".bias") and "norm" in key.split(".")[-2]]
    assert bool(shifts) == (norm == LayerNorm())
    assert {"stack.position.added", "embed.out"} <= found.rest.keys()


@pytest.mark.parametrize("head", [head for head in OUTPUTS if not isinstance(head, Vector)], ids=name)
def test_every_head_that_has_logits_is_read(head: Any) -> None:
    model: Any = lively(TransformerConfig(Tokens(V), replace(BASE, mask=Full()), head).build())
    found = holds(model, traced(model, ids(1, T)), 1, against=0)
    assert (found.place is None) == isinstance(head, Classes)


@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize("norm", [None, *members(Norm)], ids=str)
@pytest.mark.parametrize("pooling", [None, *get_args(Pooling)])
def test_a_layer_within_the_head_is_held_as_it_was(activation: Any, norm: Any, pooling: Any) -> None:
    transform = Transform(activation, norm)
    head = Vocabulary(bias=True, transform=transform) if pooling is None else Classes(K, pooling, transform)
    stack = replace(BASE, mask=Full(), placement=PostNorm())
    model: Any = lively(TransformerConfig(Tokens(V), stack, head).build())
    holds(model, traced(model, ids(1, T)), 1)
    assert set(ACTIVATIONS) == set(get_args(Activation))


def test_nothing_comes_of_an_activation_of_zero() -> None:
    head = Classes(K, "first", Transform("relu"))
    model: Any = lively(TransformerConfig(Tokens(V), replace(BASE, mask=Full()), head).build())
    with torch.no_grad():
        model.head.transform.dense.weight.zero_()
        model.head.transform.dense.bias.zero_()
    found = holds(model, traced(model, ids(1, T)), 1)
    assert found.rest["head.bias"] == pytest.approx(found.logit, abs=1e-6)


def test_images_and_pairs_of_texts_are_sums_too() -> None:
    embed = Patches(channels=3, pixel_rows=4, pixel_columns=6, patch=2, registers=1)
    stack = replace(BASE, mask=Full())
    seeing: Any = lively(TransformerConfig(embed, stack, Classes(K)).build())
    holds(seeing, traced(seeing, torch.randn(1, 3, 4, 6)), 4, against=2)
    typed: Any = lively(TransformerConfig(Tokens(V, types=TokenTypes(2, 1)), stack, Spans()).build())
    trace = traced(typed, ids(1, T))
    assert logit_sum(typed, trace, "end").logit == pytest.approx(
        float(trace["head.logits"].value[-1, 1]), abs=1e-5
    )


@torch.no_grad()
def test_the_parts_are_those_of_a_small_gpt_2_by_explicit_matrices() -> None:
    """Every number once more, with each part carried forward through what comes after it."""
    heads, width = 5, D // 5
    stack = StackConfig(
        D, DEPTH, AttentionConfig(heads), MLP(29, "gelu-tanh"), BASE.mask, Learned(37), placement=PreNorm()
    )
    model: Any = lively(
        TransformerConfig(Tokens(V, scale=False), stack, Vocabulary(tied=True)).build().double()
    )
    given, place, output = ids(1, T), 3, 6
    w = dict(model.named_parameters())
    parts: dict[str, Tensor] = {
        "embed.out": w["embed.weight"][given[0]],
        "stack.position.added": w["stack.position.table.weight"][:T],
    }

    def normed(x: Tensor, key: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return (
            centred / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt() * w[f"{key}.weight"]
            + w[f"{key}.bias"]
        )

    for layer in range(DEPTH):
        at = f"stack.blocks.{layer}"
        x = normed(sum(parts.values()), f"{at}.attention_residual.norm")  # type: ignore[arg-type]
        q, k, v = (x @ w[f"{at}.attention.qkv.weight"].T + w[f"{at}.attention.qkv.bias"]).split(D, -1)
        for head in range(heads):
            own = slice(head * width, (head + 1) * width)
            scores = q[:, own] @ k[:, own].T / width**0.5
            hidden = torch.ones(T, T).triu(1).bool()
            weights = scores.masked_fill(hidden, -math.inf).softmax(-1)
            parts[f"{at}.attention.{head}"] = weights @ v[:, own] @ w[f"{at}.attention.out.weight"][:, own].T
        parts[f"{at}.attention.out.bias"] = w[f"{at}.attention.out.bias"].expand(T, D)
        x = normed(sum(parts.values()), f"{at}.feedforward_residual.norm")  # type: ignore[arg-type]
        x = x @ w[f"{at}.feedforward.up.weight"].T + w[f"{at}.feedforward.up.bias"]
        x = torch.nn.functional.gelu(x, approximate="tanh")
        made = x @ w[f"{at}.feedforward.down.weight"].T + w[f"{at}.feedforward.down.bias"]
        parts[f"{at}.feedforward.out"] = made
    final: Tensor = sum(parts.values())[place]  # type: ignore[index]
    deviation = (final.var(unbiased=False) + 1e-5).sqrt()
    row = w["embed.weight"][output]
    want = {
        key: float(((x[place] - x[place].mean()) / deviation * w["stack.final_norm.weight"]) @ row)
        for key, x in parts.items()
    }
    want["stack.final_norm.bias"] = float(w["stack.final_norm.bias"] @ row)
    found = logit_sum(model, traced(model, given), output, place=place)
    got = {str(head): value for head, value in found.heads.items()} | found.rest
    assert got.keys() == want.keys()
    for key, value in want.items():
        assert got[key] == pytest.approx(value, abs=1e-5), key
    assert sum(want.values()) == pytest.approx(float(model(given)[0, place, output]), abs=1e-5)


@torch.no_grad()
def test_without_a_head_the_logit_falls_by_its_part_where_all_after_it_is_held() -> None:
    """The last layer's heads, its feed-forward and the norm's scale held: then nothing else changes."""
    model, given = transformer(replace(BASE, placement=PreNorm())), ids(1, T)
    trace = traced(model, given)
    found = logit_sum(model, trace, 3)
    last = f"stack.blocks.{DEPTH - 1}"
    norm: Any = model.stack.final_norm
    x = trace[f"{last}.residual"].value
    scale = (x.var(-1, unbiased=False, keepdim=True) + norm.eps).rsqrt()
    made = trace[f"{last}.feedforward.out"].value

    class Held(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x - x.mean(-1, keepdim=True)) * scale * norm.weight + norm.bias

    model.stack.final_norm = Held()
    whole = float(model(given)[0, -1, 3])
    for head in (head for head in heads_of(model) if head.attention.startswith(last)):
        with open_taps(model, {**silencing([head]), f"{last}.feedforward.out": lambda _, value: made[None]}):
            fall = whole - float(model(given)[0, -1, 3])
        assert fall == pytest.approx(found.heads[head], abs=1e-5)
        assert abs(fall) > 1e-4


def test_what_is_silenced_adds_nothing() -> None:
    model, given = transformer(BASE), ids(1, T)
    head = Head("stack.blocks.1.attention", 2)
    recorder = Recorder(model)
    with torch.no_grad(), recorder.watching(silencing([head])):
        model(given)
    found = logit_sum(model, passes_of(recorder, NAMING)[0][0], 3)
    assert found.heads[head] == 0.0
    assert found.difference < 1e-4


def test_outputs_are_called_by_name_or_number_and_the_likeliest_is_the_default() -> None:
    model = transformer(BASE)
    trace = traced(model, ids(1, T))
    best = int(trace["head.logits"].value[2].argmax())
    found = logit_sum(model, trace, place=2 - T)
    assert (found.output, found.place, found.token) == (f"w{best}", 2, trace.sequences[0].tokens[2])
    assert (
        found == logit_sum(model, trace, f"w{best}", place=2) == logit_sum(model, trace, str(best), place=2)
    )
    assert logit_sum(model, trace.passes[0], best, place=2).output == str(best)
    assert logit_sum(model, trace, best, best).logit == 0.0


def test_what_is_not_there_is_refused() -> None:
    model = transformer(BASE)
    trace = traced(model, ids(1, T))
    for output in ("w99", "word", V, -1, "9" * 5000, ""):
        with refused(InputError, key="output"):
            logit_sum(model, trace, output)
    with refused(InputError, key="outputs"):
        logit_sum(model, replace(trace, outputs=("a",) * V), "a")
    for place in (T, -T - 1):
        with refused(InputError, key="place", value=place):
            logit_sum(model, trace, 1, place=place)
    for choice in (Choice(layers=frozenset({0})), Choice(heads=frozenset({0, 3}))):
        with refused(InputError, remedy="--layers and --heads"):
            logit_sum(model, traced(model, ids(1, T), choice=choice), 1)
    with refused(InputError, key="stack"):
        logit_sum(model, replace(trace, passes=()), 1)
    classes: Any = lively(TransformerConfig(Tokens(V), BASE, Classes(K)).build())
    with refused(InputError, key="place"):
        logit_sum(classes, traced(classes, ids(1, T)), 1, place=0)
    vector: Any = TransformerConfig(Tokens(V), BASE, Vector()).build().eval()
    assert isinstance(vector.head, VectorHead)
    with refused(InputError, key="head", value="VectorHead"):
        logit_sum(vector, traced(vector, ids(1, T)))
    for small in (quantize(transformer(BASE)), quantize(classes)):
        with refused(InputError, remedy="float32"):
            logit_sum(small, traced(small, ids(1, T)), 1)  # type: ignore[arg-type]


def test_what_was_traced_stays_as_it_was() -> None:
    model: EncoderDecoder | Transformer = transformer(replace(BASE, norm=RMSNorm()))
    trace = traced(model, ids(1, T))
    before = {entry.name: entry.value.clone() for one in trace.passes for entry in one}
    logit_sum(model, trace, 1)
    assert all(
        torch.equal(trace[name].value, value) for name, value in before.items() if not value.isnan().any()
    )
    assert all(parameter.grad is None for parameter in model.parameters())
