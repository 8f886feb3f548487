"""Whether models are decoded by compiled loops, decided once a process; and what compiling took.

The loops (the extra `fast`, which brings numba) are used where they were tried on this machine in a process
of their own (`probe.py`) and did what the plain path does; `kernel_cache.py` keeps that, and what was
compiled. Where they fail in any way, models are decoded by torch alone, which gives the same answers. The
environment variable REGARD_KERNELS asks for one way: `plain`, `auto`, or a family of `kernels/`.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regard.decode import kernel_cache, probe
from regard.decode.kernel_cache import Verdict
from regard.errors import ConfigError, StorageError
from regard.files import held

_LOG = logging.getLogger("regard.decode")
_WORTH_TELLING = 1.5
"""Seconds; what was compiled before is read from disk in less."""
_INSTALL = "install it: pip install 'regard[fast]'"
_LONGEST_WAIT = 600.0
"""Seconds for another process to compile; then this one does it in another place."""
_REPORT = "please report it with what `regard doctor` prints"


@dataclass(frozen=True)
class Decision:
    """Whether there are compiled loops, and which."""

    compiled: bool
    reason: str
    """Why, or why not, as part of a sentence."""
    family: str = "plain"
    folder: Path | None = None
    """Where they are kept."""
    seconds: float = 0.0
    """What compiling and trying them took, when that was done."""


_lock = threading.RLock()
_decision: Decision | None = None


def have_loops() -> bool:
    """Whether decoding goes by the compiled loops. The first call may take long: see `decision`.

    Raises: ConfigError when REGARD_KERNELS asks for what there is not.
    """
    return decision().compiled


def decision() -> Decision:
    """What was decided; the first call in a process decides, and compiles where nothing is kept.

    Raises: ConfigError when REGARD_KERNELS asks for what there is not.
    """
    global _decision
    if _decision is None:
        with _lock, compiling():
            if _decision is None:
                _decision = _decide()
    return _decision


def decide_again() -> None:
    """Have loops that failed tried anew; where they work nothing changes. Raises: as `decision`."""
    global _decision
    known = decision()
    with _lock:
        if not known.compiled:
            if known.folder is not None:
                kernel_cache.forget(known.folder)
            _decision = None


class _Stopwatch:
    """Time during which somebody compiles; several threads may at once, and wait for one another."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.working, self.since, self.seconds = 0, 0.0, 0.0

    def change(self, by: int) -> None:
        """One more, or one less."""
        with self.lock:
            now = time.monotonic()
            self.seconds += now - self.since if self.working else 0.0
            self.working, self.since = self.working + by, now


_stopwatch = _Stopwatch()


def compiled_seconds() -> float:
    """How long this process has compiled, tried what was compiled, waited for another one that does, or read
    what was compiled before, since it began."""
    _stopwatch.change(0)
    return _stopwatch.seconds


@contextmanager
def compiling(what: str = "") -> Iterator[None]:
    """Tell how long it took to compile, if it had to be; see `compiled_seconds`."""
    started = time.monotonic()
    _stopwatch.change(1)
    try:
        yield
    finally:
        _stopwatch.change(-1)
    seconds = time.monotonic() - started
    if what and seconds > _WORTH_TELLING:
        _LOG.info("compiled %s in %.0f s", what, seconds)


def _decide() -> Decision:
    asked = os.environ.get("REGARD_KERNELS", "") or "auto"
    if asked == "plain":
        return Decision(False, "REGARD_KERNELS is 'plain'")
    if os.environ.get(probe.PROBING):
        return Decision(False, "this is the process that tries them")
    if importlib.util.find_spec("numba") is None:
        if asked != "auto":
            sentence = "{key} is '{value}', which needs numba; {remedy}"
            raise ConfigError(sentence, "REGARD_KERNELS", asked, _INSTALL)
        return Decision(False, f"numba is not installed; {_INSTALL}")
    if asked != "auto":
        _check_forced()
    if not probe.can_start_python():
        return Decision(False, "this program is not started by Python, so they cannot be tried beside it")
    verdict, folder = _verdict()
    reason = verdict.reason
    if verdict.works and folder is not None:
        reason = _loaded(verdict, folder)
        if not reason:
            return Decision(True, "they were tried and work", verdict.family, folder, verdict.seconds)
    _LOG.warning("decoding goes the plain, slower way without compiled loops, since %s; %s", reason, _REPORT)
    return Decision(False, reason, folder=folder, seconds=verdict.seconds)


