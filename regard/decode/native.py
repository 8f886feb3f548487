"""Decoding on a processor whose every operation costs: matrix products by torch, all else by `loops.py`.

For float32 and int8 models on a CPU. A `NativeStepper` walks through the blocks of an ordinary
encoder-decoder with their own weights. Nothing that it once wrote is ever moved:

- Rows of the encoder stand one after the other without padding.
- A row of the decoder (a beam of an input) remembers its *path*: which row it stood in at each earlier
  step. Keys and values stay where they were written; when beams change places or inputs leave, only paths
  are reordered.
- A memory's keys and values are shared by the beams of its input, each of which knows its *owner*.

What is not ordinary goes another way (`choose.py`). The law tests hold all ways together.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from regard.decode import loops
from regard.decode.blocks import blocks
from regard.decode.engine import Engine, Layer, Numbers, Room, engine_of
from regard.decode.fast import compiling
from regard.model.mask import Positions, Ragged
from regard.model.tap import watching
from regard.model.transformer import EncoderDecoder

_FOR_ONE_THREAD = 2**27
"""Weights times rows up to which one thread is faster than several, which would wait for one another."""


def native_stepper(
    model: EncoderDecoder, source: Tensor, positions: Positions | None, capacity: int
) -> NativeStepper | None:
    """A stepper, or None where it would not do what `model`'s own stacks do with this source."""
    if isinstance(positions, Ragged) and not _padded_right(positions):
        return None
    engine = None if model.training or watching() else engine_of(model)
    return None if engine is None else NativeStepper(engine, source, positions, capacity)


def suits_native(model: EncoderDecoder) -> bool:
    """Whether the model is one for which a `NativeStepper` is made, if padding stands on the right."""
    return not (model.training or watching()) and engine_of(model) is not None


def _padded_right(positions: Ragged) -> bool:
    real = positions.segment.expand(-1, positions.length) == 0
    in_order = positions.position == torch.arange(positions.length)
    together = real[:, 0].all() & (real[:, 1:] <= real[:, :-1]).all()
    return bool((positions.segment <= 0).all() & (in_order | ~real).all() & together)


