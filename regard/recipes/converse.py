"""Talking to a model in the terminal: an answer appears as it is written."""

from __future__ import annotations

from regard.console import note, write, write_growing
from regard.errors import RegardError
from regard.recipes.report import one_line
from regard.run import Run
from regard.tasks.task import Decoding


def converse(run: Run, decoding: Decoding) -> None:
    """Answer what is typed, token by token where the search allows it, until an empty line."""
    note("type an input and Enter; an empty line ends")
    while text := _typed("> "):
        try:
            if decoding.beam == 1:
                write_growing(run.write(text, decoding))
            else:
                for answer, score in run.predictions([text], decoding)[0].ranked:
                    write(f"{score:8.3f}  {one_line(answer)}\n")
        except RegardError as problem:
            note(f"regard: {problem}")


def chat(run: Run, decoding: Decoding) -> None:
    """A dialogue in which every turn is remembered, until an empty line."""
    dialogue = run.chat()
    note("say something and Enter; an empty line ends")
    while text := _typed("> "):
        try:
            write_growing(dialogue.say(text, decoding))
        except RegardError as problem:
            note(f"regard: {problem}")


def _typed(prompt: str) -> str:
    """A line from the terminal; its end (Ctrl-D) is an empty one."""
    try:
        return input(prompt).strip()
    except EOFError:
        return ""
