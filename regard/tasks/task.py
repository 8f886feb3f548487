"""What a task is: how rows of data become batches, a loss, predictions and figures.

A task stands between data and a model. The training loop, the bundle, `run.py` and the command line
know only this class; whatever differs between translating and classifying is in the subclass, one
file a kind of task. A task does not know how it is trained, nor where it is saved.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
from torch import Tensor, device, nn

from regard.data.field import Encoded, Field
from regard.data.readers.streams import Forms
from regard.data.rows import Row, Rows
from regard.data.store import ExampleStore
from regard.decode.sampling import Sampling
from regard.errors import InputError, NonFiniteOutputError, require
from regard.model.presets import ENCODER_DECODER
from regard.model.transformer import ModelConfig

if TYPE_CHECKING:
    from regard.data.tokenizer import Tokenizer
    from regard.tasks.conversation import Conversation

SENTENCES = ("The cat sat on the mat.", "It rained all day, and nobody came.", "Where is the station?")
"""What a model that brought no data is tried with."""
_MOST_OUTPUTS, _MOST_TOKENS, _MOST_ALPHA = 1_000, 10_000_000, 10
"""Of one input: hypotheses or samples that are held at a time, and how long they may become."""
NO_FILES: Mapping[str, str] = MappingProxyType({})


class Batch(Protocol):
    """Examples as tensors."""

    @property
    def tokens(self) -> int:
        """How many predictions the loss is summed over; known without waiting for a device."""
        ...

    def to(self, device: device) -> Batch: ...


@dataclass(frozen=True)
class Prediction:
    """What a model says of one input."""

    text: str
    """The answer."""
    score: float | None = None
    """Its log-probability, in nats per token or as the search defines it, or a label's probability; None if
    not asked for."""
    alternatives: tuple[tuple[str, float], ...] = ()
    """The n best with their scores, the answer first, when more than one was asked for; samples in the order
    in which they were drawn."""
    spans: tuple[tuple[int, int] | None, ...] = ()
    """Where each of `ranked` stands in the text that was given, in characters from and to; None for what
    stands nowhere. Empty where answers are no spans."""
    unseen: int = 0
    """How many of the input's tokens the model did not see, since there were too many."""

    @property
    def ranked(self) -> tuple[tuple[str, float | None], ...]:
        """All that was found, the answer first."""
        return self.alternatives or ((self.text, self.score),)


def checked(made: list[Prediction]) -> list[Prediction]:
    """`made`. Raises: NonFiniteOutputError where a score is NaN, so that the ranking means nothing."""
    scores = (score for one in made for _, score in ((one.text, one.score), *one.alternatives))
    if any(score is not None and math.isnan(score) for score in scores):
        raise NonFiniteOutputError("a score")
    return made


@dataclass(frozen=True)
class InputSpec:
    """What an input of a task is made of, for whoever asks people for one."""

    kind: Literal["text", "pair", "image", "dialogue"] = "text"
    """A text; two with a tab between them; the name of an image; turns as JSON, or a user's only turn."""
    names: tuple[str, ...] = ()
    """Of the two texts of a pair."""
    hole: str = ""
    """What stands in a text for a word to be guessed."""
    shape: tuple[int, ...] = ()
    """Channels, rows and columns that images are brought to."""


@dataclass(frozen=True)
class Decoding:
    """How predictions are searched for."""

    beam: int = 1
    """Hypotheses kept at each step; 1 is greedy search."""
    alpha: float = 0.6
    """Length normalisation of the beam's scores, as in GNMT; 0 prefers short outputs."""
    n: int = 1
    """How many of the best hypotheses to return, at most the beam; or how many samples, if some are drawn."""
    batch_tokens: int = 4096
    """Input tokens decoded side by side, padding included."""
    max_length: int | None = None
    """Longest output in tokens; None is twice the input and 20 more, or the context where text goes on."""
    sampling: Sampling | None = None
    """How tokens are drawn by tasks that draw them; None takes the most likely."""
    stop: tuple[str, ...] = ()
    """An output ends before the first of these."""
    begin: tuple[int, ...] = ()
    """Ids of the tokens that an output begins with, whatever the model makes of them; their log-probabilities
    count as 0."""
    guess: tuple[int, ...] = ()
    """Ids that an output may well begin with. It is the sooner there if it does, and the same in any case."""
    number: int = 0
    """How many inputs came before the first of these: what is drawn for an input follows from the seed and
    its number, whichever are predicted together."""

    def __post_init__(self) -> None:
        require(1 <= self.n <= _MOST_OUTPUTS, "n", self.n, f"from 1 to {_MOST_OUTPUTS:,}")
        require(1 <= self.beam <= _MOST_OUTPUTS, "beam", self.beam, f"from 1 to {_MOST_OUTPUTS:,}")
        if self.sampling is None:
            require(self.n <= self.beam, "n", self.n, f"from 1 to the beam, which is {self.beam}")
        require(self.number >= 0, "number", self.number, "0 or more")
        require(abs(self.alpha) <= _MOST_ALPHA, "alpha", self.alpha, f"from -{_MOST_ALPHA} to {_MOST_ALPHA}")
        require(self.batch_tokens >= 1, "batch_tokens", self.batch_tokens, "1 or more")
        longest = _MOST_TOKENS if self.max_length is None else self.max_length
        require(1 <= longest <= _MOST_TOKENS, "max_length", longest, f"from 1 to {_MOST_TOKENS:,}")


