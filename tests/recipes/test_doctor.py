"""`regard doctor` tells what there is, whatever is broken, and nothing private."""

from __future__ import annotations

import json
import platform
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from regard.decode import fast, kernel_cache
from regard.errors import ConfigError
from regard.recipes import doctor
from regard.recipes.doctor import doctor_lines

SECTIONS = ["Machine", "Versions", "Extras", "torch", "Decoding on a processor", "Speed"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_SPEED_SECONDS", 0.0)


def told() -> Any:
    return json.loads("".join(doctor_lines(as_json=True)))


def test_a_report_has_every_part_and_is_a_table_of_80_columns() -> None:
    found = told()
    assert list(found) == SECTIONS
    assert all("broken" not in section for section in found.values())
    assert found["Machine"]["cores usable"] >= 1
    assert found["Versions"]["torch"].startswith(torch.__version__.split("+")[0])
    assert found["Decoding on a processor"]["kernels"] == fast.decision().family
    assert sum("tok/s" in name for name in found["Speed"]) == 4
    assert all(speed > 0 for speed in found["Speed"].values())
    lines = list(doctor_lines())
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line and not line.startswith(" ")] == SECTIONS


def test_a_report_holds_nothing_private(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("REGARD_KERNELS", "plain")
    monkeypatch.setenv("SECRET_TOKEN", "hush-hush")
    for module, name in ((socket, "gethostname"), (platform, "node")):
        monkeypatch.setattr(module, name, lambda: "the-name-of-this-host")
    folder = tmp_path / "cache" / "key"
    monkeypatch.setattr(fast, "_decision", fast.Decision(False, f"{folder} is full", folder=folder))
    text = "\n".join(doctor_lines(as_json=True))
    assert "~/cache/key is full" in text
    for private in (str(tmp_path), "hush-hush", "the-name-of-this-host"):
        assert private not in text


def refuse(error: Exception) -> Callable[..., Any]:
    def raises(*arguments: object, **options: object) -> Any:
        raise error

    return raises


BROKEN: dict[str, tuple[object, str, Exception, str]] = {
    "the system's files": (kernel_cache, "processor_facts", OSError("gone"), "Machine"),
    "what is installed": (doctor, "metadata", ModuleNotFoundError("no package regard"), "Extras"),
    "a driver": (torch.cuda, "is_available", RuntimeError("driver too old"), "torch"),
    "the environment": (
        fast,
        "decision",
        ConfigError("REGARD_KERNELS: x"),
        "Decoding on a processor",
    ),
    "a product": (torch, "_int_mm", RuntimeError("not implemented"), "Speed"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_said_in_its_place(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, error, section = BROKEN[what]
    monkeypatch.setattr(owner, name, refuse(error))
    found = told()
    assert list(found) == SECTIONS
    assert str(error) in json.dumps(found[section])
    assert what == "the environment" or "tiny int8, plain, tok/s" in found["Speed"]  # the rest is there


@pytest.mark.parametrize("compiled", [False, True])
def test_a_failure_is_tried_again_only_when_asked(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(fast, "decide_again", lambda: asked.append(compiled))
    list(doctor_lines(as_json=True, retry=compiled))
    assert asked == [True] * compiled


def test_an_extra_that_is_missing_is_said_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: "missing" if name == "numba" else version(name))
    assert told()["Extras"]["fast"] == "missing numba: pip install 'regard[fast]'"
