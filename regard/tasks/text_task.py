"""What the tasks over text and one stack have alike: one tokenizer, learned from the rows, kept in a bundle.

A task of this kind says what its tokenizer learns from (`texts`) and which suits it (`usual`). It does not
know what is predicted.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, ClassVar, Literal, Self

import numpy as np
from torch import Tensor, nn

from regard.data.documents import pieces
from regard.data.field import Field
from regard.data.rows import Rows
from regard.data.store import ExampleStore
from regard.data.tokenizer import ByteBPE, Tokenizer, TokenizerSpec, train_tokenizer
from regard.model.block import PreNorm
from regard.model.embed import TokenEmbedding
from regard.model.feedforward import Activation
from regard.model.head import Head, Vocabulary
from regard.model.mask import MaskRule
from regard.model.position import Rotary
from regard.model.presets import ENCODER_DECODER, one_stack
from regard.model.transformer import ModelConfig, Transformer, TransformerConfig
from regard.tasks.decoding import Decoding
from regard.tasks.labels import head_for
from regard.tasks.parts import TOKENIZER, kept_tokenizer, not_for, sized
from regard.tasks.protocols import Sequences
from regard.tasks.task import NO_FILES, SENTENCES, Column, Files, InputSpec, Presets, Task
from regard.values import Pair


def stacks(mask: MaskRule, head: Head = Vocabulary(), activation: Activation = "gelu") -> Presets:  # noqa: B008
    """Models of one stack, in all sizes."""
    return {
        name: one_stack(
            size, mask=mask, head=head, placement=PreNorm(), position=Rotary(), activation=activation
        )
        for name, size in ENCODER_DECODER.items()
    }


class TextTask(Task):
    """See the module's docstring."""

    usual: ClassVar[TokenizerSpec] = ByteBPE(vocab=8000)
    """How text becomes tokens where the user does not say; its vocabulary is a limit."""
    head: ClassVar[type[Head]] = Vocabulary
    """What its model ends with."""
    mask_rule: ClassVar[Literal["causal", "full"] | None] = None
    """What the mask of its model must be."""
    labels: Mapping[str, int] | None = None
    """How often each label stood in the training part, where the head has a class for each."""

    def __init__(self, config: Any, tokenizer: Tokenizer) -> None:
        self.config, self.tokenizer = config, tokenizer

    @classmethod
    def columns(cls, config: Any) -> tuple[Column, ...]:
        return (Column(config.source),)

    @classmethod
    def texts(cls, config: Any, rows: Rows) -> Iterable[str]:
        """What the tokenizer learns from."""
        return (text for text, _ in pieces(rows))

    @classmethod
    def tokenizer_for(cls, config: Any, rows: Rows | None, files: Files) -> Tokenizer:
        """The tokenizer among the files, if there are any, else one that is trained on `rows`."""
        if rows is None or files:
            tokenizer = kept_tokenizer(files)
        else:
            free = config.tokenizer is None
            spec = cls.usual if free else config.tokenizer
            tokenizer = train_tokenizer(spec, cls.texts(config, rows), at_most=free)
        if tokenizer.lines is None and rows is not None:
            tokenizer.lines = any(row.running for row in islice(rows, 1))
        return tokenizer

    @classmethod
    def prepare(cls, config: Any, rows: Rows | None, files: Files = NO_FILES) -> Self:
        return cls(config, cls.tokenizer_for(config, rows, files))

    def files(self) -> dict[str, str]:
        return {TOKENIZER: self.tokenizer.to_json()}

    def configure_model(self, model: ModelConfig) -> TransformerConfig:
        if not isinstance(model, TransformerConfig):
            raise not_for(self.name, "model.kind", model.kind, "transformer")
        if not isinstance(model.head, self.head):
            raise not_for(self.name, "model.head.kind", model.head.kind, self.head.kind)
        embed, mask = sized(model.embed, self.tokenizer, "model.embed"), model.stack.mask
        if self.mask_rule and not (mask.causal if self.mask_rule == "causal" else mask.sees_all):
            raise not_for(self.name, "model.stack.mask", mask.kind, self.mask_rule)
        head = model.head if self.labels is None else head_for(model.head, self.labels)
        return replace(model, embed=embed, head=head)

    @property
    def fields(self) -> tuple[Field, ...]:
        return (Field.indices("tokens", self.tokenizer.size),)

    def costs(self, store: ExampleStore) -> list[np.ndarray]:
        return [store.lengths("tokens")]

    @property
    def input(self) -> InputSpec:
        return InputSpec()

    def token_embeddings(self, model: nn.Module) -> tuple[Tokenizer, Tensor]:
        assert isinstance(model, Transformer)
        assert isinstance(model.embed, TokenEmbedding)
        return self.tokenizer, model.embed.weight.detach()

    # ------------------------------------------------------------------ looking inside

    @property
    def independent(self) -> bool | None:
        return False

    def outputs(self) -> list[str]:
        return self.tokenizer.pieces(range(self.tokenizer.size)) if self.head is Vocabulary else []

    def tokens(self, source: Sequence[int], target: Sequence[int]) -> tuple[list[str], list[str]]:
        return self.tokenizer.pieces(source), self.tokenizer.pieces(target)

    def model_inputs(self, model: nn.Module, inputs: Sequence[Any], decoding: Decoding) -> Sequences:
        return [], self.given_ids([self.input.parse(given) for given in inputs])

    @abstractmethod
    def given_ids(self, inputs: Sequence[Any]) -> list[list[int]]:
        """What the model is given for these inputs."""

    def dummy_inputs(self, model: nn.Module) -> Sequences:
        pair = issubclass(self.input.value, Pair)
        asked = (f"{SENTENCES[-1]}\t{text}" if pair else text for text in SENTENCES)
        return self.model_inputs(model, list(asked), Decoding())
