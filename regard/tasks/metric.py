"""How good a model's answers are: a metric is told of them part by part, and makes figures of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from torch import nn

from regard.data.rows import Row
from regard.tasks.decoding import Decoding
from regard.tasks.prediction import checked
from regard.values import Prediction, Value

if TYPE_CHECKING:
    from regard.tasks.task import Task


class Metric(ABC):
    """Figures of answers. One that needs no predictions has a `measure` of its own instead of `update`."""

    key: str
    """The figure that chooses between checkpoints."""
    lower: bool = False
    """Whether the lower one is the better."""
    figures: tuple[tuple[str, str, str], ...] = ()
    """Those of its own that a table shows: name, title for people, and format, such as "{:.1f} %"."""

    def update(self, predictions: Sequence[Prediction[Any]], rows: Sequence[Row]) -> None:
        """Count some predictions in, with the rows that they are for."""
        raise NotImplementedError

    @abstractmethod
    def compute(self) -> dict[str, Any]:
        """All figures by name, of all that was counted: `count` how many rows that were."""

    def measure(self, task: Task, model: nn.Module, rows: Sequence[Row], decoding: Decoding) -> list[Value]:
        """Ask the model about these rows and count that in; what it answered, if that are predictions.

        `model`: in evaluation mode. Raises: NonFiniteOutputError.
        """
        predictions = checked(task.predict(model, task.inputs(rows), decoding))
        self.update(predictions, rows)
        return [prediction.value for prediction in predictions]

    def selection_score(self, figures: Mapping[str, Any]) -> float:
        """The figure that chooses, as a number of which more is better."""
        return -float(figures[self.key]) if self.lower else float(figures[self.key])


class ComparedAnswers(Metric):
    """Figures of answers beside what the rows have."""

    def __init__(
        self,
        key: str,
        answer: Callable[[Any], Any],
        reference: Callable[[Row], Any],
        compare: Callable[[list[Any], list[Any]], dict[str, Any]],
    ) -> None:
        """`answer`: what of a value is compared; `reference`: with what of a row; `compare`: the figures."""
        self.key, self._answer, self._reference, self._compare = key, answer, reference, compare
        self._answers: list[Any] = []
        self._references: list[Any] = []

    def update(self, predictions: Sequence[Prediction[Any]], rows: Sequence[Row]) -> None:
        self._answers += [self._answer(prediction.value) for prediction in predictions]
        self._references += map(self._reference, rows)

    def compute(self) -> dict[str, Any]:
        return self._compare(self._answers, self._references)


@runtime_checkable
class Tokenizes(Protocol):
    """A metric that cuts texts into words, which can be done in several ways."""

    def tokenized(self, name: str) -> Self:
        """The same with another tokenizer. Raises: InputError for one that is not known."""


@dataclass(frozen=True)
class Evaluation:
    """How a model did on some rows."""

    figures: dict[str, Any]
    """Figures of merit by name."""
    answers: list[Value]
    """What it predicted, row by row; none where the figures need no predictions."""


def evaluate(
    task: Task, model: nn.Module, rows: Sequence[Row], decoding: Decoding, metric: Metric | None = None
) -> Evaluation:
    """How the model does on these rows; `metric`: the task's, unless another is given."""
    metric = metric or task.metric()
    answers = metric.measure(task, model, rows, decoding)
    return Evaluation(metric.compute(), answers)


def scored(metric: Metric, answers: Sequence[Value], rows: Sequence[Row]) -> dict[str, Any]:
    """The figures of answers that no model made, for these rows."""
    metric.update([Prediction(answer) for answer in answers], rows)
    return metric.compute()
