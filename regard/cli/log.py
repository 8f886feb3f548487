"""What the library logs, as lines on standard error."""

from __future__ import annotations

import logging

from regard.console import note


class _ToStandardError(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        note(f"regard: {self.format(record)}")


def show_log() -> None:
    """Print what is logged from now on; a second call changes nothing."""
    log = logging.getLogger("regard")
    log.setLevel(logging.INFO)
    if not any(isinstance(handler, _ToStandardError) for handler in log.handlers):
        log.addHandler(_ToStandardError())
