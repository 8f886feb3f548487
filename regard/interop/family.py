"""What a family of checkpoints is: how its configuration, weights and tokenizer become ours, and back.

A family reads a configuration into a `Plan`. It writes one from a model by plain look-ups; whether what it
wrote says all that the model is, is proved by reading it again (`exporting.py`). Families are an open
registry: those in the files of this folder, and those of installed packages or of a program.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, ClassVar, TypeVar

from torch import Tensor

from regard.bundle import Bundle, weights_of
from regard.data.tokenizer_given import GivenTokenizer
from regard.errors import ConfigError
from regard.interop.checkpoint import Checkpoint
from regard.interop.generation import generation_options
from regard.interop.keys import Keys
from regard.interop.mapping import Table
from regard.interop.vocabulary import FoundTokenizer, chat_template, find_tokenizer, has_sides
from regard.model.embed import Tokens
from regard.model.head import Vocabulary
from regard.model.init import Scaled
from regard.model.stack import StackConfig
from regard.model.transformer import EncoderDecoderConfig, ModelConfig, TransformerConfig
from regard.registry import Registry
from regard.weights import Entry

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """What a checkpoint becomes."""

    task: str
    """The task that it can be used for."""
    options: Mapping[str, Any]
    """That task's own options."""
    model: ModelConfig
    table: Table
    """Which of its weights is which of the model's."""
    tokenizers: Mapping[str, GivenTokenizer]
    """By the name of the file that keeps each in a bundle."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Further texts that the bundle keeps, by their files."""
    labels: tuple[str, ...] = ()
    """The classes, in order, of a model that has some."""
    notes: tuple[str, ...] = ()
    """What a user should know."""


@dataclass(frozen=True)
class Weights:
    """The weights that a family's table is to name."""

    model: ModelConfig
    """Whose they are."""
    shapes: Mapping[str, Entry]
    """By our names."""
    architecture: str
    config: Mapping[str, Any]
    """The configuration beside them."""
    prefix: str
    """What the names of the body's begin with."""


@dataclass(frozen=True)
class Source:
    """What a family is given to read."""

    checkpoint: Checkpoint
    family: Family
    architecture: str
    """The class that the configuration names, such as BertForMaskedLM."""
    keys: Keys

    def has(self, start: str) -> bool:
        """Whether the name of some weight begins like that."""
        return any(name.startswith(start) for name in self.checkpoint.entries)

    @cached_property
    def tokenizer(self) -> FoundTokenizer:
        """The tokenizer of the folder, looked for when it is asked for."""
        return find_tokenizer(self.checkpoint)

    def table(self, model: ModelConfig) -> Table:
        """Which of the weights is which of the model's."""
        prefix = self.family.prefix if self.has(self.family.prefix) else ""
        shapes = weights_of(model, str(self.keys.where))
        return self.family.table(Weights(model, shapes, self.architecture, self.checkpoint.config, prefix))

    def text_generation(self, stack: StackConfig, context: int, *, tied: bool) -> Plan:
        """What a checkpoint of one causal stack becomes. `tied`: whether the head is the embedding's table
        where the configuration does not say it."""
        vocab = self.keys.size("vocab_size")
        head = Vocabulary(self.keys.flag("tie_word_embeddings", tied))
        model = TransformerConfig(Tokens(vocab, scale=False), stack, head, Scaled())
        options = {"kind": "text-generation", "context": context, "template": chat_template(self.checkpoint)}
        return Plan(
            task="text-generation",
            options=options | generation_options(self.checkpoint, vocab, two_stacks=False),
            model=model,
            table=self.table(model),
            tokenizers={"tokenizer.json": self.tokenizer.tokenizer(vocab, begin="bos", end="eos")},
        )

    def translation(
        self,
        model: EncoderDecoderConfig,
        begin: object,
        length: int,
        *,
        starts: str | None = None,
        forced_end: int | None = None,
    ) -> Plan:
        """What a checkpoint of two stacks becomes. `begin`: the value for the id that a decoder begins with;
        `length`: the longest output, in tokens; `starts`: the role of what an input begins with;
        `forced_end`: as of `generation_options`. Raises: CheckpointError."""
        own, vocab = tokens_of(model).vocab, model.target.vocab
        if type(begin) is not int or not 0 <= begin < vocab:
            raise self.keys.refuse("decoder_start_token_id", "it must be the id that a decoder begins with")
        options = {"kind": "translation", "max_length": length}
        options |= generation_options(self.checkpoint, vocab, two_stacks=True, forced_end=forced_end)
        table, sides, one = self.table(model), has_sides(self.checkpoint), own == vocab
        first = min(begin, own - 1)  # of no meaning in a source, so that any will do where it lacks that id
        source = self.tokenizer.tokenizer(own, begin=first, end="eos", starts=starts, written=one)
        tokenizers = {"tokenizer.json": source}
        if sides or not one:
            target = find_tokenizer(self.checkpoint, "target") if sides else self.tokenizer
            made = target.tokenizer(vocab, begin=begin, end="eos", starts=starts)
            tokenizers["tokenizer.target.json"] = made
        return Plan("translation", options, model, table, tokenizers)


