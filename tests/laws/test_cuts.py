"""One way to cut texts: prompts have the ids that documents had in training, whatever the tokenizer,
whether it was trained here or elsewhere, whatever ends their lines, and however long the text is."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from regard.data import running
from regard.data.continuation import Continuation
from regard.data.documents import cut
from regard.data.named import is_running
from regard.data.rows import Row
from regard.data.running import cut_running
from regard.data.tokenizer import (
    BPE,
    ByteBPE,
    Characters,
    Tokenizer,
    TokenizerSpec,
    Unigram,
    WordPiece,
    Words,
    train_tokenizer,
)
from regard.data.tokenizer_given import Given, GivenTokenizer
from regard.tasks.text_generation import TextGeneration, TextGenerationConfig

OWN: tuple[TokenizerSpec, ...] = (
    ByteBPE(vocab=300),
    BPE(vocab=90),
    Unigram(vocab=90),
    WordPiece(vocab=200),
    Characters(),
    Words(),
)
TEXTS = [
    "def f(x):\n    return x\n\n\nprint(f(1))\n",
    "the cat\nthe dog\u2028the end\x0cnew page",
    "a\r\nb\x85c — don't, 我爱你",
] * 4
DOCUMENTS = (
    "def f(x):\n    return x",
    "the cat\n\nthe dog\n\n",
    "the dog\u2028the end\u2029",
    "the end\x0cnew page\x0b\x1c\x1d\x1e",
    "a\x85b",
    "a\rb\rc",
    "  two  spaces \n at both \n\n ends ",
    "\n",
    "\n\nthe cat",
    "我爱\n你",
)


def byte_level(prefix: bool) -> Backend:
    """GPT-2's and RoBERTa's."""
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made = trainers.BpeTrainer(
        vocab_size=330, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(TEXTS, made)
    return backend


def sentence_piece() -> Backend:
    """Llama's: nothing splits a text, its first word gets a space, unknown characters are bytes."""
    backend = Backend(models.BPE())
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    lone = [f"<0x{byte:02X}>" for byte in range(256)]
    made = trainers.BpeTrainer(vocab_size=340, special_tokens=[*SPECIAL, *lone], show_progress=False)
    backend.train_from_iterator(["the cat sat on the mat", "a dog ran off"] * 9, made)
    content = json.loads(backend.to_str())
    content["model"] |= {"byte_fallback": True, "unk_token": "<unk>", "fuse_unk": True}
    content["added_tokens"] = [one for one in content["added_tokens"] if one["content"] in SPECIAL]
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    backend = Backend.from_str(json.dumps(content))
    backend.decoder = decoders.Sequence(steps)
    return backend


