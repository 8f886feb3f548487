"""What a task is: how rows of data become batches, a loss, predictions and figures.

A task stands between data and a model. The training loop, the bundle, `run.py` and the command line
know only this class; whatever differs between translating and classifying is in the subclass, one
file a kind of task. What only some tasks can do is in `protocols.py`. A task does not know how it is trained,
nor where it is saved.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

import numpy as np
from torch import Tensor, device, nn

from regard.data.field import Encoded, Field
from regard.data.readers import open_data
from regard.data.readers.forms import Form
from regard.data.rows import DataSet, Row, Rows
from regard.data.sample import valid_text
from regard.data.store import ExampleStore
from regard.errors import ConfigError, InputError
from regard.model.transformer import ModelConfig
from regard.registry import Registry
from regard.tasks.decoding import Decoding
from regard.tasks.known_data import Suited
from regard.tasks.metric import Evaluation, Metric
from regard.tasks.protocols import PROTOCOLS, members_of
from regard.values import Prediction, Text, Value

__all__ = ["NO_FILES", "SENTENCES", "TASKS", "Batch", "Column", "Evaluation", "Files", "InputSpec", "Presets"]
__all__ += ["Task", "TaskConfig"]

SENTENCES = ("The cat sat on the mat.", "It rained all day, and nobody came.", "Where is the station?")
"""What a model that brought no data is tried with."""
Files = Mapping[str, str]
"""A task's own of a bundle: contents by name."""
NO_FILES: Files = MappingProxyType({})
Presets = Mapping[str, ModelConfig]
"""Models by the names of their sizes."""
Losses = Mapping[str, Tensor]
"""`loss`, which is trained on, and what else is worth logging, each summed over the batch's `tokens`."""


Predictions = list[Prediction[Any]]


class Batch(Protocol):
    """Examples as tensors."""

    @property
    def tokens(self) -> int:
        """How many predictions the loss is summed over; known without waiting for a device."""

    def to(self, device: device) -> Batch: ...


@dataclass(frozen=True)
class InputSpec:
    """What an input of a task is made of, for whoever asks people for one."""

    value: type[Value] = Text
    """Its kind."""
    other: type[Value] | None = None
    """Another kind that may be given in its place."""
    means_value: Callable[[str], bool] = lambda text: True
    """Of a text that people give: whether it means the first kind and not the other."""
    names: tuple[str, ...] = ()
    """Of the two texts of a pair."""
    hole: str = ""
    """What stands in a text for a word to be guessed."""
    shape: tuple[int, ...] = ()
    """Channels, rows and columns that images are brought to."""
    columns: tuple[Column, ...] = ()
    """Those of a table that make an input, where it takes several; a file of inputs is then such a table."""

    @property
    def kind(self) -> str:
        """Its kind, as pages and HTTP name it: a text, where they have no way to ask for such a value."""
        return {"pair": "pair", "image": "image", "chat": "dialogue"}.get(self.value.kind, "text")

    def parse(self, given: object) -> Value:
        """The value that somebody gave: a text that means it, or the value itself. Raises: InputError."""
        if isinstance(given, self.value if self.other is None else (self.value, self.other)):
            assert isinstance(given, Value)
            return given
        if not isinstance(given, str):
            if self.other is not None:
                with suppress(InputError):
                    return self.other.parse(given)
            return self.value.parse(given)
        kind = self.value if self.other is None or self.means_value(given) else self.other
        return kind.parse(valid_text(given))


@dataclass(frozen=True)
class Column:
    """A column of data."""

    name: str | None
    """None for one to be found."""
    value: type[Value] = Text
    """What it holds."""
    form: Form | None = None
    """How that is read, where it is more than text."""
    key: bool = False
    """Whether it has a part in what says in which split a row is; where no column has, the first says it."""


class TaskConfig:
    """The options of a task: a frozen dataclass whose `kind` is the task's name."""


