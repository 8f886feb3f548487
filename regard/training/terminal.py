"""A run on a terminal: one line that moves if somebody watches, plain lines otherwise.

It is what the command line, recipes and `regard.train(progress=True)` pass to a run; nothing else here
prints.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from regard.console import note
from regard.training.progress import Lines, Reporter, line_of
from regard.visible import visible


def terminal_reporter() -> Reporter:
    """A moving line if somebody watches, plain lines otherwise, both on standard error."""
    return TerminalBar() if sys.stderr.isatty() else Lines(note)


class TerminalBar(Reporter):
    """One line that moves."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        class Terminal(Console):
            """Whatever ends the process, the cursor is there: it was never hidden."""

            def show_cursor(self, show: bool = True) -> bool:
                return False

        self._console = Terminal(stderr=True, markup=False, emoji=False, highlight=False)
        words = TextColumn("{task.description}", markup=False)
        self._progress = Progress(BarColumn(bar_width=24), words, console=self._console, transient=True)
        self._task = self._progress.add_task("starting", total=None)
        self._progress.start()

    def say(self, text: str) -> None:
        self._console.print(visible(text), soft_wrap=True)

    def busy(self, text: str) -> None:
        self._progress.update(self._task, description=visible(text))

    def step(self, event: Mapping[str, Any]) -> None:
        self._progress.update(
            self._task, completed=event["step"], total=event.get("steps"), description=visible(line_of(event))
        )

    def close(self) -> None:
        self._progress.stop()
