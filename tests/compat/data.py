"""Tiny data, the same each time, that the bundles and runs of `make.py` learn from."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np


def write_data(folder: Path) -> None:
    """All files that the runs learn from."""
    rng = random.Random(1)
    words = sorted({"".join(rng.choices("abcd", k=rng.randint(2, 6))) for _ in range(90)})
    _table(folder / "pairs.tsv", ("source", "target"), ((word, word[::-1]) for word in words))
    _table(
        folder / "scored.tsv",
        ("one", "two", "score"),
        ((x, y, abs(len(x) - len(y))) for x, y in _twos(words)),
    )
    labelled = [
        (text, "abc"[n % 3])
        for n, text in enumerate(f"{word}{'abc'[n % 3] * 3}" for n, word in enumerate(words))
    ]
    _table(folder / "labelled.tsv", ("text", "label"), labelled)
    several = ((word, "|".join(sorted(set(word) & set("ab"))) or "none") for word in words)
    _table(folder / "several.tsv", ("text", "label"), several)
    sums = ((f"{a} {b}", f"{b} {a}", "odd" if (a + b) % 2 else "even") for a in range(9) for b in range(9))
    _table(folder / "sums.tsv", ("a", "b", "label"), sums)
    lines = [
        " ".join(rng.choice(part.split()) for part in ("the a", "cat dog man", "saw likes", "it him"))
        for _ in range(60)
    ]
    (folder / "text.txt").write_text("".join(f"{line}.\n" for line in lines), "utf-8")
    turns = [
        [("user", rng.choice(["hi", "go"])), ("assistant", rng.choice(["yes", "no"]))] for _ in range(24)
    ]
    _lines(
        folder / "chat.jsonl", [{"messages": [{"role": a, "content": b} for a, b in some]} for some in turns]
    )
    _write_asked(folder, rng)
    _write_shapes(folder)


def _twos(words: Sequence[str]) -> Iterable[tuple[str, str]]:
    return zip(words, words[7:], strict=False)


def _table(path: Path, head: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    lines = ["\t".join(map(str, row)) for row in (head, *rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def _lines(path: Path, objects: Iterable[object]) -> None:
    path.write_text("".join(f"{json.dumps(one)}\n" for one in objects), "utf-8")


def _write_asked(folder: Path, rng: random.Random) -> None:
    paragraphs = []
    for number in range(40):
        context = " ".join(rng.choices("abcdefgh", k=6))
        answer = {"text": context[4], "answer_start": 4}
        question = {"id": f"{number}", "question": f"after {context[2]} ?", "answers": [answer]}
        silent = {"id": f"{number}x", "question": "after z ?", "answers": [], "is_impossible": True}
        paragraphs.append({"context": context, "qas": [question, silent]})
    (folder / "asked.json").write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}), "utf-8")


def _write_shapes(folder: Path) -> None:
    """A bright bar on a dark ground, lying or standing; and one colour image for what was imported."""
    rng = np.random.default_rng(1)
    for number in range(40):
        label = ("lying", "standing")[number % 2]
        pixels = rng.integers(0, 60, (6, 6), dtype=np.uint8)
        (pixels if label == "lying" else pixels.T)[number % 6] = 250
        path = folder / "shapes" / label / f"{number}.pgm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"P5 6 6 255\n" + pixels.tobytes())
    colour = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    (folder / "colour.ppm").write_bytes(b"P6 9 9 255\n" + colour.tobytes())
