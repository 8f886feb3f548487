"""The decoder's step without the modules around it: the same arithmetic in a third of the time.

At one new token a row, a small model spends most of a step not on arithmetic but on getting to it:
calls of modules, masks that are lowered anew, caches copied when beams change places. A `LeanStepper`
walks through the blocks of an ordinary decoder by itself, with their own projections, norms and
feed-forward parts (so that int8 and any dtype work as they are), and keeps the caches its own way:

- Tokens are stored slot after slot, and the places (beams) of an input share its slots: each sees the
  slots that it descends from. When beams change places, only that table of booleans is reordered,
  never a key or a value.
- Beams are further queries of one batched product, so that keys are read once for all of them.

What is not ordinary goes through the modules (`choose.py`): open taps, and the parts that
`suits` does not name. The law tests hold the two together.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regard.decode.stepper import Stepper
from regard.model.attention import Attention
from regard.model.block import Block, PostResidual, Residual
from regard.model.feedforward import FeedForward
from regard.model.head import VocabularyHead
from regard.model.mask import Causal, Contiguous, Positions, Ragged
from regard.model.position import Rotation, rotate
from regard.model.tap import watching
from regard.model.transformer import EncoderDecoder
from regard.threads import computing_with, free_threads


def suits(model: EncoderDecoder, positions: Positions | None = None) -> bool:
    """Whether a `LeanStepper` does what `model`'s own decoder would do with a source of these places."""
    config = model.config.decoder
    ordinary = all(
        isinstance(part, Attention) and part.plain
        for block in model.decoder.blocks
        for part in (block.attention, block.cross)
    )
    biased = model.decoder.position.biases or model.decoder.position.stretches
    plain = type(config.mask) is Causal and not (config.pattern or biased or model.training or watching())
    # On a row that is nothing but padding a softmax would have no answer.
    empty = isinstance(positions, Ragged) and bool((positions.segment != 0).all(1).any())
    return ordinary and plain and not empty


_FOR_ONE_THREAD = 2**24
"""Weights times rows of a step up to which one thread is faster than several."""


