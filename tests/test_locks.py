"""A folder that a work has to itself is nobody else's until that work's process has ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from regard import locks
from regard.errors import StorageError
from regard.files import atomic_files
from regard.locks import LOCK, check_unlocked, exclusive

HOLDER = """
import sys, time
from regard.locks import exclusive
with exclusive(sys.argv[1], "trained"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def refused(folder: Path) -> str:
    with pytest.raises(StorageError) as first:
        check_unlocked(folder)
    with pytest.raises(StorageError) as second, exclusive(folder, "trained"):
        pass
    with pytest.raises(StorageError) as third, atomic_files(folder, ["a"]) as writing:
        (writing / "a").write_bytes(b"")
    assert str(first.value) == str(second.value) == str(third.value)
    return str(first.value)


def test_the_second_is_told_who_holds_it_until_that_one_is_killed(tmp_path, holder):
    said = refused(tmp_path)
    assert f"process {holder.pid} on {socket.gethostname()} since 20" in said
    assert "is being trained" in said
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK).exists()
    check_unlocked(tmp_path)
    with atomic_files(tmp_path, ["a"]) as writing:
        (writing / "a").write_bytes(b"")
    with exclusive(tmp_path, "trained"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_who_holds_it_may_write_it_and_nothing_is_left(tmp_path):
    with exclusive(tmp_path, "trained"):
        check_unlocked(tmp_path)
        with atomic_files(tmp_path, ["a"]) as writing:
            (writing / "a").write_bytes(b"")
        with pytest.raises(StorageError, match=str(os.getpid())), exclusive(tmp_path, "trained"):
            pass
        assert (tmp_path / LOCK).exists()
    assert not (tmp_path / LOCK).exists()


def test_a_failing_work_frees_it(tmp_path):
    with pytest.raises(KeyError), exclusive(tmp_path, "trained"):
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_who_waits_for_a_file_that_was_removed_takes_the_new_one(tmp_path, monkeypatch):
    """A lock on a file that nobody else will ever open is none."""
    with exclusive(tmp_path, "trained"):
        stale = os.open(tmp_path / LOCK, os.O_RDWR)
    opened = [stale]
    real = os.open
    monkeypatch.setattr(os, "open", lambda *args, **how: opened.pop() if opened else real(*args, **how))
    with exclusive(tmp_path, "trained"):
        monkeypatch.undo()
        assert json.loads((tmp_path / LOCK).read_text("utf-8"))["pid"] == os.getpid()


def said(folder: Path, **about: object) -> None:
    (folder / LOCK).write_text(json.dumps({"work": "trained", "since": time.time(), **about}), "utf-8")


def test_without_locks_what_the_file_says_is_believed(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "try_lock", lambda handle, alone: None)
    here = socket.gethostname()
    said(tmp_path, pid=os.getppid(), host=here)  # alive
    assert f"delete {tmp_path / LOCK}" in refused(tmp_path)
    said(tmp_path, pid=1, host="another-machine")
    assert "another-machine" in refused(tmp_path)
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    said(tmp_path, pid=dead.pid, host=here)
    with exclusive(tmp_path, "trained"):
        assert json.loads((tmp_path / LOCK).read_text("utf-8"))["pid"] == os.getpid()
    assert not (tmp_path / LOCK).exists()


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b'{"pid": [], "host": 3}', b'{"since": 1e300}', b"[" * 9000]
)
def test_rubbish_in_the_file_stops_nobody(tmp_path, content):
    (tmp_path / LOCK).write_bytes(content)
    with exclusive(tmp_path, "trained"):
        pass
    assert not (tmp_path / LOCK).exists()


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="links are followed here")
def test_a_link_is_not_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine", "utf-8")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / LOCK).symlink_to(precious)
    with pytest.raises(OSError, match=LOCK), exclusive(folder, "trained"):
        pass
    assert precious.read_text("utf-8") == "mine"
