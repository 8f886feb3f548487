"""Loads or imports folders in a process of its own, and says what each took.

`bounded.py load|import FOLDER…` writes for each folder a line of JSON: the `seconds` of a processor, which
other programs do not change, the `memory` in bytes beyond what the process took after a sound one (the first
folder, which is not told of), and the `error` and its `message`, if there was one.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SECONDS, MEMORY = 5.0, 256 << 20
SLOWER = 4
"""By how much another machine may be slower than one that keeps the limit above."""


@dataclass(frozen=True)
class Took:
    """What became of one folder."""

    seconds: float
    memory: int
    error: str
    message: str

    def check(self) -> None:
        """The bounds for anything hostile."""
        assert self.seconds < SLOWER * SECONDS, self
        assert self.memory < MEMORY, self
        assert len(self.message) < 5000, self
        assert "\n" not in self.message, self


def took(what: str, sound: Path, folders: Sequence[Path]) -> list[Took]:
    """What each of the folders took beyond a sound one."""
    done = subprocess.run(
        [sys.executable, __file__, what, str(sound), *map(str, folders)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=600,
    )
    found = [Took(**json.loads(line)) for line in done.stdout.splitlines()]
    assert len(found) == len(folders)
    return found


def _peak() -> int:
    """The most memory that this process has taken so far, in bytes."""
    try:  # what `getrusage` says begins with the memory of who started us
        with Path("/proc/self/status").open(encoding="utf-8") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _main(what: str, sound: str, *folders: str) -> None:
    import torch

    from regard import import_checkpoint, load
    from regard.errors import RegardError

    torch.set_num_threads(1)

    def use(folder: str) -> None:
        if what == "load":
            load(folder)
        else:
            with tempfile.TemporaryDirectory() as out:
                import_checkpoint(folder, Path(out) / "out", compare=False)

    use(sound)
    use(sound)
    base = _peak()
    for folder in folders:
        error = message = ""
        start = sum(os.times()[:4])
        try:
            use(folder)
        except RegardError as problem:
            error, message = type(problem).__name__, str(problem)
        seconds = sum(os.times()[:4]) - start
        about = {"seconds": seconds, "memory": _peak() - base, "error": error, "message": message}
        print(json.dumps(about), flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
