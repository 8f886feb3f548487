"""A trace is the computation: nothing is changed by it, each value is what its formula makes of its sources,
and what was computed step by step is what would have been computed at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from members import DEPTH, PARTS, V, close, encoder_decoder, ids, transformer
from torch import Tensor, nn

from regard.decode.search import Limits, beam_search
from regard.decode.stepper import EncoderDecoderStepper
from regard.errors import InputError
from regard.insight.recorded import Naming, passes_of
from regard.insight.recorder import Choice, Recorder
from regard.insight.trace import Entry, Pass, Trace, best_path
from regard.model.attention import Attention
from regard.model.feedforward import GatedFeedForward
from regard.model.score import Additive, Cosine, DotProduct, Sigmoid, Sinks
from regard.model.search_events import listen
from regard.model.stack import StackConfig
from tests.shared import refused

T, S = 5, 7
NAMING = Naming(lambda some: [f"s{i}" for i in some], lambda some: [f"t{i}" for i in some])

parts = pytest.mark.parametrize("stack", PARTS.values(), ids=PARTS.keys())


def traced(model: Any, run: Callable[[], Any], choice: Choice = Choice()) -> tuple[Any, Trace]:  # noqa: B008
    recorder = Recorder(model, choice)
    with listen(recorder.on_step), recorder.watching():
        answer = run()
    passes, search = passes_of(recorder, NAMING)
    return answer, Trace("", "", "", None, (), passes, search)


@parts
@torch.no_grad()
def test_each_value_is_what_its_formula_makes_of_its_sources(stack: StackConfig) -> None:
    alone, pair, source, target = transformer(stack), encoder_decoder(stack), ids(1, S), ids(1, T)
    for model, run in ((alone, lambda: alone(target)), (pair, lambda: pair(source, target))):
        want = run()
        answer, trace = traced(model, run)
        assert torch.equal(answer, want)
        found = {entry.name: entry for one in trace.passes for entry in one}
        assert torch.equal(found["head.logits"].value, want[0])
        known = model.origins()
        for name, entry in found.items():
            assert entry.formula, name
            sources = [found[key].value for key in entry.sources if key in found]
            missing = [key for key in entry.sources if key not in found]
            assert all(key.endswith(".added") for key in missing), (name, missing)
            assert name in known or name.endswith("_given"), name
            made = remade(model, name, entry, sources)
            if made is not None:
                close(entry.value, made)


def remade(model: Any, name: str, entry: Entry, sources: list[Tensor]) -> Tensor | None:
    """The formula once more, by the model's own weights and nothing else of the library."""
    place, _, point = name.rpartition(".")
    part: Any = model.get_submodule(place) if place else model
    if point in ("given", "source_given", "target_given", "added", "bias", "memory_bias", "mask"):
        return None
    if place in ("embed", "source", "target"):
        return part.weight[sources[0]] * part.factor
    if point == "placed":
        return sources[0] + sources[1] if len(sources) > 1 else sources[0]
    if point == "input" and part.config.entry_width is not None:
        return part.entry_projection(sources[0])
    if point in ("input", "entered", "output", "normed", "normed_out"):
        norms = {"output": "final_norm", "normed": "norm", "normed_out": "norm_out"}
        return getattr(part, norms.get(point, "entry_norm"))(sources[0])
    if point == "scaled":
        return part.gain * sources[0]
    if point == "sum":
        return sources[0] + sources[1]
    if point == "residual":
        return sources[0]
    if point in ("up", "gate", "hidden", "out") and "feedforward" in place:
        return _feedforward(part, point, sources)
    if isinstance(part, Attention):
        return _attention(part, point, entry, sources)
    assert place == "head"
    return sources[0].softmax(-1) if point == "probabilities" else sources[0] @ part.weight.T


def _feedforward(part: Any, point: str, sources: list[Tensor]) -> Tensor:
    if point == "out":
        return part.down(sources[0])
    if isinstance(part, GatedFeedForward):
        if point == "hidden":
            return part.activation(sources[0]) * sources[1]
        gate, up = part.gate_up(sources[0]).chunk(2, -1)
        return gate if point == "gate" else up
    return part.activation(sources[0]) if point == "hidden" else part.up(sources[0])


