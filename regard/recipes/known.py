"""What has a name, as `regard data` lists it: built-in data sets, public ones, and public checkpoints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from itertools import islice
from typing import Any

from regard.data.builtin import BUILTIN, BuiltIn
from regard.data.named import DATA_FOLDER, NAMED, NamedSet, local_folder
from regard.data.readers.forms import AsJson
from regard.data.readers.opening import open_data
from regard.data.rows import KnownSet
from regard.errors import DataError, nearest
from regard.interop.public import CHECKPOINTS
from regard.interop.public import local_folder as checkpoint_folder
from regard.recipes.report import one_line

_LONGEST = 200  # characters of a value that is shown
_DOWNLOADED = "is downloaded when first used"


def data_lines(name: str | None, *, as_json: bool) -> Iterator[str]:
    """All sets that have a name; or one, and its first rows if it is here without a download."""
    known: dict[str, KnownSet] = {**BUILTIN, **NAMED}
    if name is not None and name not in known and name not in CHECKPOINTS:
        every = [*known, *CHECKPOINTS]
        hint = nearest(name, every) or "`regard data` lists them"
        raise DataError("there is no data set or checkpoint called '{key}'", name, remedy=hint)
    for entry in known.values():
        if name in (None, entry.name):
            about = {field.name: getattr(entry, field.name) for field in fields(KnownSet)}
            columns = f" ({' → '.join(entry.columns)})" if entry.columns else ""
            about["place"] = _place(entry)
            yield from _entry_lines(about, columns, as_json=as_json)
    for checkpoint in CHECKPOINTS.values():
        if name in (None, checkpoint.name):
            labels = ("name", "title", "size", "source", "licence")
            about = {label: getattr(checkpoint, label) for label in labels}
            folder = checkpoint_folder(checkpoint)  # what others trained, for `regard import` and the recipes
            about["place"] = _DOWNLOADED if folder is None else str(folder)
            use = f" (a checkpoint: regard import {checkpoint.name} RUN)"
            yield from _entry_lines(about, use, as_json=as_json)
    if name in known and not as_json and known[name].columns and _is_here(known[name]):
        names = known[name].columns
        data = open_data(name, names, forms=(AsJson(),) * len(names))
        for row in islice(data.split("train"), 5):
            yield f"{'':15} {'  →  '.join(_beginning(value) for value in row.values)}"


def _entry_lines(about: dict[str, Any], title: str, *, as_json: bool) -> Iterator[str]:
    if as_json:
        yield json.dumps(about, ensure_ascii=False)
        return
    yield f"{about['name']:15} {about['title']}{title}"
    for label in ("size", "split", "source", "licence", "place"):
        if label in about:
            yield f"{'':15} {label}: {about[label]}"


def _beginning(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"


def _is_here(entry: KnownSet) -> bool:
    return not isinstance(entry, NamedSet) or local_folder(entry) is not None


def _place(entry: KnownSet) -> str:
    """Where the rows would come from at this moment."""
    if isinstance(entry, BuiltIn):
        return f"comes with the package {entry.package}" if entry.package else "comes with Python"
    assert isinstance(entry, NamedSet)
    if folder := local_folder(entry):
        return str(folder)
    return _DOWNLOADED if entry.downloadable else f"needs ${DATA_FOLDER}"
