"""The threads that a process computes with: as many as it was told, and how they wait on a busy machine."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from regard import threads
from regard.threads import Advice, Patience

BUSY, QUIET = 0.9, 0.04  # seconds a second that threads lack a processor, as measured


def looks(patience: Patience, share: float, times: int) -> list[bool]:
    return [patience.note(share) for _ in range(times)]


def test_threads_sleep_soon_after_a_machine_is_busy_and_spin_after_it_was_quiet_for_long() -> None:
    patience = Patience()
    assert not any(looks(patience, QUIET, 50))
    assert looks(patience, BUSY, 4)[-1], "four tenths of a second are enough"
    assert all(looks(patience, BUSY, 100))
    found = looks(patience, QUIET, 60)
    assert not found[-1]
    assert all(found[:5]), "a moment of quiet is no reason to spin"


@pytest.mark.parametrize("moment", [[0.5], [0.4, 0.25], [0.26, 0.26, 0.26]])
def test_what_a_quiet_machine_does_for_a_moment_decides_nothing(moment: list[float]) -> None:
    patience = Patience()
    for _ in range(30):
        assert not any(patience.note(share) for share in moment)
        assert not any(looks(patience, QUIET, 9))


def test_a_second_of_a_little_less_than_much_is_enough() -> None:
    """As where threads that wait for one another do not spin: each lacks a processor now and then."""
    patience = Patience()
    assert any(patience.note(share) for share in [0.05, 0.24, 0.2, 0.04, 0.28, 0.03, 0.3, 0.1, 0.27, 0.23])


def test_spinning_that_has_to_be_given_up_at_once_is_tried_ever_more_seldom() -> None:
    """A machine that only looks quiet while the threads sleep."""
    patience, tried = Patience(), []
    for look in range(3000):
        sleeping = patience.sleep
        if sleeping and not patience.note(QUIET):
            tried.append(look)
        elif not sleeping:
            patience.note(BUSY)
    waited = [later - earlier for earlier, later in itertools.pairwise(tried)]
    assert waited == sorted(waited)
    assert waited[-1] > 200
    assert len(tried) < 20


def test_a_machine_that_was_quiet_for_long_is_trusted_again() -> None:
    patience = Patience()
    for _ in range(8):
        looks(patience, BUSY, 4)
        while patience.sleep:
            patience.note(QUIET)
    looks(patience, QUIET, 100)
    looks(patience, BUSY, 4)
    assert patience.sleep
    assert looks(patience, QUIET, 60)[-1] is False


def test_fewer_threads_compute_while_others_keep_a_processor_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    advice = Advice()
    monkeypatch.setattr(threads, "_advice", advice)
    assert threads.free_threads(4) == 4
    advice.note(sleep=True, much=True)
    for _ in range(9):
        advice.note(sleep=True, much=False)
        assert threads.free_threads(4) == 3
    advice.note(sleep=True, much=True)
    assert threads.free_threads(4) == 2, "three were still too many"
    for _ in range(9):
        advice.note(sleep=True, much=True)
    assert threads.free_threads(4) == 1, "who does not ask, does not make it fewer and fewer"
    assert threads.free_threads(1) == 1
    for _ in range(9):
        advice.note(sleep=True, much=True)
        threads.free_threads(4)
    assert threads.free_threads(4) == 1
    advice.note(sleep=False, much=False)
    assert threads.free_threads(4) == 4
    advice.note(sleep=True, much=True)
    advice.fixed = True
    assert threads.free_threads(4) == 4, "the user has said how many"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """What torch was told, in a process that has not yet been told anything."""
    import torch

    said: list[int] = [16]
    monkeypatch.setattr(torch, "set_num_threads", said.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: said[-1])
    monkeypatch.setattr(threads, "_watch", lambda count: None)
    for name in ("_noticed", "_limited"):
        monkeypatch.setattr(threads, name, threads.threading.Lock())
    monkeypatch.setattr(threads, "_advice", Advice())
    monkeypatch.setattr(threads, "usable_processors", lambda: 3)
    for name in threads.LIMITS:
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    yield said
    os.environ.clear()
    os.environ.update(before)


def test_by_default_there_are_no_more_threads_than_may_run(told: list[int]) -> None:
    threads.use_threads()
    assert told[-1] == 3
    assert os.environ["RAYON_NUM_THREADS"] == "3"


def test_fewer_than_may_run_stay_so(told: list[int]) -> None:
    told.append(2)
    threads.use_threads()
    assert told[-1] == 2


def test_a_number_that_was_asked_for_wins_and_lasts(told: list[int]) -> None:
    threads.use_threads(7)
    threads.use_threads()
    assert told[-1] == 7
    assert os.environ["RAYON_NUM_THREADS"] == "7"


def test_what_the_user_has_set_is_left_alone(told: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    monkeypatch.setenv("RAYON_NUM_THREADS", "5")
    threads.limit_threads()
    threads.use_threads()
    assert told == [16]
    assert threads.free_threads(16) == 16
    assert os.environ["RAYON_NUM_THREADS"] == "5"
    assert os.environ["OPENBLAS_NUM_THREADS"] == "3"


# Trains a small model with two threads, which spin, sleep, or do now one and now the other.
STEPS = """
import sys, torch
from torch import nn
from regard.threads import Sleeper, _gnu_runtime
runtime = _gnu_runtime()
assert runtime is not None
torch.set_num_threads(2)
sleep = Sleeper(runtime, 2)
torch.manual_seed(1)
model = nn.Sequential(nn.Linear(97, 389), nn.LayerNorm(389), nn.ReLU(), nn.Linear(389, 211))
optimizer = torch.optim.AdamW(model.parameters())
x = torch.randn(503, 97)
for step in range(24):
    if sys.argv[1] == "sleep" and step == 0 or sys.argv[1] == "mixed":
        sleep(step % 2 == 0)
    model(x).logsumexp(-1).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()
import hashlib
print(hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters())).hexdigest())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="another OpenMP")
def test_how_threads_wait_changes_no_bit() -> None:
    free = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}

    def digest(way: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", STEPS, way],
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
            env=free,
        )
        return done.stdout.strip()

    assert digest("spin") == digest("sleep") == digest("mixed")


WATCHED = """
import os, threading
from regard.threads import use_threads
use_threads(int(os.environ["ASKED"]))
print(sum(thread.name == "regard-watch" for thread in threading.enumerate()))
use_threads()
print(sum(thread.name == "regard-watch" for thread in threading.enumerate()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="another OpenMP")
@pytest.mark.parametrize(
    ("asked", "policy", "watched"),
    [("2", {}, 1), ("1", {}, 0), ("2", {"OMP_WAIT_POLICY": "active"}, 0), ("2", {"GOMP_SPINCOUNT": "9"}, 0)],
)
def test_one_thread_watches_only_where_others_wait_as_the_system_likes(
    asked: str, policy: dict[str, str], watched: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WATCHED],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
        env={**os.environ, **policy, "ASKED": asked},
    )
    assert done.stdout.split() == [str(watched)] * 2, done.stderr
