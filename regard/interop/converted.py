"""Vocabularies of older forms as what `tokenizers` runs: WordPiece's `vocab.txt`, GPT-2's and Qwen2's
`vocab.json` with `merges.txt`, and SentencePiece's models, which T5, XLM-R and CamemBERT number each in their
way.

Each follows the class of transformers that reads the same files. This file does not know models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

from regard.errors import CheckpointError, damaged
from regard.interop.sentencepiece import Pieces, pieces_of
from regard.interop.tokenizer_keys import (
    BYTES,
    FRAMED_TWICE,
    SENTENCEPIECE,
    WORDPIECE,
    TokenizerKeys,
    add_tokens,
    bert_options,
)
from regard.strict_json import VOCABULARY, loads

SENTENCEPIECE_FILES = ("spiece.model", "sentencepiece.bpe.model", "tokenizer.model")
_MOST_LINES, _MOST_EXTRA = 1 << 19, 1000
_ROLES = ("pad", "unk", "cls", "sep", "bos", "eos", "mask")
_MASK_TAKES_SPACE = ("MPNetTokenizer", "CamembertTokenizer")
"""Whose mask takes the space before it, where no file says so. RoBERTa's does only where one does."""
_UNDECIDED = (
    "transformers puts a space before a text with its LlamaTokenizer, but none with AutoTokenizer, which runs"
    " tokenizer.model alone by no class here; say true or false, or give the folder a tokenizer.json"
)
_MARIAN = {"pad": "<pad>", "unk": "<unk>", "eos": "</s>"}
_QWEN2 = (  # as its class has it
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def converted(keys: TokenizerKeys) -> tuple[str, bool]:
    """The `tokenizer.json` of the vocabulary in a folder, and whether it is SentencePiece's.

    Raises: CheckpointError where there is none, or none that can be taken.
    """
    checkpoint = keys.checkpoint
    auto = keys.settings.get("auto_map")
    if isinstance(auto, dict) and "AutoTokenizer" in auto:
        raise keys.refuse("auto_map", "texts are cut by code of its own, which is never run")
    vocabulary, merges = checkpoint.text("vocab.json"), checkpoint.text("merges.txt")
    models_there = [name for name in SENTENCEPIECE_FILES if (checkpoint.folder / name).is_file()]
    if (pieces := checkpoint.text("vocab.txt")) is not None:
        keys = replace(keys, kind=keys.kind or "BertTokenizer")
        backend, frame = _wordpiece(pieces, keys), _framed
    elif vocabulary is not None and merges is not None:
        keys = replace(keys, kind=keys.kind or "GPT2Tokenizer")
        backend = _byte_bpe(vocabulary, merges, keys)
        frame = _framed if keys.kind in FRAMED_TWICE else _begun
    elif models_there:
        backend, frame = _sentencepiece(pieces_of(checkpoint.folder / models_there[0]), keys)
    else:
        raise CheckpointError(
            "{where} has no tokenizer: no tokenizer.json, vocab.txt, vocab.json with merges.txt, nor a"
            " SentencePiece model; save one there with the library that wrote the checkpoint",
            checkpoint.folder,
        )
    add_tokens(keys, backend)
    frame(keys, backend)
    return backend.to_str(), bool(models_there) and pieces is None and merges is None


def one_side(keys: TokenizerKeys, side: str) -> str:
    """Marian's: a SentencePiece model that cuts, and a list that gives ids, one for both sides or two."""
    checkpoint = keys.checkpoint
    other = side == "target" and keys.flag("separate_vocabs", False)
    path = checkpoint.folder / ("target_vocab.json" if other else "vocab.json")
    ids = checkpoint.json(path.name, VOCABULARY)
    if ids is None or not all(type(index) is int for index in ids.values()):
        raise CheckpointError("{where} is missing or damaged: each piece must have an id", path)
    pieces = pieces_of(checkpoint.folder / f"{side}.spm")
    try:
        backend = pieces.renumbered(ids).backend()
    except ValueError as error:
        raise damaged(CheckpointError, path, error) from error
    if other:  # the ids of added tokens are the source's
        _name_special(keys, backend, [keys.name(role, name) for role, name in _MARIAN.items()])
    else:
        add_tokens(keys, backend)
    _ended(keys, backend)
    return backend.to_str()


# ------------------------------------------------------------------ the forms


def _wordpiece(pieces: str, keys: TokenizerKeys) -> Backend:
    """BERT's: one piece a line."""
    keys.check_class(WORDPIECE, "vocab.txt")
    if not keys.flag("do_basic_tokenize", True):
        raise keys.refuse("do_basic_tokenize", "only true can be taken")
    lines = [line.rstrip("\r") for line in _lines(pieces, "vocab.txt")]
    while lines and not lines[-1]:
        lines.pop()
    ids = {piece: index for index, piece in enumerate(lines)}
    unknown = keys.name("unk", "[UNK]")
    if len(ids) != len(lines) or unknown not in ids:
        raise damaged(CheckpointError, "vocab.txt", f"a piece is there twice, or {unknown} is not there")
    backend = Backend(models.WordPiece(ids, unk_token=unknown, max_input_chars_per_word=100))
    backend.normalizer = normalizers.BertNormalizer(clean_text=True, **bert_options(keys))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    usual = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    if keys.kind == "MPNetTokenizer":
        usual |= {"pad": "<pad>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"}
    _name_special(keys, backend, [keys.name(role, name) for role, name in usual.items()])
    return backend


def _byte_bpe(vocabulary: str, merges: str, keys: TokenizerKeys) -> Backend:
    """GPT-2's; Qwen2's differ in how texts are split and normalised."""
    keys.check_class(BYTES, "vocab.json with merges.txt")
    folder = keys.checkpoint.folder
    try:
        ids = loads(vocabulary, VOCABULARY)
    except ValueError as error:
        raise damaged(CheckpointError, folder / "vocab.json", error) from error
    if not isinstance(ids, dict) or not all(type(i) is int and 0 <= i < 1 << 31 for i in ids.values()):
        raise damaged(CheckpointError, folder / "vocab.json", "each piece must have an id")
    lines = (line.rstrip("\r") for line in _lines(merges, "merges.txt"))
    pairs = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    if not all(len(pair) == 2 for pair in pairs):
        raise damaged(CheckpointError, folder / "merges.txt", "a line is not two pieces")
    try:
        model = models.BPE(ids, [(left, right) for left, right in pairs])
    except Exception as error:  # the library has no narrower class for it
        raise damaged(CheckpointError, folder / "merges.txt", error) from error
    backend = Backend(model)
    prefix = keys.flag("add_prefix_space", False)
    if keys.kind == "Qwen2Tokenizer":
        backend.normalizer = normalizers.NFC()
        split = pre_tokenizers.Split(Regex(_QWEN2), "isolated")
        as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=False)
        backend.pre_tokenizer = pre_tokenizers.Sequence([split, as_bytes])
    else:
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    backend.decoder = decoders.ByteLevel()
    usual = ("<|endoftext|>", "<s>", "<pad>", "</s>", "<unk>", "<mask>")
    _name_special(keys, backend, [*usual, *(keys.name(role, "") for role in _ROLES)])
    return backend


