"""What a head of K outputs learns to say of a whole input: one label, several labels, or a number.

A target reads what a row holds, makes the loss of the outputs, and of the outputs an answer. Each of the
three can do the same; what that is, `OneLabel` and its base say. A task that has one is configured by
`target`, `separator`, `number`, `smoothing`, `metric`, `number_metric`. It does not know what the input is.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor

from regard.data.field import Field
from regard.data.readers.forms import Labels as LabelForm
from regard.data.rows import Row, Rows
from regard.data.store import ExampleStore
from regard.errors import ConfigError, DataError, InputError, both_given, require
from regard.tasks.class_metrics import class_metrics
from regard.tasks.labels import count_labels, kept_labels, labels_of, several, written
from regard.tasks.metric import ComparedAnswers, Metric, scored
from regard.tasks.numbers import SCALE, NumberForm, NumberMetric, Scale, number_of
from regard.tasks.prediction import finite
from regard.tasks.task import Column, Task
from regard.values import Labels, Prediction, Score, Value, Vector

Weights = Tensor | None
"""(K,): how much each label counts; None where that is all the same, which some losses compute otherwise."""
_MANY = 20


class _Labels:
    """What labels have in common, whether an input has one or several."""

    value: ClassVar[type[Value]] = Labels
    """What an answer is."""
    independent: ClassVar[bool]
    """As `Inspects.independent`."""

    def __init__(self, config: Any, labels: Mapping[str, int]) -> None:
        """`config`: the task's; `labels`: how often each stood in the training part, in the order of the
        classes."""
        self.config, self.labels, self.names = config, labels, list(labels)
        self.index = {label: index for index, label in enumerate(labels)}

    # ------------------------------------------------------------------ making and keeping

    @classmethod
    def column(cls, config: Any) -> Column:
        """The column that holds it."""
        return Column(config.target, Labels, LabelForm(config.separator))

    @classmethod
    def fit(cls, config: Any, rows: Rows) -> Self:
        """What is learned from these rows. Raises: DataError where that is nothing."""
        labels = (label for row in rows for label in labels_of(row, config.separator))
        return cls(config, count_labels(labels, config.target))

    @classmethod
    def restore(cls, config: Any, files: Mapping[str, str]) -> Self:
        """Out of a bundle. Raises: BundleError."""
        return cls(config, kept_labels(files))

    def files(self) -> dict[str, str]:
        """For a bundle."""
        return written(self.labels)

    def notes(self) -> list[str]:
        """As `Task.notes`."""
        numbers = all(isinstance(NumberForm().text(name, ()), str) for name in self.names)
        if self.independent or len(self.names) < _MANY or not numbers:
            return []
        return [f"all {len(self.names):,} labels are numbers; task.number = plain learns them as such"]

    # ------------------------------------------------------------------ predicting and evaluating

    def answer(self, probabilities: Sequence[float], n: int, unseen: int = 0) -> Prediction[Any]:
        """To one input, of (K,), with the `n` best candidates. `unseen`: tokens that were not read.

        Raises: NonFiniteOutputError.
        """
        order = sorted(range(len(self.names)), key=lambda i: -probabilities[i])[:n]
        score, value = self._best(probabilities, order[0])
        best = [(self.names[i], probabilities[i]) for i in order]
        candidates = tuple((Labels((name,), (p,)), p) for name, p in best) if len(best) > 1 else ()
        return Prediction(value, score, candidates, unseen)

    @abstractmethod
    def _best(self, probabilities: Sequence[float], likeliest: int) -> tuple[float, Labels]:
        """The answer, after its probability."""

    def metric(self) -> Metric:
        """What answers are measured by."""
        reference = partial(labels_of, separator=self.config.separator)
        compare = partial(class_metrics, labels=self.names)
        return ComparedAnswers(self.config.metric, lambda value: value.answer, reference, compare)

    def baselines(self, rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
        """Figures of the best answer that is the same for all rows."""
        most = max(self.labels, key=lambda label: self.labels[label])
        return {"most frequent label": scored(self.metric(), [several([most], None)] * len(rows), rows)}


class OneLabel(_Labels):
    """One of K labels: softmax, and cross-entropy."""

    independent = False

    @property
    def field(self) -> Field:
        """What examples hold of it."""
        return Field.indices("labels", len(self.names), ())

    def encode(self, row: Row) -> ArrayLike:
        """What goes there. Raises: DataError."""
        return self.index[labels_of(row, None)[0]]

    def batch(self, store: ExampleStore, rows: np.ndarray) -> Tensor:
        """(B, …): what is learned of these examples."""
        return torch.from_numpy(store.take(rows, "labels"))

    def loss(self, logits: Tensor, wanted: Tensor, smoothing: float = 0.0, weights: Weights = None) -> Tensor:
        """Of (B, K) outputs, summed. `smoothing`: of labels."""
        if weights is None:
            return F.cross_entropy(logits, wanted, label_smoothing=smoothing, reduction="sum")
        hot = F.one_hot(wanted, len(self.names)).to(weights)
        smooth = hot * (1 - smoothing) + smoothing / len(self.names)
        each = -(smooth * logits.log_softmax(-1)).sum(1)
        return (each * (hot * weights).sum(1)).sum()

    def divergence(self, one: Tensor, other: Tensor) -> Tensor:
        """The divergence of Kullback and Leibler of what two (B, K) outputs say, both ways, summed."""
        log_ratio = one.log_softmax(-1) - other.log_softmax(-1)
        return ((one.softmax(-1) - other.softmax(-1)) * log_ratio).sum()

    def probabilities(self, logits: Tensor) -> Tensor:
        """(B, K) outputs → (B, K) probabilities, or the numbers as which a model of numbers answers."""
        return logits.softmax(-1)

    def _best(self, probabilities: Sequence[float], likeliest: int) -> tuple[float, Labels]:
        score = finite(probabilities[likeliest])
        return score, Labels((self.names[likeliest],), (score,))


class SeveralLabels(_Labels):
    """Any of K labels: a yes or no to each, and the mean of their losses; the answer is what has a
    probability of a half and more."""

    independent = True

    @property
    def field(self) -> Field:
        return Field.indices("labels", len(self.names))

    def encode(self, row: Row) -> ArrayLike:
        return [self.index[label] for label in labels_of(row, self.config.separator)]

    def batch(self, store: ExampleStore, rows: np.ndarray) -> Tensor:
        wanted = torch.zeros((len(rows), len(self.names)))
        for row, places in enumerate(store.ragged(rows, "labels")):
            wanted[row, places] = 1.0
        return wanted

    def loss(self, logits: Tensor, wanted: Tensor, smoothing: float = 0.0, weights: Weights = None) -> Tensor:
        each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        return (each if weights is None else each * weights).mean(1).sum()

    def divergence(self, one: Tensor, other: Tensor) -> Tensor:
        # what stands on the right are the logarithms of a probability and of what it lacks to 1
        return ((one.sigmoid() - other.sigmoid()) * (one - other)).mean(1).sum()

    def probabilities(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()

    def _best(self, probabilities: Sequence[float], likeliest: int) -> tuple[float, Labels]:
        labels = [name for name, p in zip(self.names, probabilities, strict=True) if p >= 0.5]
        highest = probabilities[likeliest]
        return finite(highest if labels else 1 - highest), several(labels, self.config.separator)


class Number:
    """A number, the head's one output.

    Plain, it is learned by the squared error, in standard deviations from the mean of the training part; the
    bundle keeps both, so that answers come in the unit of the data. With a sigmoid the output is the logit of
    a probability, learned by cross-entropy, as rerankers are (arXiv 1901.04085).
    """

    value: ClassVar[type[Value]] = Score

    def __init__(self, config: Any, labels: Mapping[str, int], scale: Scale | None = None) -> None:
        """`scale`: None of a model that was trained elsewhere."""
        self.config, self.labels, self.names = config, labels, list(labels)
        self.scale, self.plain = scale, config.number == "plain"
        self.independent = None if self.plain else True
        self._mean, self._deviation = (scale.mean, scale.deviation) if scale and self.plain else (0.0, 1.0)

    @classmethod
    def column(cls, config: Any) -> Column:
        return Column(config.target, Score, NumberForm())

    @classmethod
    def fit(cls, config: Any, rows: Rows) -> Self:
        numbers = np.fromiter((number_of(row) for row in rows), np.float64)
        return cls(config, {config.target: len(numbers)}, Scale.of(numbers, config.target))

    @classmethod
    def restore(cls, config: Any, files: Mapping[str, str]) -> Self:
        scale = Scale.restore(files) if SCALE in files else None
        return cls(config, kept_labels(files, 1, 1), scale)

    def files(self) -> dict[str, str]:
        kept = {} if self.scale is None else {SCALE: json.dumps(asdict(self.scale))}
        return written(self.labels) | kept

    def notes(self) -> list[str]:
        return []

    @property
    def field(self) -> Field:
        return Field("number", "float32")

    def encode(self, row: Row) -> ArrayLike:
        number = number_of(row)
        if not self.plain and not 0 <= number <= 1:
            sentence = "{where}: the {key} is {value:g}; a probability is {limit}"
            raise DataError(sentence, row.where, self.config.target, number, "from 0 to 1")
        return (number - self._mean) / self._deviation

    def batch(self, store: ExampleStore, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(store.take(rows, "number"))

    def loss(self, logits: Tensor, wanted: Tensor, smoothing: float = 0.0, weights: Weights = None) -> Tensor:
        output = logits.float().squeeze(1)
        if self.plain:
            return F.mse_loss(output, wanted, reduction="sum")
        return F.binary_cross_entropy_with_logits(output, wanted, reduction="sum")

    def divergence(self, one: Tensor, other: Tensor) -> Tensor:
        """Of a plain number: of two normal distributions around it, as wide as the data."""
        return ((self.probabilities(one) - self.probabilities(other)) * (one - other)).sum()

    def probabilities(self, logits: Tensor) -> Tensor:
        return logits if self.plain else logits.sigmoid()

    def answer(self, probabilities: Sequence[float], n: int, unseen: int = 0) -> Prediction[Any]:
        number = finite(self._mean + self._deviation * probabilities[0])
        return Prediction(Score(number), number, unseen=unseen)

    def metric(self) -> Metric:
        return NumberMetric(self.config.number_metric)

    def baselines(self, rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
        if self.scale is None:
            return {}
        answers = [Score(self.scale.mean)] * len(rows)
        return {"mean of the training part": scored(self.metric(), answers, rows)}


Target = OneLabel | SeveralLabels | Number


class TargetTask(Task):
    """A task that learns a target."""

    target: Target | None
    """None of a body that others have trained without labels, which answers with vectors."""

    @property
    def output(self) -> type[Value]:
        return self.target.value if self.target else Vector

    @property
    def independent(self) -> bool | None:
        return self.target.independent if self.target else False

    def outputs(self) -> list[str]:
        return self.target.names if self.target else []

    def metric(self) -> Metric:
        if self.target is None:
            sentence = "this model has learned no {key} yet; teach it: regard train {where} DATA --init RUN"
            raise InputError(sentence, "labels", self.name)
        return self.target.metric()

    def baselines(self, rows: Sequence[Row], train: Rows | None) -> dict[str, dict[str, Any]]:
        assert self.target is not None
        found = self.target.baselines(rows)
        if train is not None and isinstance(self.target, OneLabel):
            name, labels = self.guesses(self.target, rows, train)
            if labels is not None:
                found[name] = scored(self.metric(), [several([label], None) for label in labels], rows)
        return found

    @abstractmethod
    def guesses(self, target: OneLabel, rows: Sequence[Row], train: Rows) -> tuple[str, list[str] | None]:
        """The labels of some rows as a simple method guesses them from others, if it can; after its name."""


def target_kind(config: Any) -> type[OneLabel] | type[SeveralLabels] | type[Number]:
    """What a task with these options learns."""
    if config.number is not None:
        return Number
    return OneLabel if config.separator is None else SeveralLabels


def check_options(config: Any) -> None:
    """Raise ConfigError for options of a target that are wrong, or do not go together."""
    require(0 <= config.smoothing < 1, "smoothing", config.smoothing, "at least 0 and less than 1")
    require(config.separator != "", "separator", "empty", "a text, or null")
    if config.number and config.separator:
        raise both_given(ConfigError, "task.number", "task.separator")
