"""Image classification: an image gets one of some labels, or several, as a Vision Transformer (arXiv
2010.11929) does it.

The stack is an encoder like any other; what differs is that patches of pixels enter instead of tokens. All
images of a model have one size, so that nothing is padded."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regard.data.field import Encoded, Field
from regard.data.image_grid import Tile, drawn
from regard.data.image_processor import IMAGE_PROCESSOR, WHITE, ImageDecoder, ImageProcessor, reference
from regard.data.readers.forms import Labels
from regard.data.readers.images import IMAGE
from regard.data.readers.streams import Forms
from regard.data.rows import Row, Rows
from regard.data.store import ExampleStore
from regard.errors import ConfigError, InputError, require
from regard.model.device import moved
from regard.model.embed import Patches
from regard.model.head import Classes, Vector, pooled
from regard.model.presets import VIT, vit
from regard.model.transformer import ModelConfig, Transformer, TransformerConfig
from regard.schema import dump
from regard.tasks.augment import Augmentation, Moves, NoAugmentation
from regard.tasks.class_metrics import class_metrics
from regard.tasks.image_processor import (
    fit_image_processor,
    fitted,
    given_image_processor,
    placed,
    restored_image_processor,
)
from regard.tasks.labels import (
    LABELS,
    Number,
    answer,
    check_learned,
    count_labels,
    kept_labels,
    labels_of,
    number_of,
    probabilities,
    sized_head,
    written,
)
from regard.tasks.parts import as_text, kept
from regard.tasks.similarity_metrics import correlation_metrics
from regard.tasks.task import NO_FILES, Decoding, InputSpec, Prediction, Task, checked

_DRAWN = 100
_MOST_MEANS = 1 << 26
"""Numbers in the class means of a baseline, at most."""


@dataclass(frozen=True)
class ImageClassificationConfig:
    """How images and labels are read and judged."""

    source: str = IMAGE
    """The column that holds the image: `image` of images in folders and of MNIST's files; in a table, one
    with paths."""
    target: str = "label"
    """The column that holds the label."""
    separator: str | None = None
    """What stands between the labels of an image that may have several, or joins those of a list; None where
    each has one."""
    number: Number | None = None
    """What the one output of a model that gives numbers is: a number, or the logit of a probability; null for
    a model of labels."""
    size: int | None = None
    """Every image is stretched to a square of so many pixels; null takes them as they are, all of one
    size."""
    channels: Literal[1, 3] | None = None
    """1 for grey, 3 for colour; null for what the first image is."""
    augmentation: Augmentation = NoAugmentation()
    """How images are changed while training."""
    smoothing: float = 0.1
    """Label smoothing, where each image has one label."""
    metric: Literal["accuracy", "macro_f1"] = "accuracy"
    """The figure that chooses between checkpoints."""
    kind: Literal["image-classification"] = "image-classification"

    @property
    def wanted(self) -> tuple[str | None, ...]:
        return (self.source, self.target)

    def __post_init__(self) -> None:
        require(self.size is None or 1 <= self.size <= 4096, "size", self.size, "from 1 to 4,096 pixels")
        require(0 <= self.smoothing < 1, "smoothing", self.smoothing, "at least 0 and less than 1")
        require(self.separator != "", "separator", "empty", "a text, or null")


@dataclass(frozen=True)
class ImageBatch:
    """Images side by side, what they show, and how they are moved."""

    pixels: Tensor
    """(B, C, H, W) from 0 to 255, a byte each."""
    wanted: Tensor
    """(B,) labels, or (B, K) of 0 and 1 where each may have several."""
    moves: Moves | None = None

    @property
    def tokens(self) -> int:
        return len(self.wanted)

    def to(self, device: torch.device) -> ImageBatch:
        moves = None if self.moves is None else self.moves.to(device)
        pixels, wanted = (moved(x, device) for x in (self.pixels, self.wanted))
        return ImageBatch(pixels, wanted, moves)


class ImageClassification(Task):
    """See the module's docstring."""

    name: ClassVar[str] = "image-classification"
    presets: ClassVar[Mapping[str, object]] = VIT
    config: ImageClassificationConfig

    def __init__(
        self, config: ImageClassificationConfig, processor: ImageProcessor, labels: dict[str, int]
    ) -> None:
        """`labels`: how often each stood in the training part, in the order of the classes; none of a body
        that others have trained without any, which answers with vectors."""
        self.config, self.processor, self.labels = config, processor, labels
        self.decoder = ImageDecoder(processor)
        self._place = {label: index for index, label in enumerate(labels)}
        self._length = 1

    @classmethod
    def forms(cls, config: ImageClassificationConfig) -> Forms:
        return (None, Labels(config.separator))

    @classmethod
    def model(cls, preset: str) -> ModelConfig:
        return vit(VIT[preset])

    @classmethod
    def prepare(
        cls, config: ImageClassificationConfig, rows: Rows, given: Mapping[str, str] = NO_FILES
    ) -> ImageClassification:
        check_learned(config.number)
        labels = count_labels(
            (label for row in rows for label in labels_of(row, config.separator)), config.target
        )
        wishes = (config.size, config.channels)
        processor = (
            given_image_processor(given, *wishes)
            if IMAGE_PROCESSOR in given
            else fit_image_processor(rows, *wishes)
        )
        return cls(config, processor, labels)

    @classmethod
    def restore(cls, config: ImageClassificationConfig, tokenizers: Mapping[str, str]) -> ImageClassification:
        least = 2 if config.number is None else 1
        labels = kept_labels(tokenizers, least) if LABELS in tokenizers else {}
        return cls(config, restored_image_processor(tokenizers), labels)

    def tokenizers(self) -> dict[str, str]:
        return {
            IMAGE_PROCESSOR: json.dumps(dump(self.processor)),
            **(written(self.labels) if self.labels else {}),
        }

    def configure_model(self, model: ModelConfig) -> ModelConfig:
        if (
            not isinstance(model, TransformerConfig)
            or not isinstance(model.head, Classes if self.labels else Classes | Vector)
            or not isinstance(model.embed, Patches)
        ):
            sentence = "{where} needs a {key} of kind 'transformer', with embedding 'patches', head 'classes'"
            raise ConfigError(sentence, self.name, "model")
        embed = fitted(model.embed, self.processor)
        if model.head.pooling != "mean" and not embed.class_token:
            sentence = "{key}: is '{value}', which needs model.embed.class_token; use '{limit}'"
            raise ConfigError(sentence, "model.head.pooling", model.head.pooling, "mean")
        self._length = embed.length
        stack = replace(model.stack, position=placed(model.stack.position, embed))
        head = model.head
        if isinstance(head, Classes):
            kept(self.tokenizers(), LABELS)  # which only a body can do without
            head = replace(head, count=sized_head(head, self.labels))
        return replace(model, embed=embed, stack=stack, head=head)

    def notes(self) -> list[str]:
        channels, rows, columns = self.processor.shape
        said = [f"images of {columns} × {rows} pixels, {'grey' if channels == 1 else 'in colour'}"]
        if greyed := self.decoder.greyed:
            said.append(f"{greyed:,} were in colour and made grey; task.channels = 3 keeps colour")
        return said

    # ------------------------------------------------------------------ training

    @property
    def fields(self) -> tuple[Field, ...]:
        labels = Field.indices("labels", len(self.labels), () if self.config.separator is None else (None,))
        return Field("pixels", "uint8", self.processor.shape, decode=self.decoder), labels

    def costs(self, store: ExampleStore) -> list[np.ndarray]:
        """What an image costs is what the model makes of it: its patches, as `fit` has learned."""
        return [np.full(len(store), self._length, dtype=np.int32)]

    def encode(self, rows: Iterable[Row]) -> Iterator[Encoded | None]:
        single = self.config.separator is None
        for row in rows:
            labels = [self._place[label] for label in labels_of(row, self.config.separator)]
            yield reference(row.values[0], row.where), labels[0] if single else labels

    def _image(self, row: Row) -> np.ndarray:
        """(C, H, W) of 0 … 255. Raises: DataError when it is none, or not of the model's size."""
        return self.decoder(reference(row.values[0], row.where))

    def batch(self, store: ExampleStore, rows: np.ndarray, epoch: int = 0) -> ImageBatch:
        pixels = torch.from_numpy(store.take(rows, "pixels", epoch))
        if self.config.separator is None:
            wanted = torch.from_numpy(store.take(rows, "labels"))
        else:
            wanted = torch.zeros((len(rows), len(self.labels)))
            for row, some in enumerate(store.ragged(rows, "labels")):
                wanted[row, some] = 1.0
        rng = np.random.default_rng([epoch, *rows.tolist()])
        moves = self.config.augmentation.draw(tuple(pixels.shape), rng)
        return ImageBatch(pixels, wanted, moves)

    def loss(self, model: nn.Module, batch: ImageBatch) -> Tensor:
        return self._summed(model, batch, self.config.smoothing, batch.moves)

    def nats(self, model: nn.Module, batch: ImageBatch) -> Tensor:
        return self._summed(model, batch, 0.0, None)

    def _summed(self, model: nn.Module, batch: ImageBatch, smoothing: float, moves: Moves | None) -> Tensor:
        images = self._centred(batch.pixels)
        logits = model(images if moves is None else moves.applied(images))
        if self.config.separator is not None:  # the mean over labels of a yes or no to each
            each = F.binary_cross_entropy_with_logits(logits, batch.wanted, reduction="none")
            return each.mean(1).sum()
        return F.cross_entropy(logits, batch.wanted, label_smoothing=smoothing, reduction="sum")

    def _centred(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) bytes as numbers of mean 0 and variance 1."""
        shape, about = (1, -1, 1, 1), self.processor
        mean = torch.tensor(about.mean, device=pixels.device).view(shape)
        deviation = torch.tensor(about.deviation, device=pixels.device).view(shape)
        return (pixels.to(torch.float32) / WHITE - mean) / deviation

    # ------------------------------------------------------------------ predicting

    def predict(self, model: nn.Module, inputs: Sequence[str], decoding: Decoding) -> list[Prediction]:
        """The most likely label of each image, named by its path, or all with a probability of a half and
        more; the scores are probabilities. Of a model of numbers, its number. Without labels, the vector of
        each as JSON."""
        assert isinstance(model, Transformer)
        if not self.labels:
            return [Prediction(as_text(vector)) for vector in self.vectors(model, inputs)]
        names, parts = list(self.labels), self._in_parts(model, inputs, decoding.batch_tokens)
        separator, number = self.config.separator, self.config.number
        shares = (probabilities(model(images).float(), separator, number).tolist() for images in parts)
        with torch.inference_mode():
            return [answer(names, row, decoding.n, separator, number) for rows in shares for row in rows]

    @torch.inference_mode()
    def vectors(self, model: nn.Module, texts: Sequence[str]) -> Tensor:
        """Of images, named by their paths: what their labels are read from."""
        assert isinstance(model, Transformer)
        head = model.config.head
        assert isinstance(head, Classes | Vector)
        parts = self._in_parts(model, texts, Decoding().batch_tokens)
        skipped = head.skipped if isinstance(head, Classes) else 0
        return torch.cat(
            [pooled(model.hidden(some), None, head.pooling, skipped).float().cpu() for some in parts]
        )

    def _in_parts(self, model: Transformer, inputs: Sequence[str], tokens: int) -> Iterator[Tensor]:
        """These images, few of them in memory at a time."""
        at_once = max(1, tokens // self._length)
        for start in range(0, len(inputs), at_once):
            yield self._given(model, inputs[start : start + at_once])

    def _given(self, model: Transformer, inputs: Sequence[str]) -> Tensor:
        """(n, C, H, W): what the model sees of these images."""
        pixels = np.stack([self.decoder(name) for name in inputs])
        return self._centred(torch.from_numpy(pixels).to(model.device))

    # ------------------------------------------------------------------ judging

    def score(
        self, predictions: Sequence[str], rows: Sequence[Row], tokenize: str | None = None
    ) -> dict[str, Any]:
        super().score((), (), tokenize)
        if not self.labels:
            sentence = "this model has learned no {key} yet; teach it: regard train {where} DATA --init RUN"
            raise InputError(sentence, "labels", self.name)
        if self.config.number is not None:
            return correlation_metrics(list(map(float, predictions)), [number_of(row) for row in rows])
        separator = self.config.separator
        split = (text.split(separator) if separator else [text] for text in predictions)
        said = [[label for label in labels if label] for labels in split]
        return class_metrics(said, [labels_of(row, separator) for row in rows], list(self.labels))

    def baselines(self, rows: Sequence[Row], train: Rows | None) -> dict[str, dict[str, Any]]:
        if self.config.number is not None:
            return {}
        most = max(self.labels, key=lambda label: self.labels[label])
        found = {"most frequent label": self.score([most] * len(rows), rows)}
        if self.config.separator is not None:
            return found
        if train is not None and len(self.labels) * math.prod(self.processor.shape) <= _MOST_MEANS:
            found["nearest mean of a class"] = self.score(self._nearest(rows, train), rows)
        return found

    def _nearest(self, rows: Sequence[Row], train: Rows) -> list[str]:
        """The label whose mean image is nearest to each."""
        sums = np.zeros((len(self.labels), math.prod(self.processor.shape)), dtype=np.float32)
        counts = np.zeros((len(self.labels), 1), dtype=np.float32)
        for row in train:
            if (place := self._place.get(_label(row))) is not None:
                sums[place] += self._image(row).reshape(-1)
                counts[place] += 1
        means = sums / np.maximum(counts, 1)
        lengths = np.where(counts[:, 0] > 0, (means**2).sum(1), np.inf)
        names = list(self.labels)
        images = (self._image(row).reshape(-1).astype(np.float32) for row in rows)
        return [names[int((lengths - 2 * means @ image).argmin())] for image in images]

    @property
    def input_spec(self) -> InputSpec:
        return InputSpec("image", shape=self.processor.shape)

    def outputs(self) -> list[str]:
        return list(self.labels)

    @property
    def independent(self) -> bool:
        return self.config.separator is not None or self.config.number is not None

    def write(self, model: nn.Module, text: str, decoding: Decoding) -> Iterator[str]:
        yield checked(self.predict(model, [text], decoding))[0].text

    def model_inputs(
        self, model: nn.Module, inputs: Sequence[str], decoding: Decoding
    ) -> tuple[list[list[int]], list[Tensor]]:
        assert isinstance(model, Transformer)
        return [], list(self._given(model, inputs))

    def dummy_inputs(self, model: nn.Module) -> tuple[list[list[int]], list[Tensor]]:
        assert isinstance(model, Transformer)
        rng = torch.Generator().manual_seed(1)
        noise = torch.randint(0, WHITE + 1, (2, *self.processor.shape), generator=rng)
        return [], list(self._centred(noise.to(model.device)))

    def tokens(self, source: Sequence[int], target: Sequence[int]) -> tuple[list[str], list[str]]:
        return [], [str(place) for place in range(self._length)]

    def inputs(self, rows: Iterable[Row]) -> list[str]:
        return [row.values[0] for row in rows]

    def render(self, rows: Sequence[Row], answers: Sequence[str]) -> bytes:
        """At most a hundred; mistakes come first."""
        pairs = sorted(zip(rows, answers, strict=True), key=lambda pair: pair[1] == _label(pair[0]))[:_DRAWN]
        images = [self._image(row).transpose(1, 2, 0) for row, _ in pairs]
        return drawn(
            [Tile(image, _label(row), answer) for image, (row, answer) in zip(images, pairs, strict=True)]
        )


def _label(row: Row) -> str:
    return row.values[1].strip()
