"""`regard look` as a user runs it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from regard.errors import BundleError, DependencyError
from regard.recipes import ready

pytest.importorskip("uvicorn")


@contextmanager
def looked_at(run: Path, *options: str) -> Iterator[tuple[str, list[str]]]:
    """The address of the command's server; what it said on stderr, once it was stopped as a user does it."""
    command = [sys.executable, "-m", "regard", "look", str(run), "--port", "0", "--no-open", "--threads", "1"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    said: list[str] = []
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as served:
        try:
            assert served.stdout is not None
            address = re.search(r"http://127\.0\.0\.1:\d+/", served.stdout.readline())
            assert address
            yield address[0], said
        finally:
            served.send_signal(signal.SIGINT)
        assert served.wait(30) == 130
        assert served.stderr is not None
        said += served.stderr.read().splitlines()


def test_it_serves_until_it_is_stopped(run: Path) -> None:
    with looked_at(run) as (address, errors):
        with urllib.request.urlopen(f"{address}api/models", timeout=60) as answer:
            models = json.load(answer)["models"]
        assert [model["name"] for model in models] == [run.name]
        body = {"model": run.name, "input": {"kind": "text", "text": "abc"}}
        asked = urllib.request.Request(
            f"{address}api/predict", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=60) as answer:
            assert json.load(answer)["original"]["answer"]
    assert [line for line in errors if line.startswith(("Traceback", "regard:"))] == ["regard: stopped"]


def test_who_listens_to_others_is_warned_and_asked_by_names_and_addresses(run: Path) -> None:
    names = {"10.1.2.3:80": 200, "[fe80::1]": 200, "explorer.example": 200, "evil.example": 403}
    names[socket.gethostname()] = 200
    with looked_at(run, "--host", "0.0.0.0", "--allow-host", "explorer.example") as (address, errors):
        for host, status in names.items():
            with closing(http.client.HTTPConnection(address.split("/")[2], timeout=60)) as client:
                client.request("GET", "/api/course", headers={"Host": host})
                assert client.getresponse().status == status, host
    warning, stopped = [line for line in errors if line.startswith("regard:")]
    assert stopped == "regard: stopped"
    assert warning.startswith("regard: warning: listening on 0.0.0.0: ")
    assert "without a password" in warning


@pytest.mark.parametrize("folder", ["nothing", "."])
def test_a_run_that_is_none_is_refused(folder: str, tmp_path: Path, cli: Callable[..., Any]) -> None:
    said = cli("look", str(tmp_path / folder), "--no-open")
    assert (said.status, said.out) == (2, "")
    assert said.err.startswith("regard: ")
    assert said.err.count("\n") == 1
    assert str(tmp_path) in said.err


def test_a_port_that_is_taken_is_told_before_anything_is_loaded(run: Path, cli: Callable[..., Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = cli("look", str(run), "--no-open", "--port", str(taken.getsockname()[1]))
    assert (said.status, said.out) == (2, "")
    assert "--port" in said.err
    assert cli("look", str(run), "--no-open", "--host", "no.such.host.invalid").status == 2


def test_without_its_packages_it_says_what_to_install(
    run: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    said = cli("look", str(run), "--no-open")
    assert said.status == 2
    assert "pip install 'regard[serve]'" in said.err


def test_built_in_models_are_trained_once_and_a_stopped_one_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGARD_CACHE", str(tmp_path))
    trained: list[tuple[str, bool]] = []

    def train(task: str, data: str, out: Path, *, resume: bool = False, **options: object) -> None:
        if data == "digits":
            raise DependencyError("digits need a package")
        trained.append((data, resume))
        (out / "training").mkdir(parents=True, exist_ok=resume)
        if data == "pinyin" and not resume:
            raise KeyboardInterrupt
        (out / "config.json").write_text("{}")
        (out / "training").rmdir()

    monkeypatch.setattr(ready, "train", train)
    told: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        ready.ready_models("1m", report=told.append)
    assert trained == [("spelling", False), ("pinyin", False)]
    found = ready.ready_models("1m", report=told.append)
    assert list(found) == ["spelling", "pinyin"]
    assert trained[2:] == [("pinyin", True)]
    assert all((folder / "config.json").is_file() and tmp_path in folder.parents for folder in found.values())
    assert any("digits is left out" in line for line in told)
    assert ready.ready_models("1m", report=told.append) == found
    assert len(trained) == 3
    assert {path.name for path in found["pinyin"].parent.iterdir()} == {"spelling", "pinyin"}


def test_a_built_in_model_that_was_begun_otherwise_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGARD_CACHE", str(tmp_path))
    monkeypatch.setattr(ready, "READY", ready.READY[:1])
    ways: list[str] = []

    def train(task: str, data: str, out: Path, *, resume: bool = False, **options: object) -> None:
        (out / "training").mkdir(parents=True, exist_ok=True)
        ways.append("resume" if resume else "overwrite" if options.get("overwrite") else "first")
        if resume:
            raise BundleError("was trained with other options")
        if len(ways) == 1:
            raise KeyboardInterrupt
        (out / "config.json").write_text("{}")
        (out / "training").rmdir()

    monkeypatch.setattr(ready, "train", train)
    with pytest.raises(KeyboardInterrupt):
        ready.ready_models("1m", report=lambda line: None)
    assert list(ready.ready_models("2m", report=lambda line: None)) == ["spelling"]
    assert ways == ["first", "resume", "overwrite"]
