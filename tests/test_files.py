"""A crash at any moment leaves the old files or the new ones."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

import pytest

from regard import errors, files
from regard.errors import StorageError
from regard.files import atomic_file, atomic_files, check_space, resolve, write_json, write_text
from tests.shared import refused

NAMES = ("a", "b", "c")

# A writer of whole sets that dies by SIGKILL before the n-th call that changes the disk.
DYING_WRITER = """
import os, pathlib, shutil, signal, sys
from regard import files
folder, new, fatal = sys.argv[1], sys.argv[2], int(sys.argv[3])
calls = 0
def mortal(function):
    def call(*args, **kwargs):
        global calls
        calls += 1
        if calls == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return call
for name in ("replace", "rename", "fsync"):
    setattr(os, name, mortal(getattr(os, name)))
for name in ("mkdir", "rmdir", "unlink", "write_text"):
    setattr(pathlib.Path, name, mortal(getattr(pathlib.Path, name)))
with files.atomic_files(folder, ["a", "b", "c"]) as writing:
    for name in "abc":
        (writing / name).write_text(new)
"""

# A writer that replaces the set for ever.
BUSY_WRITER = """
import sys
from regard import files
count = 0
while True:
    count += 1
    with files.atomic_files(sys.argv[1], ["a", "b", "c"]) as writing:
        for name in "abc":
            (writing / name).write_text(str(count) * 1000)
    print(count, flush=True)
