"""Text that others wrote, made harmless to look at: what has no shape of its own is written as an escape.

Such characters command a terminal (ESC and the other controls), turn the order of what follows (bidirectional
marks, Unicode TR 36, section 2.5), break a line, or hide (TR 44: Default_Ignorable_Code_Point). Joiners and
variation selectors are left where a script or an emoji has them: one, behind a character that is seen. This
file does not know where text comes from or goes to.
"""

from __future__ import annotations

import json
import re

_SHAPELESS = (
    "\0-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_BEHIND_A_LETTER = rf"(?<=(?:[^\0-\xff{_SHAPELESS}]|\ufe0f))[\u200c\u200d](?=[^\0-\xff{_SHAPELESS}])"
_BEHIND_ANYTHING = rf"(?<=[^{_SHAPELESS}])[\ufe00-\ufe0f]"
_FOUND = re.compile(rf"{_BEHIND_A_LETTER}|{_BEHIND_ANYTHING}|([{_SHAPELESS}])")


def visible(text: str, keep: str = "") -> str:
    """`text` with `\\x1b`, `\\u202e` or `\\n` in place of what cannot be seen, but for what is in `keep`.

    What JSON may hold as it is gets JSON's own escape, so that JSON remains the same JSON.
    """
    if text.isascii() and text.isprintable():
        return text
    return _FOUND.sub(lambda found: _escaped(found, keep), text)


def _escaped(found: re.Match[str], keep: str) -> str:
    character = found[0]
    if found[1] is None or character in keep:
        return character
    if character < " ":
        return character.encode("unicode_escape").decode("ascii")
    return f"\\u{ord(character):04x}" if character == "\x7f" else json.dumps(character)[1:-1]
