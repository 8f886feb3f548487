"""A package from outside adds parts to the library, as it is when it is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared import made_once

PLUGIN = Path(__file__).parents[2] / "examples" / "plugin"
PARTS = ("model.stack.mask=dilated", "model.stack.attention.score=soft-cap")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with the package, installed by pip."""

    def install(folder: Path) -> None:
        how = ("--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--target")
        subprocess.run([sys.executable, "-m", "pip", "install", *how, folder, PLUGIN], check=True)

    return made_once(tmp_path_factory, "plugin", install)


def python(installed: Path, *arguments: str | Path, status: int = 0) -> str:
    """What a program of Python's says that has the package beside regard."""
    path = os.pathsep.join((str(installed), os.environ.get("PYTHONPATH", str(PLUGIN.parents[1]))))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == status, done.stderr or done.stdout
    return done.stdout if status == 0 else done.stderr


def regard(installed: Path, *arguments: str | Path, status: int = 0) -> str:
    return python(installed, "-m", "regard", *arguments, status=status)


def test_parts_of_an_installed_package_are_trained_saved_verified_and_traced(
    installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("a cat sat on a mat. a dog sat on a log. " * 60)
    sizes = ("model.stack.width=16", "model.stack.depth=1", "task.context=16")
    settings = [part for one in (*PARTS, *sizes) for part in ("--set", one)]
    run = tmp_path / "run"
    how = ("--preset", "micro", "--steps", "3", "--out", run)
    regard(installed, "train", "text-generation", tmp_path / "text.txt", *how, *settings)
    stack = json.loads((run / "config.json").read_text())["model"]["stack"]
    assert stack["mask"] == {"kind": "dilated", "step": 2}
    assert stack["attention"]["score"] == {"kind": "soft-cap", "cap": 50.0}
    assert "BROKEN" not in regard(installed, "verify", run)
    regard(installed, "trace", run, "a cat", "--json", tmp_path / "trace.json", "--max-length", "2")
    assert "tanh" in (tmp_path / "trace.json").read_text()
    said = regard(tmp_path, "predict", run, "a cat", status=2)
    assert "soft-cap" in said
    assert "package" in said


def test_the_tests_of_the_package_hold(installed: Path) -> None:
    options = ("-q", "-p", "no:cacheprovider", "--rootdir", PLUGIN)
    python(installed, "-m", "pytest", *options, PLUGIN / "tests")


def test_a_task_of_an_installed_package_has_all_that_ours_have(installed: Path, tmp_path: Path) -> None:
    rows = [(age, job, "yes" if (age < 50) == (job == "clerk") else "no")
            for age in range(18, 78) for job in ("clerk", "smith") for _ in range(3)]  # fmt: skip
    data, run = tmp_path / "people.csv", tmp_path / "run"
    data.write_text("age,job,hired\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    assert "tabular-classification" in regard(installed, "train", "--help")
    assert "tabular-classification" not in regard(tmp_path, "train", "--help")
    how = ("--preset", "micro", "--steps", "30", "--set", "train.save_steps=5", "--out", run)
    regard(installed, "train", "tabular-classification", data, *how)
    learned = json.loads((run / "config.json").read_text())["training"]["task"]
    assert (learned["numbers"], learned["categories"], learned["target"]) == (["age"], ["job"], "hired")
    assert {path.name for path in run.iterdir()} >= {"columns.json", "labels.json", "model.safetensors"}
    regard(installed, "train", "tabular-classification", data, *how, "--resume")  # has come to its end
    found = json.loads(regard(installed, "evaluate", run, data, "--split", "train", "--json"))
    assert found["metrics"].keys() >= {"accuracy", "macro_f1", "confusion"}
    assert "most frequent label" in found["baselines"]
    (tmp_path / "new.tsv").write_text("job\tage\nclerk\t20\npilot\t\n")
    lines = regard(installed, "predict", run, "--file", tmp_path / "new.tsv", "--json").splitlines()
    assert [json.loads(json.loads(line)["input"]) for line in lines] == [
        {"age": 20.0, "job": "clerk"},
        {"age": None, "job": "pilot"},
    ]
    assert regard(installed, "predict", run, "20,clerk").strip() in ("yes", "no")
    assert "BROKEN" not in regard(installed, "verify", run)
    regard(installed, "trace", run, "20,clerk", "--json", tmp_path / "trace.json")
    assert '"[class]"' in (tmp_path / "trace.json").read_text()


def test_what_is_installed_is_described_with_the_rest(installed: Path) -> None:
    program = """
from regard.schema import describe
from regard.training.config import RunConfig
from regard.values import VALUES, from_json
keys = {(key.path, key.when) for key in describe(RunConfig)}
kinds = " ".join(key.when for key in describe(RunConfig))
assert ("task.unseen", "task.kind=tabular-classification") in keys
assert any(path == "model.stack.mask.step" and "dilated" in when for path, when in keys)
assert any(path == "model.stack.attention.score.cap" and "soft-cap" in when for path, when in keys)
assert any(path == "model.embed.counts" and "features" in when for path, when in keys)
assert VALUES["record"].schema()["properties"]["names"]
from regard.insight.names import formula_words
assert formula_words("[learned vector; x W + b; table[x] + b]").zh.startswith("[学到的向量")
"""
    python(installed, "-c", program)


def test_an_incomplete_part_of_another_package_is_left_out_with_a_line(
    installed: Path, tmp_path: Path
) -> None:
    parts = installed / "regard_example" / "parts.py"
    whole = parts.read_text()
    parts.write_text(whole.replace("def formulas", "def formulae"))
    try:
        said = regard(installed, "doctor", "--json")
        program = "from regard.model.score import SCORES; print(sorted(SCORES))"
        scores = python(installed, "-c", program)
    finally:
        parts.write_text(whole)
    assert said
    assert "soft-cap" not in scores
    assert "cosine" in scores
