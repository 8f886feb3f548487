"""What values show themselves with: a line on a terminal, and HTML in which nothing that others wrote acts.

Escaped are both what commands a terminal or turns the order of a text (`regard.visible`) and what means
something in HTML. This file does not know the kinds.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from colorsys import hsv_to_rgb

from regard.visible import visible

CSS_TEXT = "white-space:pre-wrap;overflow-wrap:anywhere"
_GOLDEN = 0.61803398875
"""Of a turn: hues of neighbouring numbers are far apart."""


def line(text: str) -> str:
    """`text` on one line."""
    return visible(text.replace("\r", " ").replace("\n", " "), keep="\t")


def escaped(text: str) -> str:
    """`text` for HTML, also inside quotes."""
    return html.escape(visible(text, keep="\n\t"))


def colour(number: int) -> tuple[int, int, int]:
    """A colour from 0 to 255 for the label or object of this number; black for 0, the background."""
    red, green, blue = hsv_to_rgb(number * _GOLDEN % 1, 0.65, 0.9 if number else 0)
    return round(255 * red), round(255 * green), round(255 * blue)


def css_colour(number: int, opacity: float = 1) -> str:
    red, green, blue = colour(number)
    return f"rgb({red} {green} {blue} / {opacity:g})"


def image_tag(url: str, text: str) -> str:
    """`text`: what is said where images are not seen."""
    return f'<img src="{escaped(url)}" alt="{escaped(text)}" style="image-rendering:pixelated">'


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of texts, which are escaped here."""
    inside = ["".join(f"<th>{escaped(text)}</th>" for text in head)]
    inside += ["".join(f"<td>{escaped(text)}</td>" for text in row) for row in rows]
    return f"<table>{''.join(f'<tr>{cells}</tr>' for cells in inside)}</table>"
