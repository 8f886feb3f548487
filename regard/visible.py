"""Text that others wrote, made harmless to look at: what has no shape of its own is written as an escape.

Such characters command a terminal (ESC and the other controls), turn the order of what follows (bidirectional
marks, Unicode TR 36, section 2.5), break a line, or hide (TR 44: Default_Ignorable_Code_Point). Joiners and
variation selectors are left where a script or an emoji has them: one, behind a character that is seen. This
file does not know where text comes from or goes to.
"""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["hidden_as_json", "json_text", "visible"]

_SHAPELESS = (
    "\0-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_BEHIND_A_LETTER = rf"(?<=(?:[^\0-\xff{_SHAPELESS}]|\ufe0f))[\u200c\u200d](?=[^\0-\xff{_SHAPELESS}])"
_BEHIND_ANYTHING = rf"(?<=[^{_SHAPELESS}])[\ufe00-\ufe0f]"
_FOUND = re.compile(rf"{_BEHIND_A_LETTER}|{_BEHIND_ANYTHING}|([{_SHAPELESS}])")


def visible(text: str, keep: str = "") -> str:
    """`text` with `\\x1b`, `\\u202e` or `\\n` in place of what cannot be seen, but for what is in `keep`."""
    if text.isascii() and text.isprintable():
        return text
    return _FOUND.sub(lambda found: _escape(found, keep), text)


def json_text(value: Any, **options: Any) -> str:
    """A value as JSON in which nothing hides, by `json.dumps` with `options`."""
    return hidden_as_json(json.dumps(value, ensure_ascii=False, **options))


def hidden_as_json(text: str) -> str:
    """JSON of the same value, with JSON's own escapes for what cannot be seen; its line ends stay."""
    return _FOUND.sub(_json_escape, text)


def _escape(found: re.Match[str], keep: str) -> str:
    character = found[0]
    if found[1] is None or character in keep:
        return character
    return character.encode("unicode_escape").decode("ascii")


def _json_escape(found: re.Match[str]) -> str:
    return found[0] if found[1] is None or found[1] == "\n" else json.dumps(found[1])[1:-1]
