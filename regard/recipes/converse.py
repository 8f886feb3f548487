"""Talking to a model in the terminal: an answer appears as it is written."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from regard.errors import RegardError
from regard.run import Run
from regard.tasks.task import Decoding


def converse(run: Run, decoding: Decoding) -> None:
    """Answer what is typed, token by token where the search allows it, until an empty line."""
    print("type an input and Enter; an empty line ends", file=sys.stderr)
    while text := _typed("> "):
        try:
            if decoding.beam == 1:
                show(run.write(text, decoding))
            else:
                for answer, score in run.predictions([text], decoding)[0].ranked:
                    print(f"{score:8.3f}  {answer}")
        except RegardError as problem:
            print(f"regard: {problem}", file=sys.stderr)


def chat(run: Run, decoding: Decoding) -> None:
    """A dialogue in which every turn is remembered, until an empty line."""
    dialogue = run.chat()
    print("say something and Enter; an empty line ends", file=sys.stderr)
    while text := _typed("> "):
        try:
            show(dialogue.say(text, decoding))
        except RegardError as problem:
            print(f"regard: {problem}", file=sys.stderr)


def show(texts: Iterable[str]) -> None:
    """An answer as it grows; a character whose bytes are not all there yet waits for the rest."""
    shown = text = ""
    for text in texts:
        ready = text.rstrip("\ufffd")
        print(ready[len(shown) :] if ready.startswith(shown) else f"\r{ready}", end="", flush=True)
        shown = ready
    print(text[len(shown) :])


def _typed(prompt: str) -> str:
    """A line from the terminal; its end (Ctrl-D) is an empty one."""
    try:
        return input(prompt).strip()
    except EOFError:
        return ""
