"""The decoder's step without the modules around it: the same arithmetic in a third of the time.

At one new token a row, a small model spends most of a step not on arithmetic but on getting to it:
calls of modules, masks that are lowered anew, caches copied when beams change places. A `LeanStepper`
walks through the blocks of an ordinary decoder by itself, with their own projections, norms and
feed-forward parts (so that int8 and any dtype work as they are), and keeps the caches its own way:

- Tokens are stored slot after slot, and the places (beams) of an input share its slots: each sees the
  slots that it descends from. When beams change places, only that table of booleans is reordered,
  never a key or a value.
- Beams are further queries of one batched product, so that keys are read once for all of them.

What is not ordinary goes through the modules (`stepper_for` chooses): open taps, and the parts that
`suits` does not name. The law tests hold the two together.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.decode.stepper import EncoderDecoderStepper, Stepper
from regard.model.attention import Attention
from regard.model.block import Block
from regard.model.mask import Causal, Contiguous, Positions, Ragged
from regard.model.position import ALiBi, RelativeBias, Rotation, rotate
from regard.model.tap import watching
from regard.model.transformer import EncoderDecoder


def stepper_for(model: EncoderDecoder, source: Tensor, positions: Positions | None, capacity: int) -> Stepper:
    """The fastest stepper for this model: decodes from (B, S) source ids, whose places are `positions`;
    `capacity` is how many tokens an output will have, if that is known."""
    made = LeanStepper if suits(model) else EncoderDecoderStepper
    return made(model, source, positions, capacity)


def suits(model: EncoderDecoder) -> bool:
    """Whether a `LeanStepper` does what `model`'s own decoder would do."""
    config = model.config.decoder
    ordinary = all(
        isinstance(part, Attention) and part.additive is None and part.heads == part.kv_heads
        for block in model.decoder.blocks
        for part in (block.attention, block.cross)
    )
    biased = isinstance(config.position, ALiBi | RelativeBias)
    return ordinary and isinstance(config.mask, Causal) and not (biased or model.training or watching())