_OPTIONS = {
    "beam": "--beam",
    "max_length": "--max-length",
    "sampling": "--temperature and the other ways to draw tokens",
    "stop": "--stop",
    "begin": "tokens to begin with",
}
"""The choices of `Decoding` that not all tasks heed, as people know them."""


@dataclass(frozen=True)
class Evaluation:
    """How a model did on some rows."""

    figures: dict[str, Any]
    """Figures of merit by name."""
    answers: list[str]
    """What it predicted, row by row; none where the figures need no predictions."""


class Task(ABC):
    """See the module's docstring."""

    name: ClassVar[str]
    """The field's name for it, as typed after `regard train`."""
    presets: ClassVar[Mapping[str, object]] = ENCODER_DECODER
    """The sizes that `model` knows, by name."""
    supports: ClassVar[frozenset[str]] = frozenset()
    """What of `Decoding` changes its answers: some of beam, max_length, sampling, stop and begin."""
    config: Any
    """The task's own frozen dataclass of options; its `wanted` are the columns that it reads, in order, None
    for one to be found."""

    @classmethod
    def forms(cls, config: Any) -> Forms:
        """What the columns that it reads hold, in the same order; None, and what is beyond, is text."""
        return ()

    @classmethod
    @abstractmethod
    def model(cls, preset: str) -> ModelConfig:
        """The model that suits the task, in the size of that name; vocabularies are left at 0."""

    @classmethod
    def decided(cls, config: Any, columns: Callable[[], Sequence[str]]) -> Any:
        """`config` with what it left to the data, whose `columns` can be asked for."""
        return config

    @classmethod
    @abstractmethod
    def prepare(cls, config: Any, rows: Rows, given: Mapping[str, str] = NO_FILES) -> Task:
        """Make the task ready for training: train its tokenizers on `rows`, or take those that are `given`:
        the files of a bundle whose body is fine-tuned."""

    @classmethod
    @abstractmethod
    def restore(cls, config: Any, tokenizers: Mapping[str, str]) -> Task:
        """The task as a bundle holds it."""

    @abstractmethod
    def tokenizers(self) -> dict[str, str]:
        """File name → contents, for the bundle."""

    @abstractmethod
    def configure_model(self, model: ModelConfig) -> ModelConfig:
        """`model` with the sizes that the data decide, such as the vocabulary.

        Raises: ConfigError when it was made for other data.
        """

    def start(self, model: nn.Module) -> list[str]:
        """Put into a new model what it shall start from besides random numbers; says what that was."""
        return []

    def notes(self) -> list[str]:
        """What was decided while the training part was read, for people."""
        return []

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
    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """The training loss summed over the batch's `tokens` predictions, in nats."""

    @abstractmethod
    def nats(self, model: nn.Module, batch: Any) -> Tensor:
        """The plain cross-entropy, without regularisers, summed likewise."""

    @abstractmethod
    def predict(self, model: nn.Module, inputs: Sequence[str], decoding: Decoding) -> list[Prediction]:
        """One prediction an input, in order.

        Raises: InputError for an input that this model cannot take.
        """

    def check(self, decoding: Decoding) -> None:
        """Refuse a wish that would be ignored. Raises: InputError."""
        wishes = {
            "beam": decoding.beam > decoding.n,
            "max_length": decoding.max_length is not None,
            "sampling": decoding.sampling is not None,
            "stop": bool(decoding.stop),
            "begin": bool(decoding.begin),
        }
        for name, wished in wishes.items():
            if wished and name not in self.supports:
                raise InputError("{where} has no use for {key}; leave it out", self.name, _OPTIONS[name])

    @abstractmethod
    def write(self, model: nn.Module, text: str, decoding: Decoding) -> Iterator[str]:
        """The greedy answer to one input, longer by a token each time."""

    @abstractmethod
    def model_inputs(
        self, model: nn.Module, inputs: Sequence[str], decoding: Decoding
    ) -> tuple[list[list[int]], list[list[int]] | list[Tensor]]:
        """What the model is given for these inputs and what it writes, as ids: for looking inside. A stack
        that stands alone is given what stands second, which need not be ids."""

    def opening(self, text: str) -> tuple[list[int], list[int]] | None:
        """What a task that writes is given for one input: ids of the source, none for a stack that stands
        alone, and those that its writing goes on from. None where nothing is written.

        Raises: InputError for an input that this model cannot take.
        """
        return None

    def decode_ids(self, ids: Sequence[int], text: str = "") -> tuple[str, bool]:
        """What ids that were written for an input say, and whether the last ends it; for tasks with an
        `opening`."""
        return "".join(self.tokens([], ids)[1]), False

    def dummy_inputs(self, model: nn.Module) -> tuple[list[list[int]], list[list[int]] | list[Tensor]]:
        """As `probe`, of inputs that need no data: for a model that was trained elsewhere."""
        return self.model_inputs(model, SENTENCES, Decoding())

    @abstractmethod
    def tokens(self, source: Sequence[int], target: Sequence[int]) -> tuple[list[str], list[str]]:
        """The ids of `probe` for people to read."""

    @property
    def input_spec(self) -> InputSpec:
        """What an input is made of."""
        return InputSpec()

    def outputs(self) -> list[str]:
        """What the model's head chooses among, for people to read; empty where that has no names."""
        return []

    @property
    def independent(self) -> bool:
        """Whether each output is a yes or no of its own, instead of one of all."""
        return False

    @abstractmethod
    def inputs(self, rows: Iterable[Row]) -> list[str]:
        """What `predict` is given for these rows."""

    def score(
        self, predictions: Sequence[str], rows: Sequence[Row], tokenize: str | None = None
    ) -> dict[str, Any]:
        """Figures of predictions by name. `tokenize`: as sacreBLEU's option, where the task has a BLEU.

        Raises: InputError for an option that the task does not have.
        """
        if tokenize is not None:
            raise InputError("{where} has no BLEU, and so no use for {key}", self.name, "--tokenize")
        return {}

    def evaluate(
        self, model: nn.Module, rows: Sequence[Row], decoding: Decoding, tokenize: str | None = None
    ) -> Evaluation:
        """How the model does on these rows: what it predicts, scored."""
        answers = [
            prediction.text for prediction in checked(self.predict(model, self.inputs(rows), decoding))
        ]
        return Evaluation(self.score(answers, rows, tokenize), answers)

    def evaluated_on(self, columns: Callable[[], Sequence[str]]) -> Task:
        """The task as it is judged on other data than its own, whose `columns` can be asked for."""
        return self

    def calibrate(self, model: nn.Module, rows: Sequence[Row]) -> None:
        """Choose what is chosen on the validation part once the model is trained, such as a threshold."""
        return None

    def format_row(self, row: Row) -> tuple[str, str]:
        """A row for people to read: what is given, and what should be answered."""
        return row.values[0], row.values[-1]

    def baselines(self, rows: Sequence[Row], train: Rows | None) -> dict[str, dict[str, Any]]:
        """The figures, on these rows, of what needs no model but perhaps the training part."""
        return {}

    def render(self, rows: Sequence[Row], answers: Sequence[str]) -> bytes:
        """These rows and what was predicted for them as one image, a PNG.

        Raises: InputError when there is nothing to be seen.
        """
        raise InputError("{where} has no images to draw, and so no use for {key}", self.name, "--grid")

    def vectors(self, model: nn.Module, texts: Sequence[str]) -> Tensor:
        """(N, D), on the host: a vector for each text. Raises: InputError where the task makes none."""
        raise InputError("{where} makes no vectors of texts; train sentence-similarity for that", self.name)

    def words(self, model: nn.Module) -> tuple[Tokenizer, Tensor]:
        """The one tokenizer, and the (V, D) table of its pieces. Raises: InputError where there is none."""
        raise InputError("{where} has no one table of words; give texts to look among", self.name)

    def conversation(self, model: nn.Module, system: str | None = None) -> Conversation:
        """A dialogue with the model. Raises: InputError when it has learned none."""
        raise InputError("{where} answers inputs one by one; it holds no dialogue", self.name)

    def selection_score(self, figures: Mapping[str, Any]) -> float:
        """What chooses between checkpoints, from the figures of `judge`: higher is better."""
        return float(figures[self.config.metric])
