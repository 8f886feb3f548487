"""N blocks over a sequence of vectors: the one part that every member of the family shares.

A stack is an encoder when its mask is `Full`, a GPT when it is `Causal`, and a decoder of an
encoder-decoder when it also attends to a memory. It turns places into masks, rotations and biases once
a forward. It does not know what its vectors stand for, nor what is made of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from regard.model.account import Entry, Index, Made, Numbers, added, made_of, normed, one, vector
from regard.model.account_linear import linear
from regard.model.attention import AttentionConfig
from regard.model.block import Block, BlockContext, Placement, PostNorm
from regard.model.cache import Cache
from regard.model.dropout import dropout as drop
from regard.model.feedforward import MLP, FeedForwardPart
from regard.model.init import Init
from regard.model.mask import Contiguous, Full, MaskRule, Positions, Ragged, lower
from regard.model.norm import LayerNorm, Norm
from regard.model.part import Origin, Origins, Productless
from regard.model.position import Position, PositionPart, Rotation, Sinusoidal
from regard.model.sizes import check_numbers
from regard.model.tap import tap

_PLACES = 32
"""Where masks are compared."""


@dataclass(frozen=True)
class LayerPattern:
    """In what one block of a pattern differs from what its stack says of all."""

    mask: MaskRule | None = None
    """Who may see whom, no more than the stack's own mask says; null for that."""
    position: Position | None = None
    """How queries and keys are rotated, such as with another base; null for the stack's own position."""


@dataclass(frozen=True)
class StackConfig:
    """A stack of `depth` blocks, which are alike but for a `pattern` that repeats."""

    width: int
    """D, the length of each vector."""
    depth: int
    """N, the number of blocks."""
    attention: AttentionConfig = AttentionConfig()
    """Self-attention of each block."""
    feedforward: FeedForwardPart = MLP()
    """The feed-forward part of each block."""
    mask: MaskRule = Full()
    """Who may see whom."""
    position: Position = Sinusoidal()
    """How order enters."""
    norm: Norm = LayerNorm()
    """Which norm."""
    placement: Placement = PostNorm()
    """Where the norms stand."""
    cross: AttentionConfig | None = None
    """Attention to a memory; None for a stack that stands alone."""
    cross_position: bool = False
    """Whether `position` also says how far tokens are from those of the memory: for outputs that keep step
    with their inputs. Only what turns queries and keys or is added to scores can say that."""
    dropout: float = 0.1
    """Probability of dropping an element of the stack's input and of what each part adds."""
    entry_norm: bool = False
    """Whether the input is normalised before the first block, as in BERT."""
    entry_width: int | None = None
    """E, the width of what enters, if it is another than D: one product makes D numbers of it (arXiv
    1909.11942, section 3.1), after positions were added and the entry norm; None for D."""
    masks: tuple[MaskRule, ...] = ()
    """The masks of a pattern in which nothing else differs: what older configurations say instead of
    `pattern`."""
    pattern: tuple[LayerPattern, ...] = ()
    """In what blocks differ, a `mask` and a `position` each, one after the other and again from the first
    (arXiv 2004.05150, section 3.1); empty where all are alike."""

    def __post_init__(self) -> None:
        if self.masks and self.pattern:
            raise ValueError("masks and pattern say the same twice; give the pattern alone")
        if self.masks:
            object.__setattr__(self, "pattern", tuple(LayerPattern(mask) for mask in self.masks))
            object.__setattr__(self, "masks", ())

    @property
    def rules(self) -> list[MaskRule]:
        """The mask of each block."""
        own = [layer.mask or self.mask for layer in self.pattern] or [self.mask]
        return [own[index % len(own)] for index in range(self.depth)]

    def build(self) -> Stack:
        return Stack(self)