class NativeStepper:
    """A `Stepper`; see the module's docstring."""

    @torch.inference_mode()
    def __init__(self, engine: Engine, source: Tensor, positions: Positions | None, capacity: int) -> None:
        self._engine = engine
        inputs, width = source.shape
        lengths = np.full(inputs, width)
        if isinstance(positions, Ragged):
            lengths = (positions.segment.expand(inputs, width) == 0).sum(1).numpy()
        self._starts = np.concatenate(([0], np.cumsum(lengths)))
        self._owner = np.arange(inputs)
        self._memory = self._remember(source.numpy(), lengths)
        self._length = 0
        self._path = np.empty((inputs, max(1, capacity)), np.int32)
        self._room, self._zeros = Room(inputs), np.zeros(inputs, np.int64)
        layers, inner = len(engine.decoder.layers), engine.decoder.layers[0].inner
        self._keys = self._values = np.empty((layers, 0, 0, inner), np.float32)

    def _remember(self, source: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Every layer's keys and values of the encoder's output, (L, tokens, 2 · H · C)."""
        encoder, decoder = self._engine.encoder, self._engine.decoder
        layers = decoder.layers
        owner = np.repeat(self._owner, lengths)
        at = np.arange(len(owner)) - self._starts[owner]
        room = Room(len(at))
        turn, turn_memory = (stack.turning(at, 0, source.shape[1]) for stack in (encoder, decoder))

        def attend(index: int, layer: Layer, qkv: Numbers, z: Numbers) -> None:
            turn(qkv.array, 2 * layer.heads)
            loops.look(qkv.array, owner, self._starts, layer.heads, layer.scale, qkv.array, z.array)

        made = Numbers.of((len(layers), len(at), 2 * layers[0].cross_inner))
        with _threads(len(at) * self._engine.weights):
            x = encoder.enter(source[owner, at], at, 0, source.shape[1], room)
            memory = encoder.run(x, room, attend)
            for index, layer in enumerate(layers):
                kv = Numbers(made.tensor[index], made.array[index])
                layer.cross_kv(memory, kv, room)
                if decoder.turns_memory:
                    turn_memory(kv.array, layer.cross_heads)
        return made.array

    def step(self, tokens: Tensor) -> Tensor:
        """What `Stepper.step` says."""
        engine, rows, at = self._engine, len(tokens), self._length
        if rows != self._room.rows:
            self._room, self._zeros = Room(rows), np.zeros(rows, np.int64)
        self._reserve(rows)
        self._path[:, at] = np.arange(rows)
        logits = self._room.get("logits", engine.vocabulary)
        with _threads(rows * engine.weights):
            x = engine.decoder.enter(tokens.numpy(), self._zeros, at, 1, self._room)
            h = self._part_by_part(x) if engine.packed is None else self._all_at_once(x)
            engine.head(h, logits, self._room)
        self._length += 1
        return logits.tensor

    def _part_by_part(self, x: Numbers) -> Numbers:
        path, decoder = self._path[:, : self._length + 1], self._engine.decoder
        turn = decoder.turning(self._zeros, self._length, 1)

        def attend(index: int, layer: Layer, qkv: Numbers, z: Numbers) -> None:
            turn(qkv.array, 2 * layer.heads)
            keys, values = self._keys[index], self._values[index]
            loops.attend(qkv.array, path, layer.heads, layer.scale, keys, values, z.array)

        def look(index: int, layer: Layer, q: Numbers, z: Numbers) -> None:
            heads, scale, memory = layer.cross_heads, layer.cross_scale, self._memory[index]
            if decoder.turns_memory:
                turn(q.array, heads)
            loops.look(q.array, self._owner, self._starts, heads, scale, memory, z.array)

        return decoder.run(x, self._room, attend, look)

    def _all_at_once(self, x: Numbers) -> Numbers:
        """The same by one call; a small step is over before a dozen calls would have begun."""
        decoder, at = self._engine.decoder, self._length
        h = x if decoder.after else self._room.get("h", decoder.width)
        layer, norm = decoder.layers[0], decoder.norms[0]
        given = (
            x.array,
            h.array,
            self._engine.packed,
            (np.float32(norm.eps), norm.centred),
            (layer.heads, np.float32(layer.scale), layer.cross_heads, np.float32(layer.cross_scale)),
            (self._zeros, *decoder.angles(at, 1), decoder.turns_memory),
            (self._keys, self._values, self._path, at + 1),
            (self._memory, self._owner, self._starts),
        )
        if blocks.signatures:
            blocks(*given)
        else:
            with compiling("the decoder's blocks"):
                blocks(*given)
        return h

    def _reserve(self, rows: int) -> None:
        """Room for the keys and values of one more step of so many rows."""
        used = self._length
        if used == self._path.shape[1]:
            self._path = np.concatenate((self._path, np.empty_like(self._path)), 1)
        layers, steps, wide, inner = self._keys.shape
        if steps > used and wide >= rows:
            return
        shape = layers, self._path.shape[1], max(rows, wide), inner
        old = self._keys, self._values
        self._keys, self._values = (np.empty(shape, np.float32) for _ in old)
        for kept, before in zip((self._keys, self._values), old, strict=True):
            kept[:, :used, :wide] = before[:, :used]

    def reorder(self, rows: Tensor) -> None:
        chosen = rows.numpy()
        self._path, self._owner = self._path[chosen], self._owner[chosen]

    def keep(self, inputs: Tensor, rows: Tensor) -> None:
        self.reorder(rows)


@contextmanager
def _threads(work: int) -> Iterator[None]:
    """One thread for little work."""
    threads = torch.get_num_threads()
    if threads == 1 or work > _FOR_ONE_THREAD:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
