"""How many processors a process may use: by affinity, and by the quotas of Linux's control groups."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from regard import machine
from regard.machine import processor_name, processor_quota, usable_processors

TWO = "31 23 0:28 {root} /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
ONE = (
    "32 31 0:29 {root} /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:30 {root} /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
)
OTHERS = "22 1 8:1 / / rw,relatime - ext4 /dev/root rw\n41 22 0:5 / /proc rw - proc proc rw\n"


def tree(root: Path, version: int, group: str, quotas: dict[str, str], seen_from: str = "/") -> Path:
    """A machine whose process is in `group`; `quotas` by group, as "quota period". `seen_from`: the group
    that a container sees as the top of the tree."""
    (root / "proc/self").mkdir(parents=True)
    lines = {2: f"0::{group}\n", 1: f"9:cpuset:/\n4:cpu,cpuacct:{group}\n1:name=systemd:/\n"}[version]
    (root / "proc/self/cgroup").write_text(lines)
    (root / "proc/self/mountinfo").write_text(OTHERS + {2: TWO, 1: ONE}[version].format(root=seen_from))
    top = root / {2: "sys/fs/cgroup", 1: "sys/fs/cgroup/cpu,cpuacct"}[version]
    for name, given in quotas.items():
        folder = top / name.strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        quota, period = given.split()
        if version == 2:
            (folder / "cpu.max").write_text(f"{quota} {period}\n")
        else:
            (folder / "cpu.cfs_quota_us").write_text(f"{'-1' if quota == 'max' else quota}\n")
            (folder / "cpu.cfs_period_us").write_text(f"{period}\n")
    return root


each_version = pytest.mark.parametrize("version", [1, 2])


@each_version
@pytest.mark.parametrize(
    ("quotas", "allowed"),
    [
        ({}, None),
        ({"/": "max 100000", "/a": "max 100000"}, None),
        ({"/a/b": "150000 100000"}, 1.5),
        ({"/a/b": "20000 100000", "/a": "150000 100000"}, 0.2),
        ({"/a/b": "max 100000", "/a": "50000 10000", "/": "400000 200000"}, 2),
        ({"/other": "10000 100000", "/a/b/c": "10000 100000"}, None),
        ({"/a/b": "nonsense 100000"}, None),
        ({"/a/b": "0 100000"}, None),
        ({"/a/b": "100000 0"}, None),
    ],
    ids=str,
)
def test_the_smallest_quota_along_the_path_of_groups_counts(
    tmp_path: Path, version: int, quotas: dict[str, str], allowed: float | None
) -> None:
    assert processor_quota(tree(tmp_path, version, "/a/b", quotas)) == allowed


@each_version
def test_a_container_sees_its_own_group_as_the_top(tmp_path: Path, version: int) -> None:
    quotas = {"/": "250000 100000", "/mine": "200000 100000"}
    inside = tree(tmp_path / "inside", version, "/docker/1f/mine", quotas, seen_from="/docker/1f")
    assert processor_quota(inside) == 2
    other = tree(tmp_path / "other", version, "/somewhere/else", quotas, seen_from="/docker/1f")
    assert processor_quota(other) == 2.5
    above = tree(tmp_path / "above", version, "/../../x", quotas)
    assert processor_quota(above) == 2.5


@pytest.mark.parametrize("broken", ["", "0::\n", "no colons\n", "::::\n", "\x00\xff"])
def test_a_machine_that_says_nothing_of_groups_has_no_quota(tmp_path: Path, broken: str) -> None:
    assert processor_quota(tmp_path / "nothing") is None
    (tmp_path / "proc/self").mkdir(parents=True)
    for name in ("cgroup", "mountinfo"):
        (tmp_path / "proc/self" / name).write_text(broken)
        assert processor_quota(tmp_path) is None


@pytest.mark.parametrize(("quota", "threads"), [(None, 5), (0.1, 1), (1.0, 1), (1.2, 2), (4.0, 4), (64.0, 5)])
def test_a_share_of_a_processor_counts_as_one(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, threads: int
) -> None:
    monkeypatch.setattr(machine, "processor_quota", lambda: quota)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 8, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(5)), raising=False)
    assert usable_processors() == threads


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be bound here")
def test_a_process_that_is_bound_to_one_processor_computes_with_one_thread() -> None:
    """All of them: torch's, numpy's (OpenBLAS) and tokenizers', at work, are counted by the system."""
    code = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from regard.threads import limit_threads, use_threads
limit_threads()
import numpy, tokenizers, torch
use_threads()
a = torch.randn(300, 300)
(a @ a).sum().item(), numpy.ones((300, 300)) @ numpy.ones((300, 300))
from tokenizers import Tokenizer, models
made = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
made.encode_batch(["a"] * 1000)
print(torch.get_num_threads(), os.environ["RAYON_NUM_THREADS"], len(os.listdir("/proc/self/task")))
"""
    free = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=free, check=True, timeout=100
    )
    torchs, rayons, all_of_them = map(int, done.stdout.split())
    assert torchs == rayons == 1
    assert all_of_them <= 2, "rayon's one thread stands beside the main one"


def test_a_processor_has_a_name() -> None:
    assert processor_name().strip()


CYCLES = """
import resource, sys
from regard.machine import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def cycle():
    held = [bytearray(20 << 20) for _ in range(4)]  # zeroes are written
    for one in held:
        one[::4096] = bytes(len(one[::4096]))
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
cycle()
before = faults()
for _ in range(3):
    cycle()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another library allocates otherwise")
def test_what_a_step_frees_the_next_one_has_without_asking_the_system():
    def faults(*how: str, **variables: str) -> int:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
        command = [sys.executable, "-c", CYCLES, *how]
        done = subprocess.run(
            command, env=environment | variables, capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    assert faults("keep") < 1_000 < faults("as it is")  # of 61,440 pages
    told = {"MALLOC_TRIM_THRESHOLD_": "131072"}
    assert faults("keep", **told) == pytest.approx(faults("as it is", **told), abs=200)


THREADS = """
import ctypes, os, sys, threading
from regard.machine import share_heaps
if sys.argv[1] == "share":
    share_heaps()
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.free.argtypes = [ctypes.c_void_p]
turns, end = threading.Semaphore(0), threading.Semaphore(0)
def work():
    blocks = [library.malloc(100_000) for _ in range(300)]
    for block in blocks:
        ctypes.memset(ctypes.c_void_p(block), 1, 100_000)
    library.malloc(100_000)  # behind them, so that the end of the heap is in use
    for block in blocks:
        library.free(block)
    turns.release()
    end.acquire()  # the heap of a thread that has ended would be imported
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
before = resident()
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
    turns.acquire()
print((resident() - before) >> 20)
end.release(8)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another library allocates otherwise")
def test_what_one_thread_frees_the_others_have():
    def taken(how: str, **variables: str) -> int:
        """MiB."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
        command = [sys.executable, "-c", THREADS, how]
        done = subprocess.run(
            command, env=environment | variables, capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    assert taken("share") < 80 < 150 < taken("as it is")  # 8 threads, 29 MiB each, one after another
    assert taken("share", MALLOC_ARENA_MAX="8") > 150, "the user has said how"
