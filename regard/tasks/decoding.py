"""How predictions are searched for, and which of it a task has a use for."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from regard.decode.sampling import Sampling
from regard.errors import InputError, require, unknown

if TYPE_CHECKING:
    from regard.tasks.task import Task

_MOST_OUTPUTS, _MOST_TOKENS, _MOST_ALPHA = 1_000, 10_000_000, 10
"""Of one input: hypotheses or samples that are held at a time, and how long they may become."""


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

    @classmethod
    def of(cls, **options: Any) -> Decoding:
        """By the names of its fields and of those of `Sampling`: `beam=4`, `temperature=0.7`.

        Raises: InputError for a name that there is not.
        """
        own, drawn = ([field.name for field in fields(kind)] for kind in (cls, Sampling))
        for name in options:
            if name not in (*own, *drawn):
                raise unknown(InputError, "option of decoding", name, (*own, *drawn))
        sampling = {name: options.pop(name) for name in drawn if name in options}
        return cls(**(options | ({"sampling": Sampling(**sampling)} if sampling else {})))

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


def supported(task: object) -> frozenset[str]:
    """What of `Decoding` changes a task's answers."""
    from regard.tasks.protocols import Generates

    return task.supports if isinstance(task, Generates) else frozenset()


def check_decoding(task: Task, decoding: Decoding) -> None:
    """Refuse an option that would be ignored. Raises: InputError."""
    for name in _OPTIONS.keys() - supported(task):
        if decoding.beam > decoding.n if name == "beam" else getattr(decoding, name):
            raise InputError("{where} has no use for {key}; leave it out", task.name, _OPTIONS[name])
