"""A model taken apart for decoding on a processor: its products, its norms, and how they follow one another.

An engine holds no input: it is made once for a model and used for all that it decodes (`native.py`). It is
made anew when a weight has changed. What a model must be like is in `_supported`; how products are made, in
`linears.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from regard.decode import blocks as nests
from regard.decode import loops
from regard.decode.linears import COPIED, Buffer, bias_of, pack, product
from regard.model.attention import Attention
from regard.model.block import Block, PostResidual, PreResidual
from regard.model.embed import TokenEmbedding
from regard.model.feedforward import FeedForward
from regard.model.head import Int8VocabularyHead, VocabularyHead
from regard.model.mask import Causal, Contiguous, Full
from regard.model.position import PositionPart
from regard.model.quantize import Int8Linear
from regard.model.stack import Stack
from regard.model.transformer import EncoderDecoder, Transformer

Model = EncoderDecoder | Transformer


def _supported(model: Model) -> bool:
    tensors = (*model.parameters(), *model.buffers())
    here = all(x.device.type == "cpu" for x in tensors)
    plain = all(x.dtype in (torch.float32, torch.int8) for x in tensors)
    head = model.head
    one = type(head) in (VocabularyHead, Int8VocabularyHead) and isinstance(head.transform, nn.Identity)
    return here and plain and one and all(_is_standard(*reader) for reader in _readers(model))


def _readers(model: Model) -> list[tuple[Stack, nn.Module, type]]:
    """Its stacks, what embeds for them, and the masks by which an engine reads."""
    if isinstance(model, Transformer):
        return [(model.stack, model.embed, Causal)]
    return [(model.encoder, model.source, Full), (model.decoder, model.target, Causal)]


def _is_standard(stack: Stack, embed: nn.Module, mask: type) -> bool:
    return (
        type(embed) is TokenEmbedding
        and embed.types is None
        and type(stack.config.mask) is mask
        and not stack.config.pattern
        and stack.config.entry_width is None
        and not stack.position.biases
        and not stack.position.stretches
        and all(isinstance(p, nn.Identity) or _is_norm(p) for p in (stack.entry_norm, stack.final_norm))
        and all(_is_standard_block(block) for block in stack.blocks)
    )


def _is_standard_block(block: nn.Module) -> bool:
    if type(block) is not Block or type(block.feedforward) is not FeedForward:
        return False
    attentions = [block.attention, *([] if block.cross is None else [block.cross])]
    residuals = [block.attention_residual, block.feedforward_residual, block.cross_residual]
    kinds = {type(residual) for residual in residuals if residual is not None}
    return (
        all(type(a) is Attention and a.plain for a in attentions)
        and kinds in ({PostResidual}, {PreResidual})
        and all(_is_norm(residual.norm) for residual in residuals if residual is not None)
    )


def _is_norm(part: nn.Module) -> bool:
    torchs = type(part).forward in (nn.LayerNorm.forward, nn.RMSNorm.forward)  # and nobody's own
    return torchs and part.weight is not None


class Workspace:
    """What the operations on so many rows write into, made once and used by all layers."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._made: dict[tuple[str, int], Buffer] = {}

    def get(self, name: str, width: int) -> Buffer:
        made = self._made.get((name, width))
        if made is None:
            made = self._made[name, width] = Buffer.of((self.rows, width))
        return made


class _AddNorm:
    """Adds y to the residual stream x, and gives the norm of the sum to the next part."""

    def __init__(self, norm: nn.Module) -> None:
        self.centred = isinstance(norm, nn.LayerNorm)
        assert isinstance(norm, nn.LayerNorm | nn.RMSNorm)
        self.weight = norm.weight.detach().numpy()
        bias = getattr(norm, "bias", None)
        self.bias = np.zeros_like(self.weight) if bias is None else bias.detach().numpy()
        self.eps = norm.eps if norm.eps is not None else torch.finfo(torch.float32).eps

    def __call__(self, x: Buffer, y: Buffer, out: Buffer) -> None:
        loops.add_norm(x.array, y.array, self.weight, self.bias, self.eps, self.centred, out.array)