def _sentencepiece(pieces: Pieces, keys: TokenizerKeys) -> tuple[Backend, Callable[..., None]]:
    """A SentencePiece model, numbered and framed as its class does."""
    keys.check_class(SENTENCEPIECE, "a SentencePiece model")
    prefix = keys.flag("add_prefix_space", True)
    match keys.kind:
        case "XLMRobertaTokenizer":
            names = [keys.name(*pair) for pair in (("bos", "<s>"), ("pad", "<pad>"), ("eos", "</s>"))]
            before = dict.fromkeys([*names, "<unk>"], 0.0)
            pieces = pieces.reordered(before, 3, (keys.name("mask", "<mask>"),))
        case "CamembertTokenizer":
            before = dict.fromkeys(["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>"], 0.0)
            before["<unk>NOTUSED"] = -100.0
            pieces = pieces.reordered(before, 1, (keys.name("mask", "<mask>"),))
        case "T5Tokenizer":
            backend = replace(pieces, prefix=True, first=False, words=True).backend()
            _add_sentinels(keys, backend)
            return backend, _ended
        case None:
            return replace(pieces, prefix=keys.flag("add_prefix_space", pieces.prefix)).backend(), _begun
        case _:  # Llama's normalises nothing, whatever the model says
            if not keys.decided and keys.settings.get("add_prefix_space") is None:
                raise keys.refuse("add_prefix_space", _UNDECIDED)
            first = not keys.flag("legacy", False)
            pieces = replace(pieces, charsmap=b"", tidy=False, prefix=prefix, first=first)
            return pieces.backend(), _begun
    backend = replace(pieces, prefix=prefix, first=False, words=True).backend()
    _name_special(keys, backend, [pieces.names[-1]])
    return backend, _framed


