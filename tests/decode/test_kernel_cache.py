"""Compiled loops are tried once and kept where only their owner writes; what is damaged is never read."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from trials import FAILS, WORKS, Trials, anew

from regard.decode import fast, kernel_cache
from regard.decode.kernel_cache import Verdict
from regard.decode.probe import Outcome
from regard.errors import StorageError

posix = pytest.mark.skipif(os.name == "nt", reason="folders belong to a profile there")


def test_loops_are_tried_once_and_kept(trials: Trials, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fast.decision()
    assert first.compiled
    assert first.family == "portable"
    assert anew(monkeypatch) == first
    assert len(trials.folders) == 1
    assert first.folder is not None
    assert [path.name for path in first.folder.parent.iterdir()] == [first.folder.name]


CHANGES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "numba": lambda patch: patch.setattr(kernel_cache, "installed", lambda name: "99"),
    "torch": lambda patch: patch.setattr(kernel_cache.torch, "__version__", "99"),
    "the processor": lambda patch: patch.setattr(kernel_cache, "processor_facts", lambda: {"flags": "mmx"}),
    "the sources": lambda patch: patch.setattr(kernel_cache, "_sources", lambda: "edited"),
    "numba's options": lambda patch: patch.setenv("NUMBA_CPU_FEATURES", "+sse2"),
    "the family": lambda patch: patch.setenv("REGARD_KERNELS", "portable"),
}


@pytest.mark.parametrize("ending", [WORKS, FAILS], ids=["works", "fails"])
@pytest.mark.parametrize("change", CHANGES)
def test_loops_are_tried_again_when_anything_changes(
    change: str, ending: Outcome, trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials.outcomes = [ending]
    before = fast.decision().folder
    anew(monkeypatch)
    assert len(trials.folders) == 1
    with monkeypatch.context() as patch:
        CHANGES[change](patch)
        assert anew(monkeypatch).folder != before
        assert len(trials.folders) == 2


def test_the_sources_are_those_that_are_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_cache, "__file__", str(tmp_path / "kernel_cache.py"))
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "avx2.py").write_text("a = 1\n", "utf-8")
    before = kernel_cache._sources()
    (tmp_path / "kernels" / "avx2.py").write_text("a = 2\n", "utf-8")
    assert kernel_cache._sources() != before


def test_a_failure_is_kept_said_once_and_tried_again_when_asked(
    trials: Trials, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trials.outcomes = [FAILS, WORKS]
    assert not fast.have_loops()
    assert not fast.have_loops()
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "SIGABRT" in line
    assert "regard doctor" in line
    assert not anew(monkeypatch).compiled
    assert len(trials.folders) == 1
    monkeypatch.setattr(fast, "_decision", None)
    fast.decide_again()
    assert fast.decision().compiled
    fast.decide_again()
    assert fast.decision().compiled
    assert len(trials.folders) == 2


def test_what_was_interrupted_is_not_kept(trials: Trials, monkeypatch: pytest.MonkeyPatch) -> None:
    trials.outcomes = [Outcome("interrupted", "SIGKILL"), WORKS]
    assert not fast.have_loops()
    assert anew(monkeypatch).compiled


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda folder: (folder / "decode_1" / "loops.1.nbc").write_bytes(bytes(10)),
    "changed": lambda folder: (folder / "decode_1" / "loops.1.nbc").write_bytes(bytes(999) + b"x"),
    "empty": lambda folder: (folder / "decode_1" / "loops.nbi").write_bytes(b""),
    "missing": lambda folder: (folder / "decode_1" / "loops.nbi").unlink(),
    "more": lambda folder: (folder / "decode_1" / "other.nbi").write_bytes(b"index"),
    "no verdict": lambda folder: (folder / "verdict.json").unlink(),
    "an empty verdict": lambda folder: (folder / "verdict.json").write_bytes(b""),
    "half a verdict": lambda folder: (folder / "verdict.json").write_bytes(b'{"works": tr'),
    "another verdict": lambda folder: (folder / "verdict.json").write_bytes(b'{"works": true, "sure": 1}'),
    "no object": lambda folder: (folder / "verdict.json").write_bytes(b"[]"),
    "a deep verdict": lambda folder: (folder / "verdict.json").write_bytes(b"[" * 99999),
    "no text": lambda folder: (folder / "verdict.json").write_bytes(b"\xff\xfe"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_never_read(damage: str, trials: Trials, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fast.decision().folder
    assert folder is not None
    DAMAGES[damage](folder)
    assert kernel_cache.read(folder) is None
    assert anew(monkeypatch).compiled
    assert len(trials.folders) == 2
    verdict = kernel_cache.read(folder)
    assert verdict is not None
    assert len(verdict.files) == 2


# --------------------------------------------------------------------------------- where it is kept


def in_the_way(folder: Path) -> None:
    folder.parent.mkdir()
    folder.write_text("a file", "utf-8")


def open_to_all(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o777)


def a_link(folder: Path) -> None:
    (folder.parent.parent / "elsewhere").mkdir(mode=0o700)
    folder.parent.mkdir()
    folder.symlink_to(folder.parent.parent / "elsewhere")


def of_another_user(folder: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a folder away")
    folder.mkdir(parents=True, mode=0o700)
    os.chown(folder, 12345, 12345)


def read_only(folder: Path) -> None:
    if os.getuid() == 0:
        pytest.skip("root may write everywhere")
    folder.mkdir(parents=True, mode=0o500)


@posix
@pytest.mark.parametrize("make", [in_the_way, open_to_all, a_link, of_another_user, read_only])
def test_a_folder_that_is_not_ours_alone_is_not_used(
    make: Callable[[Path], None], trials: Trials, tmp_path: Path
) -> None:
    make(tmp_path / "cache" / "kernels")
    decision = fast.decision()
    assert decision.compiled
    assert decision.folder is not None
    assert decision.folder.parent.parent.parent == tmp_path / "tmp"
    assert decision.folder.parent.stat().st_mode & 0o077 == 0


@posix
def test_without_any_folder_decoding_goes_the_plain_way(
    trials: Trials, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    in_the_way(tmp_path / "cache" / "kernels")
    (tmp_path / "tmp").rmdir()
    (tmp_path / "tmp").write_text("a file", "utf-8")
    assert not fast.have_loops()
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "kernels" in line
    assert not trials.folders


@pytest.mark.parametrize("when", ["compiling", "writing", "moving"])
def test_a_full_disk_means_another_folder(
    when: str, trials: Trials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        if str(tmp_path / "cache") in str(arguments[0]):
            if when == "writing":
                raise StorageError("No space left on device")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*arguments)

    real: Any = None
    if when == "compiling":
        trials.outcomes = [Outcome("storage", "No space left on device"), WORKS]
    elif when == "writing":
        real = kernel_cache.write_json
        monkeypatch.setattr(kernel_cache, "write_json", refuse)
    else:
        real = os.rename
        monkeypatch.setattr(os, "rename", refuse)
    decision = fast.decision()
    assert decision.compiled
    assert decision.folder is not None
    assert tmp_path / "tmp" in decision.folder.parents


@posix
def test_the_folder_is_where_the_system_keeps_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REGARD_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    for given, want in (("/x/y", Path("/x/y/regard")), ("relative", tmp_path / ".cache" / "regard")):
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert next(kernel_cache.places()) == want
    monkeypatch.setattr(sys, "platform", "darwin")
    assert next(kernel_cache.places()) == tmp_path / "Library" / "Caches" / "regard"
    last = Path(tempfile.gettempdir()) / f"regard-{os.getuid()}"
    assert list(kernel_cache.places())[-1] == last
    for home in ("/nonexistent", "/proc"):  # none, as in some containers, and one that is not ours
        monkeypatch.setenv("HOME", home)
        if home == "/nonexistent" or os.getuid() != 0:
            assert list(kernel_cache.places()) == [last]


def test_no_home_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("REGARD_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert len(list(kernel_cache.places())) == 1


def test_few_keys_are_kept_those_used_last(tmp_path: Path) -> None:
    place = kernel_cache.open_place(tmp_path)
    for number in range(20):
        trial = place / f".trial-{number}"
        trial.mkdir()
        kernel_cache.write(Verdict(True), trial, place / f"key{number}")
        os.utime(place / f"key{number}" / "verdict.json", (number, number))
        assert kernel_cache.read(place / "key0") is not None  # used all the time
    left = {path.name for path in place.iterdir()}
    assert {"key0", "key19"} <= left
    assert "key1" not in left
    assert len(left) == kernel_cache._MOST


FOUR = """
import sys, time
from pathlib import Path
from regard.decode import fast, probe
def run_probe(folder):
    with open(sys.argv[1], "a") as log:
        log.write("tried\\n")
    for n in range(20):
        (folder / f"{n}.nbc").write_bytes(bytes(1000))
        time.sleep(0.05)
    return probe.Outcome("works")
probe.run_probe, fast._loaded = run_probe, lambda verdict, folder: ""
print(fast.have_loops())
"""


@posix
def test_of_four_processes_one_compiles_and_three_wait(tmp_path: Path) -> None:
    pytest.importorskip("numba", reason="the extra `fast` is not installed")
    environment = os.environ | {"REGARD_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", FOUR, str(tmp_path / "log")]
    start = partial(subprocess.Popen, command, env=environment, stdout=subprocess.PIPE, text=True)
    started = [start() for _ in range(4)]
    assert [process.communicate(timeout=120)[0].strip() for process in started] == ["True"] * 4
    assert (tmp_path / "log").read_text().splitlines() == ["tried"]
