"""What the points of a model are: what their axes mean, and of what each is made.

`origins` walks through a model once and says for every tap its formula and the names of its sources. It knows
the parts of `model/` and nothing of inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from regard.model.attention import Attention
from regard.model.block import (
    Block,
    PostResidual,
    PreResidual,
    Residual,
    SandwichResidual,
    ScaledResidual,
)
from regard.model.embed import PatchEmbedding, TokenEmbedding
from regard.model.feedforward import ACTIVATIONS, GatedFeedForward
from regard.model.head import ClassHead, VectorHead
from regard.model.stack import Stack
from regard.model.transformer import EncoderDecoder, Transformer

_VECTORS = ("query", "width")
AXES: dict[str, tuple[str, ...]] = {
    "q_pre_rotary": ("head", "query", "channel"),
    "q": ("head", "query", "channel"),
    "k_pre_rotary": ("group", "key", "channel"),
    "k": ("group", "key", "channel"),
    "v": ("group", "key", "channel"),
    "scores": ("head", "query", "key"),
    "mask": ("query", "key"),
    "weights": ("head", "query", "key"),
    "heads": ("head", "query", "channel"),
    "bias": ("head", "query", "key"),
    "memory_bias": ("head", "query", "memory"),
    "up": ("query", "hidden"),
    "gate": ("query", "hidden"),
    "hidden": ("query", "hidden"),
    "gathered": ("width",),
    "pooled": ("width",),
    "vector": ("width",),
}
"""By the last part of a name. What is not here is a vector for each token."""


@dataclass(frozen=True)
class Origin:
    """How a value is made, and of what."""

    formula: str
    sources: tuple[str, ...] = ()


Origins = dict[str, Origin]


def axes_of(name: str, *, pooled: bool) -> tuple[str, ...]:
    """The meaning of an entry's axes. `pooled`: whether the head speaks of the whole sequence."""
    point = name.rpartition(".")[2]
    if point in ("logits", "probabilities"):
        return ("output",) if pooled else ("query", "output")
    if name == "head.transform.out" and pooled:
        return ("width",)
    axes = AXES.get(point, _VECTORS)
    return tuple("memory" if axis == "key" else axis for axis in axes) if ".cross." in name else axes


def origins(model: nn.Module) -> Origins:
    """Of every point of a model of this library."""
    found: Origins = {}
    if isinstance(model, EncoderDecoder):
        found |= _embed("source", model.source) | _stack("encoder", model.encoder, "source.out")
        found |= _embed("target", model.target)
        found |= _stack("decoder", model.decoder, "target.out", memory="encoder.output")
        found |= _head(model.head, "decoder.output")
    elif isinstance(model, Transformer):
        found |= _embed("embed", model.embed) | _stack("stack", model.stack, "embed.out")
        found |= _head(model.head, "stack.output")
    return found


def _embed(name: str, embed: nn.Module) -> Origins:
    given = "given" if name == "embed" else f"{name}_given"
    formula = "table[given]"
    if isinstance(embed, TokenEmbedding):
        formula += "" if embed.factor == 1.0 else " · √D"
        formula += "" if embed.types is None else " + types[which text]"
    elif isinstance(embed, PatchEmbedding):
        formula = "patches W + b" if embed.first is None else "[learned vectors; patches W + b]"
    return {given: Origin("what is given"), f"{name}.out": Origin(formula, (given,))}


def _stack(name: str, stack: Stack, entering: str, memory: str | None = None) -> Origins:
    added, placed, entry = f"{name}.position.added", f"{name}.placed", f"{name}.input"
    entered, projects = f"{name}.entered", stack.config.entry_width is not None
    normed = Origin("placed" if isinstance(stack.entry_norm, nn.Identity) else "norm(placed)", (placed,))
    found = {
        added: Origin("a vector for each position"),
        placed: Origin("embedding + position", (entering, added)),
        **({entered: normed} if projects else {}),
        entry: Origin("x W + b", (entered,)) if projects else normed,
        f"{name}.bias": Origin("a number for each distance"),
        f"{name}.memory_bias": Origin("a number for each distance"),
    }
    x = entry
    for index, block in enumerate(stack.blocks):
        assert isinstance(block, Block)
        found |= _block(f"{name}.blocks.{index}", block, x, stack, name, memory)
        x = f"{name}.blocks.{index}.residual"
    closed = isinstance(stack.final_norm, nn.Identity)
    return found | {f"{name}.output": Origin("residual" if closed else "norm(residual)", (x,))}


