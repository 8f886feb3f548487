"""Compiled loops tried before they are used, in a process of their own: both sides of it.

What a compiler makes of the loops can abort the process on a processor that nobody had at hand, hang, or be
wrong, and none of that can be caught where it happens. So `run_probe` starts another Python, twice. The first
compiles everything and compares decoding with the plain path (`LeanStepper`, `PromptStepper`) on small
models; numba keeps what it compiles in the folder that was given. The second does the same with what is read
from there, which is what all later processes will do, and must not compile anything.

This file does not know where that folder comes from, nor who asks.
"""

from __future__ import annotations

import errno
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from regard.console import say_json

PROBING = "REGARD_PROBING"
"""Set in the environment of the other process, so that nothing there starts a third one."""

_PATIENCE = 60.0
"""Seconds without a word from the other process after which it hangs …"""
_PACE = 6
"""… or so many times the longest that it was silent before: one pass of a compiler on a slow machine."""
_INTERRUPTIONS = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGKILL", None)}
"""Signals that others send: the system, for instance, when memory runs out."""
_STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


Ending = Literal["works", "fails", "interrupted", "storage", "refused"]
"""How a trial can end. What was interrupted may go well the next time, what lacked storage in another folder;
what was refused is what REGARD_KERNELS asks for."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended."""

    ending: Ending
    reason: str = ""
    """Why they do not work, as part of a sentence."""
    family: str = ""
    features: str = ""


def can_start_python() -> bool:
    """Whether `sys.executable` is a Python: in a frozen or an embedding program it is that program."""
    name = Path(sys.executable or "").name.lower()
    return not getattr(sys, "frozen", False) and ("python" in name or "pypy" in name)


def run_probe(folder: Path) -> Outcome:
    """Compile the loops into `folder` and try them, then try what is kept there."""
    for check in ("compile", "read"):
        outcome = watch([sys.executable, "-P", "-m", "regard.decode.probe", check, str(folder)])
        if outcome.ending != "works":
            break
    return outcome


def watch(command: list[str], patience: float = _PATIENCE) -> Outcome:
    """Run a command that reports, as `main` does, until it ends or says nothing for too long."""
    output: deque[str] = deque(maxlen=50)
    outcome, doing = None, "starting"
    try:
        process = subprocess.Popen(  # noqa: S603  (ourselves)
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(),
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # a Ctrl-C is for this process, which then ends that one
        )
    except OSError as error:
        return Outcome("interrupted", f"no process can be started to try them: {error.strerror or error}")
    assert process.stdout is not None
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(process.stdout, lines), daemon=True).start()
    longest, before = 0.0, time.monotonic()
    try:
        while (line := lines.get(timeout=max(patience, _PACE * longest))) is not None:
            longest, before = max(longest, time.monotonic() - before), time.monotonic()
            message = _message(line)
            doing = str(message.get("doing", doing))
            if "ending" in message:
                outcome = Outcome(**message)
            elif not message:
                output.append(line)
        status = process.wait(patience)
    except (queue.Empty, subprocess.TimeoutExpired):
        return Outcome("fails", f"they hung when they were tried ({doing})")
    finally:
        process.kill()
        process.wait()
    if status == 0 and outcome is not None:
        return outcome
    return _crash(status, output)


def _listen(pipe: IO[str], lines: queue.SimpleQueue[str | None]) -> None:
    with pipe:
        for line in pipe:
            lines.put(line.strip())
    lines.put(None)


def _environment() -> dict[str, str]:
    """Ours, with the same modules within reach, and one thread."""
    here = ""
    with suppress(OSError):  # it was deleted
        here = str(Path.cwd())
    path = os.pathsep.join(filter(None, dict.fromkeys(entry or here for entry in sys.path)))
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    ours = {PROBING: "1", "PYTHONPATH": path, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}
    return {name: value for name, value in os.environ.items() if name != "PYTHONINSPECT"} | threads | ours


def _message(line: str) -> dict[str, Any]:
    """What `tell` told; nothing if something else was printed."""
    try:
        message = json.loads(line) if line.startswith("{") else None
    except (ValueError, RecursionError):
        return {}
    if isinstance(message, dict) and ("doing" in message or {"ending", "reason"} <= message.keys()):
        return message
    return {}


def _crash(status: int, output: deque[str]) -> Outcome:
    """What became of a process that ended without saying how it went."""
    loud = [word for word in output if "ERROR" in word or "Error" in word]
    last = "".join(filter(str.isprintable, (loud or list(output) or [""])[-1][:200]))
    name = f"status {status}"
    if status < 0 and -status in set(signal.Signals):
        name = signal.Signals(-status).name
    ending: Ending = "interrupted" if -status in _INTERRUPTIONS else "fails"
    return Outcome(ending, f"they crashed when they were tried ({name}{': ' if last else ''}{last})")


# ------------------------------------------------------------------------------- in the other process


def main(check: str, folder: Path) -> None:
    """Import, compile, try; tell each step, and at last how it went."""
    report(doing="starting")
    try:
        outcome = _tried(check, folder)
    except Exception as error:
        outcome = _failure(error)
    report(**vars(outcome))


def _failure(error: Exception) -> Outcome:
    from regard.errors import ConfigError

    text = " ".join(str(error).split())[:300]
    if isinstance(error, ConfigError):
        return Outcome("refused", text)
    ending: Ending = "interrupted" if isinstance(error, MemoryError) else "fails"
    if isinstance(error, OSError) and error.errno in _STORAGE:
        ending = "storage"
    return Outcome(ending, f"they could not be compiled or tried ({type(error).__name__}: {text})")


def report(**what: object) -> None:
    """One line that the process which started this one understands."""
    say_json(what)


def _tried(check: str, folder: Path) -> Outcome:
    import numba

    report(doing="starting torch")
    from regard.decode.fast import import_loops
    from regard.decode.kernels import chosen, features

    if getattr(numba.config, "DISABLE_JIT", False):
        return Outcome("fails", "NUMBA_DISABLE_JIT is set")
    compiled: list[str] = []
    facts = {"family": chosen().name, "features": ",".join(sorted(features()))}

    with _compiling(compiled.append):
        import_loops(folder)
        from regard.decode.probe_models import differences

        for what, difference, allowed in differences():
            report(doing=f"trying {what}")
            if not difference <= allowed:  # NaN, too
                reason = f"they were wrong when they were tried ({what}, by {difference:.1e})"
                return Outcome("fails", reason, **facts)
    if check == "read" and compiled:
        reason = f"what was compiled could not be read back ({', '.join(sorted(set(compiled)))})"
        return Outcome("fails", reason, **facts)
    return Outcome("works", **facts)


@contextmanager
def _compiling(note: Callable[[str], None]) -> Iterator[None]:
    """Tell of every step of numba's compiler; note what is compiled."""
    from numba.core import event

    class Listener(event.Listener):
        def on_start(self, event: Any) -> None:
            if event.kind == "numba:compile":
                name = event.data["dispatcher"].py_func.__name__
                note(name)
            else:
                name = event.data.get("name", "")
            report(doing=f"compiling {name}")

        def on_end(self, event: Any) -> None:
            pass

    listener, kinds = Listener(), ("numba:compile", "numba:run_pass")
    for kind in kinds:
        event.register(kind, listener)
    try:
        yield
    finally:
        for kind in kinds:
            event.unregister(kind, listener)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
