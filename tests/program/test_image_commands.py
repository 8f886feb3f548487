"""Images on the command line: trained from a folder, predicted by path, drawn, and refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import regard

Cli = Callable[..., Any]
SIDE, COUNT = 7, 60
SETTINGS = ("model.width=16", "model.hidden=24", "model.depth=1", "model.heads=2", "train.evaluations=1")


def write_shades(folder: Path, count: int = COUNT) -> Path:
    """Dark and bright images."""
    chance = np.random.default_rng(1)
    for number in range(count):
        label, least = (("dark", 0), ("bright", 156))[number % 2]
        path = folder / label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = chance.integers(least, least + 100, (SIDE, SIDE), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A bundle, and the folder that it was trained on."""
    folder = tmp_path_factory.mktemp("images")
    data = folder / "data"
    for split in ("train", "test"):
        write_shades(data / split)
    out = folder / "run"
    regard.train("image-classification", data, out, settings=SETTINGS, steps=40, quiet=True, threads=1)
    return out, data


def test_images_are_predicted_by_their_paths(cli: Cli, trained: tuple[Path, Path]) -> None:
    run, data = trained
    paths = [str(data / "test/dark/0.png"), str(data / "test/bright/1.png")]
    assert cli("predict", run, *paths).out.split() == ["dark", "bright"]
    assert cli("predict", run, stdin="\n".join(paths).encode()).out.split() == ["dark", "bright"]
    assert cli("predict", run, paths[0]).out == "dark\n"
    found = [json.loads(line) for line in cli("predict", run, *paths, "--json", "-n", 2).out.splitlines()]
    assert [one["input"] for one in found] == paths
    for one, label in zip(found, ("dark", "bright"), strict=True):
        assert one["predictions"][0]["text"] == label
        assert sum(guess["score"] for guess in one["predictions"]) == pytest.approx(1)


def test_a_sheet_of_predictions_is_drawn(cli: Cli, trained: tuple[Path, Path], tmp_path: Path) -> None:
    run, data = trained
    sheet = tmp_path / "sheet.png"
    answer = cli("evaluate", run, data, "--grid", sheet, "--json")
    assert json.loads(answer.out)["metrics"]["accuracy"] == 100
    with Image.open(sheet) as image:
        assert min(image.size) > 400


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_other_precisions_say_the_same(cli: Cli, trained: tuple[Path, Path], dtype: str) -> None:
    run, data = trained
    answer = cli("evaluate", run, data, "--dtype", dtype, "--json")
    assert json.loads(answer.out)["metrics"]["accuracy"] == 100


def test_a_run_from_another_bundles_body_learns_other_labels(
    cli: Cli, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    run, data = trained
    other, out = tmp_path / "data", tmp_path / "run"
    for label, name in (("dark", "night"), ("bright", "noon")):
        shutil.copytree(data / "train" / label, other / "train" / name)
        shutil.copytree(data / "test" / label, other / "test" / name)
    answer = cli(
        *("train", "image-classification", other, "--out", out, "--init", run, "--steps", 40),
        *("--threads", 1, "--set", "train.lr=1e-2"),
    )
    assert answer.status == 0, answer.err
    assert (out / "image_processor.json").read_text() == (run / "image_processor.json").read_text()
    before, after = regard.load(run).bundle, regard.load(out).bundle
    assert before.model == after.model
    path = str(other / "test" / "night" / "0.png")
    assert cli("predict", out, path).out == "night\n"
    assert json.loads(cli("evaluate", out, other, "--json").out)["metrics"]["accuracy"] > 90
    for wish, said in (("task.size=14", "takes images of 7 × 7 pixels"), ("task.channels=3", "takes 1")):
        answer = cli(
            *("train", "image-classification", other, "--out", tmp_path / "no", "--init", run),
            *("--steps", 2, "--threads", 1, "--set", wish),
        )
        assert answer.status == 2
        assert said in answer.err
        assert not (tmp_path / "no").exists()


def test_what_has_no_images_draws_no_sheet(cli: Cli, run: Path, tmp_path: Path) -> None:
    answer = cli("evaluate", run, "--grid", tmp_path / "sheet.png")
    assert answer.status == 2
    assert "translation has no images to draw" in answer.err
    assert not (tmp_path / "sheet.png").exists()


def test_broken_images_are_named_or_counted(cli: Cli, trained: tuple[Path, Path], tmp_path: Path) -> None:
    run, _ = trained
    data = write_shades(tmp_path / "data")
    (data / "dark" / "broken.png").write_bytes(b"no image")
    answer = cli("predict", run, data / "dark" / "broken.png")
    assert answer.status == 2
    assert "broken.png: not an image" in answer.err
    options = [word for setting in SETTINGS for word in ("--set", setting)]
    asked = ("train", "image-classification", data, "--out", tmp_path / "run", "--steps", 2, "--threads", 1)
    answer = cli(*asked, *options)
    assert answer.status == 2
    assert "broken.png: not an image; mend it" in answer.err
    answer = cli(*asked, *options, "--on-error", "skip")
    assert answer.status == 0
    assert "skipped 1 (not an image 1: " in answer.out + answer.err


def test_other_tasks_do_not_take_names_of_images_for_text(cli: Cli, tmp_path: Path) -> None:
    for data in ("digits", "mnist", write_shades(tmp_path / "data")):
        answer = cli("train", "text-classification", data, "--out", tmp_path / "run")
        assert answer.status == 2
        assert "images" in answer.err or "nothing that can be read" in answer.err
