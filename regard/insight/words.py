"""Texts in both languages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Lang = Literal["en", "zh"]
LANGUAGES: tuple[Lang, ...] = get_args(Lang)


@dataclass(frozen=True)
class Words:
    """The same in both languages."""

    en: str
    zh: str

    def of(self, lang: Lang) -> str:
        return self.zh if lang == "zh" else self.en

    def format(self, *parts: object) -> Words:
        """With `parts` in their places."""
        return Words(self.en.format(*parts), self.zh.format(*parts))


Label = str | Words
"""A name: a plain text is the same in both languages, as a token or a symbol is."""


def label_text(label: Label, lang: Lang) -> str:
    """A name in one language."""
    return label.of(lang) if isinstance(label, Words) else label
