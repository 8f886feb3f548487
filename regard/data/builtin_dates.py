"""Dates as they are written in English, and the same dates in Chinese, from Babel's copy of the CLDR.

Every style can be read in one way only: years have four digits, and a date in numbers alone is either
year-month-day or the American month/day/year. Whatever the English side says, weekday included, the Chinese
side says too, and nothing more. Nothing here is random: the order of days is that of their hash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial

from regard.data.splits import share

FIRST, LAST = date(1900, 1, 1), date(2100, 12, 31)
SIZES = {"test": 2_000, "valid": 1_000, "train": 30_000}
"""Days in each split; a day is in one of them only."""

_LOCALES = ("en_US", "en_GB", "en_IE", "en_CA", "en_ZA")
_LENGTHS = ("medium", "long", "full")
_PATTERNS = (  # in the CLDR's notation, for what people write beside the locales' own four lengths
    "M/d/y",
    "E, M/d/y",
    "E, MMM d, y",
    "MMMM d y",
    "MMM. d, y",
    "d-MMM-y",
    "dd MMM y",
    "E, d MMM y",
    "EEEE, d MMMM y",
    "y-MM-dd",
    "y/MM/dd",
    "y MMMM d",
    "yMMdd",
)
_ORDINALS = """
first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth
fifteenth sixteenth seventeenth eighteenth nineteenth twentieth twenty-first twenty-second twenty-third
twenty-fourth twenty-fifth twenty-sixth twenty-seventh twenty-eighth twenty-ninth thirtieth thirty-first
""".split()  # noqa: SIM905  (thirty-one quoted words would be harder to read)

Write = Callable[[date], str]


@dataclass(frozen=True)
class Style:
    """One way to write a date in English; `example` shows it, `weekday` tells whether it has one."""

    example: str
    weekday: bool
    write: Write


def styles() -> list[Style]:
    """All styles, each once, in a fixed order."""
    from babel import Locale

    formats = [Locale.parse(locale).date_formats for locale in _LOCALES]
    patterns = dict.fromkeys((*(some[length].pattern for some in formats for length in _LENGTHS), *_PATTERNS))
    writers: list[tuple[Write, bool]] = [
        (partial(_english, pattern=pattern), "E" in pattern) for pattern in patterns
    ]
    month = partial(_english, pattern="MMMM")
    writers += [
        (lambda day: f"{month(day)} {_th(day.day)}, {day.year}", False),
        (lambda day: f"{_th(day.day)} {month(day)} {day.year}", False),
        (lambda day: f"{_th(day.day)} of {month(day)}, {day.year}", False),
        (lambda day: f"the {_ORDINALS[day.day - 1]} of {month(day)} {day.year}", False),
        (lambda day: f"{_english(day, 'EEEE')} the {_th(day.day)} of {month(day)} {day.year}", True),
        (lambda day: f"{month(day)} {day.day}, {day.year}".lower(), False),
        (lambda day: f"{day.day} {month(day)} {day.year}".upper(), False),
    ]
    sample = date(2024, 3, 5)
    return [Style(write(sample), weekday, write) for write, weekday in writers]


def days() -> dict[str, list[date]]:
    """The days of each split, in the order of their hash."""
    every = [FIRST + timedelta(days=count) for count in range((LAST - FIRST).days + 1)]
    every.sort(key=lambda day: share(day.isoformat()))
    split: dict[str, list[date]] = {}
    for name, size in SIZES.items():
        split[name], every = every[:size], every[size:]
    return split


def examples(split: str) -> Iterator[tuple[str, str, str]]:
    """For each day of a split: it in English, in the style whose turn it is, in Chinese, and in ISO 8601."""
    from babel.dates import format_date

    known = styles()
    for index, day in enumerate(days()[split]):
        style = known[index % len(known)]
        chinese = format_date(day, "full" if style.weekday else "long", locale="zh_Hans_CN")
        yield style.write(day), chinese, day.isoformat()


def _english(day: date, pattern: str) -> str:
    from babel.dates import format_date

    return str(format_date(day, pattern, locale="en"))


def _th(number: int) -> str:
    """An English ordinal: 1st, 2nd, 3rd, 4th, 11th."""
    ending = "th" if 10 < number < 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
