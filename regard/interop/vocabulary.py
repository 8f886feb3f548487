"""The tokenizer of a checkpoint: found, converted where it is of an older form, its special tokens named.

Taken as it is: `tokenizer.json`. Converted: WordPiece's `vocab.txt`, GPT-2's `vocab.json` with `merges.txt`.
SentencePiece models are `sentencepiece.py`'s business. This file does not know models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend

from regard.data.tokenizer_given import Given, GivenTokenizer, open_backend
from regard.data.tokenizer_trial import tried
from regard.errors import CheckpointError, RegardError
from regard.interop.checkpoint import Checkpoint
from regard.interop.generation import GENERATION, stated
from regard.interop.sentencepiece import pieces_of
from regard.strict_json import HEADER, VOCABULARY, check_limit, loads

CHAT_TEMPLATE = "chat_template.jinja"
_MOST_LINES = 1 << 19
_ROLES = ("pad", "unk", "cls", "sep", "bos", "eos", "mask")
_USUAL = {
    "pad": ("[PAD]", "<pad>"),
    "unk": ("[UNK]", "<unk>"),
    "cls": ("[CLS]", "<s>"),
    "sep": ("[SEP]", "</s>"),
    "bos": ("<s>", "<|begin_of_text|>"),
    "eos": ("</s>", "<|endoftext|>"),
    "mask": ("[MASK]", "<mask>"),
}


@dataclass(frozen=True)
class Found:
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

    def tokenizer(
        self, size: int, *, begin: str | int, end: str, starts: str | None = None, between: int = 1
    ) -> GivenTokenizer:
        """Ready for a model with so many ids. `begin` and `end`: the roles of what a text is framed by, or an
        id; `starts`: that of what an encoder's input begins with; `between`: how many `end` stand between the
        texts of a pair, where the file does not say it.

        Raises: CheckpointError when there is no such token, or an id that the model does not have.
        """
        first = begin if isinstance(begin, int) else self.ids.get(begin)
        last, start = self.ids.get(end), self.ids.get(starts or "")
        if isinstance(begin, str) and end == "eos" and self.ends and last not in self.ends:
            last = self.ends[0]  # a model that continues texts ends them as its configuration says
        if last is None:
            raise CheckpointError(
                f"the tokenizer does not say which token is its {end}; see special_tokens_map.json"
            )
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
            ends=tuple(index for index in self.ends if index != last) if end == "eos" else (),
        )
        return GivenTokenizer(given, self.text)


def chat_template(checkpoint: Checkpoint) -> str | None:
    """How a dialogue is written for the model, if the folder says it: a file, or a key of the tokenizer's
    configuration, which may hold several by name. Raises: CheckpointError when that is no text."""
    said: Any = checkpoint.text(CHAT_TEMPLATE)
    if said is None:
        said = (checkpoint.json("tokenizer_config.json", HEADER) or {}).get("chat_template")
    if isinstance(said, list):
        named = {entry.get("name"): entry.get("template") for entry in said if isinstance(entry, dict)}
        said = named.get("default")
    if said is not None and not isinstance(said, str):
        raise CheckpointError(f"{checkpoint.folder}: the chat template is not a text")
    return said


def has_sides(checkpoint: Checkpoint) -> bool:
    """Whether source and target are cut by models of their own, though with one list of ids (Marian's)."""
    there = all((checkpoint.folder / f"{side}.spm").is_file() for side in ("source", "target"))
    return there and not (checkpoint.folder / "tokenizer.json").is_file()


def find_tokenizer(checkpoint: Checkpoint, side: str = "source") -> Found:
    """The tokenizer in the folder. Raises: CheckpointError when there is none that can be read."""
    said = checkpoint.json("tokenizer_config.json", HEADER) or {}
    if has_sides(checkpoint):
        text = _one_side(checkpoint, side)
    else:
        text = checkpoint.text("tokenizer.json") or _converted(checkpoint, said)
    try:
        check_limit(text, VOCABULARY)
        tried(text)
        backend = open_backend(text)
    except ValueError as error:
        raise CheckpointError(f"{checkpoint.folder}: the tokenizer cannot be used: {error}") from error
    except RegardError as error:
        raise CheckpointError(f"{checkpoint.folder}: {error}") from error
    ids = _roles(checkpoint, said, backend.token_to_id)
    special = tuple(
        sorted(index for index, token in backend.get_added_tokens_decoder().items() if token.special)
    )
    return Found(text, ids, special, _first(backend), _between(backend), _ends(checkpoint))


def _first(backend: Backend) -> int | None:
    """What stands before a text that has been framed."""
    try:
        framed, bare = (backend.encode("a", add_special_tokens=framed).ids for framed in (True, False))
    except Exception as error:  # the library has no narrower class for it
        raise CheckpointError(f"tokenizer.json cannot cut a text: {error}") from error
    return framed[0] if framed and framed[:1] != bare[:1] else None


def _between(backend: Backend) -> tuple[int, ...]:
    """What stands between the texts of a pair that has been framed."""
    try:
        framed = backend.encode("a", "b", add_special_tokens=True)
    except Exception as error:  # the library has no narrower class for it
        raise CheckpointError(f"tokenizer.json cannot cut a pair: {error}") from error
    sides = [{i for i, side in enumerate(framed.sequence_ids) if side == which} for which in (0, 1)]
    if not all(sides):
        return ()
    return tuple(framed.ids[max(sides[0]) + 1 : min(sides[1])])


def _ends(checkpoint: Checkpoint) -> tuple[int, ...]:
    """The ids that end what is written: one or several, in the configuration of generation or else in that of
    the model."""
    value = stated(checkpoint, "eos_token_id")
    some = value if isinstance(value, list) else [] if value is None else [value]
    if not all(type(index) is int and 0 <= index < 1 << 31 for index in some):
        raise CheckpointError(
            f"{checkpoint.folder}: 'eos_token_id' of config.json or {GENERATION} must be a token id, a list"
            " of them, or null"
        )
    return tuple(dict.fromkeys(some))


def _roles(
    checkpoint: Checkpoint, said: Mapping[str, Any], index: Callable[[str], int | None]
) -> dict[str, int]:
    """The id of each role: what the tokenizer's files say, else the configuration, else the usual name."""
    named = dict(checkpoint.json("special_tokens_map.json") or {}) | dict(said)
    ids = {}
    for role in _ROLES:
        token = named.get(f"{role}_token")
        name = token.get("content") if isinstance(token, dict) else token
        told = checkpoint.config.get(f"{role}_token_id")
        if isinstance(name, str) and index(name) is not None:
            ids[role] = index(name)
        elif type(told) is int and told >= 0:
            ids[role] = told
        elif f"{role}_token" not in named:
            usual = (index(name) for name in _USUAL[role])
            ids[role] = next((found for found in usual if found is not None), None)
    return {role: found for role, found in ids.items() if found is not None}


def _converted(checkpoint: Checkpoint, said: Mapping[str, Any]) -> str:
    vocabulary, merges = checkpoint.text("vocab.json"), checkpoint.text("merges.txt")
    if (pieces := checkpoint.text("vocab.txt")) is not None:
        return _wordpiece(pieces, said)
    if vocabulary is not None and merges is not None:
        return _byte_bpe(vocabulary, merges, said, checkpoint)
    for name in ("spiece.model", "sentencepiece.bpe.model", "tokenizer.model"):
        if (checkpoint.folder / name).is_file():
            return pieces_of(checkpoint.folder / name).to_hf()
    raise CheckpointError(
        f"{checkpoint.folder} has no tokenizer: no tokenizer.json, vocab.txt, vocab.json with merges.txt,"
        " nor a SentencePiece model; save one there with the library that wrote the checkpoint"
    )


def _one_side(checkpoint: Checkpoint, side: str) -> str:
    """Marian's: a SentencePiece model that cuts, a list that gives ids."""
    path = checkpoint.folder / "vocab.json"
    ids = checkpoint.json("vocab.json", VOCABULARY)
    if ids is None or not all(type(index) is int for index in ids.values()):
        raise CheckpointError(f"{path} is missing or damaged: each piece must have an id")
    pieces = pieces_of(checkpoint.folder / f"{side}.spm")
    try:
        return pieces.renumbered(ids).to_hf()
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def _wordpiece(pieces: str, said: Mapping[str, Any]) -> str:
    """BERT's: one piece a line."""
    lines = [line.rstrip("\r") for line in _lines(pieces, "vocab.txt")]
    while lines and not lines[-1]:
        lines.pop()
    ids = {piece: index for index, piece in enumerate(lines)}
    unknown = _name(said, "unk", "[UNK]")
    if len(ids) != len(lines) or unknown not in ids:
        raise CheckpointError(f"vocab.txt is damaged: a piece is there twice, or {unknown} is not there")
    backend = Backend(models.WordPiece(ids, unk_token=unknown, max_input_chars_per_word=100))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=said.get("tokenize_chinese_chars") is not False,
        strip_accents=said.get("strip_accents"),
        lowercase=said.get("do_lower_case") is not False,
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    usual = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    return _with_special(backend, [_name(said, role, name) for role, name in usual.items()])


def _byte_bpe(vocabulary: str, merges: str, said: Mapping[str, Any], checkpoint: Checkpoint) -> str:
    """GPT-2's."""
    try:
        ids = loads(vocabulary, VOCABULARY)
    except ValueError as error:
        raise CheckpointError(f"{checkpoint.folder / 'vocab.json'} is damaged: {error}") from error
    if not isinstance(ids, dict) or not all(type(i) is int and 0 <= i < 1 << 31 for i in ids.values()):
        raise CheckpointError(f"{checkpoint.folder / 'vocab.json'} is damaged: each piece must have an id")
    lines = (line.rstrip("\r") for line in _lines(merges, "merges.txt"))
    pairs = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    if not all(len(pair) == 2 for pair in pairs):
        raise CheckpointError(f"{checkpoint.folder / 'merges.txt'} is damaged: a line is not two pieces")
    try:
        model = models.BPE(ids, [(left, right) for left, right in pairs])
    except Exception as error:  # the library has no narrower class for it
        raise CheckpointError(f"{checkpoint.folder / 'merges.txt'} is damaged: {error}") from error
    backend = Backend(model)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=said.get("add_prefix_space") is True)
    backend.decoder = decoders.ByteLevel()
    usual = ("<|endoftext|>", "<s>", "<pad>", "</s>", "<unk>", "<mask>")
    named = [_name(said, role, "") for role in _ROLES]
    tokens = [
        AddedToken(name, special=True, normalized=False, lstrip=name == "<mask>")
        for name in dict.fromkeys((*usual, *named))
        if name in ids
    ]
    backend.add_special_tokens(tokens)
    return backend.to_str()


def _lines(text: str, name: str) -> list[str]:
    """Raises: CheckpointError for so many that they are no vocabulary."""
    if text.count("\n") > _MOST_LINES:
        raise CheckpointError(f"{name} has more than {_MOST_LINES:,} lines, too many to be right")
    return text.split("\n")


def _name(said: Mapping[str, Any], role: str, usual: str) -> str:
    token = said.get(f"{role}_token")
    name = token.get("content") if isinstance(token, dict) else token
    return name if isinstance(name, str) else usual


def _with_special(backend: Backend, names: list[str]) -> str:
    known = [name for name in dict.fromkeys(names) if backend.token_to_id(name) is not None]
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in known])
    return backend.to_str()
