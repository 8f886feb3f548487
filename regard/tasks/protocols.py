"""What only some tasks can do, a protocol each. Whoever needs it asks once, near where it is used:

    if not isinstance(task, Chats):
        raise InputError(…)

A task has all members of a protocol or none of them: anything else is refused when it is registered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor, nn

from regard.data.readers import Preview
from regard.data.rows import Row, Rows
from regard.data.tokenizer import Tokenizer
from regard.tasks.decoding import Decoding
from regard.values import Value

if TYPE_CHECKING:
    from regard.tasks.conversation import Conversation
    from regard.tasks.task import Task

Sequences = tuple[list[list[int]], list[list[int]] | list[Tensor]]
"""What a model is given: ids for its encoder, and ids for its decoder. A stack that stands alone is given
what stands second, which need not be ids."""


@runtime_checkable
class Generates(Protocol):
    """Its answers are written token by token."""

    supports: ClassVar[frozenset[str]]
    """What of `Decoding` changes its answers: some of beam, max_length, sampling, stop and begin."""

    def write(self, model: nn.Module, given: Any, decoding: Decoding) -> Iterator[str]:
        """The greedy answer to one input, longer by a token each time."""

    def opening(self, given: Any) -> tuple[list[int], list[int]]:
        """What the model is given for one input: ids of the source, none for a stack that stands alone, and
        those that its writing goes on from. Raises: InputError for an input that this model cannot take."""

    def decode_ids(self, ids: Sequence[int], given: Any = None) -> tuple[str, bool]:
        """What ids that were written for an input say, and whether the last ends it."""


@runtime_checkable
class Inspects(Protocol):
    """The inside of its model has names for people: for traces, figures and the laws of `regard verify`."""

    @property
    def independent(self) -> bool | None:
        """Whether each output is a yes or no of its own, instead of one of all; None where it is a number, of
        which no probability is made."""

    def outputs(self) -> list[str]:
        """What the model's head chooses among; empty where that has no names."""

    def tokens(self, source: Sequence[int], target: Sequence[int]) -> tuple[list[str], list[str]]:
        """The ids of `model_inputs` for people to read; of what is no ids, as many names as places."""

    def model_inputs(self, model: nn.Module, inputs: Sequence[Any], decoding: Decoding) -> Sequences:
        """What the model is given for these inputs, and what it writes."""

    def dummy_inputs(self, model: nn.Module) -> Sequences:
        """The same of inputs that need no data: for a model that was trained elsewhere."""


@runtime_checkable
class Embeds(Protocol):
    """Its model makes vectors of inputs."""

    def vectors(self, model: nn.Module, inputs: Sequence[Any]) -> Tensor:
        """(N, D), on the host."""


@runtime_checkable
class EmbedsTokens(Protocol):
    """Its model has one table of tokens."""

    def token_embeddings(self, model: nn.Module) -> tuple[Tokenizer, Tensor]:
        """The tokenizer, and (V, D)."""


@runtime_checkable
class Chats(Protocol):
    """Its model may have learned dialogues."""

    def conversation(self, model: nn.Module, system: str | None = None) -> Conversation[Any]:
        """A dialogue with the model. Raises: InputError when it has learned none."""


@runtime_checkable
class Calibrates(Protocol):
    """Something is chosen on the validation part once the model is trained, such as a threshold."""

    def calibrate(self, model: nn.Module, rows: Sequence[Row]) -> None:
        """Choose it."""


@runtime_checkable
class Initialises(Protocol):
    """A new model may start from something besides random numbers, such as word vectors."""

    def initialise(self, model: nn.Module) -> list[str]:
        """Put it there; says what that was."""


@runtime_checkable
class AdaptsToColumns(Protocol):
    """What is learned may follow from the columns that there are."""

    @classmethod
    def adapted(cls, config: Any, columns: Preview) -> Any:
        """`config` with what it left to the data, whose columns and rows can be asked for."""

    def evaluated_on(self, columns: Preview) -> Task:
        """The task as it is evaluated on other data than its own."""


@runtime_checkable
class HasBaselines(Protocol):
    """There are answers that need no model but perhaps the training part."""

    def baselines(self, rows: Sequence[Row], train: Rows | None) -> dict[str, dict[str, Any]]:
        """Their figures on these rows, by name."""


@runtime_checkable
class Renders(Protocol):
    """Rows and what was predicted for them can be drawn."""

    def render(self, rows: Sequence[Row], answers: Sequence[Value]) -> bytes:
        """As one image, a PNG."""


@runtime_checkable
class FitsOnePage(Protocol):
    """`assets/tasks.js` of a model in one page knows it."""

    def page_facts(self, rooms: Sequence[int]) -> Mapping[str, Any]:
        """What the page must know besides the model and its tokenizers. `rooms`: how many tokens each stack
        has positions for."""

    def page_problems(self) -> Iterator[str]:
        """What of this task a page cannot do, in words."""


PROTOCOLS: tuple[type, ...] = tuple(
    one for one in list(globals().values()) if isinstance(one, type) and one.__module__ == __name__
)
"""All classes of this file."""


def members_of(protocol: type) -> frozenset[str]:
    """The names of a protocol's members."""
    names = {**vars(protocol), **protocol.__annotations__}
    return frozenset(name for name in names if not name.startswith("_"))
