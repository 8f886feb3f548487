"""Fill-mask: words are hidden and guessed from both sides, which is how BERT is pretrained.

One stack whose mask is full (arXiv 1810.04805, section 3.1). Of the tokens 15 % are chosen, anew in every
epoch; of these 80 % are replaced by `[MASK]`, 10 % by a random token, 10 % stay, and all are to be predicted.
With whole words, the pieces of a word are chosen together (Cui et al. 2019, arXiv 1906.08101).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from regard.data.documents import cut
from regard.data.field import Encoded
from regard.data.rows import Row
from regard.data.store import ExampleStore
from regard.data.tokenizer import Tokenizer, TokenizerSpec, WordPiece
from regard.errors import ConfigError, InputError, require
from regard.model.head import VocabularyHead
from regard.model.mask import Full
from regard.model.transformer import Transformer
from regard.tasks.batch import PaddedBatch, TargetBatch
from regard.tasks.decoding import Decoding
from regard.tasks.parts import chunks, side_by_side, too_long
from regard.tasks.perplexity import MaskedTokens
from regard.tasks.prediction import best_of
from regard.tasks.task import TASKS, InputSpec, Losses, Predictions, TaskConfig
from regard.tasks.text_task import TextTask, stacks
from regard.values import Text

HIDDEN = "[MASK]"
"""What stands in an input for a word to be guessed."""
_JUDGED_TOGETHER = 8192  # tokens
_HIDE, _SWAP = 0.8, 0.1
_SPACE = "".join(c for c in map(chr, range(0x3001)) if c.isspace() and not "\x1c" <= c <= "\x1f")
"""White space as Unicode has it, which a mask may take."""
_VALID = 1  # the seed of what is hidden when the model is judged


@dataclass(frozen=True)
class FillMaskConfig(TaskConfig):
    """How text is read, hidden and judged."""

    source: str | None = None
    """The column that holds the text; None finds it."""
    tokenizer: TokenizerSpec | None = None
    """How text becomes tokens; it must have a mask: None is WordPiece of 8,000 pieces, or as many as the data
    allow."""
    context: int = 128
    """Tokens that are seen at once, start and end included."""
    rate: float = 0.15
    """How many of the tokens are to be predicted."""
    whole_words: bool = False
    """Whether the pieces of a word are chosen together."""
    metric: Literal["accuracy", "nats"] = "accuracy"
    """The figure that chooses between checkpoints: how many of the chosen are guessed, or nats each."""
    kind: Literal["fill-mask"] = "fill-mask"

    def __post_init__(self) -> None:
        require(self.context >= 3, "context", self.context, "3 or more")
        require(0 < self.rate < 1, "rate", self.rate, "more than 0 and less than 1")


@dataclass(frozen=True)
class MaskedBatch(PaddedBatch, TargetBatch):
    """Texts with some tokens hidden."""

    real: Tensor
    """(tokens,) places of a flattened (B · T) that are to be predicted …"""
    wanted: Tensor
    """(tokens,) … and what stood there."""


@TASKS.register
class FillMask(TextTask):
    """See the module's docstring."""

    name: ClassVar[str] = "fill-mask"
    usual: ClassVar[TokenizerSpec] = WordPiece(lowercase=True)
    presets = stacks(Full())
    Config = FillMaskConfig
    config: FillMaskConfig
    output = Text
    mask_rule = "full"

    def __init__(self, config: FillMaskConfig, tokenizer: Tokenizer) -> None:
        if tokenizer.mask is None:
            sentence = "{key}: {value} has no mask to hide words; use wordpiece"
            raise ConfigError(sentence, "task.tokenizer", tokenizer.spec.kind)
        super().__init__(config, tokenizer)
        self.mask = tokenizer.mask
        names = tokenizer.pieces(range(tokenizer.size))
        self._ordinary = np.setdiff1d(np.arange(tokenizer.size), tokenizer.special_ids)
        self._goes_on = np.array([name.startswith("##") for name in names])  # pieces inside a word

    # ------------------------------------------------------------------ training

    def encode(self, rows: Iterable[Row]) -> Iterator[Encoded | None]:
        return ((ids,) for ids in self._stretches(rows))

    def _stretches(self, rows: Iterable[Row]) -> Iterator[list[int]]:
        """Each document in stretches of a context, start and end included."""
        room = self.config.context - 2
        kept: list[int] = []
        for ids, ends in cut(rows, self.tokenizer):
            kept += ids
            while len(kept) > room or (ends and kept):
                yield [self.tokenizer.bos, *kept[:room], self.tokenizer.eos]
                del kept[:room]

    def batch(self, store: ExampleStore, rows: np.ndarray, epoch: int = 0) -> MaskedBatch:
        ids, lengths = store.padded(rows, "tokens", self.tokenizer.pad)
        return self._hidden(ids, lengths, np.random.default_rng([epoch, *rows.tolist()]))

    def _hidden(self, ids: np.ndarray, lengths: np.ndarray, rng: np.random.Generator) -> MaskedBatch:
        """(B, T) ids with some chosen and most of those hidden; at least one in each row that has any."""
        chosen = self._chosen(ids, lengths, rng)
        fate = rng.random(ids.shape)
        given = np.where(chosen & (fate < _HIDE), self.mask, ids)
        swapped = chosen & (fate >= _HIDE) & (fate < _HIDE + _SWAP)
        others = self._ordinary[rng.integers(len(self._ordinary), size=ids.shape)]
        given = np.where(swapped, others, given)
        real = np.flatnonzero(chosen)
        return MaskedBatch(*map(torch.from_numpy, (given, lengths, real, ids.reshape(-1)[real])))

    def _chosen(self, ids: np.ndarray, lengths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(B, T) booleans: which tokens are to be predicted. Pieces of a word share one draw."""
        column = np.arange(ids.shape[1])
        text = (column > 0) & (column < lengths[:, None] - 1)
        draw = rng.random(ids.shape)
        if self.config.whole_words:
            begins = np.where(self._goes_on[ids] & (column > 1), 0, column)
            draw = np.take_along_axis(draw, np.maximum.accumulate(begins, axis=1), axis=1)
        draw = np.where(text, draw, 2.0)
        least = draw.min(axis=1, keepdims=True)
        return text & ((draw < self.config.rate) | (draw == least))

    def loss(self, model: nn.Module, batch: MaskedBatch) -> Losses:
        assert isinstance(model, Transformer)
        assert isinstance(model.head, VocabularyHead)
        return {"loss": model.head.loss(self._vectors(model, batch), batch.wanted)}

    def _vectors(self, model: Transformer, batch: MaskedBatch) -> Tensor:
        """(tokens, D): what the head sees at the places to be predicted."""
        return model.hidden(batch.ids, batch.positions).flatten(0, 1)[batch.real]

    # ------------------------------------------------------------------ judging

    def metric(self) -> MaskedTokens:
        return MaskedTokens(self.config.metric)

    @torch.inference_mode()
    def masked_sums(self, model: nn.Module, rows: Sequence[Row]) -> tuple[float, int, int]:
        """Nats of the masked tokens, how many of them are guessed, and how many they are; which are masked is
        always the same."""
        assert isinstance(model, Transformer)
        total, right, tokens = 0.0, 0, 0
        for batch in self._judged(rows):
            here = batch.to(model.device)
            logits = model.head(self._vectors(model, here)).float()
            said = logits.log_softmax(-1).gather(1, here.wanted[:, None])
            total -= float(said.cpu().double().sum())  # doubles cannot be had on every device
            right += int((logits.argmax(-1) == here.wanted).sum())
            tokens += here.tokens
        return total, right, tokens

    def _judged(self, rows: Iterable[Row]) -> Iterator[MaskedBatch]:
        together = max(1, _JUDGED_TOGETHER // self.config.context)
        for number, some in enumerate(chunks(self._stretches(rows), together)):
            table = side_by_side(some, self.tokenizer.pad)
            yield self._hidden(*table, np.random.default_rng([_VALID, number]))

    # ------------------------------------------------------------------ predicting

    @torch.inference_mode()
    def predict(self, model: nn.Module, inputs: Sequence[Any], decoding: Decoding) -> Predictions:
        """Each input with its `[MASK]`s filled by the most likely tokens; of one, the n most likely are
        candidates. Scores are probabilities: of several masks, their product."""
        assert isinstance(model, Transformer)
        answers = []
        for given in inputs:
            ids = self._ids(self.input.parse(given).plain())
            places = [place for place, token in enumerate(ids) if token == self.mask]
            logits = model(torch.tensor([ids], device=model.device))[0, places].float()
            logits[:, self.tokenizer.special_ids] = float("-inf")
            n = decoding.n if len(places) == 1 else 1
            shares, tokens = logits.softmax(-1).topk(min(n, logits.shape[-1]), dim=-1)
            ranks = zip(tokens.T.tolist(), shares.T.tolist(), strict=True)
            best = [(Text(self._filled(ids, places, said)), math.prod(each)) for said, each in ranks]
            answers.append(best_of(best))
        return answers

    def _ids(self, text: str) -> list[int]:
        """A text with masks, framed."""
        if HIDDEN not in text:
            sentence = "the input '{value}' hides no word; write {limit} for each to be guessed"
            raise InputError(sentence, text[:40], HIDDEN)
        texts = text.split(HIDDEN)
        if self.tokenizer.mask_takes_space:
            texts = [*(part.rstrip(_SPACE) for part in texts[:-1]), texts[-1]]
        parts = self.tokenizer.encode_batch(texts)
        ids = [self.tokenizer.bos, *parts[0]]
        for part in parts[1:]:
            ids += [self.mask, *part]
        if len(ids) >= self.config.context:
            raise too_long(text, len(ids) + 1, self.config.context)
        return [*ids, self.tokenizer.eos]

    def _filled(self, ids: list[int], places: list[int], tokens: list[int]) -> str:
        whole = list(ids)
        for place, token in zip(places, tokens, strict=True):
            whole[place] = token
        return self.tokenizer.decode(whole)

    # ------------------------------------------------------------------ looking inside

    @property
    def input(self) -> InputSpec:
        return InputSpec(hole=HIDDEN)

    def given_ids(self, inputs: Sequence[Any]) -> list[list[int]]:
        frame = self.config.context - 2
        rows = self.tokenizer.encode_batch([given.plain().replace(HIDDEN, " ") for given in inputs])
        return [[self.tokenizer.bos, *ids[:frame], self.tokenizer.eos] for ids in rows]
