"""A hostile checkpoint takes no more than a bounded time and memory, whichever of its files is hostile."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from regard.data.tokenizer import Tokenizer
from regard.data.tokenizer_given import Given, GivenTokenizer, open_backend
from regard.data.tokenizer_trial import tried
from regard.errors import TokenizerError
from tests.bounded import took
from tests.hostile import JSON_TEXTS, TENSORS, Write
from tests.interop.families import V, checkpoint, tokenizer_json

OBJECTS = ("config.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json")
"""Read of every checkpoint of texts that has them."""
ALONE = ("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "tokenizer.model")
"""Read where there is no `tokenizer.json`."""
INDEX = "model.safetensors.index.json"
TEXTS: dict[str, Write] = {
    "one line of 1 GB": lambda path: _truncated(path, 1_000_000_000),
    "sixty million lines": lambda path: path.write_bytes(b"\n" * 60_000_000) and None,
    "a line of 60 MB": lambda path: path.write_bytes(b"x" * 60_000_000) and None,
    "no UTF-8": lambda path: path.write_bytes(b"\xff\xfe") and None,
}


def _truncated(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def _pieces(path: Path) -> None:
    """A SentencePiece model of millions of pieces."""
    path.write_bytes(b"".join(b"\x0a\x05\x0a\x03%c%c%c" % (65 + i % 26, 65 + i // 26 % 26, 65 + i // 676 % 26)
                              for i in range(17_576)) * 100)  # fmt: skip


def _long_piece(path: Path) -> None:
    """A BPE model with one piece of a megabyte, cut at each place."""
    size = 1_000_000
    varint = bytes((size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14))
    inner = b"\x0a" + varint + b"a" * size
    outer = len(inner)
    varint = bytes((outer & 0x7F | 0x80, outer >> 7 & 0x7F | 0x80, outer >> 14))
    path.write_bytes(b"\x0a" + varint + inner + b"\x12\x02\x18\x02")


def _cases(good: Path, seen: Path, place: Path) -> list[tuple[str, str, Path]]:
    found: list[tuple[str, str, Path]] = []

    def add(base: Path, name: str, what: str, write: Write, without: tuple[str, ...] = ()) -> None:
        folder = place / f"{len(found)}"
        shutil.copytree(base, folder)
        for other in without:
            (folder / other).unlink()
        write(folder / name)
        found.append((name, what, folder))

    for what, write in JSON_TEXTS.items():
        for name in (*OBJECTS, "tokenizer.json"):
            add(good, name, what, write)
        add(good, "vocab.json", what, write, ("tokenizer.json",))
        (found[-1][2] / "merges.txt").write_text("a b\n", "utf-8")
        add(good, INDEX, what, write, ("model.safetensors",))
        add(seen, "preprocessor_config.json", what, write)
    for what, write in TENSORS.items():
        add(good, "model.safetensors", what, write)
    for what, write in (*TEXTS.items(), ("many pieces", _pieces), ("a long piece", _long_piece)):
        for name in ALONE:
            add(good, name, what, write, ("tokenizer.json",))
            if name == "merges.txt":
                (found[-1][2] / "vocab.json").write_text("{}", "utf-8")
    return found


@pytest.mark.slow
def test_every_file_of_a_checkpoint_is_measured_before_it_is_believed() -> None:
    pytest.importorskip("transformers")
    with TemporaryDirectory() as place:  # hundreds of megabytes, which nobody wants to keep
        good, seen = Path(place, "good"), Path(place, "seen")
        checkpoint("bert", good, depth=1)
        checkpoint("deit", seen, depth=1)
        cases = _cases(good, seen, Path(place))
        results = took("import", good, [folder for *_, folder in cases])
    for (name, what, folder), said in zip(cases, results, strict=True):
        said.check()
        harmless = name not in ("config.json", INDEX) and what in ("30 MB of one text", "a long key")
        assert said.error == "CheckpointError" or (not said.error and harmless), (name, what, said)
        named = (str(folder), name)
        assert not said.error or any(word in said.message for word in named), (name, what, said)


# ------------------------------------------------------------------------------------------ tokenizers


def changed(**parts: Any) -> str:
    return json.dumps(json.loads(tokenizer_json()) | parts)


def replace_(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def sequence(steps: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "Sequence", "normalizers": steps}


DOUBLING = [replace_({"String": "a"}, "aa")] * 40
GROWING: dict[str, dict[str, Any]] = {
    "a million of one": {"normalizer": replace_({"String": "a"}, "a" * 1_000_000)},
    "a million of any": {"normalizer": replace_({"Regex": "."}, "a" * 1_000_000)},
    "a million of nothing": {"normalizer": replace_({"Regex": "q*"}, "b" * 1_000_000)},
    "doubled forty times": {"normalizer": sequence(DOUBLING)},
    "a thousand of one, twice": {"normalizer": sequence([replace_({"String": "é"}, "é" * 1000)] * 2)},
    "put before": {"normalizer": {"type": "Prepend", "prepend": "a" * 10_000_000}},
    "decoded": {"decoder": replace_({"String": "w"}, "w" * 1_000_000)},
    "decoded, in steps": {
        "decoder": {"type": "Sequence", "decoders": [replace_({"String": "w"}, "ww")] * 40}
    },
}
SLOW: dict[str, dict[str, Any]] = {
    "a nested plus": {"pre_tokenizer": split("(a+)+$")},
    "a nested plus of another letter": {"pre_tokenizer": split("(q+q+)+z")},
    "alternatives": {"pre_tokenizer": split("(w|w)*v")},
    "a pair": {"pre_tokenizer": split("((xy|yx|x|y)+)+;")},
    "a reference back": {"pre_tokenizer": split(r"(.*)(.*)(.*)(.*)(.*)\1\2\3\4\5k")},
    "in a normaliser": {"normalizer": replace_({"Regex": "(m+)+n"}, "x")},
}
FRAMING: dict[str, dict[str, Any]] = {
    "a long frame": {
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}] * 10_000
            + [{"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [2], "tokens": ["<s>"]}},
        }
    }
}


@pytest.mark.parametrize("what", [*GROWING, *SLOW, *FRAMING])
def test_a_tokenizer_that_takes_too_much_is_refused_in_a_trial(what: str) -> None:
    start = time.monotonic()
    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        tried(changed(**(GROWING | SLOW | FRAMING)[what]))
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("what", GROWING)
def test_one_that_grows_is_refused_wherever_it_comes_from(what: str) -> None:
    given = Given(size=V, pad=0, bos=2, eos=3, unk=1, mask=4)
    with pytest.raises(TokenizerError, match="characters of one"):
        GivenTokenizer(given, changed(**GROWING[what]))
    text = GivenTokenizer(given, tokenizer_json()).to_json()
    content = json.loads(text) | {"tokenizer": changed(**GROWING[what])}
    with pytest.raises(TokenizerError, match="characters of"):
        Tokenizer.from_json(json.dumps(content))


@pytest.mark.parametrize("what", SLOW)
def test_what_its_library_cannot_bear_is_an_error_of_ours(what: str) -> None:
    """A pattern that gives up after millions of steps ends in a panic there, which no `except` expects."""
    tokenizer = GivenTokenizer(Given(size=V, pad=0, bos=2, eos=3, unk=1), changed(**SLOW[what]))
    for letter in "aqwm":
        for text in (letter * 40 + "!", "xy" * 30):
            with suppress(TokenizerError):
                tokenizer.encode(text)


def test_padding_that_the_file_asks_for_is_not_made() -> None:
    padding = {"strategy": {"Fixed": 10**9}, "direction": "Right", "pad_to_multiple_of": None}
    padding |= {"pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>"}
    text = changed(padding=padding, truncation=None)
    tried(text)
    assert len(open_backend(text).encode("w5").ids) < 10


SOUND: dict[str, Callable[[], dict[str, Any]]] = {
    "as it is": dict,
    "T5's": lambda: {
        "normalizer": sequence([{"type": "Strip", "strip_left": False, "strip_right": True},
                                replace_({"Regex": " {2,}"}, "▁")])
    },
    "Albert's": lambda: {
        "normalizer": sequence([replace_({"String": "``"}, '"'), {"type": "NFKD"}, {"type": "StripAccents"},
                                {"type": "Lowercase"}, replace_({"Regex": " {2,}"}, " ")])
    },
    "Gemma's": lambda: {"normalizer": replace_({"String": " "}, "▁")},
    "Llama's": lambda: {
        "normalizer": sequence([{"type": "Prepend", "prepend": "▁"}, replace_({"String": " "}, "▁")])
    },
    "GPT-4's": lambda: {
        "pre_tokenizer": split(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
            r"\s*[\r\n]+|\s+(?!\S)|\s+"
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("what", SOUND)
def test_what_the_published_ones_do_is_borne(what: str) -> None:
    text = changed(**SOUND[what]())
    tried(text)
    open_backend(text)


# ------------------------------------------------------------------------------- in a bundle of ours

WORSE: dict[str, dict[str, Any]] = {
    "words in alternatives": {"pre_tokenizer": split("(?:foo|foofoo)+$")},
    "a class": {"pre_tokenizer": split(r"(\w+\s?)+$")},
    "a range": {"pre_tokenizer": split("([b-y]+)+z$")},
    "a number": {"pre_tokenizer": split(r"(\x51+)+$")},
    "a script": {"pre_tokenizer": split(r"(\p{Greek}+)+$")},
    "in a sequence": {
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "WhitespaceSplit"}, split(r"(?:a|aa)+\z")],
        }
    },
}


def _kept(text: str) -> str:
    """A bundle's file with this `tokenizer.json` in it."""
    given = Given(size=V, pad=0, bos=2, eos=3, unk=1, mask=4)
    return json.dumps(json.loads(GivenTokenizer(given, tokenizer_json()).to_json()) | {"tokenizer": text})


@pytest.mark.parametrize("what", [*SLOW, *WORSE])
def test_a_pattern_in_a_bundle_is_tried_as_at_import(what: str) -> None:
    start = time.monotonic()
    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        Tokenizer.from_json(_kept(changed(**(SLOW | WORSE)[what])))
    assert time.monotonic() - start < 30


def _hidden() -> dict[str, str]:
    text = changed(**SLOW["a nested plus"])
    return {
        "a letter of the key as a number": text.replace('"Regex"', '"\\u0052egex"'),
        "beside a number of 5,000 digits": text.replace("{", '{"more":' + "9" * 5000 + ",", 1),
    }


@pytest.mark.parametrize("how", _hidden())
def test_a_pattern_cannot_be_hidden_from_the_trial(how: str) -> None:
    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        Tokenizer.from_json(_kept(_hidden()[how]))


@pytest.mark.parametrize("what", SOUND)
def test_published_patterns_are_loaded_without_a_process(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "run", none)
    Tokenizer.from_json(_kept(changed(**SOUND[what]())))
