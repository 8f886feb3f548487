"""The threads that this process computes with: how many, and how they wait for one another.

Threads that share an operation meet at its end. GNU's OpenMP, which torch uses on Linux, lets the first ones
spin there for some milliseconds: nothing is faster on a quiet machine, where all arrive within microseconds.
Beside another busy program, one of them is not running; those that spin keep its processor from it, and
everything takes 2 to 20 times as long. Threads that sleep at once are a quarter slower on a quiet machine.

So a thread of this file looks now and then how long the others were ready to run and did not, as Linux
counts it, and while that is much,
- has them sleep at once when they wait. The arithmetic stays that of as many threads as before: results are
  the same to the bit. How it is done is in the manual of libgomp, "GOMP_SPINCOUNT": while there are more
  OpenMP threads than processors it hardly spins, so one more team is held, which does nothing;
- tells whoever asks (`free_threads`) to compute with fewer threads, which is faster still by a tenth, but
  rounds differently. Decoding asks, and training with a time budget; where the user has said how many threads
  there are, there are so many.

Now and then both are given up, to see whether they are still needed. Where threads cannot be told to sleep
(another runtime, another system, a policy that the user has set), nothing is done.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from regard.errors import require
from regard.machine import usable_processors

LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
"""Environment variables by which users say how many threads torch, numpy and tokenizers may start."""
POLICIES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
"""Those by which they say how threads wait."""

_LOOK_EVERY = 0.1  # seconds; five times as long while nothing is computed
_SOME, _MUCH = 0.15, 0.25  # seconds a second that threads lack a processor; 0.05 is quiet, 0.2 to 1.5 is busy
_LOOKS_OF_MUCH, _LOOKS_OF_SOME = 4, 10  # after which threads sleep
_LOOKS_TO_SPIN, _MOST_LOOKS = 10, 300
_SOON = 30  # looks
_MOST_THREADS = 1024  # each takes a stack, and more than there are processors make nothing faster
_LARGEST_TEAM = 8  # threads that do nothing, and that a system might refuse


def limit_threads() -> None:
    """Tell libraries that are not loaded yet how many threads there may be, where the user has not."""
    _notice()
    for name in LIMITS:
        os.environ.setdefault(name, str(usable_processors()))


def use_threads(threads: int | None = None) -> None:
    """Compute with so many threads. By default, and once in a process, with as many as torch would, but no
    more than this process may use.

    Called where work begins, never at import. Raises: ConfigError for none, or far too many.
    """
    import torch

    _notice()
    if threads is not None:
        require(1 <= threads <= _MOST_THREADS, "threads", threads, f"from 1 to {_MOST_THREADS:,}")
        _advice.fixed = True
        torch.set_num_threads(threads)
        os.environ["RAYON_NUM_THREADS"] = str(threads)
    elif not _advice.fixed and _limited.acquire(blocking=False):
        torch.set_num_threads(min(torch.get_num_threads(), usable_processors()))
        os.environ.setdefault("RAYON_NUM_THREADS", str(torch.get_num_threads()))
    _watch(torch.get_num_threads())


@contextmanager
def computing_with(threads: int) -> Iterator[None]:
    """torch's operations of this thread use so many threads."""
    import torch

    before = torch.get_num_threads()
    if threads == before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _notice() -> None:
    """Whether the user has said how many threads there are; once, before anything is set here."""
    if _noticed.acquire(blocking=False):
        _advice.fixed = "OMP_NUM_THREADS" in os.environ


def free_threads(threads: int) -> int:
    """Of `threads`, how many to compute with now, where the result need not repeat to the bit."""
    _advice.asked = True
    return threads if _advice.fixed else max(1, threads - _advice.fewer)


class Advice:
    """What `free_threads` says."""

    def __init__(self) -> None:
        self.fixed = False
        """Whether the user has said how many threads there are."""
        self.fewer = 0
        self.asked = False

    def note(self, sleep: bool, much: bool) -> None:
        """A look, and what came of it: one thread less at first, and again each time that was too little."""
        if not sleep:
            self.fewer = 0
        elif not self.fewer or (much and self.asked):
            self.fewer, self.asked = self.fewer + 1, False


_advice = Advice()


