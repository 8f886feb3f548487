"""What this machine is, as far as this process may use it: how many processors, and of which make.

A process may be bound to some processors (its affinity), and a container may be allowed no more than a share
of their time (`docker run --cpus 1`): the quota of a Linux control group, of version 1 or 2, and of every
group around it (kernel.org, "CFS Bandwidth Control" and "Control Group v2", `cpu.max`). And how the C library
hands out memory. Knows no torch.
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_ROOT = Path("/")
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # glibc, malloc.h


def usable_processors() -> int:
    """How many threads of this process can compute at the same time; 1 or more."""
    count = getattr(os, "process_cpu_count", os.cpu_count)() or 1  # the former since Python 3.13
    if hasattr(os, "sched_getaffinity"):
        count = min(count, len(os.sched_getaffinity(0)))
    quota = processor_quota()
    return count if quota is None else max(1, min(count, math.ceil(quota)))


def processor_quota(root: Path = _ROOT) -> float | None:
    """The processors' worth of time that the control groups of this process allow it, such as 1.5; None
    without a limit. `root`: where the file systems of the machine are found."""
    quotas = [quota for folder in _groups(root) if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def processor_name() -> str:
    """As its maker calls it, or what is known of it."""
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        return answer.stdout.strip() or platform.machine()
    for line in _lines(Path("/proc/cpuinfo")):
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "cpu model"):
            return value.strip()
    return platform.processor() or platform.machine() or "unknown"


def memory() -> int | None:
    """Bytes of this machine's memory; None where it does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no such names
        return None


def keep_freed_memory() -> None:
    """Have GNU's C library keep what is freed, up to 1 GiB, for the next allocation (its manual, "Malloc
    Tunable Parameters"), unless the user has said how it shall allocate. Elsewhere nothing is done.

    For work that frees and allocates the same sizes again and again, as steps of training do. By itself the
    library returns the end of its heap whenever twice the largest block is free there, and every step begins
    with page faults: of a small model, 5,000 a step, by which a fifth more time went.
    """
    _set_allocator({_MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 1 << 30})  # the former is the most it takes


def share_heaps() -> None:
    """Have GNU's C library serve all threads from one heap, unless the user has said how it shall allocate.

    For work that many threads do one after another, as a server's: with a heap each, what one has freed is of
    no use to the others (measured after 500, 1,000 and 1,500 requests of all kinds: 727, 861 and 933 MiB,
    where one heap took 636, 688 and 758).
    """
    _set_allocator({_ARENA_MAX: 1})


def _set_allocator(parameters: dict[int, int]) -> None:
    chosen = "GLIBC_TUNABLES" in os.environ or any(name.startswith("MALLOC_") for name in os.environ)
    if sys.platform == "linux" and not chosen:
        if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
            for parameter, value in parameters.items():
                mallopt(parameter, value)


def _groups(root: Path) -> Iterator[Path]:
    """Folders of the groups that limit this process's time: its own, and those around it."""
    mounts = list(_mounts(root))
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, own = [*line.split(":", 2), "", ""][:3]
        for version, options, above, point in mounts:
            if (version == 2) == (not controllers) and (version == 2 or _handles_time(controllers, options)):
                folder = root / point.lstrip("/")
                try:
                    inside = PurePosixPath(own).relative_to(above)
                except ValueError:  # a group outside of what this container sees of the tree
                    inside = PurePosixPath()
                yield from (folder / part for part in (inside, *inside.parents))


def _handles_time(controllers: str, options: str) -> bool:
    return "cpu" in controllers.split(",") and "cpu" in options.split(",")


def _mounts(root: Path) -> Iterator[tuple[int, str, str, str]]:
    """Version, options, root and place of each mounted tree of groups; the fields are those of proc(5)."""
    for line in _lines(root / "proc/self/mountinfo"):
        place, kind = (part.split() for part in line.partition(" - ")[::2])
        if kind and kind[0] in ("cgroup", "cgroup2"):
            yield 2 if kind[0] == "cgroup2" else 1, kind[-1], place[3], place[4]


def _quota(folder: Path) -> float | None:
    """Of one group, by either version's files."""
    words = " ".join(_lines(folder / "cpu.max")).split()
    words = words or [*_lines(folder / "cpu.cfs_quota_us"), *_lines(folder / "cpu.cfs_period_us")]
    try:
        quota, period = (int(word) for word in words)
    except ValueError:  # "max", or there is no such file
        return None
    return quota / period if quota > 0 and period > 0 else None


def _lines(path: Path) -> list[str]:
    """Of a file that may not be there, or not for us."""
    try:
        return path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []
