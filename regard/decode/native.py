"""Decoding on a processor whose every operation costs: products by `linears.py`, all else by `loops.py`.

For float32 and int8 models on a CPU. A `NativeStepper` walks through the blocks of an ordinary
encoder-decoder with their own weights, a `NativePromptStepper` through those of one causal stack. Nothing
that they once wrote is ever moved:

- Rows of the encoder stand one after the other without padding.
- Keys and values of the decoder stay where they were written (`slots.py`).
- A memory's keys and values are shared by the beams of its input, each of which knows its *owner*.

What is not ordinary goes another way (`choose.py`). The law tests hold all ways together.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager

import numba
import numpy as np
import torch
from torch import Tensor

from regard.decode import loops
from regard.decode.blocks import blocks
from regard.decode.engine import Engine, Layer, Workspace, engine_of
from regard.decode.fast import compiling
from regard.decode.linears import Buffer, pool
from regard.decode.parallel import AT_LEAST
from regard.decode.slots import Slots
from regard.decode.stepper import KeptPrompt, PromptStepper, Stepper
from regard.model.mask import Positions, Ragged
from regard.model.tap import watching
from regard.model.transformer import EncoderDecoder, Transformer
from regard.threads import computing_with, free_threads

_FOR_ONE_THREAD = 2**27
"""Weights times rows up to which one thread is faster than several, which would wait for one another."""
_READ_ANEW = 2**25
"""Weights from which on several threads are faster at any number of rows: no cache holds them."""


def native_stepper(
    model: EncoderDecoder, source: Tensor, positions: Positions | None, capacity: int
) -> NativeStepper | None:
    """A stepper, or None where it would not do what `model`'s own stacks do with this source."""
    engine = _engine(model)
    if engine is None or (isinstance(positions, Ragged) and not _padded_right(positions)):
        return None
    return NativeStepper(engine, source, positions, capacity)


def native_prompt_stepper(
    model: Transformer, prompts: list[list[int]], capacity: int, read: KeptPrompt | None = None
) -> NativePromptStepper | None:
    """A stepper, or None where it would not do what `model`'s own stack does. `read`: of a single prompt,
    what was read of it before."""
    engine = _engine(model)
    return None if engine is None else NativePromptStepper(engine, model, prompts, capacity, read)


def suits_native(model: EncoderDecoder | Transformer) -> bool:
    """Whether the model is one for which a native stepper is made, if padding stands on the right."""
    return _engine(model) is not None


def _engine(model: EncoderDecoder | Transformer) -> Engine | None:
    return None if model.training or watching() else engine_of(model)


def _padded_right(positions: Ragged) -> bool:
    real = positions.segment.expand(-1, positions.length) == 0
    in_order = positions.position == torch.arange(positions.length)
    together = real[:, 0].all() & (real[:, 1:] <= real[:, :-1]).all()
    return bool((positions.segment <= 0).all() & (in_order | ~real).all() & together)


