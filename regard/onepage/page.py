"""Writes the page: what stands in it, how large it may be, and what it may do.

The browser is told to run the page's own scripts only, each by its hash, and to fetch nothing. What comes
from the user's data stands in it as JSON or base64, never as markup.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from regard.data.builtin import BUILTIN
from regard.data.sample import valid_text
from regard.errors import InputError
from regard.files import check_space, human_bytes, write_text
from regard.insight.page import as_json
from regard.insight.script import asset, scripts
from regard.model.position import Learned
from regard.model.transformer import EncoderDecoderConfig
from regard.onepage import known
from regard.run import Run, load
from regard.schema import dump
from regard.tasks.protocols import FitsOnePage

Precision = Literal["float32", "float16"]

_MOST = 100_000_000
"""Bytes of a page that a phone can be asked to open."""
_BESIDE = 200_000
"""Bytes of what is not weights or vocabulary."""
_ENDLESS = 1 << 31
HOMES = ("regard.onepage", "regard.serve", "regard.insight")
"""Whose `assets` a page is made of; the explorer has its heat maps and its pad."""
_LONGEST = 120  # characters of an example


@dataclass(frozen=True)
class Page:
    """What was written."""

    path: Path
    parameters: int
    bytes: int
    dtype: Precision


def export_page(
    run: Run | str | Path,
    out: str | Path,
    *,
    title: str | None = None,
    examples: Sequence[str] = (),
    dtype: Precision = "float32",
    lang: Literal["en", "zh"] = "en",
) -> Page:
    """Write the model of `run` as the page `out`, in which it runs.

    `title`: the name of the run's folder by default. `examples`: inputs to begin with; of a built-in data
    set, some of its test part by default, and of data of the user's own none. `dtype`: "float16" halves the
    page and rounds the weights, which the page says. `lang`: what it opens in, where the reader has not
    chosen yet.

    Raises: BundleError: no bundle. InputError: what a page cannot do, or a page over 100 MB. StorageError.
    """
    run = run if isinstance(run, Run) else load(run)
    known.check(run)
    title = run.folder.resolve().name if title is None else title
    names = _names(run)
    size = _size(run, names, dtype)
    place = Path(out)
    check_space(place, size)
    about = _about(run) | {
        "title": title,
        "examples": _examples(run, examples),
        "data": _data(run),
        "dtype": dtype,
        "layout": [[name, list(run.bundle.weights[name].shape)] for name in names],
        "tied": {name: first for first, others in names.items() for name in others},
        "parameters": sum(run.bundle.weights[name].numel() for name in names),
        "lang": lang,
    }
    text = _page(about, _base64([run.bundle.weights[name] for name in names], dtype), lang)
    text = valid_text(text)  # half a character in a label has no bytes
    write_text(place, text)
    return Page(place, about["parameters"], len(text.encode("utf-8")), dtype)


def _names(run: Run) -> dict[str, list[str]]:
    """The name of each weight, and other names of the same."""
    with torch.random.fork_rng(devices=[]):
        tensors = run.bundle.model.build().state_dict(keep_vars=True)
    first: dict[int, str] = {}
    found: dict[str, list[str]] = {}
    for name, tensor in tensors.items():
        known_as = first.setdefault(id(tensor), name)
        found.setdefault(known_as, []).extend([] if known_as == name else [name])
    return found


def _size(run: Run, names: dict[str, list[str]], dtype: Precision) -> int:
    """Bytes of the page, from above. Raises: InputError for too many."""
    each = {"float32": 4, "float16": 2}[dtype]
    weights = sum(run.bundle.weights[name].numel() for name in names) * each * 4 // 3
    size = weights + 6 * sum(len(text) for text in run.bundle.tokenizers.values()) + _BESIDE
    if size > _MOST:
        helps = dtype == "float32" and size < 2 * _MOST
        remedy = "use float16, which halves it" if helps else "give a smaller model"
        sentence = "the page of {where} would have {value}, where a phone can be asked for {limit}; {remedy}"
        raise InputError(sentence, run.folder, human_bytes(size), human_bytes(_MOST), remedy)
    return size


def _base64(weights: list[Tensor], dtype: Precision) -> str:
    kind = np.dtype("<f4" if dtype == "float32" else "<f2")
    parts = []
    for weight in weights:
        numbers = weight.detach().float().cpu().numpy()
        with np.errstate(over="ignore"):
            kept = numbers.astype(kind)
        if not np.isfinite(kept).all():
            sentence = "a weight is no finite number in {value}; use float32, or train the model again"
            raise InputError(sentence, dtype)
        parts.append(kept.tobytes())
    return base64.b64encode(b"".join(parts)).decode("ascii")


def _about(run: Run) -> dict[str, Any]:
    """What the page must know of the model and its task."""
    model, task = run.bundle.model, run.task
    assert isinstance(task, FitsOnePage), "checked"
    texts = [text for name, text in sorted(run.bundle.tokenizers.items()) if name.startswith("tok")]
    keys = ("spec", "special", "pieces", "merges")
    return {
        "task": task.name,
        "model": dump(model),
        "tokenizers": [{key: content[key] for key in keys} for content in map(json.loads, texts)],
        "never": [],
        **task.page_facts(_rooms(model)),
    }


def _rooms(model: Any) -> list[int]:
    """Tokens that each stack has positions for."""
    stacks = [model.encoder, model.decoder] if isinstance(model, EncoderDecoderConfig) else [model.stack]
    positions = [stack.position for stack in stacks]
    return [one.length if isinstance(one, Learned) else _ENDLESS for one in positions]


def _data(run: Run) -> str:
    """What it was trained on: a built-in set has a title; the name of the user's own file is not told."""
    name = run.bundle.data.get("name")
    return BUILTIN[name].title if isinstance(name, str) and name in BUILTIN else ""


def _examples(run: Run, given: Sequence[str]) -> list[str]:
    """Rows of the user's own data are theirs to show: only those of built-in sets are taken unasked."""
    if given or run.task.input.kind != "text" or run.bundle.data.get("name") not in BUILTIN:
        return list(given)
    return [str(one["text"]) for one in run.examples(5) if len(str(one["text"])) <= _LONGEST]


def _page(about: dict[str, Any], weights: str, lang: str) -> str:
    style = f"\n{asset('page.css')}\n{asset('page.css', HOMES)}\n"
    code = scripts("page", HOMES)
    policy = (
        f"default-src 'none'; script-src {' '.join(_hash(one) for one in code.values())};"
        f" style-src {_hash(style)}; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    return Template(asset("page.html", HOMES)).substitute(
        lang={"en": "en", "zh": "zh-CN"}[lang],
        choice=lang,
        policy=escape(policy),
        title=escape(about["title"]),
        style=style,
        about=as_json(about),
        weights=weights,
        scripts="".join(f'<script id="script-{name}">{text}</script>\n' for name, text in code.items()),
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(sha256(text.encode('utf-8')).digest()).decode('ascii')}'"
