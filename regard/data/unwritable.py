"""A `tokenizer.json` whose special tokens no text can hold, as in SentencePiece itself.

`tokenizers` can be told not to look for the names of special tokens in a text, but its models still have
them as pieces, so a text that spells one may become it. Here such pieces get names that nobody can write,
merges that make them are left out, and the pieces that stand for single bytes are only that.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable
from typing import Any

ABSENT = -1000.0
"""The score of a piece that a list of ids has, but not the SentencePiece model that cuts."""
NEVER = 2 * ABSENT
"""That of one of these that is never chosen, since it has a letter that the model knows."""
_BYTE = re.compile("<0x[0-9A-F]{2}>")
_PARTS = ("<", "0", "x", "[0-9A-F]", "[0-9A-F]", ">")


def unwritable(text: str, kind: str) -> str | None:
    """The file with a model of that kind (such as "Unigram") so that it cuts alike, save for what spells a
    special token; None where its model cannot give one anyway. Ids stay, names do not."""
    content = json.loads(text)
    model, added = content["model"], content.get("added_tokens") or []
    special = {token["content"] for token in added if token["special"]}
    if kind == "BPE":
        special |= {model.get("unk_token")}
        if not _without_merges(model, special) and not model.get("ignore_merges"):
            return None
        special = {name for name in special if name is not None and len(name) > 1}  # a letter is no name
        _rename_keys(model, names := _renamed(special))
    elif kind == "Unigram":
        if (unknown := model.get("unk_id")) is not None:
            special.add(model["vocab"][unknown][0])
        _rename_pieces(model, names := _renamed(special))
        if model.get("byte_fallback"):
            _part_bytes(content)
    else:
        special.add(model.setdefault("unk_token", "[UNK]" if kind == "WordPiece" else "<unk>"))
        _rename_keys(model, names := _renamed(special))
    for token in added:
        token["content"] = names.get(token["content"], token["content"])
    content["post_processor"] = None  # which would look for those names
    return json.dumps(content, ensure_ascii=False)


def _renamed(special: Iterable[str]) -> dict[str, str]:
    """Another name for each of some, which no text holds, since nobody knows it."""
    secret = secrets.token_hex(16)
    return {name: f"{secret}:{index}" for index, name in enumerate(sorted(special))}


def _without_merges(model: dict[str, Any], special: set[str | None]) -> bool:
    """Leave out merges of and to special tokens and bytes by name. Whether there were any."""
    merges = model["merges"]
    kept = []
    for merge in merges:
        left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
        made = left + right.removeprefix(model.get("continuing_subword_prefix") or "")
        byte = model.get("byte_fallback") and _BYTE.fullmatch(made)
        if not byte and special.isdisjoint((left, right, made)):
            kept.append(merge)
    model["merges"] = kept
    return len(kept) < len(merges)


def _rename_keys(model: dict[str, Any], names: dict[str, str]) -> None:
    model["vocab"] = {names.get(name, name): index for name, index in model["vocab"].items()}
    if model.get("unk_token") is not None:
        model["unk_token"] = names.get(model["unk_token"], model["unk_token"])


def _rename_pieces(model: dict[str, Any], names: dict[str, str]) -> None:
    pieces = []
    for name, score in model["vocab"]:
        other = names.get(name, name)
        pieces.append((other, 0.0 if other != name and score == ABSENT else score))
    model["vocab"] = pieces


def _part_bytes(content: dict[str, Any]) -> None:
    """Cut what is spelled like a byte's piece in two, where that takes no other piece away if possible."""
    others = "\n".join(name for name, _ in content["model"]["vocab"] if not _BYTE.fullmatch(name))
    apart = (i for i in range(1, len(_PARTS)) if not re.search(_PARTS[i - 1] + _PARTS[i], others))
    cut = next(apart, 1)
    pattern = f"{''.join(_PARTS[:cut])}(?={''.join(_PARTS[cut:])})"
    split = {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "MergedWithPrevious",
        "invert": False,
    }
    first = content.get("pre_tokenizer")
    steps = [first, split] if first else [split]
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}
