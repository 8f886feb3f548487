"""Made the folder `v0.1.0`: bundles and stopped runs of that version, and what it answered with them.

python tests/compat/make.py    into a folder named after the version that is installed

Never run again over a version that was released: what it made is what later versions are held to. A later
version is added beside it, by the same script, before what it writes is changed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from commands import PLAIN, answers, comparable, weights_hash
from data import write_data
from moved import Origin, fingerprint

import regard

HERE = Path(__file__).resolve().parent
OUT = HERE / f"v{regard.__version__}"
DATA = OUT / "data"
HERE_ONLY = ("--device", "cpu", "--threads", "1")
SMALL = ("model.width=8", "model.hidden=12", "model.depth=1", "model.heads=2")
QUICK = ("train.lr=1e-2", "train.tokens=256", "train.evaluations=2", "train.save_seconds=1000")
CHARACTERS = "task.tokenizer=characters"

TRAINED: dict[str, tuple[str, str, tuple[str, ...], tuple[str, ...]]] = {
    "translation": (
        "translation",
        "pairs.tsv",
        (CHARACTERS, "task.metric=exact", "task.unit=character"),
        ("abc", "dcba"),
    ),
    "translation-two-tables": (
        "translation",
        "pairs.tsv",
        (
            "task.tokenizer=byte-bpe",
            "task.tokenizer.vocab=270",
            "task.target_tokenizer=characters",
            "model.tying=two-way",
            *(
                f"model.{side}.{key}"
                for side in ("encoder", "decoder")
                for key in (
                    "position=relative",
                    "norm=rms",
                    "placement=pre",
                    "feedforward=gated",
                    "attention.score=additive",
                )
            ),
        ),
        ("abc", "dcba"),
    ),
    "text-generation": (
        "text-generation",
        "text.txt",
        (
            CHARACTERS,
            "task.context=24",
            "model.stack.position=rotary",
            "model.stack.mask=window",
            "model.stack.mask.before=7",
            "model.stack.attention.kv_heads=1",
            "model.stack.feedforward=gated",
            "model.stack.norm=rms",
        ),
        ("the cat", "a dog"),
    ),
    "dialogue": (
        "text-generation",
        "chat.jsonl",
        (CHARACTERS, "task.context=40", "task.turns=turns", "model.stack.position=alibi"),
        ("hi", "go"),
    ),
    "fill-mask": (
        "fill-mask",
        "text.txt",
        (
            "task.tokenizer=wordpiece",
            "task.tokenizer.vocab=45",
            "task.context=16",
            "model.stack.position=learned",
            "model.stack.position.length=16",
        ),
        ("the [MASK] saw", "a dog [MASK]"),
    ),
    "text-classification": (
        "text-classification",
        "labelled.tsv",
        ("task.tokenizer=bpe", "task.tokenizer.vocab=40", "task.rdrop=1.0"),
        ("aab", "bdc"),
    ),
    "text-classification-pairs": (
        "text-classification",
        "sums.tsv",
        (
            "task.tokenizer=unigram",
            "task.tokenizer.vocab=20",
            "task.source=a",
            "task.second=b",
            "task.weights=balanced",
            "model.stack.position=learned-relative",
            "model.stack.position.length=24",
            "model.head.pooling=first",
            'model.head.transform={"activation": "relu"}',
        ),
        ("1 2\t2 1", "7 0\t0 7"),
    ),
    "text-classification-several": (
        "text-classification",
        "several.tsv",
        (CHARACTERS, "task.separator=|", "model.stack.placement=sandwich", "model.stack.position=none"),
        ("ab", "c"),
    ),
    "question-answering": (
        "question-answering",
        "asked.json",
        ("task.max_length=24", "task.max_question=8"),
        ("after a ?\tb a c", "after z ?\th g f e"),
    ),
    "sentence-similarity": (
        "sentence-similarity",
        "pairs.tsv",
        (CHARACTERS, "task.prompt=ab"),
        ("dcba\tab", "abc\tcba"),
    ),
    "sentence-similarity-scored": (
        "sentence-similarity",
        "scored.tsv",
        (CHARACTERS, "task.objective=regression", "task.objective.highest=5"),
        ("dcba\tab", "abc\tcba"),
    ),
    "image-classification": (
        "image-classification",
        "shapes",
        ("model.embed.patch=3", "task.augmentation=warp"),
        ("data/shapes/lying/0.pgm", "data/shapes/standing/1.pgm"),
    ),
    "image-classification-rotary": (
        "image-classification",
        "shapes",
        (
            "model.embed.patch=2",
            "model.stack.position=rotary-2d",
            "model.stack.placement=layer-scale",
            "model.embed.registers=2",
        ),
        ("data/shapes/lying/0.pgm", "data/shapes/standing/1.pgm"),
    ),
}
"""Name → task, data, settings, inputs. Together they have every kind of head and, nearly, of part."""

IMPORTED: dict[str, tuple[str, tuple[str, ...]]] = {
    "bert": ("bert", ("w5 [MASK] w9", "[MASK] w6")),
    "distilbert-classes": ("distilbert classes", ("w5 w9", "w8 w8 w20")),
    "bert-number": ("bert of one output", ("w5 w9\tw6", "w8 w8\tw20")),
    "ministral": ("ministral", ("w5 w9", "w8")),
    "marian": ("marian with a longer target vocabulary", ("w5 w9 w21", "w8")),
    "t5": ("t5 gated", ("w5 w9 w21", "w8")),
    "dinov2-registers": ("two registers", ("data/colour.ppm",)),
}
"""Name → case of tests/interop/families.py, inputs."""
SIZES = {
    **dict.fromkeys(("hidden_size", "dim"), 12),
    **dict.fromkeys(("intermediate_size", "hidden_dim", "d_ff", "encoder_ffn_dim", "decoder_ffn_dim"), 10),
    **{"d_model": 21, "d_kv": 4, "head_dim": 4, "image_size": 14, "max_position_embeddings": 17},
}
"""Smaller ones than those cases have."""

EVEN = "train.optimizer.adam.eps=1e-3"
"""Biases of keys change nothing, so that their gradients are rounding errors alone; they stay small thus, and
other processors come to the same end."""

STOPPED: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "stopped-translation": (
        "translation",
        "pairs.tsv",
        (*TRAINED["translation"][2], "train.snapshots=4", EVEN),
    ),
    "stopped-image-classification": (
        "image-classification",
        "shapes",
        (
            *TRAINED["image-classification"][2],
            "train.optimizer=adamw",
            "train.optimizer.eps=1e-3",
            "train.average=none",
        ),
    ),
    "stopped-question-answering": (
        "question-answering",
        "asked.json",
        (*TRAINED["question-answering"][2], "train.schedule=inverse-sqrt", "train.average=tail", EVEN),
    ),
}
STOPPED_FURTHER = ("text-classification", "labelled.tsv", ("train.tune=lora", "train.tune.rank=2"))
"""One more that goes on from the bundle `fill-mask`."""
HALFWAY = ("--steps", "24", "--set", "train.evaluations=4", "--set", "train.save_steps=10")
"""It is stopped soon after the tenth step, with one evaluation behind it."""


def training(name: str, task: str, data: str, settings: Iterable[str], *more: str) -> list[str]:
    given = [word for setting in (*settings, *QUICK) for word in ("--set", setting)]
    return ["train", task, f"data/{data}", "--out", name, *given, *more, *HERE_ONLY]


def small(name: str, task: str, data: str, settings: Iterable[str], *more: str) -> list[str]:
    return training(name, task, data, (*SMALL, *settings), "--preset", "micro", *more)


def uses(name: str, inputs: Sequence[str], data: str | None) -> list[list[str]]:
    """What a bundle is asked: everything that a later version must answer in the same way."""
    more = {
        "text-generation": ("--max-length", "8", "--temperature", "0.8", "--top-p", "0.9", "--seed", "3"),
        "translation": ("-n", "2", "--beam", "3", "--max-length", "8"),
    }.get(_task(name), ("-n", "2"))
    shorter = ("--max-length", "8") if _task(name) in ("text-generation", "translation") else ()
    asked = [["predict", name, *inputs, "--json", *shorter, *HERE_ONLY]]
    asked += [["predict", name, *inputs, "--json", *more, *HERE_ONLY]]
    if data:
        asked += [
            ["evaluate", name, f"data/{data}", "--split", "train", "--limit", "12", "--json", *HERE_ONLY]
        ]
    return asked


def _task(name: str) -> str:
    """What a bundle was trained for."""
    task: str = json.loads((OUT / name / "config.json").read_text("utf-8"))["task"]
    return task


def succeed(commands: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """The answers of commands that succeed."""
    found = answers(commands, OUT)
    failed = [
        f"{one['err']} in {command}" for command, one in zip(commands, found, strict=True) if one["status"]
    ]
    if failed:
        raise SystemExit("\n".join(failed))
    return found


def import_all() -> None:
    sys.path.insert(0, str(HERE.parents[1]))
    from tests.interop import families

    for name, (case, _) in IMPORTED.items():
        kind, config, options = families.ALL[case]
        families.ALL[case] = (
            kind,
            config,
            options | {key: size for key, size in SIZES.items() if key in options},
        )
        families.checkpoint(case, OUT / "there", depth=None if "layer_types" in options else 1)
        succeed([["import", "there", name, "--no-compare"]])
        shutil.rmtree(OUT / "there")


def stop(name: str, arguments: list[str]) -> None:
    """Train until the first checkpoint is there, and interrupt it then, as Ctrl-C does."""
    while True:
        program = [sys.executable, "-m", "regard", *arguments]
        with subprocess.Popen(program, cwd=OUT, env={**os.environ, **PLAIN}) as process:
            while process.poll() is None and not list((OUT / name / "training").glob("checkpoint*")):
                time.sleep(0.0005)
            process.send_signal(signal.SIGINT)
        if process.returncode == 130:
            return
        shutil.rmtree(OUT / name)


def make() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    DATA.mkdir(parents=True)
    write_data(DATA)
    succeed([small(name, *how[:3], "--steps", "400") for name, how in TRAINED.items()])
    import_all()
    asked = {name: uses(name, how[3], how[1]) for name, how in TRAINED.items()}
    asked |= {name: uses(name, inputs, None) for name, (_, inputs) in IMPORTED.items()}
    found = iter(succeed([one for some in asked.values() for one in some]))
    bundles = {
        name: [{"arguments": one, "answer": comparable(next(found)["out"])} for one in some]
        for name, some in asked.items()
    }
    exported = succeed([["export", name, f"{name}.hf", "--to", "hf"] for name in IMPORTED])
    assert len(exported) == len(IMPORTED)
    hashes = {name: weights_hash(OUT / f"{name}.hf" / "model.safetensors") for name in IMPORTED}
    for name in IMPORTED:
        shutil.rmtree(OUT / f"{name}.hf")
    pages = [["export", name, f"{name}.html", "--to", "html"] for name in bundles]
    made = {
        "version": regard.__version__,
        "bundles": bundles,
        "exported": hashes,
        "pages": [name for name, one in zip(bundles, answers(pages, OUT), strict=True) if not one["status"]],
        "runs": stopped_runs(),
    }
    for path in (*OUT.glob("*.json"), *OUT.glob("*.html"), *OUT.rglob(".lock")):
        path.unlink()
    for name in TRAINED:
        shutil.rmtree(OUT / name / "tensorboard", ignore_errors=True)  # its files are named after the machine
        if name != "translation":
            (OUT / name / "log.jsonl").unlink()
    for path in OUT.glob("stopped-*/training/tensorboard"):
        shutil.rmtree(path)
    (OUT / "expected.json").write_text(json.dumps(made, ensure_ascii=False) + "\n", "utf-8")


def stopped_runs() -> dict[str, Any]:
    """Leaves each run as it is in the middle, and in `whole` how it ends when nobody stops it."""
    commands = {name: small(name, *how, *HALFWAY) for name, how in STOPPED.items()}
    commands["stopped-lora"] = training("stopped-lora", *STOPPED_FURTHER, "--init", "fill-mask", *HALFWAY)
    (OUT / "whole").mkdir()
    runs = {}
    for name, arguments in commands.items():
        succeed([arguments])
        config = json.loads((OUT / name / "config.json").read_text("utf-8"))
        data = config["data"]
        origin = Origin(data["name"], data["columns"], config["model"], config["training"]["train"]["init"])
        assert data["fingerprint"] == fingerprint(OUT, origin)
        shutil.move(OUT / name / "model.safetensors", OUT / "whole" / f"{name}.safetensors")
        shutil.move(OUT / name / "metrics.json", OUT / "whole" / f"{name}.json")
        shutil.rmtree(OUT / name)
        stop(name, arguments)
        runs[name] = {"arguments": arguments, "origin": asdict(origin)}
    return runs


if __name__ == "__main__":
    make()