def _attention(part: Attention, point: str, entry: Entry, sources: list[Tensor]) -> Tensor | None:
    H, G, C = part.heads, part.kv_heads, part.head_width
    if point in ("q", "k", "v", "q_pre_rotary", "k_pre_rotary"):
        if "rotated by" in entry.formula:
            return None  # by its length alone: a rotation keeps it
        if part.cross:
            made = torch.cat((part.q(sources[0]), part.kv(sources[0])), -1)
        else:
            made = part.qkv(sources[0])
        q, k, v = made.split([H * C, G * C, G * C], -1)
        heads = {"q": q, "k": k, "v": v}[point[0]].unflatten(-1, (-1, C)).transpose(0, 1)
        norm: Any = {"q": part.q_norm, "k": part.k_norm}.get(point[0], nn.Identity())
        return norm(heads)
    if point == "scores":
        made = compared(part, sources[0], sources[1].repeat_interleave(H // G, 0))
        return made + sources[2] if len(sources) > 2 else made
    if point == "weights":
        return weighed(part, sources[0].masked_fill(~sources[1], -torch.inf))
    if point == "heads":
        return sources[0] @ sources[1].repeat_interleave(H // G, 0)
    assert point == "out"
    return part.out(sources[0].transpose(0, 1).flatten(1))


def compared(part: Attention, q: Tensor, k: Tensor) -> Tensor:
    """(H, T, S): each score once more, in plain words."""
    C, given = part.head_width, part.score
    match given:
        case Additive():
            return torch.stack(
                [(a[:, None] + b[None]).tanh() @ v for a, b, v in zip(q, k, part.additive, strict=True)]
            )
        case Cosine():
            lengths = q.norm(dim=-1)[:, :, None] * k.norm(dim=-1)[:, None]
            return q @ k.mT / lengths * part.log_gain.exp()[:, None, None]
        case DotProduct() | Sigmoid() | Sinks():
            return q @ k.mT * (C**-0.5 if given.scale is None else given.scale)
    raise NotImplementedError(f"say here how {given} compares")


def weighed(part: Attention, masked: Tensor) -> Tensor:
    """(H, T, S): what makes weights of masked scores, in plain words."""
    match part.score:
        case Sigmoid():
            return torch.sigmoid(masked - masked.isfinite().sum(-1, keepdim=True).log())
        case Sinks():
            powers = masked.exp()
            return powers / (powers.sum(-1, keepdim=True) + part.sinks.exp()[:, None, None])
        case DotProduct() | Additive() | Cosine():
            return masked.softmax(-1)
    raise NotImplementedError(f"say here what weights {part.score} makes")


@parts
@torch.no_grad()
def test_a_beam_search_traced_is_the_teacher_forced_pass_over_its_answer(stack: StackConfig) -> None:
    model, source = encoder_decoder(stack), ids(1, S)
    limits = Limits(bos=1, eos=2, limit=[T])

    def run() -> Any:
        stepper = EncoderDecoderStepper(model, source, None, T)
        return beam_search(stepper, limits, torch.device("cpu"), width=3, n=2)

    want = run()
    ((best, *_),), trace = traced(model, run)
    assert (best.tokens, best.score) == (want[0][0].tokens, want[0][0].score)
    written = [grown.ids[place] for grown, place in zip(trace.search, trace.path, strict=False)]
    assert written[: len(best.tokens)] == best.tokens
    assert trace.search[len(trace.path) - 1].scores[trace.path[-1]] == best.score
    target = torch.tensor([[1, *written[:-1]]])
    _, whole = traced(model, lambda: model(source, target))
    (encoder, decoder), (read, forced) = trace.sequences, whole.sequences
    assert decoder.tokens == forced.tokens
    same(encoder, read)
    same(decoder, forced)


def same(got: Pass, want: Pass) -> None:
    assert got.entries.keys() == want.entries.keys()
    for name, entry in want.entries.items():
        found = got.entries[name]
        assert found.axes == entry.axes, name
        value = entry.value
        if name.endswith((".scores", ".bias")):  # of what was never looked at
            value = value.masked_fill(found.value.isnan(), 0.0)
        if value.dtype.is_floating_point:
            close(found.value.nan_to_num(0.0), value)
        else:
            assert torch.equal(found.value, value), name


@torch.no_grad()
def test_only_what_was_chosen_is_kept_and_no_scores_are_formed_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import regard.model.attention as module

    model, target = transformer(PARTS["grouped"]), ids(1, T)
    _, whole = traced(model, lambda: model(target))
    formed: list[int] = []
    scores = module.attention_scores
    monkeypatch.setattr(
        module, "attention_scores", lambda *args, **more: (formed.append(1), scores(*args, **more))[1]
    )
    chosen = Choice(layers=frozenset([1]), heads=frozenset([2, 3]))
    _, some = traced(model, lambda: model(target), chosen)
    assert len(formed) == 1
    assert DEPTH == 2
    assert not any(".blocks.0." in name for name in some.names)
    for name in ("q", "scores", "weights", "heads"):
        entry = some[f"stack.blocks.1.attention.{name}"]
        assert entry.axes[0].labels == ("2", "3")
        close(entry.value, whole[entry.name].value[2:4])  # a product of fewer matrices is another one
    groups = some["stack.blocks.1.attention.k"]  # of 6 heads, 3 share a group
    assert groups.axes[0].labels == ("0", "1")
    assert some.nbytes() < whole.nbytes()
    assert all(entry.value.is_contiguous() for one in some.passes for entry in one if "blocks" in entry.name)


@torch.no_grad()
def test_of_steps_only_the_chosen_are_kept() -> None:
    model, source = encoder_decoder(PARTS["multi-head"]), ids(1, S)
    limits = Limits(bos=1, eos=V + 1, limit=[T])  # which never comes

    def run() -> Any:
        stepper = EncoderDecoderStepper(model, source, None, T)
        return beam_search(stepper, limits, torch.device("cpu"), width=2)

    _, whole = traced(model, run)
    _, some = traced(model, run, Choice(steps=frozenset([2, 4])))
    assert {one.step for one in some.passes} == {2, 4}
    assert {one.step for one in whole.passes} == {1, 2, 3, 4, 5}
    (decoder,) = some.sequences
    assert decoder.tokens == tuple(whole.sequences[1].tokens[i] for i in (1, 3))
    weights = some["decoder.blocks.0.attention.weights"]
    assert weights.axes[2].labels == whole.sequences[1].tokens[:4]
    want = whole["decoder.blocks.0.attention.weights"].value[:, [1, 3], :4]
    assert torch.equal(weights.value, want)


def test_a_layer_or_head_that_is_not_there_is_refused() -> None:
    model = transformer(PARTS["multi-head"])
    for choice in (
        Choice(layers=frozenset([2])),
        Choice(heads=frozenset([-1])),
        Choice(steps=frozenset([0])),
    ):
        with pytest.raises(InputError):
            Recorder(model, choice)
    assert best_path(()) == ()


@torch.no_grad()
def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    model, target = transformer(PARTS["multi-head"]), ids(1, T)
    _, trace = traced(model, lambda: model(target))
    with refused(InputError, remedy="stack.blocks.1.attention.weights"):
        trace["stack.blocks.1.attention.weight"]
