"""The page of all keys of a run's configuration, written from the dataclasses themselves.

`make reference` writes it; a test tells when that was forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from regard.schema import Key, describe
from regard.training.config import RunConfig
from regard.training.defaults import SHORT

PAGE = "docs/configuration.md"

_TOP = """# Every key of a configuration

`regard train` takes any of them as `--set KEY=VALUE`, or many in a JSON file or from an earlier run by
`--config`; each run writes all of them to its `config.json`. In order, each overriding the one before: the
preset, what suits a built-in set, `--config`, `--set`, and the options that have a flag of their own.

Where a key says `one of`, its value is a kind, such as `--set train.optimizer=muon`; a kind has keys of its
own, such as `--set train.optimizer.momentum=0.9`, listed below it. Some keys have a
short name, for every SIDE that the model has: {short}.

This page is written by `make reference` from the code.
"""
_SIDE = re.compile(r"\bmodel\.(encoder|decoder|stack)\.")
_SIDES = (
    (
        r"\btask\.target_tokenizer\.",
        "task.tokenizer.",
        "`task.target_tokenizer` has the keys of its sibling.",
    ),
    (_SIDE.pattern, "model.SIDE.", "SIDE is `encoder` or `decoder`, or `stack` of a model that has one."),
    (
        r"\bmodel\.(target|embed)\.",
        "model.source.",
        "`model.target` has the keys of `model.source`, and so has `model.embed` of a model of one stack.",
    ),
)
_SECTIONS = {"task": "What is learned", "model": "What learns it", "train": "How"}


def configuration_page() -> str:
    """The page in Markdown."""
    keys = list(dict.fromkeys(_shortened(key) for key in _explained(describe(RunConfig))))
    lines = [_TOP.format(short="; ".join(map(_short_name, SHORT)))]
    for section, title in _SECTIONS.items():
        notes = [note for pattern, _, note in _SIDES if pattern.startswith(rf"\b{section}\.")]
        lines += [f"## `{section}`: {title}", "", *notes, ""]
        inside = [key for key in keys if key.path.startswith(f"{section}.")]
        for when in dict.fromkeys(key.when for key in inside):
            lines += [f"With `{when.replace('.kind=', '=')}`:", ""] if when else []
            lines += ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
            lines += [_row(key) for key in inside if key.when == when]
            lines.append("")
    return "\n".join(lines)


def _short_name(name: str) -> str:
    parts = dict.fromkeys(_SIDE.sub("model.SIDE.", key) for key in SHORT[name])
    return f"`{name}` for {' and '.join(f'`{key}`' for key in parts)}"


def _explained(keys: Iterable[Key]) -> list[Key]:
    """A key that several kinds of a part share is explained at one of them."""
    keys = list(keys)
    known = {key.path: key.doc for key in reversed(keys) if key.doc}
    return [replace(key, doc=(key.doc or known.get(key.path, "")).replace("None", "null")) for key in keys]


def _shortened(key: Key) -> Key:
    """The same key of two sides is listed once."""
    path, when = key.path, key.when
    for pattern, other, _ in _SIDES:
        path, when = re.sub(pattern, other, path), re.sub(pattern, other, when)
    kinds = [part for part in when.split(", ") if part and not part.startswith("model.kind=")]
    if path.count(".") > 1:  # a part that several tasks have
        kinds = [part for part in kinds if not part.startswith("task.kind=")]
    return replace(key, path=path, when=", ".join(kinds))


def _row(key: Key) -> str:
    value = key.type.replace("|", "\\|")
    if value.startswith("'"):
        value = "one of " + value.replace("'", "`").replace(" or ", ", ")
    default = f"`{key.default}`" if key.default else ""
    return f"| `{key.path}` | {value} | {default} | {key.doc.replace('|', chr(92) + '|')} |"


if __name__ == "__main__":
    Path(PAGE).write_text(configuration_page(), encoding="utf-8")
