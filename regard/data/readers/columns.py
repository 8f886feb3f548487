"""Which columns of a table are wanted, and whether its first line names them.

**The header rule.** When columns are asked for by name, the first line is the header. Otherwise it is one
when every cell of it is a different word of at most 32 letters, digits, `_`, `-` or `.`, starting with a
letter, all ASCII: `en`, `target`, `zh_Hans`. Of three and more, the first may be empty: pandas writes the
numbers of its rows there. A sentence pair fails this by its blanks, a pair in another
script by its letters. What was decided is a note of the report.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from regard.errors import DataError, nearest

Wanted = tuple[str | None, ...]
"""The columns asked for, in order; None is one to be found."""

_DEFAULTS = {1: ("text",), 2: ("source", "target")}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,31}")


def default_names(count: int) -> tuple[str, ...]:
    """The names of `count` columns that have none: `text`, or `source` and `target`, or `column1`…"""
    return _DEFAULTS.get(count) or tuple(f"column{index}" for index in range(1, count + 1))


def looks_like_header(cells: Sequence[str], wanted: Wanted) -> bool:
    """The header rule of this module's docstring."""
    if any(name is not None for name in wanted):
        return True
    named = cells[1:] if len(cells) > 2 and not cells[0] else cells
    return len(set(cells)) == len(cells) and all(_NAME.fullmatch(cell) for cell in named)


def pick_columns(
    found: Sequence[str], wanted: Wanted, label: str, *, ordered: bool = True
) -> tuple[int, ...]:
    """Where in `found` the wanted columns are.

    Names are looked up. Those left open are the columns of the usual names (`source` and `target`, or
    `text`) if they are there, else the remaining columns, if there are just as many and they are `ordered`.

    Raises:
        DataError: a name is not there, or there twice, or it is not clear which columns are meant.
    """
    named = [name for name in wanted if name is not None]
    if len(set(named)) < len(named):
        sentence = "one column of {where} was asked for twice: {value}; name different ones"
        raise DataError(sentence, label, ", ".join(named))
    picked: list[int | None] = [None if name is None else _find(found, name, label) for name in wanted]
    open_slots = [slot for slot, index in enumerate(picked) if index is None]
    numbers = 1 if len(found) > len(wanted) and not found[0] else 0  # pandas' first column
    rest = [index for index in range(numbers, len(found)) if index not in picked]
    usual = [default_names(len(wanted))[slot] for slot in open_slots]
    if all(name in found and found.index(name) in rest for name in usual):
        filling = [found.index(name) for name in usual]
    elif len(rest) == len(open_slots) and (ordered or len(rest) == 1):
        filling = rest
    else:
        raise _unclear(found, wanted, label)
    for slot, index in zip(open_slots, filling, strict=True):
        picked[slot] = index
    return tuple(index for index in picked if index is not None)


def _find(found: Sequence[str], name: str, label: str) -> int:
    if name not in found:
        sentence = "{where} has no column '{key}', only {limit}"
        raise DataError(sentence, label, name, _listed(found), remedy=nearest(name, found))
    if list(found).count(name) > 1:
        raise DataError("{where} has more than one column '{key}'; give each its own name", label, name)
    return list(found).index(name)


def _unclear(found: Sequence[str], wanted: Wanted, label: str) -> DataError:
    if len(found) < len(wanted):
        sentence = "{where} has too few columns, {value}, where {limit} are needed"
        return DataError(sentence, label, _listed(found), len(wanted))
    remedy = "name them with --from X --to Y" if len(wanted) == 2 else "name it with --from X"
    sentence = "{where} has the columns {value}, and it is not clear which are meant; {remedy}"
    return DataError(sentence, label, _listed(found), remedy)


def _listed(found: Sequence[str], most: int = 12) -> str:
    shown = [repr(name if len(name) <= 40 else name[:39] + "…") for name in found[:most]]
    return ", ".join(shown) + (f" and {len(found) - most} more" if len(found) > most else "")