class LeanStepper:
    """A `Stepper`; see the module's docstring.

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
        self._inputs, self._slots, self._length = len(source), 0, 0
        self._layers = [_Layer(block, memory, padding) for block in model.decoder.blocks]  # type: ignore[arg-type]
        self._sight: Tensor | None = None  # (B, places, slots): 0 where a slot is seen, else -inf
        self._expected = capacity
        self._reserve(capacity)

    def step(self, tokens: Tensor) -> Tensor:
        inputs, places = self._inputs, len(tokens) // max(1, self._inputs)
        if places > 1:
            tokens = tokens.view(inputs, places).t().reshape(-1)
        decoder, at = self._model.decoder, Contiguous(self._length, 1)
        x = decoder.position.add(self._model.target.forward(tokens)[None], at)  # (1, rows, D)
        x = decoder.entry_norm(x)[0]
        rotation = decoder.position.rotation(at, x.device)
        start, stop = self._slots, self._slots + places
        if stop > self._capacity:
            self._reserve(max(stop, 2 * start, places * self._expected))
        sight = self._see(start, stop)
        for layer in self._layers:
            x = layer.forward(x, start, stop, rotation, sight)
        self._slots, self._length = stop, self._length + 1
        x = decoder.final_norm(x)
        if places > 1:
            x = x.view(places, inputs, -1).transpose(0, 1).reshape(len(x), -1)
        return self._model.head.forward(x)

    def _reserve(self, capacity: int) -> None:
        self._capacity = capacity
        for layer in self._layers:
            layer.reserve(capacity, self._slots)
        if self._sight is not None:
            more = capacity - self._sight.shape[2]
            self._sight = F.pad(self._sight, (0, more))

    def _see(self, start: int, stop: int) -> Tensor | None:
        """What each place sees: what it descends from, and itself."""
        if self._sight is None:
            return None
        new = self._sight[:, :, start:stop]
        new.fill_(float("-inf")).diagonal(dim1=1, dim2=2).zero_()
        return self._sight[:, None, :, :stop]

    def reorder(self, rows: Tensor) -> None:
        self._descend(rows, self._inputs)

    def keep(self, inputs: Tensor, rows: Tensor) -> None:
        self._inputs = len(inputs)
        self._descend(rows, self._inputs)
        for layer in self._layers:
            layer.select(inputs, self._slots)

    def _descend(self, rows: Tensor, inputs: int) -> None:
        """Each row goes on from what row `rows[i]` sees."""
        if self._sight is not None:
            chosen = self._sight.flatten(0, 1).index_select(0, rows)
            self._sight = chosen.view(inputs, -1, chosen.shape[1])
        elif len(rows) > inputs:  # so far an input had one place, and all see all of its slots
            self._sight = self._layers[0].keys.new_zeros((inputs, len(rows) // inputs, self._capacity))


class _Layer:
    """One block with what it has seen: keys and values of (slots, B, H · C), and those of the memory."""

    def __init__(self, block: Block, memory: Tensor, padding: Tensor | None) -> None:
        self.block = block
        attention, cross = block.attention, block.cross
        assert isinstance(attention, Attention)
        assert isinstance(cross, Attention)
        self.attention, self.cross = attention, cross
        self.inputs = len(memory)
        self.keys = self.values = memory.new_empty((0, self.inputs, attention.heads * attention.head_width))
        k, v = cross.remember(memory)
        self.memory_keys, self.memory_values = k.contiguous(), v.contiguous()  # (B, H, S, C)
        self.padding = padding

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
        self, x: Tensor, start: int, stop: int, rotation: Rotation | None, sight: Tensor | None
    ) -> Tensor:
        """(rows, D) → (rows, D), for the tokens that get the slots from `start` to `stop`."""
        block = self.block
        assert block.cross_residual is not None
        x = block.attention_residual.forward(x, lambda h: self._attend(h, start, stop, rotation, sight))
        x = block.cross_residual.forward(x, self._look)
        return block.feedforward_residual.forward(x, block.feedforward.forward)

    def _attend(
        self, x: Tensor, start: int, stop: int, rotation: Rotation | None, sight: Tensor | None
    ) -> Tensor:
        part, rows = self.attention, len(x)
        inner = part.heads * part.head_width
        q, k, v = part.qkv.forward(x).split(inner, dim=-1)
        if rotation is not None:
            shape = (rows, part.heads, 1, part.head_width)
            q, k = (rotate(y.view(shape), rotation).reshape(rows, inner) for y in (q, k))
        new = (stop - start, self.inputs, inner)
        self.keys[start:stop], self.values[start:stop] = k.reshape(new), v.reshape(new)
        pairs = self.inputs * part.heads
        k = self.keys[:stop].view(stop, pairs, part.head_width).permute(1, 2, 0)
        v = self.values[:stop].view(stop, pairs, part.head_width).transpose(0, 1)
        return part.out.forward(self._answer(q, k, v, part, sight))

    def _look(self, x: Tensor) -> Tensor:
        part = self.cross
        k, v = self.memory_keys.flatten(0, 1).transpose(1, 2), self.memory_values.flatten(0, 1)
        return part.out.forward(self._answer(part.q.forward(x), k, v, part, self.padding))

    def _answer(self, q: Tensor, k: Tensor, v: Tensor, part: Attention, sight: Tensor | None) -> Tensor:
        """Attention of (rows, H · C) queries on (B · H, C, S) keys and (B · H, S, C) values; `sight`,
        (B, 1, places | 1, S), is added to the scores."""
        rows, heads, C = len(q), part.heads, part.head_width
        places, pairs = rows // self.inputs, self.inputs * heads
        scale = C**-0.5 if part.scale is None else part.scale
        q = q.reshape(places, pairs, C).transpose(0, 1)
        scores = torch.baddbmm(q.new_zeros(()), q, k, beta=0.0, alpha=scale)  # (B · H, places, S)
        if sight is not None:
            scores.view(self.inputs, heads, places, -1).add_(sight)
        z = scores.softmax(-1) @ v  # (B · H, places, C)
        return z.transpose(0, 1).reshape(rows, heads * C)


def _padding(positions: Positions | None, memory: Tensor) -> Tensor | None:
    """What to add to the scores of a source with padding: (B, 1, 1, S). Every row has a real token."""
    if not isinstance(positions, Ragged):
        return None
    segment = positions.on(memory.device).segment.expand(memory.shape[:2])
    zero = memory.new_zeros(segment.shape)
    return zero.masked_fill_(segment != 0, float("-inf"))[:, None, None]
