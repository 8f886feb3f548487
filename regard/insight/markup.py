"""A worked computation as HTML: a body for `page`, or the whole page."""

from __future__ import annotations

import math
from html import escape

from torch import Tensor

from regard.insight.page import as_json, both, drawing, grid, page, paragraphs
from regard.insight.worked import (
    Cell,
    Lang,
    Product,
    Proof,
    Shown,
    Step,
    Table,
    Values,
    Words,
    Worked,
    number,
    numbers,
)

_MOST_FACTORS = 4096
"""Numbers of a product's factors that are worth carrying, so that a sum can be shown."""

_PROOFS = Words("Proof", "验证")
_HINT = Words(
    "Point at a number, or move through a table with the arrow keys: it is shown in full below the"
    " table, with the sum that it came from where it is one.",
    "把鼠标移到数字上，或用方向键在表格里移动：表格下方会显示完整的数值；如果它是一个和，还会显示是怎样加出来"
    "的。",
)
_COLUMNS = (
    Words("what is compared", "比较的内容"),
    Words("largest difference", "最大误差"),
    Words("allowed", "允许值"),
    Words("result", "结果"),
)
_HOLDS, _BROKEN = Words("holds", "成立"), Words("BROKEN", "不成立")


def worked_page(worked: Worked, lang: Lang = "en") -> str:
    """The whole page of one worked computation."""
    body = f"<main>{worked_body(worked, hint=True)}</main>"
    return page(worked.title, body, figures=has_figures(worked), lang=lang)


def has_figures(worked: Worked) -> bool:
    """Whether Plotly's script is needed to show it."""
    return any(step.figure is not None for step in worked.steps)


def worked_body(worked: Worked, *, hint: bool = False) -> str:
    """What stands inside a page; several may stand in one."""
    steps = "".join(
        step_body(step, f"{worked.name}-{count}", count) for count, step in enumerate(worked.steps, 1)
    )
    top = f"<header><h1>{both(worked.title)}</h1>{paragraphs(worked.text)}</header>"
    below = f'<p class="hint">{both(_HINT)}</p>' if hint else ""
    return (
        f'<article id="{worked.name}">{top}{below}{steps}{proofs_body(worked.proofs, worked.name)}</article>'
    )


def step_body(step: Step, key: str, count: int | None = None) -> str:
    """A section; `key`: an id that no other has on the page; `count`: where steps have an order."""
    number_ = "" if count is None else f'<span class="count">{count}</span> '
    formula = f'<p class="formula">{escape(step.formula)}</p>' if step.formula else ""
    values = "".join(_shown(value, f"{key}-{index}") for index, value in enumerate(step.values))
    figure = drawing(f"{key}-figure", step.figure) if step.figure is not None else ""
    return (
        f'<section id="{key}"><h2>{number_}{both(step.title)}</h2>'
        f'{paragraphs(step.text)}{formula}<div class="values">{values}</div>{figure}</section>'
    )


def proofs_body(proofs: tuple[Proof, ...], key: str) -> str:
    """A table of what was proved, as HTML in both languages; `key`: what its id begins with."""
    rows = []
    for proof in proofs:
        word, kind = (_HOLDS, "holds") if proof.holds else (_BROKEN, "broken")
        figures = [f"<td>{proof.difference:.1e}</td>", f"<td>{proof.tolerance:.0e}</td>"]
        rows.append((both(proof.claim), [*figures, f'<td class="word {kind}">{both(word)}</td>']))
    table = grid(f"{key}-proofs", both(_PROOFS), [both(word) for word in _COLUMNS], rows, readout=False)
    return f'<section class="proofs"><h2>{both(_PROOFS)}</h2>{table}</section>'


def _shown(value: Shown, key: str) -> str:
    if isinstance(value, Table):
        return _table(value, key)
    shape = " × ".join(map(str, value.array.shape))
    size = f' <span class="shape">{shape}</span>' if shape else ""
    made = []
    for index, (name, sheet, origin) in enumerate(value.pages):
        title = " · ".join(filter(None, (both(value.name), both(name))))
        made.append(_sheet(f"{key}-{index}", f"{title}{size}", value, sheet, origin))
    return "".join(made)


def _sheet(key: str, title: str, value: Values, sheet: Tensor, origin: Product | None) -> str:
    cells, shown = sheet.tolist(), numbers(sheet, value.digits)
    largest = max((abs(x) for row in cells for x in row if math.isfinite(x)), default=0.0)
    head = ["", *map(both, value.columns)] if value.columns else []
    rows = [
        (both(label), [_number(x, text, largest) for x, text in zip(numbers_, texts, strict=True)])
        for label, numbers_, texts in zip(value.rows or [""] * len(cells), cells, shown, strict=True)
    ]
    return grid(key, title, head, rows, attributes=f'class="numbers"{_origin(origin)}')


def _number(value: float, shown: str, largest: float) -> str:
    """A cell, tinted by how large its number is among the others."""
    exact = f"{value:.9g}"
    if not math.isfinite(value) or not largest:
        return f'<td data-v="{exact}">{shown}</td>'
    share, sign = abs(value) / largest, ' class="minus"' if value < 0 else ""
    return f'<td{sign} data-v="{exact}" style="--w:{share:.2g}">{shown}</td>'


def _origin(origin: Product | None) -> str:
    if origin is None or origin.left.numel() + origin.right.numel() > _MOST_FACTORS:
        return ""
    factors = [
        [[float(f"{x:.6g}") for x in row] for row in side.tolist()] for side in (origin.left, origin.right)
    ]
    return f' data-factors="{escape(as_json([*factors, float(f"{origin.scale:.9g}")]))}"'


def _table(table: Table, key: str) -> str:
    rows = [(_text(row[0], table), [_cell(one, table) for one in row[1:]]) for row in table.rows]
    return grid(key, both(table.name), [both(label) for label in table.columns], rows, readout=False)


def _cell(cell: Cell, table: Table) -> str:
    kind = "" if isinstance(cell, int | float) else ' class="word"'
    return f"<td{kind}>{_text(cell, table)}</td>"


def _text(cell: Cell, table: Table) -> str:
    return number(cell, table.digits) if isinstance(cell, int | float) else both(cell)
