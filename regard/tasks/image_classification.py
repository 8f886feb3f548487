"""Image classification: an image gets one of some labels, or several, or a number, as a Vision Transformer
(arXiv 2010.11929) does it.

The stack is an encoder like any other; what differs is that patches of pixels enter instead of tokens. All
images of a model have one size, so that nothing is padded."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from regard.data.field import Encoded, Field
from regard.data.image_grid import Tile, drawn
from regard.data.image_processor import IMAGE_PROCESSOR, WHITE, ImageDecoder, ImageProcessor, reference
from regard.data.readers.images import IMAGE
from regard.data.rows import Row, Rows
from regard.data.store import ExampleStore
from regard.errors import ConfigError, require
from regard.model.embed import Patches
from regard.model.head import Classes, Head, pooled
from regard.model.head import Vector as VectorHead
from regard.model.presets import VIT, vit
from regard.model.transformer import ModelConfig, Transformer, TransformerConfig
from regard.schema import dump
from regard.tasks.augment import Augmentation, Moves, NoAugmentation
from regard.tasks.batch import TargetBatch
from regard.tasks.decoding import Decoding
from regard.tasks.image_processor import (
    ImageSpec,
    fit_image_processor,
    fitted,
    given_image_processor,
    placed,
    restored_image_processor,
)
from regard.tasks.known_data import IMAGES
from regard.tasks.labels import LABELS, head_for
from regard.tasks.parts import kept
from regard.tasks.prediction import vector_of
from regard.tasks.protocols import Sequences
from regard.tasks.targets import OneLabel, Target, TargetTask, check_options, target_kind
from regard.tasks.task import NO_FILES, TASKS, Column, Files, InputSpec, Losses, Predictions, TaskConfig
from regard.values import Image, Prediction, Value

_DRAWN = 100
_MOST_MEANS = 1 << 26
"""Numbers in the class means of a baseline, at most."""


@dataclass(frozen=True)
class ImageClassificationConfig(TaskConfig):
    """How images and labels are read and judged."""

    source: str = IMAGE
    """The column that holds the image: `image` of images in folders and of MNIST's files; in a table, one
    with paths."""
    target: str = "label"
    """The column that holds the label, or the number."""
    separator: str | None = None
    """What stands between the labels of an image that may have several, or joins those of a list; None where
    each has one."""
    number: Literal["plain", "sigmoid"] | None = None
    """Of images that have a number in the place of a label, what the model's one output is: that number, or
    the logit of a probability from 0 to 1; null for labels."""
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
    number_metric: Literal["spearman", "pearson", "rmse", "mae"] = "spearman"
    """The figure that does so where the answer is a number."""
    kind: Literal["image-classification"] = "image-classification"

    def __post_init__(self) -> None:
        require(self.size is None or 1 <= self.size <= 4096, "size", self.size, "from 1 to 4,096 pixels")
        check_options(self)


@dataclass(frozen=True)
class ImageBatch(TargetBatch):
    """Images side by side, what they show, and how they are moved."""

    pixels: Tensor
    """(B, C, H, W) from 0 to 255, a byte each."""
    wanted: Tensor
    """(B,) or (B, K), as the target has it."""
    moves: Moves | None = None


@TASKS.register
class ImageClassification(TargetTask):
    """See the module's docstring."""

    name: ClassVar[str] = "image-classification"
    presets: ClassVar = {name: vit(size) for name, size in VIT.items()}
    known_data = IMAGES
    Config = ImageClassificationConfig
    config: ImageClassificationConfig

    def __init__(
        self, config: ImageClassificationConfig, processor: ImageProcessor, target: Target | None
    ) -> None:
        """`target`: None of a body that others have trained without labels, which answers with vectors."""
        self.config, self.processor, self.target = config, processor, target
        self.decoder = ImageDecoder(processor)
        self._length = 1

    @classmethod
    def columns(cls, config: ImageClassificationConfig) -> tuple[Column, ...]:
        return Column(config.source, Image), target_kind(config).column(config)

    @classmethod
    def prepare(cls, config: ImageClassificationConfig, rows: Rows | None, files: Files = NO_FILES) -> Self:
        kind = target_kind(config)
        if rows is None:
            target = kind.restore(config, files) if LABELS in files else None
            return cls(config, restored_image_processor(files), target)
        target = kind.fit(config, rows)
        if IMAGE_PROCESSOR in files:
            return cls(config, given_image_processor(files, config.size, config.channels), target)
        return cls(config, fit_image_processor(rows, config.size, config.channels), target)

    def files(self) -> dict[str, str]:
        processor = {IMAGE_PROCESSOR: json.dumps(dump(self.processor))}
        return processor | (self.target.files() if self.target else {})

    def configure_model(self, model: ModelConfig) -> ModelConfig:
        if (
            not isinstance(model, TransformerConfig)
            or not isinstance(model.head, Classes if self.target else Classes | VectorHead)
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
        head: Head = model.head
        if isinstance(head, Classes):
            kept(self.files(), LABELS)  # which only a body can do without
            head = head_for(head, self._target.labels)
        return replace(model, embed=embed, stack=stack, head=head)

    def notes(self) -> list[str]:
        channels, rows, columns = self.processor.shape
        said = [f"images of {columns} × {rows} pixels, {'grey' if channels == 1 else 'in colour'}"]
        if greyed := self.decoder.greyed:
            said.append(f"{greyed:,} were in colour and made grey; task.channels = 3 keeps colour")
        return said + (self.target.notes() if self.target else [])

    # ------------------------------------------------------------------ training

    @property
    def _target(self) -> Target:
        """Of a model that was trained with one."""
        assert self.target is not None
        return self.target

    @property
    def fields(self) -> tuple[Field, ...]:
        pixels = Field("pixels", "uint8", self.processor.shape, decode=self.decoder)
        return pixels, self._target.field

    def costs(self, store: ExampleStore) -> list[np.ndarray]:
        """What an image costs is what the model makes of it: its patches, as `fit` has learned."""
        return [np.full(len(store), self._length, dtype=np.int32)]

    def encode(self, rows: Iterable[Row]) -> Iterator[Encoded | None]:
        for row in rows:
            yield reference(row.values[0], row.where), self._target.encode(row)

    def _image(self, row: Row) -> np.ndarray:
        """(C, H, W) of 0 … 255. Raises: DataError when it is none, or not of the model's size."""
        return self.decoder(reference(row.values[0], row.where))

    def _pixels(self, given: Any) -> np.ndarray:
        """The same of an input."""
        image = Image.parse(self.input.parse(given))
        if isinstance(image.source, Path):  # of a file, or of an image in one
            return self.decoder(str(image.source))
        return self.processor.pixels(image.pixels, image.name)

    def batch(self, store: ExampleStore, rows: np.ndarray, epoch: int = 0) -> ImageBatch:
        pixels = torch.from_numpy(store.take(rows, "pixels", epoch))
        rng = np.random.default_rng([epoch, *rows.tolist()])
        moves = self.config.augmentation.draw(tuple(pixels.shape), rng)
        return ImageBatch(pixels, self._target.batch(store, rows), moves)

    def loss(self, model: nn.Module, batch: ImageBatch) -> Losses:
        images = self._centred(batch.pixels)
        moves = batch.moves if model.training else None
        logits = model(images if moves is None else moves.applied(images))
        smoothing = self.config.smoothing if model.training else 0.0
        return {"loss": self._target.loss(logits, batch.wanted, smoothing)}

    def _centred(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) bytes as numbers of mean 0 and variance 1."""
        shape, about = (1, -1, 1, 1), self.processor
        mean = torch.tensor(about.mean, device=pixels.device).view(shape)
        deviation = torch.tensor(about.deviation, device=pixels.device).view(shape)
        return (pixels.to(torch.float32) / WHITE - mean) / deviation

    # ------------------------------------------------------------------ predicting

    def predict(self, model: nn.Module, inputs: Sequence[Any], decoding: Decoding) -> Predictions:
        """The most likely label of each image, or all with a probability of a half and more; the scores are
        probabilities. Of a model of numbers, its number. Without labels, the vector of each."""
        if (target := self.target) is None:
            return [Prediction(vector_of(vector)) for vector in self.vectors(model, inputs)]
        parts = self._in_parts(model, inputs, decoding.batch_tokens)
        probabilities = (target.probabilities(model(images).float()).tolist() for images in parts)
        with torch.inference_mode():
            return [target.answer(row, decoding.n) for rows in probabilities for row in rows]

    @torch.inference_mode()
    def vectors(self, model: nn.Module, inputs: Sequence[Any]) -> Tensor:
        """Of images: what their labels are read from."""
        assert isinstance(model, Transformer)
        head = model.config.head
        assert isinstance(head, Classes | VectorHead)
        parts = self._in_parts(model, inputs, Decoding().batch_tokens)
        skipped = head.skipped if isinstance(head, Classes) else 0
        found = [pooled(model.hidden(some), None, head.pooling, skipped).float().cpu() for some in parts]
        return torch.cat(found)

    def _in_parts(self, model: nn.Module, inputs: Sequence[Any], tokens: int) -> Iterator[Tensor]:
        """These images, few of them in memory at a time."""
        at_once = max(1, tokens // self._length)
        for start in range(0, len(inputs), at_once):
            yield self._given(model, inputs[start : start + at_once])

    def _given(self, model: nn.Module, inputs: Sequence[Any]) -> Tensor:
        """(n, C, H, W): what the model sees of these images."""
        assert isinstance(model, Transformer)
        pixels = np.stack([self._pixels(given) for given in inputs])
        return self._centred(torch.from_numpy(pixels).to(model.device))

    # ------------------------------------------------------------------ evaluating

    def guesses(self, target: OneLabel, rows: Sequence[Row], train: Rows) -> tuple[str, list[str] | None]:
        """The label whose mean image is nearest to each, where there are not too many."""
        name, names, size = "nearest mean of a class", target.names, math.prod(self.processor.shape)
        if len(names) * size > _MOST_MEANS:
            return name, None
        sums = np.zeros((len(names), size), dtype=np.float32)
        counts = np.zeros((len(names), 1), dtype=np.float32)
        for row in train:
            if (place := target.index.get(_label(row))) is not None:
                sums[place] += self._image(row).reshape(-1)
                counts[place] += 1
        means = sums / np.maximum(counts, 1)
        lengths = np.where(counts[:, 0] > 0, (means**2).sum(1), np.inf)
        images = (self._image(row).reshape(-1).astype(np.float32) for row in rows)
        return name, [names[int((lengths - 2 * means @ image).argmin())] for image in images]

    @property
    def input(self) -> InputSpec:
        return ImageSpec(Image, shape=self.processor.shape)

    def model_inputs(self, model: nn.Module, inputs: Sequence[Any], decoding: Decoding) -> Sequences:
        return [], list(self._given(model, inputs))

    def dummy_inputs(self, model: nn.Module) -> Sequences:
        assert isinstance(model, Transformer)
        rng = torch.Generator().manual_seed(1)
        noise = torch.randint(0, WHITE + 1, (2, *self.processor.shape), generator=rng)
        return [], list(self._centred(noise.to(model.device)))

    def tokens(self, source: Sequence[int], target: Sequence[int]) -> tuple[list[str], list[str]]:
        return [], [str(place) for place in range(self._length)]

    def render(self, rows: Sequence[Row], answers: Sequence[Value]) -> bytes:
        """At most a hundred; mistakes come first."""
        texts = [answer.plain() for answer in answers]
        pairs = sorted(zip(rows, texts, strict=True), key=lambda pair: pair[1] == _label(pair[0]))[:_DRAWN]
        images = [self._image(row).transpose(1, 2, 0) for row, _ in pairs]
        tiles = zip(images, pairs, strict=True)
        return drawn([Tile(image, _label(row), answer) for image, (row, answer) in tiles])

    def page_facts(self, rooms: Sequence[int]) -> dict[str, Any]:
        return {"look": asdict(self.processor), "labels": self.outputs(), "separator": None}

    def page_problems(self) -> Iterator[str]:
        if self.processor.shape[0] != 1:
            yield "its images are in colour, where those drawn on a page are grey"
        if self.target is None:
            yield "it has learned no labels"
        if self.independent is not False:
            yield "its images may have several labels, or a number, where a page gives one label to each"


def _label(row: Row) -> str:
    return row.values[1].strip()