class NativeStepper(Stepper):
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
        self._memory = self._project_memory(source.numpy(), lengths)
        self._slots = Slots(*engine.decoder.shape, inputs, capacity)
        self._workspace, self._zeros = Workspace(inputs), np.zeros(inputs, np.int64)

    def _project_memory(self, source: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Every layer's keys and values of the encoder's output, (L, tokens, 2 · H · C)."""
        encoder, decoder = self._engine.encoder, self._engine.decoder
        assert encoder is not None
        layers = decoder.layers
        owner = np.repeat(self._owner, lengths)
        at = np.arange(len(owner)) - self._starts[owner]
        workspace = Workspace(len(at))
        rotate, rotate_memory = (stack.rotating(at, 0, source.shape[1]) for stack in (encoder, decoder))

        def attend(index: int, layer: Layer, qkv: Buffer, z: Buffer) -> None:
            rotate(qkv.array, 2 * layer.heads)
            loops.cross_attend(qkv.array, owner, self._starts, layer.heads, layer.scale, qkv.array, z.array)

        made = Buffer.of((len(layers), len(at), 2 * layers[0].cross_inner))
        with _threads(len(at), self._engine.weights):
            x = encoder.enter(source[owner, at], at, 0, source.shape[1], workspace)
            memory = encoder.run(x, workspace, attend)
            for index, layer in enumerate(layers):
                kv = Buffer(made.tensor[index], made.array[index])
                layer.cross_kv(memory, kv)
                if decoder.rotates_memory:
                    rotate_memory(kv.array, layer.cross_heads)
        return made.array

    def step(self, tokens: Tensor) -> Tensor:
        """What `Stepper.step` says."""
        engine, rows, at = self._engine, len(tokens), self._slots.length
        if rows != self._workspace.rows:
            self._workspace, self._zeros = Workspace(rows), np.zeros(rows, np.int64)
        self._slots.grow()
        logits = self._workspace.get("logits", engine.vocabulary)
        with _threads(rows, engine.weights):
            x = engine.decoder.enter(tokens.numpy(), self._zeros, at, 1, self._workspace)
            h = self._part_by_part(x) if engine.packed is None else self._all_at_once(x)
            engine.head(h, logits)
        return logits.tensor

    def _part_by_part(self, x: Buffer) -> Buffer:
        decoder = self._engine.decoder
        rotate = decoder.rotating(self._zeros, self._slots.length - 1, 1)
        attend = _attending(self._slots, rotate)

        def cross_attend(index: int, layer: Layer, q: Buffer, z: Buffer) -> None:
            heads, scale, memory = layer.cross_heads, layer.cross_scale, self._memory[index]
            if decoder.rotates_memory:
                rotate(q.array, heads)
            loops.cross_attend(q.array, self._owner, self._starts, heads, scale, memory, z.array)

        return decoder.run(x, self._workspace, attend, cross_attend)

    def _all_at_once(self, x: Buffer) -> Buffer:
        """The same by one call; a small step is over before a dozen calls would have begun."""
        decoder, at, slots = self._engine.decoder, self._slots.length - 1, self._slots
        h = x if decoder.after else self._workspace.get("h", decoder.width)
        layer, norm = decoder.layers[0], decoder.norms[0]
        given = (
            x.array,
            h.array,
            self._engine.packed,
            (np.float32(norm.eps), norm.centred),
            (layer.heads, np.float32(layer.scale), layer.cross_heads, np.float32(layer.cross_scale)),
            (self._zeros, *decoder.angles(at, 1), decoder.rotates_memory),
            (slots.keys, slots.values, slots.path, slots.first, slots.length),
            (self._memory, self._owner, self._starts),
        )
        engine = self._engine
        if engine.blocks is None:
            with compiling("the decoder's blocks"):
                engine.blocks = blocks.compile(tuple(map(numba.typeof, given)))
        engine.blocks(*given)
        return h

    def reorder(self, rows: Tensor) -> None:
        self._owner = self._owner[self._slots.reorder(rows)]


class NativePromptStepper(Stepper):
    """A `PromptStepper` from its first step on; the prompts are read by the model's own modules.

    Each of several threads takes rows of its own through a step; of few rows, outputs (`linears.py`).
    """

    @torch.inference_mode()
    def __init__(
        self,
        engine: Engine,
        model: Transformer,
        prompts: list[list[int]],
        capacity: int,
        kept: KeptPrompt | None = None,
    ) -> None:
        read = PromptStepper(model, prompts, capacity, kept)
        self._engine, self._at = engine, read.next[:, 0].numpy()
        self._slots = Slots(*engine.decoder.shape, len(prompts), max(capacity, read.cache.length))
        self._slots.read(read.cache, self._at)
        self._most = torch.get_num_threads()
        self._share(len(prompts))

    def _share(self, rows: int) -> None:
        """Room for a step of so many rows, and which of them each thread takes."""
        self._threads = free_threads(self._most)
        count = max(1, min(self._threads, rows // AT_LEAST))
        bounds = [rows * i // count for i in range(count + 1)]
        self._rows = [slice(*pair) for pair in itertools.pairwise(bounds)]
        self._workspaces = [Workspace(rows.stop - rows.start) for rows in self._rows]
        self._logits = Buffer.of((rows, self._engine.vocabulary))

    @torch.inference_mode()
    def step(self, tokens: Tensor) -> Tensor:
        """What `Stepper.step` says."""
        if len(tokens) != len(self._logits.tensor) or free_threads(self._most) != self._threads:
            self._share(len(tokens))
        self._slots.grow()
        ids = tokens.numpy()
        if len(self._rows) == 1:
            with _threads(len(tokens), self._engine.weights):
                self._take(ids, self._rows[0], self._workspaces[0])
        else:
            take = functools.partial(self._take, ids)
            shares = list(zip(self._rows, self._workspaces, strict=True))
            others = [pool(self._most).submit(take, *share) for share in shares[1:]]
            with computing_with(1):  # as each of the others has
                take(*shares[0])
            for other in others:
                other.result()
        self._at = self._at + 1
        return self._logits.tensor

    @torch.inference_mode()
    def _take(self, ids: np.ndarray, rows: slice, workspace: Workspace) -> None:
        """Some rows through the step."""
        decoder, at = self._engine.decoder, self._at[rows]
        start = int(at.min())
        at, length = at - start, int(at.max()) - start + 1
        x = decoder.enter(ids[rows], at, start, length, workspace)
        attend = _attending(self._slots, decoder.rotating(at, start, length), rows)
        logits = Buffer(self._logits.tensor[rows], self._logits.array[rows])
        self._engine.head(decoder.run(x, workspace, attend), logits)

    def reorder(self, rows: Tensor) -> None:
        self._at = self._at[self._slots.reorder(rows)]


_ALL = slice(None)


def _attending(
    slots: Slots, rotate: Callable[[np.ndarray, int], None], rows: slice = _ALL
) -> Callable[[int, Layer, Buffer, Buffer], None]:
    """Self-attention of some rows at the step that the slots have last."""
    path, first = slots.path[rows, : slots.length], slots.first[rows]

    def attend(index: int, layer: Layer, qkv: Buffer, z: Buffer) -> None:
        rotate(qkv.array, 2 * layer.heads)
        keys, values = slots.keys[index], slots.values[index]
        loops.attend(qkv.array, path, first, layer.scale, keys, values, z.array)

    return attend


def _threads(rows: int, weights: int) -> AbstractContextManager[None]:
    """One thread for little work, and no more than are free for other."""
    much = rows * weights > _FOR_ONE_THREAD or weights > _READ_ANEW
    return computing_with(free_threads(torch.get_num_threads()) if much else 1)
