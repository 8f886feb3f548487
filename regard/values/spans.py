"""Spans of a text: named entities, answers to a question, anything that stands somewhere in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

from regard.values import json_schema as js
from regard.values.display import CSS_TEXT, css_colour, escaped, line
from regard.values.json_schema import Schema, wrong
from regard.values.value import VALUES, Value, refused, require_whole


class Span(NamedTuple):
    """`text[start:end]`."""

    start: int
    end: int
    label: str = ""
    score: float | None = None


@VALUES.register
@dataclass(frozen=True)
class Spans(Value):
    """A text and the spans of it that were found, in the order in which they are given; they may overlap."""

    text: str
    spans: tuple[Span, ...] = ()
    kind: ClassVar[str] = "spans"
    accepts: ClassVar[str] = "a text and a list of (start, end, label, score), as JSON on a command line"
    properties: ClassVar[dict[str, Schema]] = {
        "text": js.string("The whole text."),
        "spans": js.array(
            js.record(
                {
                    "start": js.integer(
                        "The first character, counted from 0 in Unicode code points.", minimum=0
                    ),
                    "end": js.integer("One more than the last character."),
                    "label": js.string("What it is, where that is said.", default=""),
                    "score": js.nullable(js.number("How sure that is, such as a probability.")),
                }
            ),
            "What was found in it.",
            maxItems=1_000_000,
        ),
    }

    def __post_init__(self) -> None:
        require_whole("spans.text", self.text)
        object.__setattr__(self, "spans", tuple(Span(*span) for span in self.spans))
        for place, (start, end, label, score) in enumerate(self.spans):
            where = f"spans.spans[{place}]"
            if not 0 <= start < end <= len(self.text):
                limit = f"of 0 <= start < end <= {len(self.text):,}, the text's length"
                raise wrong(where, (start, end), limit)
            require_whole(f"{where}.label", label)
            if score is not None and not math.isfinite(score):
                raise wrong(f"{where}.score", score, "a finite number")

    @property
    def texts(self) -> tuple[str, ...]:
        """What each span says."""
        return tuple(self.text[span.start : span.end] for span in self.spans)

    @classmethod
    def from_properties(cls, data: dict[str, Any]) -> Self:
        return cls(data["text"], tuple(Span(**span) for span in data["spans"]))

    @classmethod
    def from_object(cls, given: object) -> Self:
        if not isinstance(given, list | tuple) or len(given) != 2:
            raise refused(cls, given)
        try:
            return cls(*given)
        except TypeError as error:  # spans of another length, or of other things than numbers
            raise refused(cls, given) from error

    def plain(self) -> str:
        labels = (f" ({span.label})" if span.label else "" for span in self.spans)
        return "; ".join(f"{text}{label}" for text, label in zip(self.texts, labels, strict=True))

    def __str__(self) -> str:
        return line(self.plain())

    def html(self) -> str:
        """The text, with what was found marked; of spans that overlap the first that was given."""
        names, parts, end = list(dict.fromkeys(span.label for span in self.spans)), [], 0
        visible: list[Span] = []
        for span in self.spans[:_MOST_SHOWN]:
            if all(span.end <= other.start or other.end <= span.start for other in visible):
                visible.append(span)
        for span in sorted(visible):
            label = f" <sub>{escaped(span.label)}</sub>" if span.label else ""
            colour = css_colour(1 + names.index(span.label), 0.35)
            parts.append(escaped(self.text[end : span.start]))
            inside = escaped(self.text[span.start : span.end])
            parts.append(f'<mark style="background:{colour}">{inside}{label}</mark>')
            end = span.end
        return f'<p style="{CSS_TEXT}">{"".join(parts)}{escaped(self.text[end:])}</p>'


_MOST_SHOWN = 500
