"""Tiny tokenizers of every form that a checkpoint can have, trained here, and texts to try them on."""

from __future__ import annotations

import io
import json
import random
import tempfile
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Backend

from regard.data.tokenizer_given import GivenTokenizer
from regard.interop.checkpoint import Checkpoint
from regard.interop.converted import SENTENCEPIECE_FILES
from regard.interop.sentencepiece import pieces_of
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
    "क्षत्रिय",
    "שָׁלוֹם",
    "مُحَمَّد",
    "ﷺ",
    "👩🏽‍🚀",
    "1️⃣",
    "☺︎",
    "e\u034f\u0301",
    "Z\u0351\u036b\u0343\u0303",
    "https://a.b/c?d=e&f=%20#g",
    "{'a':[1,2]}",
    "x==1&&y!=2;",
    "2026-11-29",
    "ROCK'N'ROLL",
    "“q”",
    "##s",
    "Ġa",
    "▁",
    "▁the",
    "a▁b",
    "⁇",
    "\ufffd",
    "a" * 99,
    "a" * 101,
    "é" * 260,
    "字" * 101,
    "e" + "\u0301" * 20,
    *(f"c{chr(code)}d" for code in (0, 1, 7, 8, 0x1B, 0x1C, 0x7F, 0x80, 0x85, 0xAD, 0x61C, 0x180E, 0x200B)),
    *(
        f"c{chr(code)}d"
        for code in (0x200C, 0x200D, 0x200E, 0x2060, 0x2800, 0xE000, 0xFE0F, 0xFEFF, 0x10FFFF)
    ),
]
_SPACES = [" "] * 20 + ["  ", "   ", "\n", "\n\n", "\t", " \n ", "\u3000", "\u00a0", "\r\n", "\r", ""]
_SPACES += ["\n    ", "\n\n  ", " \n", "\x0b", "\x0c", "\x85", "\u1680", "\u2009", "\u2028", "\u202f"]


def varied(count: int, *, forms: tuple[str, ...] = ("NFC",), seed: int = 1) -> list[str]:
    """So many texts of words of many scripts, numbers, signs, control characters and kinds of white space."""
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


_OF_BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_OF_MPNET = ("<s>", "<pad>", "</s>", "[UNK]", "<mask>")


def wordpiece(lowercase: bool = True, size: int = 500, special: tuple[str, ...] = _OF_BERT) -> Backend:
    """BERT's, framed where it has BERT's special tokens."""
    backend = Backend(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=list(special), show_progress=False)
    backend.train_from_iterator(CORPUS, trainer)
    if special != _OF_BERT:
        return backend
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


def _bert(
    said: Mapping[str, Any], name: str = "BertTokenizer", special: tuple[str, ...] = _OF_BERT
) -> Callable[[], dict[str, Any]]:
    return lambda: {
        "vocab.txt": lines(wordpiece(special=special)),
        "config.json": {"model_type": name.removesuffix("Tokenizer").lower()},
        "tokenizer_config.json": {"tokenizer_class": name, **said},
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


def _json(
    backend: Callable[[], Backend], name: str, model_type: str, **said: Any
) -> Callable[[], dict[str, Any]]:
    return lambda: {
        "tokenizer.json": backend().to_str(),
        "config.json": {"model_type": model_type},
        "tokenizer_config.json": {"tokenizer_class": name, **said},
    }


_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _split_first(first: pre_tokenizers.PreTokenizer, *, whole: bool) -> Callable[[], Backend]:
    """Bytes joined, after a split of its own; `whole`: what is a piece already is not cut."""

    def backend() -> Backend:
        vocabulary, merges = byte_bpe(("<s>", "</s>"))
        pairs = [(left, right) for left, right in (line.split(" ") for line in merges.splitlines()[1:])]
        made = Backend(models.BPE(vocabulary, pairs, ignore_merges=whole))
        in_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not whole)
        made.pre_tokenizer = pre_tokenizers.Sequence([first, in_bytes])
        made.decoder = decoders.ByteLevel()
        made.add_special_tokens(["<s>", "</s>"])
        return made

    return backend


