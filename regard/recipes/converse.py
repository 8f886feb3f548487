"""Talking to a model in the terminal: an answer appears as it is written."""

from __future__ import annotations

from dataclasses import replace

from regard.console import note, write
from regard.console import write_growing as show
from regard.errors import RegardError
from regard.recipes.report import one_line
from regard.run import Run
from regard.tasks.decoding import Decoding


def converse(run: Run, decoding: Decoding) -> None:
    """Answer what is typed, token by token where the search allows it, until an empty line."""
    note("type an input and Enter; an empty line ends")
    while text := _typed("> "):
        try:
            if decoding.beam == decoding.n == 1:
                show(run.write(text, decoding))
            else:
                for value, score in run.predictions([text], decoding)[0].ranked:
                    write(f"{score:8.3f}  {one_line(value.plain())}\n")
        except RegardError as problem:
            note(f"regard: {problem}")
        decoding = replace(decoding, number=decoding.number + 1)


def chat(run: Run, decoding: Decoding) -> None:
    """A dialogue in which every turn is remembered, until an empty line."""
    dialogue = run.chat()
    note("say something and Enter; an empty line ends")
    while text := _typed("> "):
        try:
            show(dialogue.say(text, decoding))
        except RegardError as problem:
            note(f"regard: {problem}")


def _typed(prompt: str) -> str:
    """A line from the terminal, as it was typed; a blank one is empty, and so is the end (Ctrl-D)."""
    try:
        line = input(prompt)
    except EOFError:
        return ""
    return line if line.strip() else ""
