"""The public names keep their members, parameters and defaults; what changes them is seen in a difference.

`golden/api.txt` lists them: `REGARD_GOLDEN=write pytest tests/test_api.py` writes it. Public is what
`regard`, `regard.values`, `regard.registry` and the protocols of tasks give, and whatever `docs/extending.md`
imports.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import os
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import regard
import regard.registry
import regard.values
from regard.tasks import protocols

GOLDEN = Path(__file__).parent / "golden" / "api.txt"
PAGE = Path(regard.__file__).parents[1] / "docs" / "extending.md"


def _public() -> dict[str, Any]:
    """Objects by the names under which they are imported."""
    names = {f"regard.{name}": getattr(regard, name) for name in regard.__all__ if name != "__version__"}
    names |= {f"regard.values.{name}": getattr(regard.values, name) for name in regard.values.__all__}
    names |= {
        f"regard.registry.{name}": getattr(regard.registry, name)
        for name in ("Registry", "members_of", "register")
    }
    names |= {f"regard.tasks.protocols.{one.__name__}": one for one in protocols.PROTOCOLS}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("regard"):
                module = import_module(str(node.module))
                names |= {f"{node.module}.{one.name}": getattr(module, one.name) for one in node.names}
    return names


class _Plain(str):
    """What a signature shows as it is, without quotes."""

    def __repr__(self) -> str:
        return str(self)


def _text(annotation: object) -> _Plain:
    return _Plain(annotation if isinstance(annotation, str) else inspect.formatannotation(annotation))


def _default(value: object) -> _Plain:
    return _Plain(re.sub(r" at 0x[0-9a-f]+", "", repr(value)))


def _signature(function: Callable[..., Any]) -> str:
    """As it is written, with defaults as they are shown."""
    signature, empty = inspect.signature(function), inspect.Parameter.empty
    parameters = [
        one.replace(
            annotation=one.annotation if one.annotation is empty else _text(one.annotation),
            default=one.default if one.default is empty else _default(one.default),
        )
        for one in signature.parameters.values()
    ]
    made = signature.return_annotation
    return str(
        signature.replace(parameters=parameters, return_annotation=made if made is empty else _text(made))
    )


def _members(kind: type) -> Iterator[str]:
    """Of a class, those that it has from a class of this library."""
    own: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("regard"):
            own |= inspect.get_annotations(base) | vars(base)
    fields = {one.name: one for one in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else {}
    for name, field in fields.items():
        value = field.default if field.default is not dataclasses.MISSING else field.default_factory
        shown = "" if value is dataclasses.MISSING else f" = {_default(value)}"
        yield f"{name}: {_text(field.type)}{shown}"
    for name in sorted(set(own) - set(fields)):
        if name.startswith("_") and (name != "__init__" or fields or not inspect.isfunction(own[name])):
            continue
        found = inspect.getattr_static(kind, name, None)
        if isinstance(found, property):
            assert found.fget is not None
            returned = inspect.signature(found.fget).return_annotation
            yield f"{name} -> {_text(returned)}"
        elif isinstance(found, classmethod | staticmethod) or inspect.isfunction(found):
            yield f"{name}{_signature(getattr(kind, name))}"
        else:
            yield name


def _lines() -> Iterator[str]:
    for name, thing in sorted(_public().items()):
        if isinstance(thing, type):
            bases = ", ".join(
                base.__name__ for base in thing.__mro__[1:] if base.__module__.startswith("regard")
            )
            yield f"class {name}({bases})"
            yield from (f"    {member}" for member in _members(thing))
        elif inspect.isfunction(thing):
            yield f"{name}{_signature(thing)}"
        else:
            yield name


def test_the_public_names_are_those_of_the_list() -> None:
    lines = list(_lines())
    if os.environ.get("REGARD_GOLDEN") == "write":
        GOLDEN.write_text("\n".join(lines) + "\n", "utf-8")
    assert lines == GOLDEN.read_text("utf-8").splitlines(), "see the top of this file"


def test_a_run_shows_itself_and_escapes_what_its_files_say(labelled_run: Path) -> None:
    run = regard.load(labelled_run)
    page = run._repr_html_()
    assert "<td>text-classification</td>" in page
    assert "<td>micro</td>" in page
    assert "run.predict" in page
    metrics = {"validation": {"<b>": "<script>"}, "steps": [1]}
    run.bundle = dataclasses.replace(run.bundle, metrics=metrics, data={"name": "\u202e"})
    shown = run._repr_html_()
    assert not [part for part in ("<b>", "<script", "\u202e") if part in shown]
