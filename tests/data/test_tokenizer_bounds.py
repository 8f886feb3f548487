"""A tokenizer is trained on any text in bounded time and memory, and cuts the same text as ever.

This file is also what the child runs: `test_tokenizer_bounds.py KIND…` writes what training on each of the
hostile texts took beyond a sound one of a tenth of the size, in a line of JSON.
"""

from __future__ import annotations

import json
import os
import random
import resource
import string
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from regard.data.tokenizer import BPE, ByteBPE, TokenizerSpec, Unigram, train_tokenizer
from regard.data.tokenizer_kinds import SPECS
from regard.data.vocabulary import LONGEST_WORD, learnable

SECONDS, MEMORY = 5.0, 256 << 20
SLOWER = 4
"""By how much another machine may be slower than one that keeps the limit above."""
SIZE = 1_000_000
"""Bytes of a text."""


def letters(count: int, seed: int = 7) -> str:
    return "".join(random.Random(seed).choices(string.ascii_lowercase, k=count))


def sound() -> list[str]:
    """A text of few words, like those of people."""
    words = [letters(2 + i % 9, i) for i in range(20_000)]
    rng = random.Random(1)
    return [" ".join(rng.choices(words, k=40)) for _ in range(SIZE // 2800)]


def characters() -> list[str]:
    every = "".join(map(chr, range(0xE000, 0x110000)))
    return [every[begin : begin + 99_000] for begin in range(0, len(every), 99_000)]


def different(alphabet: str) -> list[str]:
    """No word comes twice, as in a list of names or of keys."""
    rng = random.Random(1)
    return [" ".join("".join(rng.choices(alphabet, k=7)) for _ in range(500)) for _ in range(SIZE // 2000)]


HOSTILE = {
    "one line of random letters": lambda: [letters(98_000)],
    "many lines of random letters": lambda: [letters(98_000, seed) for seed in range(SIZE // 98_000)],
    "one word": lambda: [letters(SIZE)],
    "one letter": lambda: ["a" * SIZE],
    "a million characters": characters,
    "spaces": lambda: [" " * 98_000] * 20 + ["a"],
    "different words": lambda: different(string.ascii_lowercase),
    "different words of many letters": lambda: different("".join(map(chr, range(0x4E00, 0x9FA5)))),
    "marks": lambda: ["a" + "\u0301\u0316" * 49_000] * 10,
}


def _peak() -> int:
    try:
        with Path("/proc/self/status").open(encoding="utf-8") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _main(kind: str) -> None:
    spec = SPECS[kind]()
    start = time.process_time()
    train_tokenizer(spec, sound(), at_most=True).encode_batch(sound())
    usual, base = time.process_time() - start, _peak()
    for name, make in HOSTILE.items():
        child = os.fork()  # each text alone: no room that another has left behind counts for it
        if child == 0:
            texts = make()
            start = time.process_time()
            size = train_tokenizer(spec, texts, at_most=True).size
            took = time.process_time() - start
            about = {"name": name, "seconds": took - usual, "memory": _peak() - base, "size": size}
            print(json.dumps(about), flush=True)
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            sys.exit(f"the child for {name} failed")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "wait4"), reason="memory is measured by `resource`")
@pytest.mark.parametrize("kind", SPECS)
def test_training_on_a_hostile_text_is_bounded(kind: str) -> None:
    done = subprocess.run(
        [sys.executable, __file__, kind],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TOKENIZERS_PARALLELISM": "false"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=500,
    )
    found: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["name"] for one in found] == list(HOSTILE)
    for one in found:
        assert one["seconds"] < SLOWER * SECONDS, one
        assert one["memory"] < MEMORY, one


@pytest.mark.parametrize("spec", [BPE(vocab=300), ByteBPE(vocab=400)])
def test_a_long_word_is_cut_at_random_in_bounded_time(spec: BPE | ByteBPE) -> None:
    tokenizer = train_tokenizer(spec, [letters(2 + i % 9, i) for i in range(3000)], at_most=True)
    texts = [letters(98_000), "a b", "né 中" * 300, *(letters(5, i) for i in range(2000))]
    start = time.process_time()
    sampler = tokenizer.sampler(texts)
    assert sampler.sample(0.0, 1) == tokenizer.encode_batch(texts)
    cut = sampler.sample(0.1, 1)
    assert time.process_time() - start < SLOWER * SECONDS
    assert list(map(tokenizer.decode, cut)) == [tokenizer.decode(tokenizer.encode(text)) for text in texts]
    assert len(cut[0]) > len(tokenizer.encode(texts[0]))


@pytest.mark.parametrize("spec", [BPE(vocab=300), ByteBPE(vocab=400), Unigram(vocab=300)])
def test_only_what_is_learned_from_is_cut(spec: TokenizerSpec) -> None:
    """No boundary stands in a long word that is encoded."""
    unit = "abcdefg"
    tokenizer = train_tokenizer(spec, [f"{unit} " * 9, unit * 3 * LONGEST_WORD], at_most=True)
    ids = tokenizer.encode(unit * LONGEST_WORD)
    assert len(ids) <= LONGEST_WORD + 2
    assert tokenizer.decode(ids) == unit * LONGEST_WORD


def test_words_that_people_write_are_all_learned_from() -> None:
    words = Counter({letters(2 + i % 30, i): 1 + i % 5 for i in range(10_000)})
    assert learnable(words) is words
    long = Counter({letters(3 * LONGEST_WORD, i): 1 for i in range(5000)}) + Counter({"ab" * LONGEST_WORD: 2})
    kept = learnable(words | long)
    assert kept == learnable(Counter(dict(reversed((words | long).items()))))
    assert {word: kept[word] for word in words} == dict(words)
    parts = set(kept) - set(words)
    assert max(map(len, parts)) == LONGEST_WORD
    assert sum(map(len, parts)) <= 1_000_000 < sum(map(len, long))
    assert kept["ab" * (LONGEST_WORD // 2)] == 4


def test_of_too_many_words_the_rarest_are_left_out_evenly() -> None:
    often = Counter({letters(7, i): 2 for i in range(9000)})
    once = Counter({f"{prefix}{letters(6, i)}": 1 for prefix in "AB" for i in range(90_000)})
    long = Counter({letters(3 * LONGEST_WORD, i): 9 for i in range(9)})
    kept = learnable(often | once | long)
    assert kept == learnable(Counter(dict(reversed((often | once | long).items()))))
    assert 990_000 < sum(map(len, kept)) <= 1_000_000 < sum(map(len, once))
    assert {word: kept[word] for word in often} == dict(often)
    first, second = (sum(word.startswith(prefix) for word in kept) for prefix in "AB")
    assert abs(first - second) < 0.02 * (first + second)
    assert set(kept) <= {*often, *once}, "words stay before parts of longer ones"


if __name__ == "__main__":
    _main(*sys.argv[1:])
