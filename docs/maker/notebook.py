"""A page of the tour as a Jupyter notebook: the same text and the same code, its answers left to the reader's
own machine."""

from __future__ import annotations

import json
import re
from pathlib import Path

from maker.pages import LANGUAGES, TOUR, Page, Piece, commands, tour

_NOTE = {
    "en": "*This notebook is made from [{page}]({page}); it needs the extras `digits` and `attribution`.*",
    "zh": "*本笔记本由 [{page}]({page}) 生成；需要 regard 及其额外组件 `digits` 和 `attribution`。*",
}


def notebook(page: Page) -> str:
    """The notebook's file. Outputs are not in it: running it makes them."""
    cells = [_words(_NOTE[page.lang].format(page=page.path.name), 0)]
    for piece in page.pieces:
        if piece.kind == "words":
            text = _linked(piece.text.strip())
            cells += [_words(text, len(cells))] if text else []
        elif piece.code:
            cells.append(_code(_source(piece), len(cells)))
    about = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    made = {"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(made, ensure_ascii=False, indent=1) + "\n"


def place(page: Page) -> Path:
    """Where the notebook of a page is."""
    return page.path.with_suffix(".ipynb")


def write_all() -> list[Path]:
    """Write the notebooks of all pages; which ones changed."""
    changed = []
    for page in (page for lang in LANGUAGES for page in tour(lang)):
        path, text = place(page), notebook(page)
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            changed.append(path)
    return changed


def _source(piece: Piece) -> str:
    if piece.kind == "python":
        return piece.text
    commands(piece)  # refuses what is none
    return "\n".join(f"!{line[2:]}" if line.startswith("$ ") else line for line in piece.text.splitlines())


def _linked(text: str) -> str:
    """From one page of the tour to the next, from one notebook to the next."""
    return re.sub(r"\((\w[\w-]*(?:\.zh)?)\.md(#[\w-]+)?\)", _to_notebook, text)


def _to_notebook(link: re.Match[str]) -> str:
    ending = "ipynb" if (TOUR / f"{link[1]}.md").is_file() else "md"
    return f"({link[1]}.{ending}{link[2] or ''})"


def _words(text: str, count: int) -> dict[str, object]:
    return {"cell_type": "markdown", "id": f"cell-{count}", "metadata": {}, "source": _lines(text)}


def _code(text: str, count: int) -> dict[str, object]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": f"cell-{count}",
        "metadata": {},
        "outputs": [],
        "source": _lines(text),
    }


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)