class Layer:
    """The products of one block."""

    def __init__(self, block: Block, copied: bool) -> None:
        attention, cross, feedforward = block.attention, block.cross, block.feedforward
        assert isinstance(attention, Attention)
        assert isinstance(feedforward, FeedForward)
        self.heads, self.scale = attention.heads, attention.scale
        self.inner = attention.heads * attention.head_width
        self.qkv, self.out = product(attention.qkv, copied=copied), product(attention.out, copied=copied)
        if isinstance(cross, Attention):
            self.cross_heads, self.cross_scale = cross.heads, cross.scale
            self.cross_inner = cross.heads * cross.head_width
            self.cross_q, self.cross_out = product(cross.q, copied=copied), product(cross.out, copied=copied)
            self.cross_kv = product(cross.kv, copied=copied)
        self.hidden = feedforward.up.weight.shape[0]
        self.up = product(feedforward.up, feedforward.activation, copied=copied)
        self.down = product(feedforward.down, copied=copied)


_NO_ANGLES = np.empty((1, 0), np.float32)


class StackParts:
    """The layers of a stack and the norms between their parts."""

    def __init__(self, stack: Stack, embed: Any, copied: bool) -> None:
        self.position: PositionPart = stack.position
        self.rotates_memory = stack.config.cross_position
        self.width = stack.config.width
        self.table, self.factor = embed.weight.detach().numpy(), embed.factor
        blocks: list[Block] = list(stack.blocks)  # type: ignore[arg-type]
        self.layers = [Layer(block, copied) for block in blocks]
        residuals = [
            residual
            for block in blocks
            for residual in (block.attention_residual, block.cross_residual, block.feedforward_residual)
            if residual is not None
        ]
        self.after = isinstance(residuals[0], PostResidual)
        norms = [residual.norm for residual in residuals]
        self.entry = None if isinstance(stack.entry_norm, nn.Identity) else _AddNorm(stack.entry_norm)
        self.first = None if self.after else _AddNorm(norms[0])
        self.norms = [_AddNorm(norm) for norm in (norms if self.after else [*norms[1:], stack.final_norm])]
        heads = self.layers[0].heads
        self.shape = len(self.layers), heads, self.layers[0].inner // heads
        """Layers, heads, and the width of one."""
        self._position_table = np.empty((0, self.width), np.float32)

    def enter(
        self, tokens: np.ndarray, at: np.ndarray, start: int, length: int, workspace: Workspace
    ) -> Buffer:
        """The residual stream of (R,) tokens; `at` counts from `start` within the next `length` places."""
        x, y = workspace.get("x", self.width), workspace.get("y", self.width)
        if not loops.embed(tokens, self.table, self.factor, at, self._positions(start, length), x.array):
            raise IndexError(f"an id is outside of the {len(self.table)} of the vocabulary")
        if self.entry is not None or self.first is not None:
            y.tensor.zero_()
        if self.entry is not None:
            self.entry(x, y, x)
        if self.first is not None:
            self.first(x, y, workspace.get("h", self.width))
        return x

    def _positions(self, start: int, length: int) -> np.ndarray:
        """(length, D): what is added to vectors to tell where they stand. Raises: what the position does."""
        if start + length > len(self._position_table):
            zeros = torch.zeros(1, start + length, self.width)
            self._position_table = self.position.add(zeros, Contiguous(0, start + length))[0].numpy()
        return self._position_table[start : start + length]

    def run(
        self,
        x: Buffer,
        workspace: Workspace,
        attend: Callable[[int, Layer, Buffer, Buffer], None],
        cross_attend: Callable[[int, Layer, Buffer, Buffer], None] | None = None,
    ) -> Buffer:
        """All blocks; returns what the last norm gives."""
        y = workspace.get("y", self.width)
        h = x if self.after else workspace.get("h", self.width)
        norms = iter(self.norms)
        for index, layer in enumerate(self.layers):
            qkv, z = workspace.get("qkv", 3 * layer.inner), workspace.get("z", layer.inner)
            layer.qkv(h, qkv)
            attend(index, layer, qkv, z)
            layer.out(z, y)
            next(norms)(x, y, h)
            if cross_attend is not None:
                q, z = workspace.get("q", layer.cross_inner), workspace.get("z", layer.cross_inner)
                layer.cross_q(h, q)
                cross_attend(index, layer, q, z)
                layer.cross_out(z, y)
                next(norms)(x, y, h)
            hidden = workspace.get("hidden", layer.hidden)
            layer.up(h, hidden)
            layer.down(hidden, y)
            next(norms)(x, y, h)
        return h

    def rotating(self, at: np.ndarray, start: int, length: int) -> Callable[[np.ndarray, int], None]:
        """Rotates the first so many queries or keys of rows at these places, if that is how the stack knows
        them."""
        cos, sin, interleaved = self.angles(start, length)
        width = self.layers[0].inner // self.layers[0].heads

        def rotate(x: np.ndarray, vectors: int) -> None:
            if cos.size:
                loops.rotate(at, cos, sin, vectors, width, interleaved, x)

        return rotate

    def angles(self, start: int, length: int) -> tuple[np.ndarray, np.ndarray, bool]:
        """Cosines and sines of these places, (length, pairs) each; no pairs if nothing is rotated."""
        rotation = self.position.rotation(Contiguous(start, length), torch.device("cpu"))
        if rotation is None:
            return _NO_ANGLES, _NO_ANGLES, False
        cos, sin = (x[0, 0].contiguous().numpy() for x in (rotation.cos, rotation.sin))
        return cos, sin, rotation.interleaved


