"""The command that describes this machine for a report: parse, dispatch, print."""

from __future__ import annotations

from typing import Annotated

import typer

from regard.cli.options import AsJson
from regard.console import say

DOCTOR_EXAMPLES = "Examples: regard doctor, or: regard doctor --retry"


def doctor_command(
    retry: Annotated[
        bool, typer.Option("--retry", help="Retry the compiled kernels where they have failed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Report this machine, the installed packages and which code paths are used, for bug reports."""
    from regard.recipes.doctor import doctor_lines

    for line in doctor_lines(as_json=as_json, retry=retry):
        say(line)
