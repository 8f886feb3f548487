"""Translation: a sequence of tokens into another, by an encoder-decoder.

Whatever comes in pairs: sentences in two languages, spellings and pronunciations, dates in two
notations. Trained by teacher forcing: the decoder is given the target shifted by one, from `<s>`, and
predicts each next token up to `</s>` (arXiv 1706.03762, section 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from regard.data.continuation import Continuation
from regard.data.field import Encoded, Field
from regard.data.rows import Row, Rows
from regard.data.store import ExampleStore
from regard.data.tokenizer import ByteBPE, Tokenizer, TokenizerSpec, train_pair
from regard.data.tokenizer_given import GivenTokenizer
from regard.data.vectors import read_vectors
from regard.decode.choose import shareable, stepper_for
from regard.decode.constraints import Constraints, Rules
from regard.decode.parallel import in_shares
from regard.decode.search import Limits, beam_search, greedy, stream
from regard.decode.stepper import Forced, Stepper
from regard.errors import ConfigError, require
from regard.model.block import PreNorm
from regard.model.embed import TokenEmbedding
from regard.model.mask import Ragged
from regard.model.presets import ENCODER_DECODER, encoder_decoder
from regard.model.transformer import EncoderDecoder, EncoderDecoderConfig, ModelConfig
from regard.tasks.batch import TargetBatch
from regard.tasks.decoding import Decoding
from regard.tasks.known_data import TRANSLATIONS
from regard.tasks.parts import (
    TOKENIZER,
    by_length,
    chunks,
    kept_tokenizer,
    not_for,
    on_the_right,
    sized,
    too_long,
)
from regard.tasks.prediction import best_of, checked
from regard.tasks.protocols import Sequences
from regard.tasks.task import (
    NO_FILES,
    SENTENCES,
    TASKS,
    Column,
    Files,
    InputSpec,
    Losses,
    Predictions,
    Task,
    TaskConfig,
)
from regard.tasks.text_metrics import PairMetric
from regard.values import Prediction, Text

TARGET_FILE = "tokenizer.target.json"


@dataclass(frozen=True)
class TranslationConfig(TaskConfig):
    """How pairs are read and judged."""

    source: str | None = None
    """The column that is given; None finds it."""
    target: str | None = None
    """The column that is to be written; None finds it."""
    tokenizer: TokenizerSpec | None = None
    """How text becomes tokens; None is byte-level BPE of 8,000 pieces, or as many as the data allow."""
    target_tokenizer: TokenizerSpec | None = None
    """How the target does, with a vocabulary of its own; None shares one with the source."""
    source_vectors: str | None = None
    """A file of pretrained word vectors (word2vec's or GloVe's text format) that the source's embedding
    starts from."""
    target_vectors: str | None = None
    """The same for the target's."""
    max_length: int = 256
    """Longest source or target in tokens: longer pairs are left out of training and counted, longer
    inputs are refused."""
    smoothing: float = 0.1
    """Label smoothing."""
    metric: Literal["bleu", "chrf", "exact", "token_accuracy"] = "bleu"
    """The figure that chooses between checkpoints."""
    unit: Literal["character", "word"] = "word"
    """What the token error rate counts: words separated by spaces, or characters."""
    never: tuple[int, ...] = ()
    """Ids that are never written, whatever the model makes of them."""
    constraints: Constraints | None = None
    """What else outputs must be like, as models that were trained elsewhere say it; null for nothing."""
    kind: Literal["translation"] = "translation"

    def __post_init__(self) -> None:
        require(self.max_length >= 1, "max_length", self.max_length, "1 or more")
        require(0 <= self.smoothing < 1, "smoothing", self.smoothing, "at least 0 and less than 1")


@dataclass(frozen=True)
class PairBatch(TargetBatch):
    """Source and shifted target of some pairs, padded on the right."""

    source: Tensor
    """(B, S) ids, each ending with the end token."""
    source_lengths: Tensor
    """(B,)"""
    given: Tensor
    """(B, T) ids that the decoder is given, from the start token on."""
    wanted: Tensor
    """(tokens,) ids to predict: real positions only, row after row, each row up to its end token."""
    real: Tensor
    """(tokens,) where those stand in a flattened (B · T)."""


