"""The two builders of the family.

`Transformer` is embed + stack + head: a GPT when its mask is causal, a BERT or a ViT when it is full.
`EncoderDecoder` is two stacks, the second of which also attends to the first ('Attention Is All You
Need', arXiv 1706.03762). Neither knows what it is given stands for, how it is trained, or how it is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from regard.model.cache import Cache
from regard.model.embed import Embed, Tokens
from regard.model.head import Head, Vocabulary, VocabularyHead
from regard.model.init import Init, Xavier, initialise
from regard.model.mask import Positions
from regard.model.part import Origin, Origins
from regard.model.sizes import check_numbers
from regard.model.stack import Stack, StackConfig
from regard.model.tap import tap

Tying = Literal["three-way", "two-way", "embeddings", "none"]


@dataclass(frozen=True)
class TransformerConfig:
    """One stack between an embedding and a head."""

    embed: Embed
    """How ids, or an image, become vectors."""
    stack: StackConfig
    """The blocks."""
    head: Head = Vocabulary()
    """What is made of the stack's vectors."""
    init: Init = Xavier()
    """The numbers to start from."""
    kind: Literal["transformer"] = "transformer"

    def build(self) -> Transformer:
        return Transformer(self)


class Transformer(nn.Module):
    """Embedding, one stack, head: a GPT when its mask is causal, a BERT or a ViT when it is full.

    (B, T) ids → (B, T, V) logits, or whatever else the embedding reads and the head makes.

    Raises: ValueError for parts that do not fit together.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        check_numbers(config)
        if config.embed.needs_all and not getattr(config.stack.mask, "sees_all", False):
            raise ValueError("token types need the whole input at once: give the stack a full mask")
        self.config = config
        width = config.stack.width
        self.embed = config.embed.build(config.stack.entry_width or width)
        self.stack = config.stack.build()
        self.head = config.head.build(width, self.embed.table)
        initialise(self, config.init)

    @property
    def device(self) -> torch.device:
        """Where what it is given must be."""
        return next(self.parameters()).device

    def forward(
        self, given: Tensor, positions: Positions | None = None, cache: Cache | None = None
    ) -> Tensor:
        """(B, T) ids → (B, T, V) logits, or whatever else the embedding reads and the head makes."""
        hidden = self.hidden(given, positions, cache)
        return self.head(hidden, positions) if self.head.pools else self.head(hidden)

    def hidden(self, given: Tensor, positions: Positions | None = None, cache: Cache | None = None) -> Tensor:
        """(B, T) ids, or what else the embedding reads → (B, T, D), what the head sees.

        `positions`: where the vectors that the embedding makes stand.
        """
        return self.stack(self.embed(tap(self, "given", given)), positions, cache=cache)

    @property
    def writer(self) -> tuple[str, Stack]:
        """The name of the stack whose vectors the head is given, and the stack."""
        return "stack", self.stack

    @property
    def reader(self) -> Stack:
        """The stack that is given the input."""
        return self.stack

    def origins(self) -> Origins:
        """How every observed value is made, and of what."""
        origins = {"given": Origin("what is given"), "embed.out": Origin(self.embed.formula, ("given",))}
        return origins | self.stack.origins("stack", "embed.out") | self.head.origins("stack.output")

    def cache(self, capacity: int = 0) -> Cache:
        """An empty cache with room for `capacity` tokens (it grows when needed)."""
        return self.stack.cache(capacity)


@dataclass(frozen=True)
class EncoderDecoderConfig:
    """Two stacks of one width; the decoder attends to the encoder's output."""

    source: Embed
    """How the encoder's ids, or an image, become vectors."""
    target: Tokens
    """How the decoder's ids become vectors; its vocabulary is what is predicted."""
    encoder: StackConfig
    """Reads the source."""
    decoder: StackConfig
    """Writes the target; its `cross` must be set."""
    tying: Tying = "three-way"
    """Which tables are one: source, target and head; target and head; source and target; or none."""
    init: Init = Xavier()
    """The numbers to start from."""
    head_bias: bool = False
    """Whether each token has a number of its own added to its logit."""
    kind: Literal["encoder-decoder"] = "encoder-decoder"

    def build(self) -> EncoderDecoder:
        return EncoderDecoder(self)


