"""The page of all kinds of values, written from the kinds themselves.

`make reference` writes it; a test tells when that was forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from regard.values import VALUES, Chat, Items, Labels, Pair, Score, Span, Spans, Text, Value, Vector
from regard.values.json_schema import Schema
from regard.values.prediction import prediction_schema

PAGE = "docs/values.md"

_TOP = """# Values

What goes into a model and comes out of it is a value of one of these kinds. `regard.values` has a class for
each, with four ways in and out:

    Kind.parse(given)      whatever you have: a word of a command line, a path, bytes, an array, JSON's object
    Kind.from_json(data)   only what is described below; no text in it is ever opened as a path
    value.to_json()        an object for JSON, which `from_json` takes back unchanged
    Kind.schema()          JSON Schema (draft 2020-12) of that object

`str(value)` is a line for a terminal, and notebooks show the value as HTML; both escape what others wrote.
`regard.values.from_json(data)` reads any kind by its key `kind`. Unknown keys, numbers that are not finite
and halves of surrogate pairs are refused with the place: `boxes.boxes[3].score is 2; it must be at most 1`.
What may be left out has a default. Files are decoded when a value is first looked into; what decodes them are
the extras `images` (pillow), `audio` (soundfile, soxr) and `video` (av).

A kind of your own is one class: a frozen dataclass derived from `regard.values.Value` with `kind`, `accepts`,
`properties` and `__str__`, registered by `regard.values.VALUES.register` or by the entry-point group
`regard.values` of a package.

This page is written by `make reference` from the code.
"""
_EXAMPLES: tuple[Value, ...] = (
    Text("A man rides a horse."),
    Pair("Who rides?", "A man rides a horse."),
    Chat.parse([{"role": "user", "content": "Hello!"}]),
    Labels(("joy", "love", "anger"), (0.8, 0.15, 0.05)),
    Spans("Ada lived in London.", (Span(0, 3, "person", 0.98), Span(13, 19, "place", 0.95))),
    Score(4.25),
    Items(("12", "7"), (1_700_000_000.0, 1_700_000_360.0), "u1"),
    Vector.parse([0.5, -0.25]),
    VALUES["boxes"].from_json(
        {"kind": "boxes", "boxes": [{"xyxy": [2, 3, 30, 40], "label": "cat", "score": 0.9}]}
    ),
)
_RLE = {"kind": "mask", "data": {"size": [2, 3], "counts": [2, 3, 1]}, "labels": ["background", "cat"]}


def values_page() -> str:
    """The page in Markdown."""
    examples = {value.kind: value.to_json() for value in _EXAMPLES} | {"mask": _RLE}
    parts = [_TOP]
    for kind in sorted(VALUES):
        schema = VALUES[kind].schema()
        parts += [f"## `{kind}`\n", f"{schema['description']}\n", f"`parse` takes {VALUES[kind].accepts}.\n"]
        parts += _table(schema)
        if kind in examples:
            parts.append(f"    {json.dumps(examples[kind], ensure_ascii=False)}\n")
    parts += ["## Predictions\n", "`regard.values.Prediction`: what a model answers to one input.\n"]
    parts += _table(prediction_schema(VALUES["text"]))
    return "\n".join(parts)


def _table(schema: Schema) -> Iterator[str]:
    yield "| key | what stands there | default | meaning |\n| --- | --- | --- | --- |"
    yield from _rows(schema, "")
    yield ""


def _rows(schema: Schema, prefix: str) -> Iterator[str]:
    for key, inner in schema["properties"].items():
        default = f"`{json.dumps(inner['default'])}`" if "default" in inner else ""
        about = inner.get("description", "The kind.")
        yield f"| `{prefix}{key}` | {_type(inner)} | {default} | {about} |"
        for part in (inner, *inner.get("anyOf", ())):
            if "kind" in part.get("properties", {}):
                continue  # a value, which has a section of its own
            if part.get("type") == "object":
                yield from _rows(part, f"{prefix}{key}.")
            inside = part.get("items", {}).get("properties", {"value": {}})
            if "value" not in inside:
                yield from _rows(part["items"], f"{prefix}{key}[].")


def _type(schema: Schema) -> str:
    """A schema in a few words."""
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(f'`"{value}"`' for value in schema["enum"])
    if "contentMediaType" in schema:
        return "`data:` URL"
    if "kind" in schema.get("properties", {}):
        return "a value"
    limits = [schema[key] for key in ("minimum", "maximum") if key in schema]
    words = {"string": "text", "array": f"list of {_type(schema['items'])}" if "items" in schema else ""}
    between = f" from {limits[0]:,} to {limits[1]:,}" if len(limits) == 2 else ""
    return f"{words.get(schema['type'], schema['type'])}{between}"


if __name__ == "__main__":
    Path(PAGE).write_text(values_page(), encoding="utf-8")