def metaspace() -> Backend:
    """T5's."""
    backend = Backend(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    made = trainers.UnigramTrainer(
        vocab_size=70, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    backend.train_from_iterator(TEXTS, made)
    return backend


SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]
THEIRS: dict[str, Callable[[], Backend]] = {
    "byte level": lambda: byte_level(prefix=False),
    "byte level with a space before": lambda: byte_level(prefix=True),
    "whole, with bytes for what is unknown": sentence_piece,
    "unigram": metaspace,
}


def given(name: str) -> GivenTokenizer:
    backend = THEIRS[name]()
    size = backend.get_vocab_size()
    return GivenTokenizer(Given(size, pad=0, unk=1, bos=2, eos=3), backend.to_str())


def own(spec: TokenizerSpec, lines: bool) -> Tokenizer:
    tokenizer = train_tokenizer(spec, [*TEXTS, *DOCUMENTS], at_most=True)
    tokenizer.lines = lines
    return tokenizer


EVERY = [
    *(pytest.param(lambda spec=spec, lines=lines: own(spec, lines), id=f"{spec.kind}{' by line' * lines}")
      for spec in OWN for lines in (False, True)),
    *(pytest.param(lambda name=name: given(name), id=name) for name in THEIRS),
]  # fmt: skip
every = pytest.mark.parametrize("make", EVERY)


def running_rows(text: str) -> list[Row]:
    """As a `.txt` is read."""
    lines = text.removesuffix("\n").split("\n")
    return [Row((line.removesuffix("\r"),), str(number), running=True) for number, line in enumerate(lines)]


def trained_on(tokenizer: Tokenizer, rows: list[Row]) -> list[int]:
    task = TextGeneration(TextGenerationConfig(), tokenizer)
    return [i for ids in task._stream(rows) for i in ids]


@every
def test_a_prompt_has_the_ids_that_its_document_had_in_training(make: Callable[[], Tokenizer]) -> None:
    tokenizer = make()
    for text in DOCUMENTS:
        prompt = tokenizer.encode_prompt(text)
        assert trained_on(tokenizer, [Row((text,), "")]) == [*prompt, tokenizer.eos], repr(text)
        ended = text if text.endswith("\n") else f"{text}\n"
        prompt = tokenizer.encode_prompt(ended)
        assert trained_on(tokenizer, running_rows(ended)) == [*prompt, tokenizer.eos], repr(text)
    assert trained_on(tokenizer, running_rows("a\r\nb\n")) == trained_on(tokenizer, running_rows("a\nb\n"))


@pytest.mark.parametrize("spec", OWN, ids=lambda spec: spec.kind)
def test_cut_by_line_every_beginning_of_whole_lines_is_one_of_ids(spec: TokenizerSpec) -> None:
    tokenizer = own(spec, lines=True)
    for text in DOCUMENTS:
        whole = tokenizer.encode_prompt(text)
        for place, character in enumerate(text, 1):
            if character == "\n":
                some = tokenizer.encode_prompt(text[:place])
                assert whole[: len(some)] == some, repr(text[:place])
    assert tokenizer.encode_prompt("a\r\nb") == tokenizer.encode_prompt("a\nb")


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("spec", OWN, ids=lambda spec: spec.kind)
def test_what_was_cut_is_the_text_again(spec: TokenizerSpec, lines: bool) -> None:
    tokenizer = own(spec, lines)
    for text in DOCUMENTS:
        assert tokenizer.decode(tokenizer.encode_document(text)) == tokenizer.normalise(text)


@every
def test_a_running_text_of_any_length_is_cut_as_at_once(
    make: Callable[[], Tokenizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_WINDOW", 700)
    monkeypatch.setattr(running, "_OVERLAP", 120)
    tokenizer = make()
    chance = random.Random(1)
    words = ["the", "cat", "x", "don't", "我爱", "🙂", "e\u0301", "return", "(1)", "a" * 9]
    between = [" ", " ", "  ", "\n", "\n\n", "\n    ", "\u2028", "\x0c", "\r", ". "]
    text = "".join(chance.choice(words) + chance.choice(between) for _ in range(4000)) + "\n"
    got = [i for ids, _ in cut(running_rows(text), tokenizer) for i in ids]
    assert got == tokenizer.encode_document(text)
    line = "".join(chance.choice("ab ") for _ in range(20_000))
    assert [i for ids, _ in cut(running_rows(line), tokenizer) for i in ids] == tokenizer.encode_document(
        line + "\n"
    )


def test_windows_meet_only_where_both_have_the_same_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("_WINDOW", 100), ("_OVERLAP", 20)):
        monkeypatch.setattr(running, name, size)

    def by_parity(text: str) -> tuple[list[int], list[tuple[int, int]]]:
        size = 2 - len(text) % 2  # how a word is cut depends on all of it
        spans = [(start, start + size) for start in range(0, len(text), size)]
        return [size] * len(spans), spans

    for texts in (["a" * 130, "a" * 131], ["a" * 131, "a" * 130]):
        got = [i for ids in cut_running(texts, by_parity) for i in ids]
        assert got == by_parity("".join(texts))[0]


def test_a_text_that_can_be_cut_nowhere_is_cut_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("_WINDOW", 100), ("_OVERLAP", 20), ("_LARGEST", 1000)):
        monkeypatch.setattr(running, name, size)
    longest = 0

    def one_word(text: str) -> tuple[list[int], list[tuple[int, int]]]:
        nonlocal longest
        longest = max(longest, len(text))
        return [len(text)], [(0, len(text))]

    assert list(cut_running(["a" * 50] * 200, one_word))
    assert longest <= 1200


# ------------------------------------------------------------------------------- what a bundle says of it


@pytest.mark.parametrize("lines", [False, True, None])
def test_a_tokenizer_that_is_kept_says_how_it_cuts(lines: bool | None) -> None:
    tokenizer = train_tokenizer(BPE(vocab=60), TEXTS, at_most=True)
    assert tokenizer.lines is None
    tokenizer.lines = lines
    again = Tokenizer.from_json(tokenizer.to_json())
    assert again.lines is lines
    assert again == tokenizer


def test_what_was_trained_before_that_was_said_goes_by_the_name_of_its_data(tmp_path: Any) -> None:
    (tmp_path / "train.txt").write_text("a\n", "utf-8")
    for name in ("tinyshakespeare", "novel.txt", "there/novel.txt.gz", str(tmp_path)):
        assert is_running(name), name
    for name in ("stdlib", "novels.jsonl", "novels.tsv", "novels.parquet", "gone", "sst2"):
        assert not is_running(name), name


# ------------------------------------------------------------------------------------ what goes on with it


def split_anywhere(tokenizer: Tokenizer, text: str) -> list[tuple[list[int], list[int]]]:
    ids = tokenizer.encode_document(text)
    return [(ids[:place], ids[place:]) for place in range(1, len(ids))]


@every
def test_what_follows_is_what_the_whole_has_more(make: Callable[[], Tokenizer]) -> None:
    tokenizer = make()
    # The last two: runs of bytes, where characters are made of them, longer than what is looked back to.
    runs = ("나는한국어를배우고싶어요", "a 🙂🙂🙂🙂🙂 🙂🙂")
    for text in ("the cat sat on the mat", "a dog\nran off", "the cat 🙂 sat", "don't", *runs):
        for before, after in split_anywhere(tokenizer, text):
            known, whole = (tokenizer.decode(ids) for ids in (before, [*before, *after]))
            if whole.startswith(known):  # or else a character lies on both sides
                assert known + Continuation(tokenizer, before).of(after) == whole
        _, *words = text.split(" ")
        prompt = tokenizer.encode_prompt(text.removesuffix(f" {words[-1]}") if words else "")
        more = tokenizer.encode_document(text)[len(prompt) - 1 :]
        if words and prompt[1:] == tokenizer.encode_document(text)[: len(prompt) - 1]:
            assert (
                Continuation(tokenizer, prompt).of(more).strip()
                == Continuation(tokenizer, ()).of(more).strip()
            )


@every
def test_what_is_sure_is_never_taken_back(make: Callable[[], Tokenizer]) -> None:
    tokenizer = make()
    chance = random.Random(3)
    ordinary = sorted({*range(tokenizer.size)} - {*tokenizer.special_ids})
    rows = [
        tokenizer.encode_document(text)
        for text in ("the cat\n🙂 ok\n", "a\n\n我🙂🙂", "don't - it's", *DOCUMENTS)
    ]
    rows += [chance.choices(ordinary, k=30) for _ in range(60)]
    if any("<0xF0>" in name for name in tokenizer.pieces(ordinary)):  # half characters that never get whole
        lone = [i for i in ordinary if tokenizer.name(i).startswith("<0x")]
        rows += [chance.choices([*lone, *ordinary[-20:]], k=30) for _ in range(60)]
    for prompt in ((), tokenizer.encode_prompt("the cat\n")):
        text = Continuation(tokenizer, prompt)
        for ids in rows:
            whole = text.of(ids)
            for place in range(len(ids) + 1):
                assert whole.startswith(text.sure(ids[:place])), (ids, place)