class EncoderDecoder(nn.Module):
    """Two stacks, the second of which also attends to the first (arXiv 1706.03762, section 3.1).

    (B, S) source ids and (B, T) target ids → (B, T, V) logits.

    Raises: ValueError for stacks that do not fit together.
    """

    reads = ("source", "encoder")
    """Which of its parts handle the source."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        check_numbers(config)
        _check(config)
        self.config = config
        width = config.decoder.width
        self.target = config.target.build(config.decoder.entry_width or width)
        joint = config.tying in ("three-way", "embeddings")
        self.source = self.target if joint else config.source.build(config.encoder.entry_width or width)
        self.encoder: Stack = config.encoder.build()
        self.decoder: Stack = config.decoder.build()
        tied = None if config.tying in ("none", "embeddings") else self.target.weight
        self.head = VocabularyHead(width, config.target.vocab, tied=tied, bias=config.head_bias)
        initialise(self, config.init)

    def forward(
        self,
        source: Tensor,
        target: Tensor,
        source_positions: Positions | None = None,
        target_positions: Positions | None = None,
    ) -> Tensor:
        """(B, S) source ids and (B, T) target ids → (B, T, V) logits of what follows each target id."""
        return self.head(self.hidden(source, target, source_positions, target_positions))

    def hidden(
        self,
        source: Tensor,
        target: Tensor,
        source_positions: Positions | None = None,
        target_positions: Positions | None = None,
    ) -> Tensor:
        """The same up to the head: (B, T, D)."""
        memory = self.encode(source, source_positions)
        return self.decode(target, memory, source_positions, positions=target_positions)

    def encode(self, source: Tensor, positions: Positions | None = None) -> Tensor:
        """(B, S) ids → (B, S, D) memory."""
        return self.encoder(self.source(tap(self, "source_given", source)), positions)

    def decode(
        self,
        target: Tensor,
        memory: Tensor | None = None,
        memory_positions: Positions | None = None,
        *,
        positions: Positions | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """(B, T) ids → (B, T, D), what the head sees. With a cache, memory is needed once only."""
        return self.decoder(
            self.target(tap(self, "target_given", target)),
            positions,
            memory=memory,
            memory_positions=memory_positions,
            cache=cache,
        )

    @property
    def writer(self) -> tuple[str, Stack]:
        """The name of the stack whose vectors the head is given, and the stack."""
        return "decoder", self.decoder

    @property
    def reader(self) -> Stack:
        """The stack that is given the source."""
        return self.encoder

    def origins(self) -> Origins:
        """How every observed value is made, and of what."""
        origins: Origins = {}
        for name, embed in (("source", self.source), ("target", self.target)):
            given = f"{name}_given"
            origins |= {given: Origin("what is given"), f"{name}.out": Origin(embed.formula, (given,))}
        origins |= self.encoder.origins("encoder", "source.out")
        origins |= self.decoder.origins("decoder", "target.out", memory="encoder.output")
        return origins | self.head.origins("decoder.output")

    def cache(self, capacity: int = 0) -> Cache:
        """An empty cache for the decoder, with room for `capacity` tokens (it grows when needed)."""
        return self.decoder.cache(capacity)


Model = Transformer | EncoderDecoder
ModelConfig = TransformerConfig | EncoderDecoderConfig


def _check(config: EncoderDecoderConfig) -> None:
    if config.encoder.width != config.decoder.width:
        raise ValueError(
            f"encoder and decoder differ in width: {config.encoder.width}, {config.decoder.width}"
        )
    if config.source.needs_all or config.target.needs_all:
        raise ValueError("token types are for a single stack")
    if config.decoder.cross is None:
        raise ValueError("the decoder must look at the encoder: set decoder.cross")
    if config.tying in ("three-way", "embeddings"):
        if config.source != config.target:
            raise ValueError(f"{config.tying} tying needs one vocabulary for source and target; use two-way")
        if config.encoder.entry_width != config.decoder.entry_width:
            raise ValueError(f"{config.tying} tying needs one entry_width for both stacks")