class Unsupported(Exception):  # noqa: N818  (no error that a user meets by itself)
    """Why a model cannot be written as a family's."""


class Family(ABC):
    """One family of checkpoints. It holds nothing, and is made without arguments."""

    name: ClassVar[str]
    """As `config.json` has it: its `model_type`."""
    architectures: ClassVar[Mapping[str, str]]
    """The classes of it that can be imported, and the task that each becomes."""

    aliases: ClassVar[Mapping[str, str]] = {}
    """Classes that are read as another of these: what they lack is filled in as the library does it, and what
    they have besides is left out."""
    body: ClassVar[str | None] = None
    """The class of it that has no head."""
    ignored: ClassVar[tuple[str, ...]] = ()
    """Keys of a configuration that change nothing here: of training, or of heads that are not imported."""
    kept_keys: ClassVar[tuple[str, ...]] = ()
    """Keys of a configuration that nothing here reads, and an export gives back."""
    prefix: ClassVar[str] = ""
    """What stands before the names of the body's weights in those that have one."""

    frame: ClassVar[tuple[str, str]] = ("cls", "sep")
    """The roles of the tokens that a text begins and ends with."""
    defaults: ClassVar[Mapping[str, int]] = {}
    """Sizes that count where a configuration does not state them and nothing else tells them: those of the
    library's class."""
    tokenizer: ClassVar[str | None] = None
    """The class of its tokenizers, without 'Fast', where no file names one."""
    tokenizer_by_class: ClassVar[bool] = True
    """Whether transformers' AutoTokenizer runs its tokenizers by the class that a file names."""
    image_processor: ClassVar[str] = ""
    """The class of its image processors, without 'ImageProcessor', where no file names one."""

    @abstractmethod
    def plan(self, source: Source) -> Plan:
        """Read a checkpoint's configuration. Raises: CheckpointError for what cannot be imported."""

    @abstractmethod
    def table(self, weights: Weights) -> Table:
        """Which weight is which."""

    @abstractmethod
    def config(self, bundle: Bundle, architecture: str) -> dict[str, Any]:
        """The configuration that says what the bundle's model is. Raises: Unsupported when none can."""

    def weights(self, model: ModelConfig, ours: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The same weights, as the family's table can give them."""
        return ours

    def files(self, bundle: Bundle) -> Mapping[str, str]:
        """Further texts that belong to it, by their files. Raises: Unsupported."""
        return {}


def _check(family: type[Family]) -> None:
    """Raises: ConfigError for a family that lacks something."""
    missing = sorted(getattr(family, "__abstractmethods__", ()))
    missing += [] if getattr(family, "architectures", None) else ["architectures"]
    if missing:
        raise ConfigError("{where} lacks {value}", family.__qualname__, ", ".join(missing))


FAMILIES: Registry[type[Family]] = Registry(
    "families",
    *(f"{__package__}.{module.name}" for module in iter_modules([str(Path(__file__).parent)])),
    base=Family,
    attribute="name",
    check=_check,
)
"""By the `model_type` of their configurations."""


def expect(part: Any, kind: type[T] | tuple[type[T], ...], why: str) -> T:
    """A part of a model, which must be of that kind. Raises: Unsupported, which says why."""
    if not isinstance(part, kind):
        raise Unsupported(why)
    return part


def task_options(bundle: Bundle) -> Mapping[str, Any]:
    """The options of the task that the bundle was made for."""
    options = bundle.training.get("task")
    return options if isinstance(options, Mapping) else {}


def one_stack(bundle: Bundle) -> tuple[TransformerConfig, Vocabulary]:
    """A model that writes, and its head. Raises: Unsupported for another."""
    why = "it is not one stack with a vocabulary"
    model = expect(bundle.model, TransformerConfig, why)
    return model, expect(model.head, Vocabulary, why)


def tokens_of(model: TransformerConfig | EncoderDecoderConfig) -> Tokens:
    """The embedding of what a model reads. Raises: Unsupported when it reads no tokens."""
    embed = model.embed if isinstance(model, TransformerConfig) else model.source
    return expect(embed, Tokens, f"it reads {embed.kind}, not tokens")
