"""What the files beside a vocabulary say of a tokenizer: the class that cuts, and the tokens added to it.

A class is the name of a way to cut; what its own keys change is said once for each file of a vocabulary
(`converted.py`). Here are the keys that any tokenizer may have, and those that contradict a
`tokenizer.json`, which transformers obeys before that file. Classes that cut by a program which is not here
are refused. This file does not know models.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from regard.errors import CheckpointError, damaged
from regard.interop.checkpoint import Checkpoint
from regard.interop.keys import refusal
from regard.strict_json import HEADER, VOCABULARY, loads

CONFIG, ADDED, SPECIAL = "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json"
SENTENCES = "sentence_bert_config.json"


def _classes(names: str) -> frozenset[str]:
    return frozenset(f"{name}Tokenizer" for name in names.split())


WORDPIECE = _classes(
    "Bert DistilBert Electra MobileBert MPNet RetriBert SqueezeBert DPRQuestionEncoder DPRContextEncoder"
    " DPRReader LayoutLM Lxmert ConvBert"
)
BYTES = _classes("GPT2 Qwen2 Roberta Bart Longformer LED")
SENTENCEPIECE = _classes("T5 Llama CodeLlama XLMRoberta Camembert")
FRAMED_TWICE = _classes("Roberta Bart Longformer LED XLMRoberta Camembert MPNet")
"""Two separators stand between the texts of a pair."""
OF_CLASSES: dict[str, dict[str, Any]] = {
    "LlamaTokenizer": {"padding_side": "left"},
    "CodeLlamaTokenizer": {"padding_side": "left"},
    "MarianTokenizer": {"model_max_length": 512},
}
"""What some classes have where a configuration does not say it."""
_GENERIC = frozenset(["PreTrainedTokenizer", "TokenizersBackend", "PythonBackend"])
_MOST_ADDED = 1 << 13
_PROGRAMS = _classes(
    "BertJapanese Bertweet Phobert Flaubert XLM RoCBert RoFormer Herbert Cpm ByT5 MyT5 Canine Bartpho"
    " GPTNeoXJapanese BertGeneration"
)
"""Those that cut by code of their own, whatever `tokenizer.json` may stand beside them."""


@dataclass(frozen=True)
class TokenizerKeys:
    """What a folder says of its tokenizer."""

    checkpoint: Checkpoint
    settings: Mapping[str, Any]
    """The keys of tokenizer_config.json and of special_tokens_map.json; of these, the second come first where
    the first do not describe the tokens that were added."""
    kind: str | None
    """The class that cuts, without 'Fast': the one that a file names, else the usual one of the model."""
    as_it_is: bool
    """Whether the class is any that runs a `tokenizer.json`, whatever else is said."""
    decided: bool = True
    """Whether transformers' AutoTokenizer opens a folder without a `tokenizer.json` by that class, too."""

    def refuse(self, key: str, why: str, *limit: object) -> CheckpointError:
        """The error for a key that cannot be honoured. As `refusal`."""
        return refusal(self.checkpoint.folder / CONFIG, key, self.settings.get(key), why, *limit)

    def flag(self, key: str, usual: bool) -> bool:
        """A key that is true or false; null is its usual value. Raises: CheckpointError."""
        value = self.settings.get(key)
        if value is not None and type(value) is not bool:
            raise self.refuse(key, "it must be {limit}", "true or false")
        return usual if value is None else value

    def name(self, role: str, usual: str) -> str:
        """The token with that role."""
        name = token_name(self.settings.get(f"{role}_token"))
        return usual if name is None else name

    def token(self, name: str, takes_space: bool = False) -> AddedToken:
        """A special token as the files describe it; where they do not, it may take white space before it."""
        added = self.settings.get("added_tokens_decoder")
        described = [*added.values()] if isinstance(added, dict) else []
        described += [token for role, token in self.settings.items() if role.endswith("_token")]
        for token in described:
            if isinstance(token, dict) and token.get("content") == name:
                return _token(token | {"special": True})
        return AddedToken(name, special=True, normalized=False, lstrip=takes_space)

    def check_class(self, known: frozenset[str], file: str) -> None:
        """Raise CheckpointError unless a file of a vocabulary is cut by one of these classes."""
        if self.kind is not None and self.kind not in known:
            raise self.refuse(
                "tokenizer_class", "{file} alone can be taken for {limit}", file, ", ".join(sorted(known))
            )


def read_keys(checkpoint: Checkpoint) -> TokenizerKeys:
    """Raises: CheckpointError for what cannot be read, or cuts by a program that is not here."""
    from regard.interop.family import FAMILIES

    family = FAMILIES.get(str(checkpoint.config.get("model_type")))
    config, special = dict(checkpoint.json(CONFIG, HEADER) or {}), dict(checkpoint.json(SPECIAL) or {})
    settings = config | special if config.get("added_tokens_decoder") is None else special | config
    stated = settings.get("tokenizer_class") or checkpoint.config.get("tokenizer_class")
    if stated is not None and not isinstance(stated, str):
        raise refusal(checkpoint.folder / CONFIG, "tokenizer_class", stated, "it must be {limit}", "a name")
    named = stated.removesuffix("Fast") if stated else None
    as_it_is = named in _GENERIC
    keys = TokenizerKeys(
        checkpoint,
        settings,
        getattr(family, "tokenizer", None) if named is None or as_it_is else named,
        as_it_is,
        not (named is None or as_it_is) and getattr(family, "tokenizer_by_class", True),
    )
    if settings.get("word_tokenizer_type") not in (None, "basic"):
        raise keys.refuse("word_tokenizer_type", "texts are cut by that program, which is not here")
    if keys.kind in _PROGRAMS:
        raise keys.refuse("tokenizer_class", "it cuts by code of its own, which is not here")
    return keys


