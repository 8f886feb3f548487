"""The command that describes this machine for a report: parse, dispatch, print."""

from __future__ import annotations

from typing import Annotated

import typer

from regard.cli.options import AsJson
from regard.console import say

DOCTOR_EXAMPLES = "Examples: regard doctor, or: regard doctor --retry"


def doctor_command(
    retry: Annotated[
        bool, typer.Option("--retry", help="Try compiled decoding once more, where it has failed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what this machine is, what is installed, which ways are taken and how fast: for a report."""
    from regard.recipes.doctor import doctor_lines

    for line in doctor_lines(as_json=as_json, retry=retry):
        say(line)
