"""What is wrong with images, labels, answers and checkpoints: one sentence, and nothing half-written."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import one_sentence
from PIL import Image

import regard

Cli = Callable[..., Any]
SMALL = ("model.width=16", "model.hidden=24", "model.depth=1", "model.heads=2", "train.evaluations=1")
QUICK = ("--steps", 4, "--threads", 1, *(word for setting in SMALL for word in ("--set", setting)))
WISHES: dict[str, Any] = {"settings": SMALL, "steps": 4, "quiet": True, "threads": 1}
SIDE = 7


def image(path: Path, least: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(least).integers(least, least + 99, (SIDE, SIDE), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model of images, and the folder that it was trained on."""
    folder = tmp_path_factory.mktemp("seen")
    for split in ("train", "test"):
        for number in range(24):
            label, least = (("dark", 0), ("bright", 150))[number % 2]
            image(folder / "data" / split / label / f"{number}.png", least)
    made = regard.train("image-classification", folder / "data", folder / "run", **WISHES)
    return made.folder, folder / "data"


def table(path: Path, labels: str, count: int = 60) -> Path:
    rows = [f"{labels[n % len(labels)]}\tword {labels[n % len(labels)]}{n}\n" for n in range(count)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("label\ttext\n" + "".join(rows), "utf-8")
    return path


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of texts with the labels a and b."""
    folder = tmp_path_factory.mktemp("labelled")
    for split in ("train", "valid", "test"):
        table(folder / "data" / f"{split}.tsv", "ab")
    return regard.train("text-classification", folder / "data", folder / "run", **WISHES).folder


# --------------------------------------------------------------------------------------- images and labels


@pytest.mark.parametrize("content", [b"", b"no image", "half"])
def test_a_corrupt_image_is_named_wherever_it_is_met(
    cli: Cli, seen: tuple[Path, Path], tmp_path: Path, content: bytes | str
) -> None:
    run, data = seen
    broken = shutil.copytree(data, tmp_path / "data")
    path = broken / "test" / "dark" / "0.png"
    path.write_bytes(path.read_bytes()[:60] if isinstance(content, str) else content)
    one_sentence(cli("evaluate", run, broken, "--grid", tmp_path / "sheet.png"), "0.png")
    answer = cli("predict", run, path)
    one_sentence(answer, "0.png")
    assert answer.out == ""
    assert not (tmp_path / "sheet.png").exists()


def test_a_image_of_another_size_is_named(cli: Cli, seen: tuple[Path, Path], tmp_path: Path) -> None:
    Image.new("L", (SIDE + 1, SIDE)).save(tmp_path / "wide.png")
    one_sentence(cli("predict", seen[0], tmp_path / "wide.png"), "wide.png has 8 × 7 pixels")


def test_a_label_that_was_never_seen_counts_as_a_mistake(
    cli: Cli, seen: tuple[Path, Path], labelled: Path, tmp_path: Path
) -> None:
    for split in ("train", "test"):
        table(tmp_path / "texts" / f"{split}.tsv", "z")
        table(tmp_path / "half" / f"{split}.tsv", "az")
    judged = cli("evaluate", labelled, tmp_path / "half", "--json")
    assert judged.status == 0, judged.err
    metrics = json.loads(judged.out)["metrics"]
    assert metrics["count"] == 60
    assert metrics["accuracy"] <= 50
    none = cli("evaluate", labelled, tmp_path / "texts", "--json")
    assert none.status == 0, none.err
    assert json.loads(none.out)["metrics"]["accuracy"] == 0
    run, data = seen
    strange = shutil.copytree(data, tmp_path / "data")
    (strange / "test" / "dark").rename(strange / "test" / "zebra")
    judged = cli("evaluate", run, strange, "--json")
    assert judged.status == 0, judged.err
    assert json.loads(judged.out)["metrics"]["accuracy"] <= 50


def test_a_proof_needs_no_label_that_is_known(cli: Cli, labelled: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(labelled.parent, tmp_path / "all")
    config = json.loads((folder / "run" / "config.json").read_text("utf-8"))
    config["data"]["name"] = str(folder / "data")
    (folder / "run" / "config.json").write_text(json.dumps(config), "utf-8")
    for split in ("train", "valid", "test"):
        table(folder / "data" / f"{split}.tsv", "z")
    answer = cli("verify", folder / "run")
    assert answer.status == 0, answer.err


# ------------------------------------------------------------------------------------------ answers and texts


def test_an_answer_that_is_not_in_its_context_is_named(cli: Cli, tmp_path: Path) -> None:
    def squad(path: Path, start: int) -> Path:
        answer = {"text": "Ada", "answer_start": start}
        paragraphs = [
            {
                "context": f"Ada wrote the notes {n}.",
                "qas": [{"id": str(n), "question": "who?", "answers": [answer]}],
            }
            for n in range(40)
        ]
        path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}), "utf-8")
        return path

    made = regard.train("question-answering", squad(tmp_path / "a.json", 0), tmp_path / "run", **WISHES)
    broken = squad(tmp_path / "b.json", 4)
    one_sentence(cli("evaluate", made.folder, broken), "b.json", "answer not in its place")
    answer = cli("train", "question-answering", broken, "--out", tmp_path / "no", *QUICK)
    one_sentence(answer, "b.json", "answer not in its place")
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.txt", ""),
        ("empty.jsonl", '{"text": ""}\n{"text": ""}\n'),
        ("empty.tsv", "label\ttext\n"),
    ],
)
def test_documents_without_a_word_are_no_text(cli: Cli, tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, "utf-8")
    answer = cli("train", "text-generation", tmp_path / name, "--out", tmp_path / "run", *QUICK)
    one_sentence(answer, name)
    assert not (tmp_path / "run").exists()


def test_an_empty_document_among_others_is_counted_or_named(cli: Cli, tmp_path: Path) -> None:
    rows = [{"text": "" if n == 7 else f"a man rides bicycle {n}"} for n in range(60)]
    data = tmp_path / "texts.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    answer = cli("train", "text-generation", data, "--out", tmp_path / "run", *QUICK, "--on-error", "skip")
    assert answer.status == 0, answer.err
    assert regard.load(tmp_path / "run").predict([""], max_length=2)


# ----------------------------------------------------------------------------------------------- checkpoints


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("/nowhere/pwned"),))


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint."""
    pytest.importorskip("transformers")
    from tests.interop.families import checkpoint

    folder = tmp_path_factory.mktemp("there")
    checkpoint("bert", folder)
    return folder


def header(claim: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(claim) if length is None else length) + claim


LARGE = {"dtype": "F32", "shape": [1 << 20, 1 << 20], "data_offsets": [0, 1 << 42]}
WEIGHTS = {
    "a pickle": (pickle.dumps(_Evil()), "pickle"),
    "a long header": (header(b"{}", 1 << 42), "header"),
    "a large weight": (header(json.dumps({"a": LARGE}).encode()), "'a' does not fit"),
    "nothing": (b"", "damaged"),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_cannot_be_believed_are_never_taken(
    cli: Cli, there: Path, tmp_path: Path, name: str
) -> None:
    folder = shutil.copytree(there, tmp_path / "there")
    content, said = WEIGHTS[name]
    (folder / "model.safetensors").write_bytes(content)
    one_sentence(cli("import", folder, tmp_path / "run"), "model.safetensors", said)
    assert not (tmp_path / "run").exists()
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    one_sentence(cli("import", folder, tmp_path / "run"), "pytorch_model.bin", "never opened")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"intermediate_size": 31}, "intermediate"),
        ({"num_hidden_layers": 1}, "no place in this model"),
        ({"num_hidden_layers": 3}, "is missing"),
        ({"hidden_size": 10**9}, "hidden_size"),
        ({"model_type": "gpt2"}, "architectures"),
        ({"a_new_idea": True}, "a_new_idea"),
    ],
    ids=str,
)
def test_a_configuration_that_its_weights_do_not_bear_out(
    cli: Cli, there: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    folder = shutil.copytree(there, tmp_path / "there")
    config = json.loads((folder / "config.json").read_text("utf-8")) | changes
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    one_sentence(cli("import", folder, tmp_path / "run"), said)
    assert not (tmp_path / "run").exists()


def test_what_is_no_checkpoint_and_what_cannot_be_written_as_one(
    cli: Cli, run: Path, labelled: Path, tmp_path: Path
) -> None:
    one_sentence(cli("import", tmp_path, tmp_path / "run"), "no config.json")
    one_sentence(cli("import", labelled, tmp_path / "run"), "config.json")
    one_sentence(cli("export", run, tmp_path / "out", "--to", "hf"), "cannot be written as a checkpoint")
    one_sentence(cli("export", run, tmp_path / "out", "--to", "onnx"), "--to")
    assert not any((tmp_path / name).exists() for name in ("run", "out"))


# ----------------------------------------------------------------------------------- beginning with a bundle


@pytest.mark.parametrize("what", ["missing", "file", "folder", "checkpoint", "adapter"])
def test_what_is_no_bundle_is_no_beginning(cli: Cli, tmp_path: Path, there: Path, what: str) -> None:
    place = {"missing": tmp_path / "no", "file": tmp_path / "f", "checkpoint": there}.get(
        what, tmp_path / what
    )
    (tmp_path / "f").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 2}', "utf-8")
    data = table(tmp_path / "rows.tsv", "ab")
    answer = cli(
        *("train", "text-classification", data, "--out", tmp_path / "run", "--init", place),
        *("--steps", 2, "--threads", 1),
    )
    one_sentence(answer, str(place)[-20:])
    assert not (tmp_path / "run").exists()