class Stack(Productless):
    """See the module's docstring. (B, T, D) → (B, T, D)."""

    divided = True

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        check_numbers(config)
        _check(config)
        self.config = config
        heads, width = config.attention.heads, config.width
        self.heads = self.kv_heads = heads  # of the biases that are added to scores
        entry, head_width = config.entry_width or width, config.attention.head_width or width // heads
        self.position = config.position.build(entry, heads, head_width)
        self.layer_positions = nn.ModuleList(
            nn.Identity() if layer.position is None else layer.position.build(entry, heads, head_width)
            for layer in config.pattern
        )
        for part in self.layer_positions:
            if isinstance(part, PositionPart) and (part.biases or type(part).add is not PositionPart.add):
                raise ValueError(
                    f"a pattern's positions can only rotate, and {type(part).__name__} does more"
                )
        self.entry_norm = config.norm.build(entry) if config.entry_norm else nn.Identity()
        self.entry_projection = nn.Linear(entry, width) if config.entry_width else nn.Identity()
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.final_norm = nn.Identity() if config.placement.closes else config.norm.build(width)

    def cache(self, capacity: int = 0) -> Cache:
        """An empty cache for this stack, with room for `capacity` tokens (it grows when needed)."""
        return Cache(len(self.blocks), capacity)

    def forward(
        self,
        x: Tensor,
        positions: Positions | None = None,
        *,
        memory: Tensor | None = None,
        memory_positions: Positions | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """(B, T, D) → (B, T, D), or (B, T, E) → (B, T, D) of an `entry_width`.

        `positions`: where the tokens of x stand; by default 0 … T - 1, or after what `cache` holds.
        `memory`: (B, S, D) to look at, all of it unless `memory_positions` says otherwise; with a
        cache it is needed at the first step only.
        """
        T = x.shape[1]
        if positions is None:
            positions = Contiguous(0, T) if cache is None else cache.next(T)
        keys = positions if cache is None else cache.extend(positions)
        x = self.entry_norm(tap(self, "placed", self.position.add(x, positions)))
        if self.config.entry_width:
            x = self.entry_projection(tap(self, "entered", x))
        x = tap(self, "input", drop(x, self.config.dropout, self.training))
        if memory is not None and memory_positions is None:
            memory_positions = Contiguous(0, memory.shape[1])
        if cache is not None and memory is not None:
            cache.memory_positions = memory_positions
        if cache is not None:
            memory_positions = cache.memory_positions
        context = self._context(positions, keys, memory_positions, x.device)
        differing = self._differing(context, positions, keys, x.device)
        for index, block in enumerate(self.blocks):
            if differing:
                context = differing[index % len(differing)]
            kv = self._memory(index, memory, memory_positions, cache)
            x = block(x, context, cache and cache.layers[index], kv)
        return tap(self, "output", self.final_norm(x))

    def _differing(
        self, context: BlockContext, query: Positions, key: Positions, device: torch.device
    ) -> list[BlockContext]:
        """What the blocks of a pattern are told."""
        rules = [layer.mask or self.config.mask for layer in self.config.pattern]
        masks = {rule: lower(rule, query, key, device) for rule in dict.fromkeys(rules)}
        contexts = [replace(context, mask=masks[rule]) for rule in rules]
        for own, part in zip(contexts, self.layer_positions, strict=True):
            if isinstance(part, PositionPart):
                own.rotation = part.rotation(query, device)
                own.late = part.late(query, key, device) if part.stretches else None
        return contexts

    def position_of(self, index: int) -> PositionPart:
        """What rotates the queries and keys of a block."""
        own = self.layer_positions[index % len(self.layer_positions)] if self.config.pattern else None
        return own if isinstance(own, PositionPart) else self.position

    @property
    def branches(self) -> int:
        """How many residual branches it adds up."""
        return len(self.blocks) * (2 if self.config.cross is None else 3)

    def initialise(self, init: Init, branches: int | None = None) -> None:
        if isinstance(self.entry_projection, nn.Linear):
            init.matrix(self.entry_projection.weight)

    def origins(self, name: str, given: str, memory: str | None = None) -> Origins:
        """Of all observation points inside. `given`, `memory`: what enters is called."""
        addend, placed, entry = f"{name}.position.added", f"{name}.placed", f"{name}.input"
        entered, projects = f"{name}.entered", self.config.entry_width is not None
        whole = Origin("placed" if isinstance(self.entry_norm, nn.Identity) else "norm(placed)", (placed,))
        origins = {
            addend: Origin("a vector for each position"),
            placed: Origin("embedding + position", (given, addend)),
            **({entered: whole} if projects else {}),
            entry: Origin("x W + b", (entered,)) if projects else whole,
            f"{name}.bias": Origin("a number for each distance"),
            f"{name}.memory_bias": Origin("a number for each distance"),
        }
        bias = f"{name}.bias" if self.position.biases else None
        memory_bias = f"{name}.memory_bias" if bias and self.config.cross_position else None
        x = entry
        for index, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            origins |= block.origins(f"{name}.blocks.{index}", x, memory, bias, memory_bias)
            x = f"{name}.blocks.{index}.residual"
        closed = isinstance(self.final_norm, nn.Identity)
        return origins | {f"{name}.output": Origin("residual" if closed else "norm(residual)", (x,))}

    def account(self, numbers: Numbers, entry: Entry, index: Index) -> Made | None:
        """The sum behind a number of what is tapped here."""
        place, _, point = entry.name.rpartition(".")
        if point in ("bias", "memory_bias"):
            return None
        if point == "placed":
            return added(numbers, entry, index, "position")
        (source,) = entry.sources
        if self.config.entry_width and point == "input":
            x = vector(numbers, "x", source, index[0])
            return linear(numbers, x, f"{place}.entry_projection", "W", index[1])
        made = made_of([one(numbers.part("x", source, *index))])
        norm = "final_norm" if point == "output" else "entry_norm"
        return normed(numbers, made, numbers.row(source, index[0]), index[1], f"{place}.{norm}")

    def _context(
        self, query: Positions, key: Positions, memory: Positions | None, device: torch.device
    ) -> BlockContext:
        context = BlockContext(
            mask=lower(self.config.mask, query, key, device),
            rotation=self.position.rotation(query, device),
            late=self.position.late(query, key, device) if self.position.stretches else None,
            bias=self._bias("bias", query, key, device),
        )
        if memory is not None:
            memory = _for_beams(query, memory, device)
            context.memory_mask = lower(Full(), query, memory, device)
            if self.config.cross_position:
                context.memory_rotation = context.rotation
                context.memory_bias = self._bias("memory_bias", query, memory, device)
        return context

    def _bias(self, point: str, query: Positions, key: Positions, device: torch.device) -> Tensor | None:
        bias = self.position.bias(query, key, device)
        return None if bias is None else tap(self, point, bias)

    def _memory(
        self, index: int, memory: Tensor | None, positions: Positions | None, cache: Cache | None
    ) -> tuple[Tensor, Tensor] | None:
        """One block's keys and values of the memory, made once if there is a cache."""
        if cache is not None and cache.memory[index] is not None:
            return cache.memory[index]
        if self.config.cross is None:
            return None
        if memory is None:
            raise ValueError("this stack attends to a memory: pass one")
        block = self.blocks[index]
        assert isinstance(block, Block)
        made = block.project_memory(memory, self.memory_rotation(positions, memory.device))
        if cache is not None:
            cache.memory[index] = made
        return made

    def memory_rotation(self, positions: Positions | None, device: torch.device) -> Rotation | None:
        """How the keys of a memory at these places are rotated, if they are."""
        if positions is None or not self.config.cross_position:
            return None
        return self.position.rotation(positions, device)


def _check(config: StackConfig) -> None:
    """One position part serves both attentions of a block, so their heads must be alike. Whoever asks `mask`
    what a stack lets be seen is told the truth of every block."""
    if len(config.pattern) > config.depth:
        raise ValueError(f"pattern: one of {len(config.pattern)} is longer than {config.depth} blocks")
    for rule in dict.fromkeys(layer.mask for layer in config.pattern):
        if rule is not None and not _sight(rule) <= _sight(config.mask):
            raise ValueError(f"pattern: {rule} lets more be seen than the stack's {config.mask}")
    own, cross = config.attention, config.cross
    same = cross is None or (own.heads, own.head_width) == (cross.heads, cross.head_width)
    if config.cross_position and not same:
        raise ValueError("cross_position needs cross-attention to have the heads of self-attention")


def _sight(rule: Any) -> set[tuple[int, int]]:
    """Who sees whom among the first places: numbers will do, also where shapes are made without memory."""
    places = range(_PLACES)
    return {(query, key) for query in places for key in places if rule.sees(query, key) is not False}


def _for_beams(query: Positions, memory: Positions, device: torch.device) -> Positions:
    """The beams of a sentence share its row of the memory."""
    if isinstance(query, Ragged) and isinstance(memory, Ragged) and 1 < memory.rows < query.rows:
        beams = query.rows // memory.rows
        return memory.select(torch.arange(memory.rows, device=device).repeat_interleave(beams))
    return memory