"""


def put(folder: Path, content: str) -> None:
    with atomic_files(folder, NAMES) as writing:
        for name in NAMES:
            (writing / name).write_text(content)


def contents(folder: Path) -> set[str]:
    """What a reader sees."""
    return {resolve(folder, name).read_text() for name in NAMES}


def finish(folder: Path) -> None:
    """What the next writer does, of another file."""
    with atomic_files(folder, ["another"]) as writing:
        (writing / "another").touch()


def leftovers(folder: Path) -> list[str]:
    return [name for name in listing(folder) if name.startswith(".")]


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fail(code: int) -> NoReturn:
    raise OSError(code, os.strerror(code))


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "made" / "file"
    write_text(path, "old")
    write_text(path, "new")
    assert path.read_text() == "new"
    assert listing(path.parent) == ["file"]


def test_an_interrupted_write_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")
    with pytest.raises(TypeError), atomic_file(path) as file:
        file.write(b"new" * 10_000 + file)
    assert path.read_text() == "old"
    assert listing(tmp_path) == ["file"]


def test_a_failed_write_takes_away_the_folders_it_made(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic_file(tmp_path / "x" / "y" / "file"):
        raise ZeroDivisionError
    assert listing(tmp_path) == []


def test_json_keeps_every_script_and_names_that_are_not_utf8(tmp_path):
    value = {"中": [1.5, None, "é"], "path": "\udcff"}
    write_json(tmp_path / "x.json", value)
    text = (tmp_path / "x.json").read_text("utf-8")
    assert json.loads(text) == value
    assert "中" in text


def test_a_link_is_followed_and_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_text(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "text"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_device_is_named_and_stays_a_device():
    with refused(StorageError, value="the disk is full", where="/dev/full"):
        write_text("/dev/full", "text")
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("code", sorted(errors.UNWRITABLE))
def test_every_storage_failure_is_one_sentence_and_changes_nothing(tmp_path, monkeypatch, code):
    write_text(tmp_path / "file", "old")
    put(tmp_path / "set", "old")
    monkeypatch.setattr(os, "fsync", lambda handle: fail(code))
    with refused(StorageError, where="file"):
        write_text(tmp_path / "file", "new")
    with refused(StorageError, where="set"):
        put(tmp_path / "set", "new")
    assert (tmp_path / "file").read_text() == "old"
    assert contents(tmp_path / "set") == {"old"}
    assert leftovers(tmp_path) == leftovers(tmp_path / "set") == []


def test_a_file_in_the_way_of_a_folder_is_a_storage_error(tmp_path):
    (tmp_path / "file").touch()
    with refused(StorageError, value="a file stands where a folder is needed", where="inner"):
        write_text(tmp_path / "file" / "inner", "text")
    with refused(StorageError, value="a file stands where a folder is needed", where="file"):
        put(tmp_path / "file", "new")
    with refused(StorageError, value="this is a folder"):
        write_text(tmp_path, "text")


def test_an_error_about_another_place_is_not_blamed_on_this_one(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "here" / "file"):
        (tmp_path / "elsewhere").read_text()


def test_a_real_limit_on_file_size_keeps_the_old_set(tmp_path):
    put(tmp_path, "old")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, old[1]))
    try:
        with pytest.raises(StorageError, match="larger than this system allows"):
            put(tmp_path, "x" * (1 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert contents(tmp_path) == {"old"}
    assert leftovers(tmp_path) == []


@pytest.fixture
def tiny_disk(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], capture_output=True)
    if mount.returncode:
        pytest.skip("needs the right to mount")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_keeps_the_old_set(tiny_disk):
    put(tiny_disk / "set", "old")
    with refused(StorageError, value="the disk is full", where="set"):
        put(tiny_disk / "set", "x" * 60_000)
    assert contents(tiny_disk / "set") == {"old"}
    with refused(StorageError, value="1.0 GB", where="yet"):
        check_space(tiny_disk / "not" / "yet", 10**9)


def test_other_files_of_the_folder_are_left_alone(tmp_path):
    write_text(tmp_path / "other", "mine")
    put(tmp_path, "new")
    assert (tmp_path / "other").read_text() == "mine"


def test_a_set_must_be_whole(tmp_path):
    put(tmp_path, "old")
    with pytest.raises(AssertionError, match="promised"), atomic_files(tmp_path, NAMES) as writing:
        (writing / "a").touch()
    assert contents(tmp_path) == {"old"}


def test_the_second_writer_is_refused(tmp_path):
    with atomic_files(tmp_path, ["a"]) as writing:
        (writing / "a").write_text("first")
        with refused(StorageError, remedy="wait until it ends or choose another folder"):
            put(tmp_path, "second")
    assert (tmp_path / "a").read_text() == "first"


def test_a_kill_at_every_step_leaves_old_or_new(tmp_path):
    seen: list[str] = []
    for fatal in range(1, 100):
        folder = tmp_path / str(fatal)
        put(folder, "old")
        died = subprocess.run([sys.executable, "-c", DYING_WRITER, folder, "new", str(fatal)]).returncode
        found = contents(folder)
        assert found in ({"old"}, {"new"}), f"mixed after step {fatal}"
        finish(folder)
        assert contents(folder) == found
        assert {(folder / name).read_text() for name in NAMES} == found
        assert leftovers(folder) == []
        seen += found
        if died == 0:
            break
        assert died == -signal.SIGKILL
    assert seen[0] == "old"
    assert seen[-1] == "new"
    assert seen == sorted(seen, reverse=True), "new, then old again"
    assert len(seen) > 15


def test_a_kill_at_any_moment_leaves_one_set_and_a_reader_sees_it(tmp_path):
    put(tmp_path, "start")
    command = [sys.executable, "-c", BUSY_WRITER, str(tmp_path)]
    for attempt in range(20):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"1\n"
            time.sleep(0.0007 * attempt)
            writer.kill()
        assert len(contents(tmp_path)) == 1
    finish(tmp_path)
    assert leftovers(tmp_path) == []


def test_old_leavings_of_dead_writers_are_removed_and_those_of_the_living_are_not(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    old, living, young = (
        tmp_path / f".writing-{name}" for name in (f"{dead.pid}-ab", f"{os.getppid()}-ab", f"{dead.pid}-cd")
    )
    for path in (old, living, young):
        path.touch()
    for path in (old, living):
        os.utime(path, (0, 0))
    write_text(tmp_path / "file", "text")
    assert not old.exists()
    assert living.exists()
    assert young.exists()


def test_sizes_are_written_as_people_read_them():
    assert [files.human_bytes(size) for size in (0, 999, 1500, 123_456, 2.5e9, 8e18)] == [
        "0 bytes",
        "999 bytes",
        "1.5 kB",
        "123 kB",
        "2.5 GB",
        "8000000.0 TB",
    ]


def test_listing_while_a_commit_comes_and_goes(tmp_path):
    (tmp_path / "a").touch()
    commit, stop = tmp_path / ".commit", threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            commit.mkdir()
            (commit / "b").touch()
            (commit / "b").unlink()
            commit.rmdir()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        found = [
            {path.relative_to(tmp_path).as_posix() for path in files.listing(tmp_path)} for _ in range(2000)
        ]
    finally:
        stop.set()
        thread.join()
    assert all({"a"} <= names <= {"a", ".commit", ".commit/b"} for names in found)
    assert files.listing(tmp_path / "none") == files.listing(tmp_path / "a") == []
    assert files.listing(tmp_path / ("x" * 300)) == []


@pytest.mark.parametrize("call", ["replace", "fsync", "rename"])
def test_a_message_names_the_file_as_its_user_knows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def write() -> None:
        with atomic_files(tmp_path / "run", ["a.json"]) as writing:
            monkeypatch.setattr(os, call, fail)
            write_json(writing / "a.json", {})

    with pytest.raises(StorageError) as caught:
        write()
    assert str(tmp_path / "run") in str(caught.value)
    assert ".writing" not in str(caught.value)