def _llama_json() -> Backend:
    """A SentencePiece model of Llama's as its first `tokenizer.json` has it: by normalisation alone."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), {"tokenizer.model": sentencepiece("bpe", **LLAMA)})
        made = pieces_of(Path(folder) / "tokenizer.model").backend()
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.pre_tokenizer = None
    return made


_FAIRSEQ = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
FORMS: dict[str, Callable[[], dict[str, Any]]] = {
    "vocab.txt": _bert({}),
    "vocab.txt, cased": _bert({"do_lower_case": False}),
    "vocab.txt, accents": _bert({"strip_accents": False, "tokenize_chinese_chars": False}),
    "vocab.txt, distilbert": _bert({"do_lower_case": False}, "DistilBertTokenizer"),
    "vocab.txt, electra": _bert({"do_lower_case": True}, "ElectraTokenizer"),
    "vocab.txt, mpnet": _bert({}, "MPNetTokenizer", _OF_MPNET),
    "gpt2": _bytes("GPT2Tokenizer", "gpt2", ("<|endoftext|>",), {}),
    "gpt2, prefix": _bytes("GPT2Tokenizer", "gpt2", ("<|endoftext|>",), {"add_prefix_space": True}),
    "roberta": _bytes("RobertaTokenizer", "roberta", _FAIRSEQ, {}),
    "bart": _bytes("BartTokenizer", "bart", _FAIRSEQ, {}),
    "qwen2": _bytes("Qwen2Tokenizer", "qwen2", ("<|endoftext|>",), {"eos_token": "<|endoftext|>"}),
    "t5": _pieces("spiece.model", "T5Tokenizer", "t5", "unigram", **T5_IDS),
    "mt5": _pieces("spiece.model", "T5Tokenizer", "mt5", "unigram", said={"extra_ids": 0}, **T5_IDS),
    "xlm-roberta": _pieces("sentencepiece.bpe.model", "XLMRobertaTokenizer", "xlm-roberta", "unigram"),
    "camembert": _pieces("sentencepiece.bpe.model", "CamembertTokenizer", "camembert", "unigram"),
    "llama": _pieces("tokenizer.model", "LlamaTokenizer", "llama", "bpe", **LLAMA),
    "llama, begun": _pieces(
        "tokenizer.model", "LlamaTokenizer", "llama", "bpe", said={"add_bos_token": True}, **LLAMA
    ),
    "llama, spaces": _pieces(
        "tokenizer.model", "LlamaTokenizer", "llama", "bpe", allow_whitespace_only_pieces=True, **LLAMA
    ),
    "llama, normalised": _pieces("tokenizer.model", "LlamaTokenizer", "llama", "bpe", byte_fallback=True),
    "llama, bare": _pieces(
        "tokenizer.model", "LlamaTokenizer", "llama", "bpe", add_dummy_prefix=False, **LLAMA
    ),
    "t5, bare": _pieces("spiece.model", "T5Tokenizer", "t5", "unigram", add_dummy_prefix=False, **T5_IDS),
    "xlm-roberta, spaces": _pieces(
        "sentencepiece.bpe.model",
        "XLMRobertaTokenizer",
        "xlm-roberta",
        "unigram",
        allow_whitespace_only_pieces=True,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
    ),
    "llama, legacy": _pieces(
        "tokenizer.model", "LlamaTokenizer", "llama", "bpe", said={"legacy": True}, **LLAMA
    ),
    "llama, marks": _pieces(
        "tokenizer.model",
        "LlamaTokenizer",
        "llama",
        "bpe",
        said={"add_bos_token": True, "legacy": False},
        control_symbols="[INST],[/INST],[TOOL_CALLS]",
        **LLAMA,
    ),
}
"""What a folder without tokenizer.json holds, by what it is."""

JSON_FORMS: dict[str, Callable[[], dict[str, Any]]] = {
    "tokenizer.json, llama 3": _json(
        _split_first(pre_tokenizers.Split(Regex(_LLAMA3), "isolated"), whole=True),
        "PreTrainedTokenizerFast",
        "llama",
    ),
    "tokenizer.json, smollm": _json(
        _split_first(pre_tokenizers.Digits(individual_digits=True), whole=False),
        "PreTrainedTokenizerFast",
        "llama",
    ),
    "tokenizer.json, llama": _json(_llama_json, "PreTrainedTokenizerFast", "llama"),
}
"""What a folder holds whose tokenizer.json cuts in a way of its own."""


def roles(form: str) -> dict[str, str]:
    """What frames the texts of a form's models."""
    if form.startswith(("vocab.txt", "roberta", "bart", "xlm-roberta", "camembert")):
        return {"begin": "cls", "end": "sep"}
    return {"begin": "pad" if form.startswith(("t5", "mt5")) else "bos", "end": "eos"}


def saved_again(folder: Path) -> Path:
    """The same folder as transformers writes it: with a tokenizer.json, and nothing older."""
    import transformers

    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    for name in ("vocab.txt", "vocab.json", "merges.txt", *SENTENCEPIECE_FILES):
        (folder / name).unlink(missing_ok=True)
    return folder


def marian(folder: Path, rule: str = "nmt_nfkc") -> tuple[Path, int]:
    """Two models with one list of ids, of which the source's normalises by that rule; how many ids there
    are."""
    import sentencepiece as library

    models_of = {
        "source": sentencepiece("unigram", size=300, normalization_rule_name=rule),
        "target": sentencepiece(
            "unigram", size=300, normalization_rule_name="nfkc_cf", character_coverage=1.0
        ),
    }
    names = {"</s>": None, "<unk>": None}
    for model in models_of.values():
        processor = library.SentencePieceProcessor(model_proto=model)
        names |= {processor.id_to_piece(index): None for index in range(3, processor.get_piece_size())}
    names["<pad>"] = None
    files = {f"{side}.spm": model for side, model in models_of.items()}
    said = {
        "config.json": {"model_type": "marian"},
        "tokenizer_config.json": {"tokenizer_class": "MarianTokenizer"},
    }
    ids = {"vocab.json": {name: index for index, name in enumerate(names)}}
    return write(folder, files | said | ids), len(names)


def differing(folder: Path, form: str, texts: list[str], size: int = 1000) -> list[str]:
    """The texts that are cut otherwise here than by transformers."""
    import transformers

    if form == "marian":
        theirs = transformers.MarianTokenizer.from_pretrained(folder)
        found = []
        for side, name in (("source", "text"), ("target", "text_target")):
            ours = opened(folder, size, side, begin=size - 1)
            found += [
                text
                for text in texts
                if [*ours.encode(text), ours.eos] != theirs(**{name: text})["input_ids"]
            ]
        return found
    theirs, ours = transformers.AutoTokenizer.from_pretrained(folder), opened(folder, size, **roles(form))
    return [text for text in texts if ours.encode(text) != theirs.encode(text, add_special_tokens=False)]