def test_a_bundle_of_another_kind_is_no_beginning(
    cli: Cli, run: Path, seen: tuple[Path, Path], labelled: Path, tmp_path: Path
) -> None:
    data, out = table(tmp_path / "rows.tsv", "ab"), tmp_path / "run"
    for base, task, rows, said in (
        (run, "text-classification", data, "encoder-decoder"),
        (seen[0], "text-classification", data, "reads 'patches'"),
        (labelled, "image-classification", seen[1], "reads 'tokens'"),
    ):
        answer = cli("train", task, rows, "--out", out, "--init", base, "--steps", 2, "--threads", 1)
        one_sentence(answer, said)
        assert not out.exists()


# ------------------------------------------------------------------------------------------------- terminals


def test_a_model_without_dialogues_holds_none(cli: Cli, labelled: Path, tmp_path: Path) -> None:
    answer = cli("predict", labelled, "--chat", stdin=b"hi\n\n", typed=True)
    one_sentence(answer, "holds no dialogue")
    (tmp_path / "text.txt").write_text("a man is riding a bicycle.\n" * 60, "utf-8")
    made = regard.train("text-generation", tmp_path / "text.txt", tmp_path / "run", **WISHES)
    answer = cli("predict", made.folder, "--chat", stdin=b"hi\n\n", typed=True)
    assert answer.status == 2
    one_sentence(answer, "dialogue")


def test_without_a_terminal_a_home_or_a_language_all_is_said_as_ever(
    labelled: Path, seen: tuple[Path, Path]
) -> None:
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "LC_ALL": "C"}
    environment |= {name: os.environ[name] for name in ("PYTHONPATH", "REGARD_DATA") if name in os.environ}
    for place, given, answers in ((labelled, "wörd", "ab"), (seen[0], "/no/such/名.png", "")):
        ended = subprocess.run(
            [sys.executable, "-m", "regard", "predict", str(place), given],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
        )
        assert b"Traceback" not in ended.stderr
        assert ended.returncode == (0 if answers else 2)
        if answers:
            assert ended.stdout.decode().strip() in answers
        else:
            assert ended.stderr.startswith(b"regard: ")
