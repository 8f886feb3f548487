"""Attention weights from anywhere as a trace, so that they are drawn as those of our own models are.

What is taken: a tensor, an array or nested lists; or what a model of the transformers library answers with
`output_attentions=True`, of whatever family, from one pass or from `generate`. Nothing of that library is
imported: its outputs are known by the names of their fields. Where the weights came from, this file does not
know, and so a trace of them has nothing but weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from regard.errors import InputError
from regard.insight.figures import mosaic
from regard.insight.trace import Axis, Entry, Pass, Trace
from regard.insight.trace_page import trace_page
from regard.insight.worked import Drawing, Lang, Step, Words

_FIELDS = ("attentions", "encoder_attentions", "decoder_attentions", "cross_attentions")
_NEAR = 0.01
"""How far a weight in half precision may be outside of 0 to 1."""
_HOW = "run the model with output_attentions=True and attn_implementation='eager'"


def attentions(given: Any, tokens: Sequence[str] = (), source: Sequence[str] = (), *, row: int = 0) -> Trace:
    """The weights of all layers and heads, under the names of a trace: `stack.blocks.0.attention.weights`;
    `encoder.…`, `decoder.…` and `decoder.blocks.0.cross.weights` of an encoder–decoder.

    `given`: weights that one sequence has for itself, (L, H, T, T), or a layer after the other, (H, T, T) or
    (B, H, T, T) each; or an object or a mapping with any of the fields `attentions`, `encoder_attentions`,
    `decoder_attentions` and `cross_attentions`. `tokens`: how people call the T tokens, of an
    encoder–decoder those of the decoder; `source`: those of the encoder. Without them they are numbered.
    `row`: of a batch, which; of a beam search there is no row that was one hypothesis all along.

    Raises: InputError for what are not weights, for shapes and numbers of tokens that do not fit.
    """
    read = {field: list(_layers(value, field, row)) for field, value in _fields(given).items()}
    found = {field: layers for field, layers in read.items() if layers}
    if not found:
        raise InputError("there are no {key} in what was given; {remedy}", "attention weights", _HOW)
    paired = any(field.startswith(("encoder", "decoder")) for field in found)
    own = "decoder" if paired else "stack"
    stacks: dict[str, dict[str, Entry]] = {}
    for field, layers in found.items():
        kind, part = "encoder" if field.startswith("encoder") else own, "attention"
        rows = columns = source if kind == "encoder" else tokens
        if field == "cross_attentions":
            part, columns = "cross", source
        stacks.setdefault(kind, {}).update(_entries(kind, part, layers, rows, columns))
    passes = [_pass(kind, stacks[kind]) for kind in ("encoder", own) if kind in stacks]
    text = " ".join(passes[0].tokens)
    return Trace("attention", text, "", None, (), tuple(passes))


def attentions_page(trace: Trace, lang: Lang = "en") -> str:
    """One self-contained page: all heads of all layers small and side by side, and those of each layer large.

    Raises: InputError when there is too much for one.
    """
    return trace_page(trace, lang, further=list(_overviews(trace)))


_ALL = {
    "encoder.attention": Words("All heads: encoder", "所有的头：编码器"),
    "decoder.attention": Words("All heads: decoder", "所有的头：解码器"),
    "stack.attention": Words("All heads", "所有的头"),
    "cross": Words("All heads: attention to the encoder", "所有的头：对编码器的注意力"),
}
_SMALL = Words(
    "A row for each layer, a map for each head: tokens downwards, what they look at across",
    "每层一行，每个头一张图：纵向是词元，横向是它看向的词元",
)


def _overviews(trace: Trace) -> Iterator[Step]:
    for one in trace.sequences:
        for part in ("attention", "cross"):
            layers = [entry for entry in one if entry.name.endswith(f".{part}.weights")]
            if layers:
                title = _ALL[part if part == "cross" else f"{one.kind}.{part}"]
                draw = Drawing(_SMALL, lambda lang, layers=layers: mosaic(layers, lang))  # type: ignore[misc]
                yield Step(title, Words("", ""), "", (), draw)


def _fields(given: Any) -> dict[str, Any]:
    """What of it are weights, by the names of the fields."""
    if isinstance(given, Mapping):
        some = {field: given.get(field) for field in _FIELDS}
    elif any(hasattr(given, field) for field in _FIELDS):
        some = {field: getattr(given, field, None) for field in _FIELDS}
    else:
        some = {"attentions": given}
    return {field: value for field, value in some.items() if value is not None}


def _layers(value: Any, field: str, row: int) -> Iterator[Tensor]:
    """(H, T, S) of each layer."""
    if isinstance(value, list | tuple) and all(isinstance(step, list | tuple) for step in value):
        steps = [[_weights(layer, field, row) for layer in step] for step in value if _tensors(step)]
        if steps:  # of `generate`: each token's layers
            yield from (_joined(layer) for layer in zip(*steps, strict=True))
            return
    if not isinstance(value, list | tuple) or not _tensors(value):
        value = _tensor(value, field)
        if value.dim() not in (3, 4, 5):
            sentence = "the {key} are {value}; they must be {limit}"
            raise InputError(sentence, field, tuple(value.shape), "(layers, heads, tokens, tokens)")
        value = value[None] if value.dim() == 3 else value
    yield from (_weights(layer, field, row) for layer in value)


def _tensors(some: Sequence[Any]) -> bool:
    return all(isinstance(one, Tensor) or hasattr(one, "__array__") or one is None for one in some)


def _joined(steps: Sequence[Tensor]) -> Tensor:
    """What was computed token by token as one: later keys had not been looked at."""
    widest = max(step.shape[-1] for step in steps)
    return torch.cat([torch.nn.functional.pad(step, (0, widest - step.shape[-1])) for step in steps], 1)


def _tensor(value: Any, field: str) -> Tensor:
    try:
        made = value.detach() if isinstance(value, Tensor) else torch.tensor(value)
    except (TypeError, ValueError, RuntimeError) as problem:
        raise InputError("the {key} are no arrays of one shape; {remedy}", field, _HOW) from problem
    return made.float().cpu()


def _weights(layer: Any, field: str, row: int) -> Tensor:
    if layer is None:
        raise InputError("a layer of the {key} has no weights; {remedy}", field, _HOW)
    value = _tensor(layer, field)
    if value.dim() == 4:
        if not -len(value) <= row < len(value):
            raise InputError("the {key} have {limit} rows and no number {value}", field, len(value), row)
        value = value[row]
    if value.dim() != 3 or not value.numel():
        shape = tuple(layer.shape) if hasattr(layer, "shape") else tuple(value.shape)
        sentence = "a layer of the {key} is {value}; it must be {limit}, or a batch of those"
        raise InputError(sentence, field, shape, "(heads, tokens, tokens)")
    if not bool((value >= -_NEAR).all() & (value <= 1 + _NEAR).all()):  # nor not-a-number
        sentence = "the {key} are not all {limit}; give what the softmax makes, of a model in eval()"
        raise InputError(sentence, field, "between 0 and 1")
    return value


def _entries(
    stack: str, part: str, layers: Sequence[Tensor], tokens: Sequence[str], seen: Sequence[str]
) -> Iterator[tuple[str, Entry]]:
    T, S = layers[0].shape[1:]
    if part == "attention" and T != S:
        sentence = "{key} has as many keys as queries, not {value} and {limit}; is it 'cross_attentions'?"
        raise InputError(sentence, "self-attention", S, T)
    kinds = ("query", "memory" if part == "cross" else "key")
    names = [_names(some, size, stack) for some, size in ((tokens, T), (seen, S))]
    for number, weights in enumerate(layers):
        if weights.shape[1:] != (T, S):
            sentence = "layer {key} has {value} tokens, and the first {limit}"
            raise InputError(sentence, number, tuple(weights.shape[1:]), (T, S))
        heads = Axis("head", tuple(map(str, range(len(weights)))))
        axes = (heads, *(Axis(kind, labels) for kind, labels in zip(kinds, names, strict=True)))
        name = f"{stack}.blocks.{number}.{part}.weights"
        yield name, Entry(name, weights, axes, "as given")


def _names(tokens: Sequence[str], size: int, stack: str) -> tuple[str, ...]:
    if len(tokens) and len(tokens) != size:
        sentence = "the weights of the {key} are of {limit} tokens, and {value} were given"
        raise InputError(sentence, stack, size, len(tokens))
    return tuple(map(str, tokens if len(tokens) else range(size)))


def _pass(kind: str, entries: dict[str, Entry]) -> Pass:
    entries = dict(sorted(entries.items(), key=lambda item: int(item[0].split(".")[2])))  # by layers
    first = next(iter(entries.values()))
    return Pass(kind, 1, 0, 0, first.axes[1].labels, entries)
