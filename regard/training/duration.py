"""Durations as people type them: 90s, 10m, 1h30m, or plain seconds."""

from __future__ import annotations

import re

from regard.errors import ConfigError

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)([hms])")


def seconds(text: float | str) -> float:
    """`text` in seconds. Raises: ConfigError when it is no duration, or not more than nothing."""
    if isinstance(text, int | float) or re.fullmatch(r"\d+(\.\d+)?", text.strip()):
        value = float(text)
    else:
        compact = text.strip().lower().replace(" ", "")
        parts = _PART.findall(compact)
        if not parts or "".join(number + unit for number, unit in parts) != compact:
            raise ConfigError("'{value}' is not a duration; write {limit}", text, "90s, 10m or 1h30m")
        value = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not 0 < value < float("inf"):
        sentence = "a budget of '{value}' leaves no time to train; give {limit}"
        raise ConfigError(sentence, text, "more than 0, such as 10m")
    return value
