"""What the tasks over text and one stack have alike: one tokenizer, learned from the rows, kept in a bundle.

A task of this kind says what its tokenizer learns from (`texts`) and which suits it (`usual`). It does not
know what is predicted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from regard.data.documents import pieces
from regard.data.field import Field
from regard.data.rows import Row, Rows
from regard.data.tokenizer import ByteBPE, Tokenizer, TokenizerSpec, train_tokenizer
from regard.model.embed import TokenEmbedding
from regard.model.head import Head
from regard.model.transformer import ModelConfig, Transformer, TransformerConfig
from regard.tasks.parts import TOKENIZER, kept_tokenizer, not_for
from regard.tasks.task import NO_FILES, Decoding, Task, checked

ENCODE_AT_ONCE = 4096
"""Rows whose texts are cut into tokens together."""


class TextTask(Task):
    """See the module's docstring."""

    usual: ClassVar[TokenizerSpec] = ByteBPE(vocab=8000)
    """How text becomes tokens where the user does not say; its vocabulary is a limit."""

    def __init__(self, config: Any, tokenizer: Tokenizer) -> None:
        self.config, self.tokenizer = config, tokenizer

    @classmethod
    def texts(cls, config: Any, rows: Rows) -> Iterable[str]:
        """What the tokenizer learns from."""
        return (text for text, _ in pieces(rows))

    @classmethod
    def tokenizer_for(cls, config: Any, rows: Rows, given: Mapping[str, str]) -> Tokenizer:
        """The tokenizer among the files `given`, if there are any, else one that is trained on `rows`."""
        if given:
            tokenizer = kept_tokenizer(given)
        else:
            free = config.tokenizer is None
            spec = cls.usual if free else config.tokenizer
            tokenizer = train_tokenizer(spec, cls.texts(config, rows), at_most=free)
        if tokenizer.lines is None:
            tokenizer.lines = any(row.running for row in islice(rows, 1))
        return tokenizer

    @classmethod
    def prepare(cls, config: Any, rows: Rows, given: Mapping[str, str] = NO_FILES) -> Self:
        return cls(config, cls.tokenizer_for(config, rows, given))

    @classmethod
    def restore(cls, config: Any, tokenizers: Mapping[str, str]) -> Self:
        return cls(config, kept_tokenizer(tokenizers))

    def tokenizers(self) -> dict[str, str]:
        return {TOKENIZER: self.tokenizer.to_json()}

    def stack_for(self, model: ModelConfig, head: type[Head]) -> TransformerConfig:
        """`model`, if it is one stack with this head. Raises: ConfigError."""
        if not isinstance(model, TransformerConfig):
            raise not_for(self.name, "model.kind", model.kind, "transformer")
        if not isinstance(model.head, head):
            raise not_for(self.name, "model.head.kind", model.head.kind, head.kind)
        return model

    @property
    def fields(self) -> tuple[Field, ...]:
        return (Field.indices("tokens", self.tokenizer.size),)

    def words(self, model: nn.Module) -> tuple[Tokenizer, Tensor]:
        assert isinstance(model, Transformer)
        assert isinstance(model.embed, TokenEmbedding)
        return self.tokenizer, model.embed.weight.detach()

    def nats(self, model: nn.Module, batch: Any) -> Tensor:
        return self.loss(model, batch)

    def write(self, model: nn.Module, text: str, decoding: Decoding) -> Iterator[str]:
        yield checked(self.predict(model, [text], decoding))[0].text

    def tokens(self, source: Sequence[int], target: Sequence[int]) -> tuple[list[str], list[str]]:
        return self.tokenizer.pieces(source), self.tokenizer.pieces(target)

    def inputs(self, rows: Iterable[Row]) -> list[str]:
        return [row.values[0] for row in rows]
