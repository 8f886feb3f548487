"""What the tokenizers' library needs to be told before a process forks."""

from __future__ import annotations

import functools
import os


@functools.cache
def prepare_for_forks() -> None:
    """Let a forked child work without the library's threads, which do not survive a fork.

    Left alone the library prints a warning about it; if told to be parallel the child would hang.
    """
    if not hasattr(os, "register_at_fork"):
        return
    name = "TOKENIZERS_PARALLELISM"
    given: list[str | None] = [None]

    def before() -> None:
        given[0] = os.environ.get(name)
        os.environ[name] = "false"

    def after_in_parent() -> None:
        if given[0] is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = given[0]

    os.register_at_fork(before=before, after_in_parent=after_in_parent)
