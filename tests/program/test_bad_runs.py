"""A folder that is no run, or is damaged, is refused by name: one sentence, no traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from answers import one_sentence
from safetensors.torch import load_file, save_file

import regard
from regard.errors import BundleError
from tests.shared import refused

Cli = Callable[..., Any]


COMMANDS = [("predict", "abc"), ("evaluate",), ("verify",)]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("what", ["missing", "file", "folder", "name"])
def test_a_folder_that_is_no_run(cli: Cli, tmp_path: Path, command: tuple[str, ...], what: str) -> None:
    place = {"missing": tmp_path / "no", "file": tmp_path / "f", "folder": tmp_path, "name": "x" * 300}[what]
    (tmp_path / "f").write_text("")
    name, *rest = command
    one_sentence(cli(name, place, *rest), str(place)[-20:])


def damage(kind: str, out: Path) -> None:
    weights = load_file(out / "model.safetensors")
    first = sorted(weights)[0]
    config = json.loads((out / "config.json").read_text("utf-8"))
    match kind:
        case "missing weight":
            del weights[first]
        case "extra weight":
            weights["extra"] = torch.zeros(2)
        case "mis-shaped weight":
            weights[first] = torch.zeros(1, 2, 3)
        case "edited weight":
            weights[first] = weights[first] + 1
        case "no weights":
            (out / "model.safetensors").unlink()
            return
        case "cut weights":
            content = (out / "model.safetensors").read_bytes()
            (out / "model.safetensors").write_bytes(content[: len(content) // 2])
            return
        case "edited tokenizer":
            text = (out / "tokenizer.json").read_text("utf-8")
            (out / "tokenizer.json").write_text(text.replace("a", "b", 1), "utf-8")
            return
        case "no tokenizer":
            (out / "tokenizer.json").unlink()
            return
        case "tokenizer that was never listed":
            del config["files"]["tokenizer.json"]
        case "newer":
            config["format"] = 99
        case "unknown task":
            config["task"] = "telepathy"
        case "unknown key":
            config["training"]["task"]["smoothness"] = 1
        case "no json":
            (out / "config.json").write_text("{")
            return
    (out / "config.json").write_text(json.dumps(config))
    if "weight" in kind:
        save_file(weights, out / "model.safetensors")


DAMAGES = {
    "missing weight": "damaged", "extra weight": "damaged", "mis-shaped weight": "damaged",
    "edited weight": "damaged", "no weights": "model.safetensors is missing", "cut weights": "damaged",
    "edited tokenizer": "tokenizer.json is damaged", "no tokenizer": "tokenizer.json is missing",
    "tokenizer that was never listed": "tokenizer.json is missing", "newer": "from a newer regard",
    "unknown task": "telepathy", "unknown key": "did you mean 'smoothing'?",
    "no json": "config.json is damaged",
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_bundle_is_refused_by_name(cli: Cli, run: Path, tmp_path: Path, kind: str) -> None:
    out = shutil.copytree(run, tmp_path / "run")
    damage(kind, out)
    answer = cli("predict", out, "abc")
    one_sentence(answer, str(out), DAMAGES[kind])
    assert answer.out == ""
    with pytest.raises(BundleError):
        regard.load(out)


def test_a_tokenizer_of_another_model_is_refused(run: Path, tmp_path: Path) -> None:
    bundle = regard.load(run).bundle
    from dataclasses import replace

    from regard import bundle as bundles
    from regard.data.tokenizer import Characters, train_pair

    other, _ = train_pair(Characters(), None, [("xy", "z")], at_most=True)
    bundles.save(replace(bundle, tokenizers={"tokenizer.json": other.to_json()}), tmp_path / "run")
    with refused(BundleError, value=10, limit=7):
        regard.load(tmp_path / "run")


def test_a_bundle_that_does_not_say_its_data(cli: Cli, run: Path, tmp_path: Path) -> None:
    out = shutil.copytree(run, tmp_path / "run")
    config = json.loads((out / "config.json").read_text("utf-8"))
    config["data"] = {}
    (out / "config.json").write_text(json.dumps(config))
    for command in ("evaluate", "verify"):
        one_sentence(cli(command, out), "does not say what it was trained on")