class Task(ABC):
    """See the module's docstring."""

    name: ClassVar[str]
    """The field's name for it, as typed after `regard train`."""
    presets: ClassVar[Presets]
    """The models that suit it, by the names of their sizes; vocabularies are left at 0."""
    known_data: ClassVar[Mapping[str, Suited]] = {}
    """What suits some data sets, by their names."""
    Config: ClassVar[type[TaskConfig]]
    """The class of its options."""
    config: Any
    """Its options."""

    # ------------------------------------------------------------------ making and keeping

    @property
    @abstractmethod
    def input(self) -> InputSpec:
        """What it predicts from."""

    @property
    @abstractmethod
    def output(self) -> type[Value]:
        """The kind of value that it predicts."""

    @classmethod
    @abstractmethod
    def columns(cls, config: Any) -> tuple[Column, ...]:
        """The columns of data that it reads, in the order in which rows have them."""

    @classmethod
    @abstractmethod
    def prepare(cls, config: Any, rows: Rows | None, files: Files = NO_FILES) -> Task:
        """The task, ready for training or for use.

        `rows`: the training part, on which tokenizers are trained and labels counted; None takes everything
        from the `files` of a bundle. Both are given where a bundle's body is fine-tuned: tokenizers come from
        the files, and the rest from the rows.
        """

    @abstractmethod
    def files(self) -> dict[str, str]:
        """File name → contents, for the bundle."""

    @abstractmethod
    def configure_model(self, model: ModelConfig) -> ModelConfig:
        """`model` with the sizes that the data decide, such as the vocabulary.

        Raises: ConfigError when it was made for other data.
        """

    def notes(self) -> list[str]:
        """What was decided while the training part was read, for people."""
        return []

    # ------------------------------------------------------------------ training

    def costs(self, store: ExampleStore) -> list[np.ndarray]:
        """What an example costs in a batch: its length (examples,) in each sequence that `batch` makes."""
        return [store.lengths(field.name) for field in self.fields if field.shape == (None,)]

    @property
    @abstractmethod
    def fields(self) -> tuple[Field, ...]:
        """The arrays that an example consists of, once the task is prepared."""

    @abstractmethod
    def encode(self, rows: Iterable[Row]) -> Iterator[Encoded | None]:
        """Each example's arrays in the order of `fields`, or None for one that is too long for this task."""

    @abstractmethod
    def batch(self, store: ExampleStore, rows: np.ndarray, epoch: int = 0) -> Batch:
        """The chosen examples of `store` side by side; any chance in it follows from `rows` and `epoch`."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Any) -> Losses:
        """`loss`, in nats where it is a cross-entropy, and named components of it, each summed over the
        batch's `tokens` predictions. What regularises, such as label smoothing, is left out of a model in
        evaluation mode, as dropout is."""

    # ------------------------------------------------------------------ predicting and evaluating

    @abstractmethod
    def predict(self, model: nn.Module, inputs: Sequence[Any], decoding: Decoding) -> Predictions:
        """One prediction an input, in order; an input is what `input.parse` takes.

        Raises: InputError for an input that this model cannot take.
        """

    @abstractmethod
    def metric(self) -> Metric:
        """What its answers are measured by, with nothing counted yet."""

    def inputs(self, rows: Iterable[Row]) -> list[Value]:
        """What `predict` is given for these rows: here, what the first column holds."""
        return [self.input.parse(row.values[0]) for row in rows]

    def format_row(self, row: Row) -> tuple[str, str]:
        """A row for people to read: what is given, and what should be answered."""
        return row.values[0], row.values[-1]


def _check_task(task: type[Task]) -> None:
    """Raises: ConfigError for a task that lacks something."""
    where = task.__qualname__
    if missing := sorted(getattr(task, "__abstractmethods__", ())):
        raise ConfigError("{where} lacks {value}", where, ", ".join(missing))
    config: Any = getattr(task, "Config", None)
    known = is_dataclass(config) and isinstance(config, type) and issubclass(config, TaskConfig)
    if not known or getattr(config, "kind", None) != task.name:
        sentence = "{where}.{key} is {value}; it must be {limit}"
        limit = f"a dataclass, a subclass of TaskConfig, whose field `kind` is '{task.name}'"
        raise ConfigError(sentence, where, "Config", config, limit)
    if not getattr(task, "presets", None):
        raise ConfigError("{where} has no {key}: the models that suit it", where, "presets")
    for protocol in PROTOCOLS:
        members = members_of(protocol)
        lacks = {name for name in members if not hasattr(task, name)}
        if lacks and lacks != members:
            sentence = "{where} has {value} of {key}, but not {limit}"
            has, not_there = (", ".join(sorted(some)) for some in (members - lacks, lacks))
            raise ConfigError(sentence, where, has, protocol.__name__, not_there)


TASKS: Registry[type[Task]] = Registry(
    "tasks",
    *(f"regard.tasks.{module.name}" for module in iter_modules([str(Path(__file__).parent)])),
    base=Task,
    options=TaskConfig,
    attribute="name",
    check=_check_task,
)
"""The tasks by name: those in the files of this folder, and those that installed packages add."""


def open_columns(columns: Sequence[Column], data: str | Path, **options: Any) -> DataSet:
    """`data` with the columns that a task reads. `options`: those of `open_data`. Raises: DataError."""
    names, forms = (tuple(getattr(column, part) for column in columns) for part in ("name", "form"))
    key = tuple(place for place, column in enumerate(columns) if column.key) or (0,)
    return open_data(data, names, forms=forms, key=key, **options)