class Engine:
    """What a native stepper needs of a model, whatever it decodes: made once."""

    def __init__(self, model: Model) -> None:
        *encoders, (decoder, _, _) = _readers(model)
        copied = sum(x.nbytes for x in model.parameters()) <= COPIED
        *before, self.decoder = [StackParts(stack, embed, copied) for stack, embed, _ in _readers(model)]
        self.encoder = before[0] if before else None
        head: Any = model.head
        self.head, self.vocabulary = product(head, copied=copied), head.weight.shape[0]
        self.weights = sum(x.numel() for x in (*decoder.state_dict().values(), head.weight))
        self.packed = _packed(decoder, self.decoder) if encoders else None
        self.blocks: Callable[..., None] | None = None
        """`blocks.blocks` for arrays of these types: to look at them anew would take a tenth of a step."""


_engines: WeakKeyDictionary[Model, tuple[Any, Engine | None]] = WeakKeyDictionary()


def engine_of(model: Model) -> Engine | None:
    """The engine of this very model with these very weights; None if it does not suit."""
    state, parts = [], [model]
    while parts:  # a fifth of the time of `model.modules()`
        part = parts.pop()
        parts += part._modules.values()  # type: ignore[arg-type]
        for x in (*part._parameters.values(), *part._buffers.values()):
            if x is not None:
                state.append((x.data_ptr(), 0 if x.is_inference() else x._version))
    known = _engines.get(model)
    if known is None or known[0] != state:
        known = _engines[model] = state, Engine(model) if _supported(model) else None
    return known[1]


_SMALL = 2**25
"""Bytes of a decoder's linears up to which it becomes one loop nest."""


def _packed(stack: Stack, made: StackParts) -> nests.Weights | None:
    """The decoder's blocks as one loop nest with its weights, if it is small and of the commonest kind."""
    blocks: list[Any] = list(stack.blocks)
    linears = [
        (block.attention.qkv, block.attention.out, block.cross.q, block.cross.out, part.up, part.down)
        for block in blocks
        for part in (block.feedforward,)
    ]
    flat = [linear for layer in linears for linear in layer]
    few = sum(linear.weight.nbytes for linear in flat) <= _SMALL
    alike = len({type(linear) for linear in flat}) == 1
    if not (few and alike and all(block.feedforward.activation is nn.functional.relu for block in blocks)):
        return None
    norms = (np.stack([getattr(norm, name) for norm in made.norms]) for name in ("weight", "bias"))
    kinds = list(zip(*linears, strict=True))
    parts = [[np.stack([pack(x) for x in kind]) for kind in kinds]]
    if isinstance(flat[0], Int8Linear):
        parts.append([np.stack([x.scale.numpy() for x in kind]) for kind in kinds])
    parts.append([np.stack([bias_of(x) for x in kind]) for kind in kinds])
    return nests.Weights(*zip(*parts, strict=True), *norms)
