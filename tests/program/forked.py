"""Runs the command line again and again without loading torch each time: a parent that forks.

Each line of standard input is a JSON object: the `arguments` that a child runs `regard` with, and perhaps
the name of a function to `die_in`, which kills the child where it is called, or the seconds to `kill_after`.
When the child has ended, the parent prints its exit status (minus the signal if one ended it). What the
child writes goes to the file named by the first argument.
"""

from __future__ import annotations

import json
import os
import pkgutil
import signal
import sys
import time

import torch

torch.set_num_threads(1)

from regard.cli.main import main  # noqa: E402

torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])  # loads what an optimizer takes seconds to load


def child(arguments: list[str], die_in: str | None, errors: str) -> None:
    with open(errors, "wb") as file:  # noqa: PTH123
        os.dup2(file.fileno(), 2)
    os.dup2(2, 1)
    sys.argv = ["regard", *arguments]
    if die_in:
        owner, _, name = die_in.rpartition(".")
        setattr(pkgutil.resolve_name(owner), name, die)
    status = 70
    try:
        main()
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        sys.stderr.flush()
        os._exit(status)


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def serve() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if not pid:
            child(asked["arguments"], asked.get("die_in"), sys.argv[1])
        if asked.get("kill_after") is not None:
            time.sleep(asked["kill_after"])
            os.kill(pid, signal.SIGKILL)  # at worst it has ended: nobody has waited for it yet
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
