"""A page of the tour as data: its text, its code, and what the code is shown to answer.

A fenced block `python` is code of one program that runs through the whole page; `console` holds commands of
`regard`, each after `$ `. A block `text` right after one of them is its output; `text trained` says that it
depends on the machine, as what a model has learned does. After the output stand markers for what only a
built site can show:

    <!-- figure: A caption -->              the Plotly figure that the block's last line is
    <!-- file: trace.html: A caption -->    a page that the block has written

This file knows the form of a page, not how code is run.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

DOCS = Path(__file__).parent.parent
TOUR = DOCS / "tour"
LANGUAGES = ("en", "zh")
NAMES = ("attention", "order", "model", "translator", "gpt", "vit", "parts")
"""The pages of the tour, in order."""

_FENCE = re.compile(r"^```(\S*)(?: (.*))?$")
_MARKER = re.compile(r"^<!-- (figure|file): (.+) -->$")


@dataclass(frozen=True)
class Piece:
    """Some lines of a page."""

    kind: Literal["words", "python", "console", "output", "figure", "file"]
    text: str
    """Without its fence or marker."""
    line: int
    """Where it begins, from 1."""
    trained: bool = False
    """Of an output: whether it depends on the machine."""

    @property
    def code(self) -> bool:
        return self.kind in ("python", "console")


@dataclass(frozen=True)
class Page:
    """A page in one language."""

    path: Path
    pieces: tuple[Piece, ...]

    @property
    def lang(self) -> str:
        return "zh" if self.path.name.endswith(".zh.md") else "en"

    @property
    def name(self) -> str:
        return self.path.name.split(".")[0]

    @property
    def code(self) -> list[Piece]:
        return [piece for piece in self.pieces if piece.code]

    def after(self, block: Piece) -> list[Piece]:
        """The output and the markers that belong to a block of code."""
        found = []
        for piece in self.pieces[self.pieces.index(block) + 1 :]:
            if piece.kind in ("output", "figure", "file"):
                found.append(piece)
            elif piece.code or piece.text.strip():
                break
        return found


def tour(lang: str) -> list[Page]:
    """The pages of the tour, in order."""
    return [read(TOUR / f"{name}{suffix(lang)}") for name in NAMES]


def suffix(lang: str) -> str:
    return ".md" if lang == "en" else f".{lang}.md"


def read(path: Path) -> Page:
    """Raises: ValueError for a fence that is not closed."""
    return Page(path, tuple(_pieces(path.read_text("utf-8").splitlines(), path)))


def _pieces(lines: list[str], path: Path) -> Iterator[Piece]:
    words: list[str] = []
    before: str | None = None  # the kind of the last piece, where only blank lines came after it
    at = 0
    while at < len(lines):
        fence, marker = _FENCE.match(lines[at]), _MARKER.match(lines[at])
        if fence is None and marker is None:
            words.append(lines[at])
            before = before if not lines[at].strip() else None
            at += 1
            continue
        end = at
        if fence is not None:
            end = next((n for n in range(at + 1, len(lines)) if lines[n] == "```"), -1)
            if end < 0:
                raise ValueError(f"{path}:{at + 1}: this block is not closed")
        kind, trained = _kind(fence, marker, before)
        inside = "\n".join(lines[at + 1 : end]) if fence is not None else marker[2]  # type: ignore[index]
        if kind == "words":
            words += lines[at : end + 1]
        else:
            if words:
                yield Piece("words", "\n".join(words), at - len(words) + 1)
            words = []
            yield Piece(kind, inside, at + 1, trained)  # type: ignore[arg-type]
        before, at = kind, end + 1
    if words:
        yield Piece("words", "\n".join(words), at - len(words) + 1)


def _kind(fence: re.Match[str] | None, marker: re.Match[str] | None, before: str | None) -> tuple[str, bool]:
    if marker is not None:
        return marker[1], False
    assert fence is not None
    if fence[1] in ("python", "console"):
        return fence[1], False
    if fence[1] == "text" and before in ("python", "console"):
        return "output", fence[2] == "trained"
    return "words", False


def written(page: Page) -> str:
    """The page as its file holds it."""
    return "\n".join(_written(piece) for piece in page.pieces) + "\n"


def _written(piece: Piece) -> str:
    if piece.kind == "words":
        return piece.text
    if piece.kind in ("figure", "file"):
        return f"<!-- {piece.kind}: {piece.text} -->"
    info = piece.kind if piece.code else "text trained" if piece.trained else "text"
    return f"```{info}\n{piece.text}\n```"


def commands(block: Piece) -> list[list[str]]:
    """The words of each command of a console block."""
    lines = block.text.replace("\\\n", " ").splitlines()
    for line in lines:
        if not line.startswith("$ regard"):
            raise ValueError(f"line {block.line}: a command begins with '$ regard', not '{line}'")
    return [shlex.split(line[2:]) for line in lines]


def meaning(block: Piece) -> str:
    """What two languages must share: code without its comments and the texts in it; commands without what
    is in quotes, and without the language that they ask for."""
    if block.kind == "python":
        return ast.dump(_Silent().visit(ast.parse(block.text)))
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "''", block.text)
    return re.sub(r" --lang \w+", "", bare)


class _Silent(ast.NodeTransformer):
    """Takes the texts out of code."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.JoinedStr:
        kept = [self.visit(value) for value in node.values if isinstance(value, ast.FormattedValue)]
        return ast.JoinedStr(kept)
