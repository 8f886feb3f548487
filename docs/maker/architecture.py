"""The picture of the house, drawn from the table in docs/architecture.md: run it after changing the table."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

PAGE = Path(__file__).parents[1] / "architecture.md"
PICTURE = PAGE.parent / "images" / "architecture.svg"
_ROW = re.compile(r"^\| `(\w+)` \| .* \| ([^|]*) \|$", re.MULTILINE)
_WIDTH, _HEIGHT, _GAP, _RISE = 112, 40, 20, 84


def table(text: str) -> dict[str, tuple[str, ...]]:
    """Package → those that it may import; `cli`, which may import all, names all."""
    rows = {name: tuple(re.findall(r"`(\w+)`", may)) for name, may in _ROW.findall(text)}
    return {name: may or (tuple(rows)[:-1] if name == "cli" else ()) for name, may in rows.items()}


def drawing(imports: dict[str, tuple[str, ...]]) -> str:
    """An SVG: each package stands above all that it may import; a line where no other is between."""

    @cache
    def level(name: str) -> int:
        return max((level(one) + 1 for one in imports[name]), default=0)

    @cache
    def reached(name: str) -> frozenset[str]:
        return frozenset(imports[name]).union(*(reached(one) for one in imports[name]))

    levels = [[name for name in imports if level(name) == i] for i in range(max(map(level, imports)) + 1)]
    step = _WIDTH + _GAP
    width, height = (max(map(len, levels)) + 0.5) * step + _GAP, len(levels) * _RISE
    place: dict[str, tuple[float, float]] = {}
    for i, row in enumerate(levels):
        left = (width - len(row) * step + _GAP) / 2 + (step / 4 if i % 2 else -step / 4)
        place |= {name: (left + j * step, height - (i + 1) * _RISE + 22) for j, name in enumerate(row)}
    lines, boxes = [], []
    for name, (x, y) in place.items():
        for one in imports[name]:
            if any(one in reached(other) for other in imports[name]):
                continue
            to_x, to_y = place[one]
            ends = f"M{x + _WIDTH / 2:.0f} {y + _HEIGHT:.0f} L{to_x + _WIDTH / 2:.0f} {to_y:.0f}"
            lines.append(f'<path d="{ends}" marker-end="url(#a)"/>')
        boxes.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>'
            f'<text x="{x + _WIDTH / 2:.0f}" y="{y + 25:.0f}">{name}</text>'
        )
    arrow = '<path d="M0 0 L8 4 L0 8 z" fill="#667"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" '
        'font-family="system-ui, sans-serif" font-size="15">\n<title>Who imports whom</title>\n'
        '<defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto">{arrow}</marker></defs>\n<rect width="100%" height="100%" fill="#fff"/>\n'
        f'<g stroke="#667" fill="none">{"".join(lines)}</g>\n'
        '<g fill="#e8effc" stroke="#1f57c3" text-anchor="middle">'
        f"<style>text{{fill:#15181d;stroke:none}}</style>{''.join(boxes)}</g>\n</svg>\n"
    )


if __name__ == "__main__":
    PICTURE.write_text(drawing(table(PAGE.read_text("utf-8"))), "utf-8")
