"""JavaScript modules as plain scripts of one page, one after the other: no bundler, no build step.

A module becomes a function that is called once; what it exports stands in `modules`, from which later ones
take what they import. So each keeps its own names, and reads in the page as it does in the package.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w-]+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let) (\w+))", re.MULTILINE)


@cache
def asset(name: str, homes: tuple[str, ...] = ("regard.insight",)) -> str:
    """A file of the `assets` of these packages: the first that has it."""
    places = [files(home) / "assets" / name for home in homes]
    return next(place for place in places if place.is_file()).read_text("utf-8")


@cache
def scripts(entry: str, homes: tuple[str, ...] = ("regard.insight",)) -> dict[str, str]:
    """Name → a classic script, in the order in which they must stand: `entry`, after all that it imports."""
    found: dict[str, str] = {}
    _add(found, entry, homes)
    first = next(iter(found))
    found[first] = '"use strict";\nconst modules = {};\n' + found[first]
    return found


def _add(found: dict[str, str], name: str, homes: tuple[str, ...]) -> None:
    source = asset(f"{name}.js", homes)
    for one in _IMPORT.finditer(source):
        if one[2] not in found:
            _add(found, one[2], homes)
    body = _IMPORT.sub(r"const {\1} = modules.\2;\n", source)
    names = ", ".join(one[1] for one in _EXPORT.finditer(body))
    body = _EXPORT.sub("", body)
    assert not re.search(r"^(?:import|export)\b", body, re.MULTILINE), f"{name}.js: an import of another form"
    assert "</script" not in body.lower(), name
    assert "<!--" not in body, name
    found[name] = f'modules.{name} = (() => {{\n"use strict";\n{body}return {{ {names} }};\n}})();\n'
