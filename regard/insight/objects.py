"""A worked computation as an object for JSON: `regard explain NAME --json`.

    {"format": 1, "name": …, "title": W, "text": W, "steps": [S], "proofs": [P], "holds": true}
    W  {"en": …, "zh": …}                         a name that is the same in both has two equal texts
    S  {"title": W, "text": W, "formula": …, "values": [V or T], "figure": W or null}
    V  {"kind": "values", "name": W, "shape": [rows, columns], "rows": [W], "columns": [W], "sheets": [W],
        "values": nested lists of numbers or of booleans}
    T  {"kind": "table", "name": W, "columns": [W], "rows": [[W or number]]}
    P  {"claim": W, "difference": …, "tolerance": …, "holds": true}

Numbers are whole (they read back to the same bits). What JSON has no number for is one of the texts "NaN",
"Infinity" and "-Infinity". New keys may be added; `format` grows when one of these changes its meaning.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from regard.insight.parameters import Choice, Parameter
from regard.insight.worked import Content, Label, Step, Values, Words, Worked
from regard.strict_json import plain

FORMAT = 1


def as_object(worked: Worked, *, origins: bool = False) -> dict[str, Any]:
    """What JSON is written from. `origins`: whether values that are a product have its two sides beside them,
    as `"origin": {"left": …, "right": …, "scale": …}`."""
    return {
        "format": FORMAT,
        "name": worked.name,
        "title": _words(worked.title),
        "text": _words(worked.text),
        "steps": [step_object(step, origins=origins) for step in worked.steps],
        "proofs": [
            {"claim": _words(one.claim)}
            | {key: plain(getattr(one, key)) for key in ("difference", "tolerance", "holds")}
            for one in worked.proofs
        ],
        "holds": worked.holds,
    }


def parameter_object(parameter: Parameter) -> dict[str, Any]:
    """What can be changed in an example, for whoever draws a control."""
    about = vars(parameter) | {"label": _words(parameter.label)}
    if isinstance(parameter, Choice):
        about["options"] = [{"value": value, "label": _words(label)} for value, label in parameter.options]
    return about


def step_object(step: Step, *, origins: bool = False) -> dict[str, Any]:
    """S of the module's docstring; `origins` as for `as_object`."""
    return {
        "title": _words(step.title),
        "text": _words(step.text),
        "formula": step.formula,
        "values": [_content(value) | (_origin(value) if origins else {}) for value in step.values],
        "figure": None if step.figure is None else _words(step.figure.name),
    }


def _words(label: Label) -> dict[str, str]:
    return asdict(label if isinstance(label, Words) else Words(label, label))


def _content(value: Content) -> dict[str, Any]:
    name, columns = _words(value.name), [_words(label) for label in value.columns]
    if isinstance(value, Values):
        return {
            "kind": "values",
            "name": name,
            "shape": list(value.array.shape),
            "rows": [_words(label) for label in value.rows],
            "columns": columns,
            "sheets": [_words(label) for label in value.sheets],
            "values": plain(value.array.tolist()),
        }
    rows = [[_words(c) if isinstance(c, str | Words) else plain(c) for c in row] for row in value.rows]
    return {"kind": "table", "name": name, "columns": columns, "rows": rows}


def _origin(value: Content) -> dict[str, Any]:
    if not isinstance(value, Values) or value.origin is None:
        return {}
    product = value.origin
    sides = {"left": plain(product.left.tolist()), "right": plain(product.right.tolist())}
    return {"origin": {**sides, "scale": product.scale}}