class LeanStepper(Stepper):
    """See the module's docstring.

    The rows of a step stand place by place inside (all first places, all second places, …), so that the
    slots of an input lie at equal distances.
    """

    @torch.inference_mode()
    def __init__(
        self, model: EncoderDecoder, source: Tensor, positions: Positions | None, capacity: int
    ) -> None:
        self._model = model
        memory = model.encode(source, positions)
        padding = _padding(positions, memory)
        at = Contiguous(0, memory.shape[1]) if positions is None else positions
        rotation = model.decoder.memory_rotation(at, memory.device)
        self._inputs, self._slots, self._length = len(source), 0, 0
        self._layers = [_Layer(block, memory, padding, rotation) for block in model.decoder.blocks]  # type: ignore[arg-type]
        self._head = _head(model.head)
        self._weights = sum(
            x.numel() for part in (model.decoder, model.head) for x in part.state_dict().values()
        )
        self._mask: Tensor | None = None  # (B, places, slots): 0 where a slot is seen, else -inf
        self._expected = capacity
        self._reserve(capacity)

    def step(self, tokens: Tensor) -> Tensor:
        """What `Stepper.step` says. Threads would wait for one another longer than a small step takes."""
        threads = torch.get_num_threads()
        little = len(tokens) * self._weights <= _FOR_ONE_THREAD
        few = threads if tokens.device.type != "cpu" else 1 if little else free_threads(threads)
        with computing_with(few):
            return self._step(tokens)

    def _step(self, tokens: Tensor) -> Tensor:
        inputs, places = self._inputs, len(tokens) // max(1, self._inputs)
        if places > 1:
            tokens = tokens.view(inputs, places).t().reshape(-1)
        decoder, at = self._model.decoder, Contiguous(self._length, 1)
        x = decoder.position.add(self._model.target.forward(tokens)[None], at)  # (1, rows, D)
        x = decoder.entry_projection(decoder.entry_norm(x))[0]
        rotation = decoder.position.rotation(at, x.device)
        start, stop = self._slots, self._slots + places
        if stop > self._capacity:
            self._reserve(max(stop, 2 * start, places * self._expected))
        mask = self._extend_mask(start, stop)
        for layer in self._layers:
            x = layer.forward(x, start, stop, rotation, mask)
        self._slots, self._length = stop, self._length + 1
        x = decoder.final_norm(x)
        if places > 1:
            x = x.view(places, inputs, -1).transpose(0, 1).reshape(len(x), -1)
        return self._head(x)

    def _reserve(self, capacity: int) -> None:
        self._capacity = capacity
        for layer in self._layers:
            layer.reserve(capacity, self._slots)
        if self._mask is not None:
            more = capacity - self._mask.shape[2]
            self._mask = F.pad(self._mask, (0, more))

    def _extend_mask(self, start: int, stop: int) -> Tensor | None:
        """What each place sees: what it descends from, and itself."""
        if self._mask is None:
            return None
        new = self._mask[:, :, start:stop]
        new.fill_(float("-inf")).diagonal(dim1=1, dim2=2).zero_()
        return self._mask[:, None, :, :stop]

    def reorder(self, rows: Tensor) -> None:
        self._inherit(rows, self._inputs)

    def keep(self, inputs: Tensor, rows: Tensor) -> None:
        self._inputs = len(inputs)
        self._inherit(rows, self._inputs)
        for layer in self._layers:
            layer.select(inputs, self._slots)

    def _inherit(self, rows: Tensor, inputs: int) -> None:
        """Each row goes on from what row `rows[i]` sees."""
        if self._mask is not None:
            chosen = self._mask.flatten(0, 1).index_select(0, rows)
            self._mask = chosen.view(inputs, -1, chosen.shape[1])
        elif len(rows) > inputs:  # so far an input had one place, and all see all of its slots
            self._mask = self._layers[0].keys.new_zeros((inputs, len(rows) // inputs, self._capacity))


class _Layer:
    """One block with what it has seen: keys and values of (slots, B, H · C), and those of the memory."""

    def __init__(
        self, block: Block, memory: Tensor, padding: Tensor | None, rotation: Rotation | None
    ) -> None:
        """`rotation`: how the keys of the memory are rotated, if they are."""
        attention, cross = block.attention, block.cross
        assert isinstance(attention, Attention)
        assert isinstance(cross, Attention)
        assert block.cross_residual is not None
        self.attention, self.cross, self.padding = attention, cross, padding
        self.inputs = len(memory)
        self.qkv, self.out = _linear(attention.qkv), _linear(attention.out)
        self.cross_q, self.cross_out = _linear(cross.q), _linear(cross.out)
        inner = attention.heads * attention.head_width
        self.keys = self.values = memory.new_empty((0, self.inputs, inner))
        self.rotates_memory = rotation is not None
        k, v = cross.project_memory(memory, rotation)
        self.memory_keys, self.memory_values = k.contiguous(), v.contiguous()  # (B, H, S, C)
        self.residuals = [
            _residual(block.attention_residual, self._attend),
            _residual(block.cross_residual, self._cross_attend),
            _residual(block.feedforward_residual, _feedforward(block.feedforward)),
        ]

    def reserve(self, capacity: int, used: int) -> None:
        old = self.keys, self.values
        self.keys, self.values = (x.new_empty((capacity, *x.shape[1:])) for x in old)
        self.keys[:used], self.values[:used] = old[0][:used], old[1][:used]

    def select(self, inputs: Tensor, used: int) -> None:
        capacity = len(self.keys)
        self.keys, self.values = (x[:used].index_select(1, inputs) for x in (self.keys, self.values))
        self.inputs = len(inputs)
        self.reserve(capacity, used)
        self.memory_keys, self.memory_values = self.memory_keys[inputs], self.memory_values[inputs]
        self.padding = None if self.padding is None else self.padding[inputs]

    def forward(
        self, x: Tensor, start: int, stop: int, rotation: Rotation | None, mask: Tensor | None
    ) -> Tensor:
        """(rows, D) → (rows, D), for the tokens that get the slots from `start` to `stop`."""
        self.start, self.stop, self.rotation, self.mask = start, stop, rotation, mask
        for part in self.residuals:
            x = part(x)
        return x

    def _attend(self, x: Tensor) -> Tensor:
        part, start, stop = self.attention, self.start, self.stop
        inner = part.heads * part.head_width
        q, k, v = _rotated(self.qkv(x), part, self.rotation).split(inner, dim=-1)
        new = (stop - start, self.inputs, inner)
        self.keys[start:stop], self.values[start:stop] = k.view(new), v.view(new)
        pairs = self.inputs * part.heads
        k = self.keys[:stop].view(stop, pairs, part.head_width).permute(1, 2, 0)
        v = self.values[:stop].view(stop, pairs, part.head_width).transpose(0, 1)
        return self.out(self._attention(q, k, v, part, self.mask))

    def _cross_attend(self, x: Tensor) -> Tensor:
        k, v = self.memory_keys.flatten(0, 1).transpose(1, 2), self.memory_values.flatten(0, 1)
        q = self.cross_q(x)
        if self.rotates_memory and self.rotation is not None:
            q = rotate(q.view(len(q), self.cross.heads, 1, -1), self.rotation).reshape(q.shape)
        return self.cross_out(self._attention(q, k, v, self.cross, self.padding))

    def _attention(self, q: Tensor, k: Tensor, v: Tensor, part: Attention, mask: Tensor | None) -> Tensor:
        """Attention of (rows, H · C) queries on (B · H, C, S) keys and (B · H, S, C) values; `mask`,
        (B, 1, places | 1, S), is added to the scores."""
        rows, heads, C = len(q), part.heads, part.head_width
        places, pairs = rows // self.inputs, self.inputs * heads
        q = q.reshape(places, pairs, C).transpose(0, 1)
        unused = q.new_empty((1, 1, 1))  # `baddbmm` does not look at it with a beta of 0
        scores = torch.baddbmm(unused, q, k, beta=0.0, alpha=part.scale)  # (B · H, places, S)
        if mask is not None:
            scores.view(self.inputs, heads, places, -1).add_(mask)
        z = torch.bmm(scores.softmax(-1), v)  # (B · H, places, C)
        return z.transpose(0, 1).reshape(rows, heads * C)


def _rotated(qkv: Tensor, part: Attention, rotation: Rotation | None) -> Tensor:
    """(rows, 3 · H · C) with its queries and keys rotated."""
    if rotation is None:
        return qkv
    both = 2 * part.heads * part.head_width
    rotated = rotate(qkv[:, :both].view(len(qkv), 2 * part.heads, 1, part.head_width), rotation)
    return torch.cat((rotated.reshape(len(qkv), both), qkv[:, both:]), 1)


Function = Callable[[Tensor], Tensor]


def _linear(linear: nn.Module) -> Function:
    """A linear as a function of (rows, D): for a float one, the product alone."""
    if type(linear) is not nn.Linear:
        return linear.forward
    weight, bias = linear.weight.t(), linear.bias
    if bias is None:
        return lambda x: torch.mm(x, weight)
    return lambda x: torch.addmm(bias, x, weight)


def _feedforward(part: nn.Module) -> Function:
    if type(part) is not FeedForward:
        return part.forward
    up, activation, down = _linear(part.up), part.activation, _linear(part.down)
    return lambda x: down(activation(up(x)))


def _residual(residual: Residual, part: Function) -> Function:
    if type(residual) is not PostResidual:
        return lambda x: residual.forward(x, part)
    norm = residual.norm.forward
    return lambda x: norm(x + part(x))


def _head(head: nn.Module) -> Function:
    """The vocabulary head, its logits always in the same memory: new memory for so many numbers would
    cost as much time as half the product."""
    if type(head) is not VocabularyHead or not head.bare:
        return head.forward
    weight = head.weight.t()
    workspace = weight.new_empty((0, weight.shape[1]))

    def logits(x: Tensor) -> Tensor:
        nonlocal workspace
        if len(x) > len(workspace):
            workspace = x.new_empty((len(x), weight.shape[1]))
        return torch.mm(x, weight, out=workspace[: len(x)])

    return logits


def _padding(positions: Positions | None, memory: Tensor) -> Tensor | None:
    """What to add to the scores of a source with padding: (B, 1, 1, S). Every row has a real token."""
    if not isinstance(positions, Ragged):
        return None
    segment = positions.on(memory.device).segment.expand(memory.shape[:2])
    zero = memory.new_zeros(segment.shape)
    return zero.masked_fill_(segment != 0, float("-inf"))[:, None, None]