def with_overrides(keys: TokenizerKeys, text: str) -> str:
    """A `tokenizer.json`, changed where the keys beside it contradict it, as transformers does; the same text
    where they do not. Raises: CheckpointError."""
    try:
        content = loads(text, VOCABULARY)
        changed = _change_normaliser(keys, content) | _change_splitting(keys, content)
    except (ValueError, TypeError, AttributeError):
        return text  # which says itself that it is damaged, when it is opened
    return json.dumps(content, ensure_ascii=False) if changed else text


def _change_normaliser(keys: TokenizerKeys, content: dict[str, Any]) -> bool:
    step = content.get("normalizer") or {}
    if keys.as_it_is or keys.kind not in WORDPIECE or step.get("type") != "BertNormalizer":
        return False
    before = dict(step)
    step.update(bert_options(keys))
    return bool(step != before)


def bert_options(keys: TokenizerKeys) -> dict[str, Any]:
    """How BERT's texts are normalised, as `tokenizers` calls it."""
    strip = keys.settings.get("strip_accents")
    return {
        "lowercase": keys.flag("do_lower_case", True),
        "strip_accents": None if strip is None else keys.flag("strip_accents", False),
        "handle_chinese_chars": keys.flag("tokenize_chinese_chars", True),
    }


def _change_splitting(keys: TokenizerKeys, content: dict[str, Any]) -> bool:
    if keys.as_it_is or keys.kind not in BYTES:
        return False
    first = content.get("pre_tokenizer") or {}
    prefix = keys.flag("add_prefix_space", False)
    # Some classes have steps before it, of which transformers obeys this key only where it is written.
    inner = first.get("pretokenizers", []) if "add_prefix_space" in keys.settings else []
    steps = [step for step in (first, *inner) if step.get("type") == "ByteLevel"]
    changed = any(step.get("add_prefix_space") is not prefix for step in steps)
    for step in steps:
        step["add_prefix_space"] = prefix
    return changed


def lowercases(checkpoint: Checkpoint) -> bool:
    """Whether the folder is sentence-transformers' and says that texts are in lower case before all else.

    Raises: CheckpointError."""
    settings = (checkpoint.json(SENTENCES) or {}).get("do_lower_case", False)
    if settings not in (True, False, None):
        raise refusal(
            checkpoint.folder / SENTENCES, "do_lower_case", settings, "it must be {limit}", "true or false"
        )
    return settings is True


def add_tokens(keys: TokenizerKeys, backend: Backend) -> bool:
    """Add the tokens that files beside the vocabulary name, in the order of their ids; whether there were
    new ones. Raises: CheckpointError where one would get another id than its file says."""
    declared, where = _declared(keys)
    there = backend.get_added_tokens_decoder()
    tokens = [declared[index] for index in sorted(declared) if index not in there]
    named = {token.content for token in (*tokens, *there.values())}
    further = [name for name in _further(keys) if name not in named]
    tokens += [AddedToken(name, special=True, normalized=False) for name in further]
    if len(tokens) > _MOST_ADDED:
        sentence = "{where}: {value:,} tokens are added to its tokenizer; {limit:,} may be"
        raise CheckpointError(sentence, keys.checkpoint.folder, len(tokens), _MOST_ADDED)
    backend.add_tokens(tokens)
    for index, token in declared.items():
        if (found := backend.token_to_id(token.content)) != index:
            sentence = (
                "{where}: '{key}' has the id {value} there, but {limit} by the vocabulary; the ids of added"
                " tokens must follow those before them"
            )
            raise CheckpointError(sentence, keys.checkpoint.folder / where, token.content, index, found)
    return bool(tokens)


def _declared(keys: TokenizerKeys) -> tuple[dict[int, AddedToken], str]:
    """Tokens by their ids, and the file that says so."""
    tokens = keys.settings.get("added_tokens_decoder")
    try:
        if tokens is not None:
            return {_index(index): _token(token) for index, token in tokens.items()}, CONFIG
        named = (token_name(token) for key, token in keys.settings.items() if key.endswith("_token"))
        special = {*_further(keys), *named}
        names = keys.checkpoint.json(ADDED, VOCABULARY) or {}
        return {
            _index(index): AddedToken(name, special=name in special, normalized=name not in special)
            for name, index in names.items()
        }, ADDED
    except (ValueError, TypeError, AttributeError) as error:
        file = keys.checkpoint.folder / (CONFIG if tokens is not None else ADDED)
        raise damaged(CheckpointError, file, "a token that was added has no id or name") from error


def _index(value: Any) -> int:
    if type(value) not in (int, str) or not 0 <= (index := int(value)) < 1 << 31:
        raise ValueError("no id")
    return index


def _token(settings: dict[str, Any]) -> AddedToken:
    flags = {name: settings.get(name) is True for name in ("single_word", "lstrip", "rstrip", "special")}
    if not isinstance(settings["content"], str) or not settings["content"]:
        raise ValueError("no name")
    return AddedToken(settings["content"], normalized=settings.get("normalized") is not False, **flags)


def _further(keys: TokenizerKeys) -> list[str]:
    """The names of special tokens that have no role."""
    found = []
    for key in ("additional_special_tokens", "extra_special_tokens"):
        some = keys.settings.get(key)
        for token in some if isinstance(some, list) else []:
            found += [name] if (name := token_name(token)) else []
    return list(dict.fromkeys(found))


def token_name(token: Any) -> str | None:
    """What a file calls a token: a string, or an object that describes it."""
    name = token.get("content") if isinstance(token, dict) else token
    return name if isinstance(name, str) else None