def _block(name: str, block: Block, x: str, stack: Stack, above: str, memory: str | None) -> Origins:
    found: Origins = {}
    bias = f"{above}.bias" if stack.position.biases else None
    parts: list[tuple[str, nn.Module, Residual]] = [
        (f"{name}.attention", block.attention, block.attention_residual)
    ]
    if block.cross is not None and block.cross_residual is not None:
        parts.append((f"{name}.cross", block.cross, block.cross_residual))
    parts.append((f"{name}.feedforward", block.feedforward, block.feedforward_residual))
    for part, module, residual in parts:
        entering = x if isinstance(residual, PostResidual) else f"{part}_residual.normed"
        if isinstance(module, Attention):
            crosses = part.endswith(".cross")
            if crosses:
                bias = f"{above}.memory_bias" if stack.config.cross_position and bias else None
            found |= _attention(part, module, entering, (memory if crosses else None) or entering, bias)
        else:
            found |= _feedforward(part, module, entering)
        found |= _residual(f"{part}_residual", residual, x, f"{part}.out")
        x = f"{part}_residual." + ("normed" if isinstance(residual, PostResidual) else "sum")
    return found | {f"{name}.residual": Origin("what goes on to the next block", (x,))}


def _attention(name: str, part: Attention, x: str, seen: str, bias: str | None) -> Origins:
    scale = part.head_width**-0.5 if part.scale is None else part.scale
    scored = f"q kᵀ · {scale:.4g}" if part.additive is None else "v · tanh(q + k)"
    q, k, v, scores, mask, weights, heads = (
        f"{name}.{point}" for point in ("q", "k", "v", "scores", "mask", "weights", "heads")
    )
    made = [("q", x, "W_Q"), ("k", seen, "W_K"), ("v", seen, "W_V")]
    found: Origins = {}
    for point, source, matrix in made:
        product = f"x {matrix}" if _projection(part).bias is None else f"x {matrix} + b"
        product = f"norm({product})" if part.normed and point != "v" else product
        found[f"{name}.{point}"] = found[f"{name}.{point}_pre_rotary"] = Origin(product, (source,))
    out = "[heads] W_O" + ("" if part.out.bias is None else " + b")
    return found | {
        scores: Origin(scored + (" + bias" if bias else ""), (q, k, *([bias] if bias else []))),
        mask: Origin("who may see whom"),
        weights: Origin("softmax(scores) where the mask allows", (scores, mask)),
        heads: Origin("weights v", (weights, v)),
        f"{name}.out": Origin(out, (heads,)),
    }


def _projection(part: Attention) -> nn.Linear:
    return part.q if part.cross else part.qkv


def rotated(name: str) -> Origin:
    """Of queries or keys whose pre-rotary forms were seen."""
    return Origin("rotated by their positions", (f"{name}_pre_rotary",))


def _feedforward(name: str, part: nn.Module, x: str) -> Origins:
    function = next(
        (key for key, value in ACTIVATIONS.items() if value is getattr(part, "activation", None)), "f"
    )
    up, gate, hidden = f"{name}.up", f"{name}.gate", f"{name}.hidden"
    gated = isinstance(part, GatedFeedForward)
    made = Origin(f"{function}(gate) * up", (gate, up)) if gated else Origin(f"{function}(up)", (up,))
    return {
        up: Origin("x W_up + b", (x,)),
        gate: Origin("x W_gate + b", (x,)),
        hidden: made,
        f"{name}.out": Origin("hidden W_down + b", (hidden,)),
    }


def _residual(name: str, part: Residual, x: str, made: str) -> Origins:
    total, normed = f"{name}.sum", f"{name}.normed"
    if isinstance(part, PostResidual):
        return {total: Origin("x + part", (x, made)), normed: Origin("norm(x + part)", (total,))}
    found = {normed: Origin("norm(x)", (x,))}
    if isinstance(part, SandwichResidual):
        found[f"{name}.normed_out"] = Origin("norm(part)", (made,))
        made = f"{name}.normed_out"
    elif isinstance(part, ScaledResidual):
        found[f"{name}.scaled"] = Origin("gain · part", (made,))
        made = f"{name}.scaled"
    else:
        assert isinstance(part, PreResidual), type(part)
    return found | {total: Origin("x + part", (x, made))}


def _head(head: nn.Module, x: str) -> Origins:
    transform = getattr(head, "transform", None)
    changed = transform is not None and not isinstance(transform, nn.Identity)
    if isinstance(head, ClassHead):
        inner = "head.transform.out" if changed else "head.gathered"
        return {
            "head.gathered": Origin(f"pooling: {head.config.pooling}", (x,)),
            "head.transform.out": Origin("norm(f(x W + b))", ("head.gathered",)),
            "head.pooled": Origin("what stands for the whole", (inner,)),
            "head.logits": Origin("pooled Wᵀ + b", ("head.pooled",)),
            "head.probabilities": Origin("softmax(logits)", ("head.logits",)),
        }
    if isinstance(head, VectorHead):
        scaled = "pooled / |pooled|" if head.config.normalised else "pooled"
        return {
            "head.pooled": Origin(f"pooling: {head.config.pooling}", (x,)),
            "head.vector": Origin(scaled, ("head.pooled",)),
        }
    inner = "head.transform.out" if changed else x
    bias = " + b" if getattr(head, "bias", None) is not None else ""
    return {
        "head.transform.out": Origin("norm(f(x W + b))", (x,)),
        "head.logits": Origin(f"x Wᵀ{bias}", (inner,)),
        "head.probabilities": Origin("softmax(logits)", ("head.logits",)),
    }
