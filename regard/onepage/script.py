"""The page's modules as plain scripts, one after the other: no bundler, no build step.

A module becomes a function that is called once; what it exports stands in `modules`, from which later ones
take what they import. So each keeps its own names, and reads in the page as it does in the package.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w-]+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let) (\w+))", re.MULTILINE)
_OURS = ("arrays", "position", "model", "tokenizer", "weights", "tasks", "texts", "maps", "page")
_SHARED = ("dom", "heat", "pad")
ORDER = (*_OURS[:-2], *_SHARED, *_OURS[-2:])
"""A module comes after those that it imports."""


@cache
def asset(name: str) -> str:
    """A file of this package, or one that the explorer has too."""
    home = "regard.serve" if name.removesuffix(".js") in _SHARED else "regard.onepage"
    return (files(home) / "assets" / name).read_text("utf-8")


@cache
def scripts() -> dict[str, str]:
    """Name → a classic script, in the order in which they must stand."""
    found = {name: _wrapped(name, asset(f"{name}.js")) for name in ORDER}
    found[ORDER[0]] = '"use strict";\nconst modules = {};\n' + found[ORDER[0]]
    return found


def _wrapped(name: str, source: str) -> str:
    known = ORDER[: ORDER.index(name)]
    for one in _IMPORT.finditer(source):
        assert one[2] in known, f"{name}.js imports {one[2]}.js, which does not stand before it"
    body = _IMPORT.sub(lambda one: f"const {{{one[1].replace(' as ', ': ')}}} = modules.{one[2]};\n", source)
    names = ", ".join(one[1] for one in _EXPORT.finditer(body))
    body = _EXPORT.sub("", body)
    assert not re.search(r"^(?:import|export)\b", body, re.MULTILINE), f"{name}.js: an import of another form"
    assert "</script" not in body.lower(), name
    assert "<!--" not in body, name
    return f'modules.{name} = (() => {{\n"use strict";\n{body}return {{ {names} }};\n}})();\n'