@TASKS.register
class Translation(Task):
    """See the module's docstring."""

    name: ClassVar[str] = "translation"
    supports = frozenset({"beam", "max_length", "begin"})
    known_data = TRANSLATIONS
    presets: ClassVar = {
        name: encoder_decoder(size, placement=PreNorm()) for name, size in ENCODER_DECODER.items()
    }
    Config = TranslationConfig
    config: TranslationConfig
    output = Text
    independent = False

    def __init__(self, config: TranslationConfig, source: Tokenizer, target: Tokenizer) -> None:
        self.config, self.source, self.target = config, source, target

    @property
    def input(self) -> InputSpec:
        return InputSpec()

    @classmethod
    def columns(cls, config: TranslationConfig) -> tuple[Column, ...]:
        return Column(config.source), Column(config.target)

    @classmethod
    def prepare(cls, config: TranslationConfig, rows: Rows | None, files: Files = NO_FILES) -> Self:
        if rows is None or files:
            source, other = kept_tokenizer(files), files.get(TARGET_FILE)
            return cls(config, source, source if other is None else Tokenizer.from_json(other))
        pairs = ((row.values[0], row.values[1]) for row in rows)
        spec, free = config.tokenizer or ByteBPE(vocab=8000), config.tokenizer is None
        return cls(config, *train_pair(spec, config.target_tokenizer, pairs, at_most=free))

    def files(self) -> dict[str, str]:
        files = {TOKENIZER: self.source.to_json()}
        if self.target is not self.source:
            files[TARGET_FILE] = self.target.to_json()
        return files

    def configure_model(self, model: ModelConfig) -> ModelConfig:
        if not isinstance(model, EncoderDecoderConfig):
            raise not_for(self.name, "model.kind", model.kind, "encoder-decoder")
        if model.tying in ("three-way", "embeddings") and not self._one_list():
            sentence = "{key}: '{value}' needs one vocabulary, not one for each side; use {limit}"
            raise ConfigError(sentence, "model.tying", model.tying, "two-way")
        source = sized(model.source, self.source, "model.source")
        return replace(model, source=source, target=sized(model.target, self.target, "model.target"))

    def _one_list(self) -> bool:
        """Whether an id stands for the same piece on both sides."""
        if self.source is self.target or not isinstance(self.source, GivenTokenizer):
            return self.source is self.target
        sides = (tokenizer.pieces(range(tokenizer.size)) for tokenizer in (self.source, self.target))
        return len({tuple(names) for names in sides}) == 1

    def initialise(self, model: nn.Module) -> list[str]:
        assert isinstance(model, EncoderDecoder)
        assert isinstance(model.source, TokenEmbedding)
        sides = (
            (self.config.source_vectors, self.source, model.source),
            (self.config.target_vectors, self.target, model.target),
        )
        return [_take_vectors(path, tokenizer, embed) for path, tokenizer, embed in sides if path]

    @property
    def fields(self) -> tuple[Field, ...]:
        return Field.indices("source", self.source.size), Field.indices("target", self.target.size)

    def encode(self, rows: Iterable[Row]) -> Iterator[Encoded | None]:
        for some in chunks(rows):
            sources = self.source.encode_batch([row.values[0] for row in some])
            targets = self.target.encode_batch([row.values[1] for row in some])
            for source, target in zip(sources, targets, strict=True):
                fits = max(len(source), len(target)) <= self.config.max_length
                yield (self._given(source), self._written(target)) if fits else None

    def _written(self, target: list[int]) -> list[int]:
        """What the decoder is to write, after what it begins with."""
        return [self.target.bos, *target, self.target.eos]

    def _given(self, source: list[int]) -> list[int]:
        """What the encoder is given."""
        start = [] if self.source.start is None else [self.source.start]
        return [*start, *source, self.source.eos]

    def batch(self, store: ExampleStore, rows: np.ndarray, epoch: int = 0) -> PairBatch:
        source, source_lengths = store.padded(rows, "source", self.source.pad)
        target, target_lengths = store.padded(rows, "target", self.target.pad)
        given, wanted = np.ascontiguousarray(target[:, :-1]), target[:, 1:]
        real = np.flatnonzero(np.arange(wanted.shape[1]) < (target_lengths - 1)[:, None])
        arrays = (source, source_lengths, given, wanted.reshape(-1)[real], real)
        return PairBatch(*map(torch.from_numpy, arrays))

    def loss(self, model: nn.Module, batch: PairBatch) -> Losses:
        """The decoder's padding follows what is real, so causality alone keeps it from being seen."""
        assert isinstance(model, EncoderDecoder)
        at = Ragged.from_lengths(batch.source_lengths, batch.source.shape[1])
        hidden = model.hidden(batch.source, batch.given, at)
        smoothing = self.config.smoothing if model.training else 0.0
        return {"loss": model.head.loss(hidden.flatten(0, 1)[batch.real], batch.wanted, smoothing)}

    def predict(self, model: nn.Module, inputs: Sequence[Any], decoding: Decoding) -> Predictions:
        assert isinstance(model, EncoderDecoder)
        ids = self._read(inputs)
        answers: Predictions = [Prediction(Text(""))] * len(ids)
        some = [row for row in range(len(ids)) if ids[row]]
        for group in by_length([ids[row] for row in some], decoding.batch_tokens, 1):
            rows = [some[place] for place in group]
            for row, answer in zip(rows, self._decode(model, [ids[r] for r in rows], decoding), strict=True):
                answers[row] = answer
        return answers

    def _read(self, inputs: Sequence[Any]) -> list[list[int]]:
        """The ids of each input; a blank one has none, as training has no such rows."""
        texts = [self.input.parse(given).plain() for given in inputs]
        ids = self.source.encode_batch(["" if text.isspace() else text for text in texts])
        for tokens, text in zip(ids, texts, strict=True):
            if len(tokens) > self.config.max_length:
                raise too_long(text, len(tokens), self.config.max_length)
        return ids

    def write(self, model: nn.Module, given: Any, decoding: Decoding) -> Iterator[str]:
        assert isinstance(model, EncoderDecoder)
        ids = self._read([given])
        if not ids[0]:
            return
        written, said = list[int](), Continuation(self.target)
        with torch.inference_mode():
            stepper, limits = self._begin(model, ids, decoding)
            for (token,) in stream(stepper, limits, model.head.weight.device):
                if token != limits.eos:
                    written.append(token)
                    yield said.sure(written)
        yield said.of(written)

    def _decode(self, model: EncoderDecoder, ids: list[list[int]], decoding: Decoding) -> Predictions:
        return in_shares(
            lambda share: self._decode_alone(model, share, decoding), ids, lambda: shareable(model)
        )

    @torch.inference_mode()
    def _decode_alone(self, model: EncoderDecoder, ids: list[list[int]], decoding: Decoding) -> Predictions:
        stepper, limits = self._begin(model, ids, decoding)
        device = model.head.weight.device
        if decoding.beam == 1:
            return [Prediction(self._text(tokens)) for tokens in greedy(stepper, limits, device)]
        found = beam_search(
            stepper,
            limits,
            device,
            width=decoding.beam,
            alpha=decoding.alpha,
            n=decoding.n,
            text=self.target.decode,
        )
        return [best_of([(self._text(h.tokens), h.score) for h in best]) for best in found]

    def _text(self, tokens: Sequence[int]) -> Text:
        return Text(self.target.decode(tokens))

    def _begin(
        self, model: EncoderDecoder, ids: list[list[int]], decoding: Decoding
    ) -> tuple[Stepper, Limits]:
        """Encode some inputs, none of them empty, ready to decode."""
        device = model.head.weight.device
        source, at = on_the_right([self._given(tokens) for tokens in ids], self.source.pad, device)
        room = getattr(model.config.decoder.position, "length", 1 << 31)
        rules = Rules(self.config.never, self.config.constraints)
        limit = [rules.most(min(room, decoding.max_length or 2 * len(tokens) + 20)) for tokens in ids]
        limits = Limits(self.target.bos, self.target.eos, limit)
        stepper = stepper_for(model, source, at, capacity=min(max(limit), 64))
        stepper = rules.around(stepper, [[] for _ in ids], [self.target.eos])
        begin = rules.begin(decoding.begin)
        return (Forced(stepper, begin) if begin else stepper), limits

    def opening(self, given: Any) -> tuple[list[int], list[int]]:
        ids = self._read([given])
        return self._given(ids[0]) if ids[0] else [], [self.target.bos]

    def decode_ids(self, ids: Sequence[int], given: Any = None) -> tuple[str, bool]:
        done = bool(ids) and ids[-1] == self.target.eos
        return self.target.decode(list(ids[: len(ids) - done])), done

    def model_inputs(self, model: nn.Module, inputs: Sequence[Any], decoding: Decoding) -> Sequences:
        answers = [made.value.text for made in checked(self.predict(model, inputs, decoding))]
        source = [self._given(ids) for ids in self._read(inputs)]
        return source, [self._written(ids) for ids in self.target.encode_batch(answers)]

    def tokens(self, source: Sequence[int], target: Sequence[int]) -> tuple[list[str], list[str]]:
        return self.source.pieces(source), self.target.pieces(target)

    def dummy_inputs(self, model: nn.Module) -> Sequences:
        return self.model_inputs(model, SENTENCES, Decoding())

    def outputs(self) -> list[str]:
        return self.target.pieces(range(self.target.size))

    def metric(self) -> PairMetric:
        return PairMetric(self.config.metric, self.config.unit)

    def page_facts(self, rooms: Sequence[int]) -> dict[str, Any]:
        longest = min(self.config.max_length, rooms[0] - 1)
        return {"never": list(self.config.never), "max_length": longest, "room": rooms[1]}

    def page_problems(self) -> Iterator[str]:
        yield from ()


def _take_vectors(path: str, tokenizer: Tokenizer, embed: TokenEmbedding) -> str:
    """Rows of the embedding from a file; where a word is both a piece and one after a space, the latter."""
    ids: dict[str, int] = {}
    for index, piece in enumerate(tokenizer.pieces(range(tokenizer.size))):
        word = piece.removeprefix("▁")
        if word not in ids or piece != word:
            ids[word] = index
    found = read_vectors(path, ids, embed.weight.shape[1])
    rows = torch.tensor([ids[word] for word in found])
    embed.take_vectors(rows, torch.from_numpy(np.stack(list(found.values()))))
    return f"{len(found):,} of {tokenizer.size:,} rows of the embedding taken from {path}"