def _check_forced() -> None:
    """Before anything is compiled. Raises: ConfigError when REGARD_KERNELS asks for what there is not."""
    try:
        from regard.decode.kernels import chosen, forced
    except (ImportError, SystemError):
        return  # a numba that cannot be used: that is met, and told, where the loops are tried
    forced()  # is not remembered, as what is chosen is
    chosen()


def _verdict() -> tuple[Verdict, Path | None]:
    """How the loops did, here or when they were first tried, and where they are kept."""
    name, problems = kernel_cache.key(), []
    for place in kernel_cache.places():
        try:
            folder = kernel_cache.open_place(place) / name
            return kernel_cache.read(folder) or _try_alone(folder), folder
        except (StorageError, OSError) as problem:
            _LOG.debug("compiled loops cannot be kept: %s", problem)
            problems.append(str(problem))
    return Verdict(False, "; ".join(problems) or "there is no folder to keep them in"), None


def _try_alone(folder: Path) -> Verdict:
    """Try them, or wait for another process that does. Raises: StorageError, OSError."""
    started, waiting = time.monotonic(), False
    with ExitStack() as lock:
        while True:
            try:
                lock.enter_context(held(folder.parent))
                break
            except StorageError:
                if time.monotonic() - started > _LONGEST_WAIT:
                    raise
                if not waiting:
                    waiting = True
                    _LOG.info("waiting for another process, which compiles the decoder …")
                time.sleep(0.1)
        known = kernel_cache.read(folder)
        return _try(folder, started) if known is None else known


def _try(folder: Path, started: float) -> Verdict:
    _LOG.info("compiling the decoder for this processor (once; about 20 s) …")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".trial-", ignore_cleanup_errors=True) as name:
        trial = Path(name)
        outcome = probe.run_probe(trial)
        if outcome.ending == "refused":
            raise ConfigError("{value}", outcome.reason)
        if outcome.ending == "storage":
            raise StorageError("{value}", outcome.reason)
        works = outcome.ending == "works"
        files = kernel_cache.compiled_files(trial) if works else {}
        seconds = round(time.monotonic() - started, 1)
        verdict = Verdict(works, outcome.reason, outcome.family, outcome.features, seconds, files)
        if outcome.ending != "interrupted":
            kernel_cache.write(verdict, trial, folder)
    return verdict


def _loaded(verdict: Verdict, folder: Path) -> str:
    """Import the loops from what is kept; says what was wrong, if something was."""
    try:
        from regard.decode.kernels import chosen, features

        if (chosen().name, ",".join(sorted(features()))) != (verdict.family, verdict.features):
            return "this processor reports other features than when they were tried"
        import_loops(folder)
    except ConfigError:
        raise
    except Exception as error:  # whatever a broken package raises
        return f"they could not be loaded ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
    return ""


def import_loops(folder: Path) -> None:
    """Import everything that is compiled, kept in `folder`; what other packages compile is kept elsewhere."""
    import numba

    ours: dict[str, Any] = {"CACHE_DIR": str(folder), "CACHE_LOCATOR_CLASSES": ""}
    before = {name: getattr(numba.config, name) for name in ours if hasattr(numba.config, name)}
    try:
        for name in before:
            setattr(numba.config, name, ours[name])
        from regard.decode import native  # noqa: F401
    finally:
        for name, value in before.items():
            setattr(numba.config, name, value)
    if os.environ.get(probe.PROBING):
        return
    for name, module in list(sys.modules.items()):
        if name.startswith("regard.decode."):
            for value in vars(module).values():
                if numba.extending.is_jitted(value):
                    _seal(value)


def _seal(dispatcher: Any) -> None:
    """Nothing that was not tried is written to where others read what was."""
    with suppress(AttributeError):
        dispatcher._cache.save_overload = lambda signature, result: None
