"""The tokenizer of a checkpoint: found, converted where it is of an older form, its special tokens named.

Taken as it is, but for keys beside it that contradict it: `tokenizer.json`. Other forms are the business of
`converted.py`. This file does not know models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tokenizers import Tokenizer as Backend
from tokenizers.normalizers import Lowercase, Sequence

from regard.data.tokenizer_given import Given, GivenTokenizer, open_backend
from regard.data.tokenizer_trial import tried
from regard.errors import CheckpointError, RegardError
from regard.interop.checkpoint import Checkpoint
from regard.interop.converted import converted, one_side
from regard.interop.generation import GENERATION, stated
from regard.interop.keys import IDS, as_ids, refusal
from regard.interop.tokenizer_keys import (
    CONFIG,
    TokenizerKeys,
    add_tokens,
    lowercases,
    read_keys,
    token_name,
    with_overrides,
)
from regard.strict_json import HEADER, VOCABULARY, check_limit

CHAT_TEMPLATE = "chat_template.jinja"
TARGET = "target/tokenizer.json"
"""The target's, where an export of ours has one for each side: no form of the library's keeps two."""
_USUAL = {
    "pad": ("[PAD]", "<pad>"),
    "unk": ("[UNK]", "<unk>"),
    "cls": ("[CLS]", "<s>"),
    "sep": ("[SEP]", "</s>"),
    "bos": ("<s>", "<|begin_of_text|>", "<|endoftext|>"),
    "eos": ("</s>", "<|endoftext|>"),
    "mask": ("[MASK]", "<mask>"),
}


@dataclass(frozen=True)
class FoundTokenizer:
    """The tokenizer of a folder."""

    text: str
    """A `tokenizer.json`."""
    ids: Mapping[str, int]
    """The ids of its special tokens by their roles: pad, unk, cls, sep, bos, eos, mask."""
    special: tuple[int, ...]
    """All ids that it marks as special."""
    first: int | None
    """The id that it puts before every text; None where it does not."""
    between: tuple[int, ...]
    """What it puts between the texts of a pair; nothing where it frames none."""
    ends: tuple[int, ...]
    """The ids that end what is written, as the configurations say."""
    sentencepiece: bool = False
    """Whether it is converted from a SentencePiece model."""
    added: Mapping[str, int] = field(default_factory=dict)
    """The ids of the tokens that were added to its vocabulary."""

    def tokenizer(
        self,
        size: int,
        *,
        begin: str | int,
        end: str,
        starts: str | None = None,
        between: int = 1,
        written: bool = True,
    ) -> GivenTokenizer:
        """Ready for a model with so many ids. `begin` and `end`: the roles of what a text is framed by, or an
        id; `starts`: that of what an encoder's input begins with; `between`: how many `end` stand between the
        texts of a pair, where the file does not say it; `written`: whether these are ids that a model writes,
        of which the configurations speak.

        Raises: CheckpointError when there is no such token, or an id that the model does not have.
        """
        first = begin if isinstance(begin, int) else self.ids.get(begin)
        last, start = self.ids.get(end), self.ids.get(starts or "")
        if isinstance(begin, str) and end == "eos" and self.ends and last not in self.ends:
            last = self.ends[0]  # a model that continues texts ends them as its configuration says
        if last is None:
            sentence = "the tokenizer does not say which token is its {key}; see {where}"
            raise CheckpointError(sentence, end, "special_tokens_map.json")
        self._check(size, {"begin": first, "end": last} | dict(self.ids))
        given = Given(
            size=size,
            pad=self.ids.get("pad", last),
            bos=last if first is None else first,
            eos=last,
            unk=self.ids.get("unk"),
            mask=self.ids.get("mask"),
            begins=first is not None and self.first == first,
            start=start,
            special=self.special,
            between=self.between.count(last) or between,
            ends=tuple(index for index in self.ends if index != last) if end == "eos" and written else (),
            sentencepiece=self.sentencepiece,
        )
        return GivenTokenizer(given, self.text)

    def _check(self, size: int, roles: Mapping[str, int | None]) -> None:
        """Raise CheckpointError, which names it, for a token that has no row in the model."""
        tokens = [(f"the token '{name}'", index) for name, index in self.added.items()]
        tokens += [(f"its {role} token", index) for role, index in roles.items() if index is not None]
        for name, index in tokens:
            if index >= size:
                sentence = (
                    "the tokenizer has {key} with the id {value}, but the model rows for {limit} ids only;"
                    " give it rows for all tokens with the library that wrote it, or leave that token out"
                )
                raise CheckpointError(sentence, name, index, size)


def chat_template(checkpoint: Checkpoint) -> str | None:
    """How a dialogue is written for the model, if the folder says it: a file, or a key of the tokenizer's
    configuration, which may hold several by name. Raises: CheckpointError when that is no text."""
    settings: Any = checkpoint.text(CHAT_TEMPLATE)
    if settings is None:
        settings = (checkpoint.json(CONFIG, HEADER) or {}).get("chat_template")
    if isinstance(settings, list):
        named = {entry.get("name"): entry.get("template") for entry in settings if isinstance(entry, dict)}
        settings = named.get("default")
    if settings is not None and not isinstance(settings, str):
        raise CheckpointError("{where}: the {key} is not a text", checkpoint.folder, "chat template")
    return settings


def has_sides(checkpoint: Checkpoint) -> bool:
    """Whether source and target are cut by models of their own (Marian's)."""

    def there(*names: str) -> bool:
        return all((checkpoint.folder / name).is_file() for name in names)

    if there("tokenizer.json"):
        return there(TARGET) or there("target.spm", "target_vocab.json")
    return there("source.spm", "target.spm")


def find_tokenizer(checkpoint: Checkpoint, side: str = "source") -> FoundTokenizer:
    """The tokenizer in the folder. Raises: CheckpointError when there is none that can be read."""
    keys = read_keys(checkpoint)
    try:
        text, sentencepiece = _text(keys, side)
        check_limit(text, VOCABULARY)
        tried(text)
        backend = open_backend(text)
    except ValueError as error:
        sentence = "{where}: the tokenizer cannot be used: {value}"
        raise CheckpointError(sentence, checkpoint.folder, error) from error
    except CheckpointError:
        raise
    except RegardError as error:
        raise CheckpointError.of(error, where=checkpoint.folder) from error
    if lowercases(checkpoint):
        steps = [backend.normalizer] if backend.normalizer is not None else []
        backend.normalizer = Sequence([Lowercase(), *steps])
        text = backend.to_str()
    # Where each side has ids of its own, the configuration speaks of the target's.
    config = {} if keys.flag("separate_vocabs", False) else checkpoint.config
    ids = _roles(config, keys.settings, backend.token_to_id)
    tokens = backend.get_added_tokens_decoder()
    special = tuple(sorted(index for index, token in tokens.items() if token.special))
    named = {token.content: index for index, token in tokens.items()}
    return FoundTokenizer(text, ids, special, *_framing(backend), _ends(checkpoint), sentencepiece, named)


def _text(keys: TokenizerKeys, side: str) -> tuple[str, bool]:
    """A `tokenizer.json`, and whether it comes of a SentencePiece model."""
    checkpoint = keys.checkpoint
    text = checkpoint.text("tokenizer.json" if side == "source" else TARGET)
    if text is None:
        return (one_side(keys, side), True) if has_sides(checkpoint) else converted(keys)
    if side == "target":
        return text, False
    check_limit(text, VOCABULARY)
    text = with_overrides(keys, text)
    tried(text)
    backend = open_backend(text)
    return (backend.to_str() if add_tokens(keys, backend) else text), False


def _framing(backend: Backend) -> tuple[int | None, tuple[int, ...]]:
    """What stands before a text that has been framed, and between the texts of a pair."""
    try:
        framed, bare = (backend.encode("a", add_special_tokens=added).ids for added in (True, False))
        pair = backend.encode("a", "b", add_special_tokens=True)
    except Exception as error:  # the library has no narrower class for it
        raise CheckpointError("{where} cannot cut a text: {value}", "tokenizer.json", error) from error
    first = framed[0] if framed and framed[:1] != bare[:1] else None
    sides = [[i for i, side in enumerate(pair.sequence_ids) if side == which] for which in (0, 1)]
    return first, tuple(pair.ids[sides[0][-1] + 1 : sides[1][0]]) if all(sides) else ()


def _ends(checkpoint: Checkpoint) -> tuple[int, ...]:
    """The ids that end what is written: one or several, in the configuration of generation or else in that of
    the model."""
    value = stated(checkpoint, "eos_token_id")
    if (ids := as_ids(value)) is None:
        why = "in config.json and {file} it must be {limit}"
        raise refusal(checkpoint.folder, "eos_token_id", value, why, GENERATION, IDS)
    return tuple(dict.fromkeys(ids))


def _roles(
    config: Mapping[str, Any], settings: Mapping[str, Any], index: Callable[[str], int | None]
) -> dict[str, int]:
    """The id of each role: what the tokenizer's files say, else the configuration, else the usual name."""
    ids = {}
    for role in _USUAL:
        name, id_ = token_name(settings.get(f"{role}_token")), config.get(f"{role}_token_id")
        if name is not None and index(name) is not None:
            ids[role] = index(name)
        elif type(id_) is int and id_ >= 0:
            ids[role] = id_
        elif f"{role}_token" not in settings:
            usual = (index(name) for name in _USUAL[role])
            ids[role] = next((found for found in usual if found is not None), None)
    return {role: found for role, found in ids.items() if found is not None}
