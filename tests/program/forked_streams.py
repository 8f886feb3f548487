"""Runs the command line with strange streams, again and again, without loading torch each time.

Each line of standard input is a JSON object: the `arguments`, and perhaps `encoding`, and what `streams` 0, 1
and 2 are: the name of a file, `closed`, or `gone` (a pipe that nobody reads). `interrupts`: after how many
seconds the child is sent Ctrl-C, each time. What comes back is the exit status, minus the signal if one ended
it.

A child makes its streams as Python does when it starts.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import time
import traceback
from typing import Any

import torch

torch.set_num_threads(1)

import regard.__main__  # noqa: E402
import regard.cli  # noqa: E402
import regard.run  # noqa: E402
import regard.training.job  # noqa: E402

torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])  # loads what an optimizer takes seconds to load

READ, WRITE = os.O_RDONLY, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOCTTY


def arrange(streams: list[str], encoding: str) -> None:
    """Put the streams in their places."""
    for descriptor, what in enumerate(streams):
        if what == "gone":
            reader, opened = os.pipe()
            os.close(reader)
        elif what == "closed":
            os.close(descriptor)
            continue
        else:
            opened = os.open(what, WRITE if descriptor else READ, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdin, sys.stdout, sys.stderr = (
        None if what == "closed" else stream(descriptor, encoding) for descriptor, what in enumerate(streams)
    )


def stream(descriptor: int, encoding: str) -> io.TextIOWrapper:
    if not descriptor:
        return open(0, encoding=encoding, closefd=False)
    errors = "backslashreplace" if descriptor == 2 else "strict"
    tty = os.isatty(descriptor)
    return io.TextIOWrapper(
        open(descriptor, "wb", closefd=False),
        encoding,
        errors,
        line_buffering=descriptor == 2 or tty,
    )


def child(asked: dict[str, Any]) -> None:
    status = 70
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = ["regard", *asked["arguments"]]
        arrange(asked["streams"], asked.get("encoding") or "utf-8")
        regard.__main__.main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:
        traceback.print_exc()
    finally:
        for one in (sys.stdout, sys.stderr):  # as Python does when it ends
            try:
                one.flush()
            except (OSError, ValueError):
                status = 120
        os._exit(status)


def serve() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if not pid:
            child(asked)
        for seconds in asked.get("interrupts") or ():
            time.sleep(seconds)
            os.kill(pid, signal.SIGINT)  # at worst it has ended: nobody has waited for it yet
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
