"""The files of the page, read once from the package: what is not in this table cannot be asked for."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from regard.insight.plotting import plotly_script

_KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
PAGE = "index.html"
PLOTLY = "plotly.min.js"
SHARED = ("page.css", "dom.js", "floats.js", "heat.js", "plots.js", "shell.js", "sums.js")
"""Of the pages that `insight` writes: the explorer has their colours, tables and figures."""


@cache
def table() -> dict[str, tuple[bytes, str]]:
    """Name → contents and content type."""
    shared = [files("regard.insight") / "assets" / name for name in SHARED]
    own = (files("regard.serve") / "assets").iterdir()
    kinds = {file: _KINDS.get(file.name.rpartition(".")[2]) for file in [*own, *shared]}
    return {file.name: (file.read_bytes(), kind) for file, kind in kinds.items() if kind is not None}


@cache
def plotly() -> bytes:
    """Plotly's script, which its package brings."""
    return plotly_script().encode("utf-8")


def asset(name: str) -> tuple[bytes, str] | None:
    """A file of that name, if there is one."""
    return (plotly(), _KINDS["js"]) if name == PLOTLY else table().get(name)
