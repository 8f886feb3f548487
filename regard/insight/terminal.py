"""A worked computation on a terminal: aligned tables, as many columns at a time as fit.

Chinese takes two places a character; `rich` knows. Figures are left to the page.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from regard.insight.words import Label, Lang, Words, label_text
from regard.insight.worked import Content, Proof, Step, Table, Values, Worked, number, numbers
from regard.visible import visible

_WIDE = r"\u2e80-\u9fff\uff00-\uffef"
_CLOSING = r"，。：；！？、）”》)%"
# A wide character with the marks that close after it, or a word with its space; "%" stays with its number.
_BREAKABLE = re.compile(rf"[（“《]*[{_WIDE}][{_CLOSING}]*\s*|[^\s{_WIDE}]+(?: (?=%))?[{_CLOSING}]*\s*|\s+")

_FIGURES = re.compile(r"-?[\d.,]+(e[+-]?\d+)?$|-?inf$|nan$")
_INDENT, _GAP, _WORDS = 2, 2, 24
_FIGURE = Words("[figure: {}; --html shows it]", "[图：{}，加 --html 可以看到]")
_PROOF = Words("Proof", "验证")
_RESULT = Words("largest difference {} (at most {})", "最大误差 {}（允许 {}）")
_HOLDS, _BROKEN = Words("holds", "成立"), Words("BROKEN", "不成立")


def print_worked(worked: Worked, lang: Lang, console: Console) -> None:
    """Print all of it."""
    with console.capture() as made:
        console.print(Text(_label(worked.title, lang), style="bold underline"))
        console.print(_prose(worked.text.of(lang), console.width))
        for count, step in enumerate(worked.steps, 1):
            print_step(step, count, lang, console)
        console.print()
        console.print(Text(_PROOF.of(lang), style="bold"))
        for proof in worked.proofs:
            console.print(Padding(_proof(proof, lang), (0, 0, 0, _INDENT)))
    # Tables are padded to the width of the console, which is of no use in a file.
    console.file.write("".join(f"{line.rstrip()}\n" for line in made.get().splitlines()))


def print_step(step: Step, count: int, lang: Lang, console: Console) -> None:
    """Print one step under its number."""
    console.print()
    console.print(Text(f"{count}. {_label(step.title, lang)}", style="bold"))
    text = step.text.of(lang)
    parts: list[RenderableType] = [_prose(text, console.width - _INDENT)] if text else []
    if step.formula:
        parts.append(Text(visible(step.formula, keep="\n"), style="cyan"))
    for value in step.values:
        parts += _render(value, lang, console.width - _INDENT)
    if step.figure is not None:
        parts.append(Text(_FIGURE.of(lang).format(_label(step.figure.name, lang)), style="dim"))
    console.print(Padding(Group(*parts), (0, 0, 0, _INDENT), expand=False))


def _label(label: Label, lang: Lang) -> str:
    """Tokens and labels may be anybody's."""
    return visible(label_text(label, lang))


def _proof(proof: Proof, lang: Lang) -> Text:
    word, style = (_HOLDS, "green") if proof.holds else (_BROKEN, "bold red")
    result = _RESULT.of(lang).format(f"{proof.difference:.1e}", f"{proof.tolerance:.0e}")
    return Text.assemble((word.of(lang), style), f"  {_label(proof.claim, lang)}: {result}")


def _render(value: Content, lang: Lang, width: int) -> list[RenderableType]:
    if isinstance(value, Table):
        return [Text(f"\n{_label(value.name, lang)}", style="italic"), _table(value, lang)]
    shape = " × ".join(map(str, value.array.shape))
    parts: list[RenderableType] = []
    for name, sheet, _ in value.pages:
        title = " · ".join(filter(None, (_label(value.name, lang), _label(name, lang))))
        parts.append(Text.assemble((f"\n{title}", "italic"), (f"  ({shape})" if shape else "", "dim")))
        parts += _grids(value, numbers(sheet, value.digits), lang, width)
    return parts


def _table(table: Table, lang: Lang) -> Grid:
    """Words may wrap, numbers not."""
    grid = Grid(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    rows = [
        [_label(c, lang) if isinstance(c, str | Words) else number(c, table.digits) for c in row]
        for row in table.rows
    ]
    for place, label in enumerate(table.columns):
        numeric = all(
            not isinstance(row[place], Words) and _FIGURES.match(str(row[place])) for row in table.rows
        )
        least = max((cell_len(row[place]) for row in rows), default=0) if numeric else None
        justify: Literal["left", "right"] = "right" if numeric else "left"
        grid.add_column(Text(_label(label, lang)), justify=justify, min_width=least, overflow="fold")
    for row in rows:
        grid.add_row(*map(Text, row))
    return grid


def _grids(value: Values, cells: list[list[str]], lang: Lang, width: int) -> list[Grid]:
    """One below another, each as wide as fits."""
    rows = [_label(label, lang) for label in value.rows]
    heads = [_label(label, lang) for label in value.columns] or [""] * len(cells[0])
    widths = [
        max(cell_len(head), *(len(row[place]) for row in cells)) + _GAP for place, head in enumerate(heads)
    ]
    room = width - (min(_WORDS, max(map(cell_len, rows))) + _GAP if rows else 0)
    return [_grid(rows, heads, cells, part, bool(value.columns)) for part in _parts(widths, room)]


def _parts(widths: Sequence[int], room: int) -> list[range]:
    """Cut columns into runs that fit into `room`, at least one in each."""
    runs, start, used = [], 0, 0
    for place, width in enumerate(widths):
        if place > start and used + width > room:
            runs.append(range(start, place))
            start, used = place, 0
        used += width
    return [*runs, range(start, len(widths))]


def _grid(rows: list[str], heads: list[str], cells: list[list[str]], part: range, headed: bool) -> Grid:
    grid = Grid(box=None, show_header=headed, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    if rows:
        grid.add_column("", style="dim", max_width=_WORDS, overflow="ellipsis", no_wrap=True)
    for place in part:
        grid.add_column(Text(heads[place]), justify="right", no_wrap=True)
    for index, line in enumerate(cells):
        label = [Text(rows[index])] if rows else []
        grid.add_row(*label, *(Text(line[place]) for place in part))
    return grid


def _prose(text: str, width: int) -> Text:
    """Broken into lines; Chinese may break after any character but before no mark that ends a clause."""
    lines = []
    for paragraph in visible(text, keep="\n").split("\n"):
        line = ""
        for piece in _BREAKABLE.findall(paragraph):
            if line and cell_len(line + piece.rstrip()) > width:
                lines.append(line.rstrip())
                line = ""
            line += piece
        lines.append(line.rstrip())
    return Text("\n".join(lines))