def _add_sentinels(keys: TokenizerKeys, backend: Backend) -> None:
    """T5's marks of what is to be filled in, the last one first, where the model has rows for them."""
    count = keys.settings.get("extra_ids", 100)
    if type(count) is not int or not 0 <= count <= _MOST_EXTRA:
        raise keys.refuse("extra_ids", "it must be a number up to {limit}", _MOST_EXTRA)
    names = [f"<extra_id_{index}>" for index in reversed(range(count))]
    names = [name for name in names if backend.token_to_id(name) is None]
    size = keys.checkpoint.config.get("vocab_size")
    if type(size) is int and backend.get_vocab_size() + len(names) <= size:
        backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])


# ------------------------------------------------------------------ what stands around a text


def _framed(keys: TokenizerKeys, backend: Backend) -> None:
    """A beginning and an end, and one or two of these between the texts of a pair."""
    of_bert = keys.kind in WORDPIECE and keys.kind not in FRAMED_TWICE
    begin = keys.name("cls", "[CLS]" if of_bert else keys.name("bos", "<s>"))
    end = keys.name("sep", "[SEP]" if of_bert else keys.name("eos", "</s>"))
    second = 1 if of_bert else 0
    between = f"{end}:0" if of_bert else f"{end} {end}"
    _frame(
        backend,
        f"{begin}:0 $A:0 {end}:0",
        f"{begin}:0 $A:0 {between} $B:{second} {end}:{second}",
        (begin, end),
    )


def _ended(keys: TokenizerKeys, backend: Backend) -> None:
    """An end, T5's also between the texts of a pair."""
    end = keys.name("eos", "</s>")
    between = f"{end} " if keys.kind == "T5Tokenizer" else ""
    _frame(backend, f"$A {end}", f"$A {between}$B {end}", (end,))


def _begun(keys: TokenizerKeys, backend: Backend) -> None:
    """A beginning where it is asked for."""
    if keys.flag("add_eos_token", False):
        raise keys.refuse("add_eos_token", "an end cannot stand before what goes on; only false can be taken")
    if keys.flag("add_bos_token", False):
        usual = "<|endoftext|>" if keys.kind in BYTES else "<s>"
        begin = keys.name("bos", usual)
        _frame(backend, f"{begin} $A", f"{begin} $A {begin}:1 $B:1", (begin,))


def _frame(backend: Backend, single: str, pair: str, names: tuple[str, ...]) -> None:
    """Nothing where the vocabulary lacks one of these tokens."""
    ids = [(name, backend.token_to_id(name)) for name in dict.fromkeys(names)]
    if all(index is not None for _, index in ids):
        backend.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)


def _name_special(keys: TokenizerKeys, backend: Backend, names: list[str]) -> None:
    mask = keys.name("mask", "<mask>") if keys.kind in _MASK_TAKES_SPACE else None
    known = [name for name in dict.fromkeys(names) if name and backend.token_to_id(name) is not None]
    backend.add_special_tokens([keys.token(name, name == mask) for name in known])


def _lines(text: str, name: str) -> list[str]:
    """Raises: CheckpointError for so many that they are no vocabulary."""
    if text.count("\n") > _MOST_LINES:
        raise CheckpointError(
            "{where} has more than {limit:,} lines, too many to be right", name, _MOST_LINES
        )
    return text.split("\n")