class Patience:
    """Decides whether threads should sleep at once when they wait, from how much they lacked a processor."""

    def __init__(self) -> None:
        self.sleep = False
        self._shares: list[float] = []
        self._looks_to_spin = _LOOKS_TO_SPIN
        self._tried = False  # to spin again

    def note(self, share: float) -> bool:
        """A look; `share`: seconds a second that threads were ready and did not run. Whether to sleep now.

        Where spinning has to be given up soon after it was tried, the next try comes twice as late.
        """
        self._shares.append(share)
        if self._to_spin() if self.sleep else self._to_sleep():
            soon = self._tried and len(self._shares) <= _SOON
            if not self.sleep:
                self._looks_to_spin = min(2 * self._looks_to_spin, _MOST_LOOKS) if soon else _LOOKS_TO_SPIN
            self.sleep, self._tried, self._shares = not self.sleep, self.sleep, []
        del self._shares[:-_MOST_LOOKS]
        return self.sleep

    def _to_spin(self) -> bool:
        last = self._shares[-self._looks_to_spin :]
        return len(last) == self._looks_to_spin and sum(last) <= _MUCH * len(last)

    def _to_sleep(self) -> bool:
        """What a quiet system does for itself is much for a look or two, never in every one."""
        much, some = self._shares[-_LOOKS_OF_MUCH:], self._shares[-_LOOKS_OF_SOME:]
        return (len(much) == _LOOKS_OF_MUCH and min(much) > _MUCH) or (
            len(some) == _LOOKS_OF_SOME and sum(some) > _SOME * len(some)
        )


class Watch(threading.Thread):
    """Looks how long threads lack a processor, and says how they should wait."""

    def __init__(self, lacking: Callable[[], float], sleep: Callable[[bool], None]) -> None:
        """`lacking`: seconds that threads of this process have lacked a processor so far, all added up."""
        super().__init__(name="regard-watch", daemon=True)
        self._lacking, self._sleep = lacking, sleep

    def run(self) -> None:
        patience, sleeping, pause = Patience(), False, _LOOK_EVERY
        now, lacked, computed = time.monotonic(), self._lacking(), time.process_time()
        while True:
            time.sleep(pause)
            worked = time.thread_time()
            before, now = now, time.monotonic()
            lacked, lacked_before = self._lacking(), lacked
            computed, computed_before = time.process_time(), computed
            seconds = now - before
            busy = computed - computed_before > 0.1 * seconds
            # A look costs a few system calls a thread; it is not to cost more than a hundredth of the time.
            pause = max(_LOOK_EVERY if busy else 5 * _LOOK_EVERY, 100 * (time.thread_time() - worked))
            if busy:
                share = (lacked - lacked_before) / seconds
                if patience.note(share) != sleeping:
                    sleeping = patience.sleep
                    self._sleep(sleeping)
                _advice.note(sleeping, share > _MUCH)


# Each is taken once, for good.
_noticed, _limited, _watching = threading.Lock(), threading.Lock(), threading.Lock()


def _watch(threads: int) -> None:
    """Begin to look, once, where there is something to look at and to do about it."""
    if (
        threads < 2
        or any(name in os.environ for name in POLICIES)
        or not Path("/proc/self/schedstat").exists()
    ):
        return
    runtime = _gnu_runtime()
    if runtime is not None and _watching.acquire(blocking=False):
        Watch(lacking, Sleeper(runtime, threads)).start()


class Sleeper:
    """Called with True, makes OpenMP threads sleep as soon as they wait; with False, spin first."""

    def __init__(self, runtime: Any, threads: int) -> None:
        """`threads`: how many compute."""
        self._runtime = runtime
        self._team = 2 + max(0, runtime.omp_get_num_procs() - threads)

    def __call__(self, sleep: bool) -> None:
        """By a team of the calling thread, whose only operation does nothing."""
        runtime = self._runtime
        if not sleep:
            runtime.omp_pause_resource(1, runtime.omp_get_initial_device())  # 1: ends the team, no more
            return
        if self._team <= _LARGEST_TEAM:
            nothing = ctypes.cast(runtime.omp_in_parallel, ctypes.c_void_p)
            runtime.GOMP_parallel(nothing, None, ctypes.c_uint(self._team), ctypes.c_uint(0))


def _gnu_runtime() -> Any:
    """The OpenMP that this process has loaded, if it is GNU's and does what is asked of it here."""
    if not sys.platform.startswith("linux"):
        return None
    loaded = ctypes.CDLL(None)
    needed = ("GOMP_parallel", "omp_pause_resource", "omp_get_initial_device", "omp_in_parallel")
    theirs = hasattr(loaded, "kmp_set_blocktime")  # LLVM's and Intel's answer to GNU's names, too
    return loaded if not theirs and all(hasattr(loaded, name) for name in needed) else None


def lacking() -> float:
    """Seconds that threads of this process were ready to run and did not, added up over those alive.

    By the second number of `schedstat` (kernel.org, "Scheduler Statistics").
    """
    total = 0
    for thread in Path("/proc/self/task").iterdir():
        try:
            total += int((thread / "schedstat").read_text("ascii").split()[1])
        except (OSError, IndexError, ValueError):  # it has ended
            continue
    return total * 1e-9
