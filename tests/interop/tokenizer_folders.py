"""Tiny tokenizers of every form that a checkpoint can have, trained here, and texts to try them on."""

from __future__ import annotations

import io
import json
import random
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from regard.data.tokenizer_given import GivenTokenizer
from regard.interop.checkpoint import Checkpoint
from regard.interop.vocabulary import find_tokenizer

CORPUS = [
    "The red cat sits on the old house, doesn't it?",
    "A small dog runs to the river; the dogs (all of them) ran 12,345 times.",
    "Zwölf große Boxkämpfer jagen Viktor quer über den Sylter Deich.",
    "Ça va très bien, merci — l'été à Zürich coûte 10 275 €.",
    "tiếng Việt có nhiều dấu: ắ ằ ẵ ặ ế ề ễ ệ ộ ợ ữ",
    "한국어를 배우고 싶어요. 안녕하세요!",
    "日本語のガラスとパンが好きです。私はガギグ",
    "我喜欢学习语言，他喜欢学习音乐。",
    "שלום עולם مرحبا بالعالم",
    "def f(x):\n    return x  # tabs\tand spaces",
    "emoji 😀 👩‍👩‍👧 🇨🇭 ﬁ ½ Ⅷ",
] * 12
_WORDS = [
    *sorted({word for line in CORPUS for word in line.split()}),
    "unheard",
    "HELLO",
    "naïve",
    "𝔘𝔫𝔦",
    "ｆｕｌｌ",
    "①",
    "x²",
    "don't",
    "we'll",
    "U.S.A.",
    "3.14159",
    "10,275",
    "🙂🙂",
    "a_b",
    "#tag",
    "user@example.org",
    "ŉ",
    "Σίσυφος",
    "İstanbul",
    "q\u0323\u0307",
    "हिन्दी",
    "ไทย",
]
_SPACES = [" "] * 12 + ["  ", "\n", "\n\n", "\t", " \n ", "\u3000", "\u00a0", "\r\n", ""]


def varied(count: int, *, forms: tuple[str, ...] = ("NFC",), seed: int = 1) -> list[str]:
    """So many texts of words of many scripts, numbers, signs and kinds of white space."""
    chance = random.Random(seed)
    texts = []
    for _ in range(count):
        words = [chance.choice(_WORDS) for _ in range(chance.randint(0, 9))]
        text = "".join(word + chance.choice(_SPACES) for word in words)
        text = chance.choice(["", "", "", " ", "  "]) + text
        texts.append(unicodedata.normalize(chance.choice(forms), text))
    return texts


def write(folder: Path, files: Mapping[str, Any]) -> Path:
    """A folder with these files: texts, bytes, or what becomes JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
            (folder / name).write_text(text, "utf-8", newline="")
    return folder


def opened(folder: Path, size: int, side: str = "source", **options: Any) -> GivenTokenizer:
    """Our tokenizer of a folder."""
    config = (
        json.loads((folder / "config.json").read_text("utf-8")) if (folder / "config.json").exists() else {}
    )
    found = find_tokenizer(Checkpoint(folder, config, {}, {}), side)
    return found.tokenizer(size, **({"begin": "bos", "end": "eos"} | options))


def byte_bpe(special: tuple[str, ...] = ("<|endoftext|>",), size: int = 600) -> tuple[dict[str, int], str]:
    """The vocabulary of GPT-2's kind, and merges.txt."""
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(special), initial_alphabet=letters, show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    content = json.loads(backend.to_str())["model"]
    merges = "\n".join(" ".join(pair) for pair in content["merges"])
    return content["vocab"], f"#version: 0.2\n{merges}\n"


def wordpiece(lowercase: bool = True, size: int = 500) -> Backend:
    """BERT's, framed."""
    backend = Backend(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    backend.train_from_iterator(CORPUS, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return backend


def lines(backend: Backend) -> str:
    """The vocab.txt of a WordPiece tokenizer."""
    vocabulary = backend.get_vocab(with_added_tokens=False)
    return "\n".join(sorted(vocabulary, key=lambda piece: vocabulary[piece])) + "\n"


def sentencepiece(
    kind: str = "unigram", size: int = 420, corpus: Sequence[str] = CORPUS, **options: Any
) -> bytes:
    """A SentencePiece model."""
    import sentencepiece as library

    written = io.BytesIO()
    library.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus),
        model_writer=written,
        vocab_size=size,
        model_type=kind,
        hard_vocab_limit=False,
        minloglevel=5,
        **options,
    )
    return written.getvalue()


T5_IDS = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
LLAMA = {"byte_fallback": True, "normalization_rule_name": "identity", "remove_extra_whitespaces": False}


def _bert(said: Mapping[str, Any]) -> Callable[[], dict[str, Any]]:
    return lambda: {
        "vocab.txt": lines(wordpiece()),
        "config.json": {"model_type": "bert"},
        "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", **said},
    }


def _bytes(
    name: str, model_type: str, special: tuple[str, ...], said: Mapping[str, Any]
) -> Callable[[], Any]:
    def files() -> dict[str, Any]:
        vocabulary, merges = byte_bpe(special)
        return {
            "vocab.json": vocabulary,
            "merges.txt": merges,
            "config.json": {"model_type": model_type},
            "tokenizer_config.json": {"tokenizer_class": name, **said},
        }

    return files


def _pieces(file: str, name: str, model_type: str, kind: str, **options: Any) -> Callable[[], dict[str, Any]]:
    said = options.pop("said", {})
    return lambda: {
        file: sentencepiece(kind, **options),
        "config.json": {"model_type": model_type},
        "tokenizer_config.json": {"tokenizer_class": name, **said},
    }


_FAIRSEQ = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
FORMS: dict[str, Callable[[], dict[str, Any]]] = {
    "vocab.txt": _bert({}),
    "vocab.txt, cased": _bert({"do_lower_case": False}),
    "vocab.txt, accents": _bert({"strip_accents": False, "tokenize_chinese_chars": False}),
    "gpt2": _bytes("GPT2Tokenizer", "gpt2", ("<|endoftext|>",), {}),
    "gpt2, prefix": _bytes("GPT2Tokenizer", "gpt2", ("<|endoftext|>",), {"add_prefix_space": True}),
    "roberta": _bytes("RobertaTokenizer", "roberta", _FAIRSEQ, {}),
    "bart": _bytes("BartTokenizer", "bart", _FAIRSEQ, {}),
    "qwen2": _bytes("Qwen2Tokenizer", "qwen2", ("<|endoftext|>",), {"eos_token": "<|endoftext|>"}),
    "t5": _pieces("spiece.model", "T5Tokenizer", "t5", "unigram", **T5_IDS),
    "xlm-roberta": _pieces("sentencepiece.bpe.model", "XLMRobertaTokenizer", "xlm-roberta", "unigram"),
    "camembert": _pieces("sentencepiece.bpe.model", "CamembertTokenizer", "camembert", "unigram"),
    "llama": _pieces("tokenizer.model", "LlamaTokenizer", "llama", "bpe", **LLAMA),
    "llama, begun": _pieces(
        "tokenizer.model", "LlamaTokenizer", "llama", "bpe", said={"add_bos_token": True}, **LLAMA
    ),
}
"""What a folder without tokenizer.json holds, by what it is."""


def forms() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each form with its files."""
    for name, files in FORMS.items():
        yield name, files()
