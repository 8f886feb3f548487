"""Tokenizers that come with a checkpoint give the ids that the reference library's give."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import ByteLevelBPETokenizer

import regard
from regard.data.tokenizer import Tokenizer
from regard.data.tokenizer_given import Given, GivenTokenizer
from regard.errors import TokenizerError
from regard.interop import export_checkpoint, import_checkpoint
from regard.interop.checkpoint import Checkpoint
from regard.interop.sentencepiece import pieces_of
from regard.interop.vocabulary import find_tokenizer
from tests.interop.families import ALL, BOS, EOS, V, tokenizer_json
from tests.shared import refused

TEXTS = [
    "Hello, world!  A man's bicycle—don't.",
    " leading and trailing ",
    "naïve Äpfel 中文字 \U0001f600",
    "</s> [SEP] <unk> are plain text",
    "",
    "line\nbreaks\tand tabs",
]


def folder_of(folder: Path) -> Checkpoint:
    return Checkpoint(folder, {}, {}, {})


def given(**changes: object) -> GivenTokenizer:
    options = {"size": V, "pad": 0, "bos": BOS, "eos": EOS, "unk": 1, "mask": 4} | changes
    return GivenTokenizer(Given(**options), tokenizer_json())  # type: ignore[arg-type]


def test_a_given_tokenizer_is_kept_whole() -> None:
    tokenizer = given(begins=False, special=(2, 3))
    again = Tokenizer.from_json(tokenizer.to_json())
    assert again == tokenizer
    assert again.to_hf() == tokenizer_json()
    assert again.encode("w5 w9") == [5, 9]
    assert again.encode_prompt("w5") == [5]
    assert again.encode_prompt("") == [BOS]
    assert given().encode_prompt("w5") == [BOS, 5]


def test_what_a_frame_adds_is_no_part_of_the_text() -> None:
    tokenizer = given()
    assert tokenizer.encode_with_offsets("w5  w9") == ([5, 9], [(0, 2), (4, 6)])
    assert tokenizer.encode_with_offsets("") == ([], [])


def test_special_tokens_cannot_be_written_in_a_text() -> None:
    tokenizer = given()
    ids = tokenizer.encode("w5 </s> w7 </s>w8")
    assert EOS not in tokenizer.encode("x</s>")
    assert ids[0] == 5
    assert tokenizer.decode([BOS, 5, 1, 9, EOS]) == "w5 \ufffd w9"


def test_an_id_beyond_the_vocabulary_is_refused() -> None:
    with refused(TokenizerError, value=37, limit="0 to 36"):
        given().decode([V])
    with refused(TokenizerError, limit=37):
        given(eos=V)
    with refused(TokenizerError, limit=20):
        given(size=20)
    assert given(size=V + 3).pieces([V + 1]) == [f"<unused {V + 1}>"]


def test_wordpiece_of_a_vocabulary_alone_cuts_as_bert_does(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "hello",
        ",",
        "world",
        "##s",
        "a",
        "man",
        "'",
        "中",
    ]
    words += [chr(letter) for letter in range(98, 123)] + [f"##{chr(x)}" for x in range(97, 123) if x != 115]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    for said in ({}, {"do_lower_case": False}, {"strip_accents": False}):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(said), "utf-8")
        found = find_tokenizer(folder_of(tmp_path))
        ours = found.tokenizer(len(words), begin="cls", end="sep")
        theirs = transformers.BertTokenizer.from_pretrained(tmp_path)
        assert (ours.bos, ours.eos, ours.pad, ours.unk, ours.mask) == (2, 3, 0, 1, 4)
        for text in TEXTS[:3]:
            assert ours.encode(text) == theirs.encode(text, add_special_tokens=False)


def test_byte_bpe_of_vocabulary_and_merges_cuts_as_gpt2_does(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(TEXTS * 3, vocab_size=300, min_frequency=1, special_tokens=["<|endoftext|>"])
    trained.save_model(str(tmp_path))
    found = find_tokenizer(folder_of(tmp_path))
    ours = found.tokenizer(trained.get_vocab_size(), begin="bos", end="eos")
    theirs = transformers.GPT2Tokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        assert ours.encode(text) == theirs.encode(text)
        assert ours.decode(ours.encode(text)) == text
    assert ours.eos == theirs.eos_token_id


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_sentencepiece_model_cuts_as_its_library_does(kind: str, tmp_path: Path) -> None:
    library = pytest.importorskip("sentencepiece")
    (tmp_path / "text.txt").write_text("\n".join(text for text in TEXTS * 20 if text), "utf-8")
    library.SentencePieceTrainer.train(
        input=str(tmp_path / "text.txt"),
        model_prefix=str(tmp_path / "spiece"),
        vocab_size=90,
        model_type=kind,
        byte_fallback=False,
        minloglevel=5,
        pad_id=0,
        unk_id=1,
        bos_id=2,
        eos_id=3,
        hard_vocab_limit=False,
    )
    theirs = library.SentencePieceProcessor(model_file=str(tmp_path / "spiece.model"))
    pieces = pieces_of(tmp_path / "spiece.model")
    assert len(pieces.names) == theirs.get_piece_size()
    found = find_tokenizer(folder_of(tmp_path))
    ours = found.tokenizer(len(pieces.names), begin="bos", end="eos")
    assert (ours.pad, ours.unk, ours.bos, ours.eos) == (0, 1, 2, 3)
    for text in [*TEXTS[:3], "Hello world", "man's  bicycle"]:
        assert ours.encode(text) == theirs.encode(text)
        assert ours.decode(theirs.encode(text)) == theirs.decode(theirs.encode(text)).replace(" ⁇ ", "\ufffd")


@pytest.mark.filterwarnings("ignore:Recommended")  # what normalises punctuation is left to the user
def test_marians_two_lists_of_ids_are_those_of_their_sides(tmp_path: Path) -> None:
    transformers, library = pytest.importorskip("transformers"), pytest.importorskip("sentencepiece")
    sides = {"source": TEXTS, "target": ["Guten Tag, schöne Welt!", "Ein Mann fährt Rad.", "Das ist gut."]}
    there, sizes = tmp_path / "there", {}
    there.mkdir()
    last = {"source": [">>de<<", "<pad>"], "target": ["<pad>"]}
    for side, name in (("source", "vocab.json"), ("target", "target_vocab.json")):
        lines = io.BytesIO()
        library.SentencePieceTrainer.train(
            sentence_iterator=iter([text for text in sides[side] * 20 if text]),
            model_writer=lines,
            vocab_size=70,
            hard_vocab_limit=False,
            minloglevel=5,
        )
        (there / f"{side}.spm").write_bytes(lines.getvalue())
        model = library.SentencePieceProcessor(model_proto=lines.getvalue())
        own = [model.id_to_piece(index) for index in range(3, model.get_piece_size())]
        names = ["</s>", "<unk>", *own, *last[side]]
        (there / name).write_text(json.dumps({piece: i for i, piece in enumerate(names)}), "utf-8")
        sizes[side] = len(names)
    assert sizes["source"] != sizes["target"]
    said = {"separate_vocabs": True, "tokenizer_class": "MarianTokenizer"}
    (there / "tokenizer_config.json").write_text(json.dumps(said), "utf-8")
    options = {"vocab_size": sizes["source"], "decoder_vocab_size": sizes["target"]}
    options |= {"share_encoder_decoder_embeddings": False, "eos_token_id": 0, "forced_eos_token_id": None}
    options |= {"decoder_start_token_id": sizes["target"] - 1, "pad_token_id": sizes["target"] - 1}
    case = ALL["marian"]
    model = getattr(transformers, case[0])(getattr(transformers, case[1])(**{**case[2], **options}))
    model.save_pretrained(there)
    theirs = transformers.MarianTokenizer.from_pretrained(there)
    import_checkpoint(there, tmp_path / "run")
    export_checkpoint(tmp_path / "run", tmp_path / "back")
    import_checkpoint(tmp_path / "back", tmp_path / "again")
    (there / "tokenizer.json").write_bytes((tmp_path / "back/tokenizer.json").read_bytes())  # the source's
    import_checkpoint(there, tmp_path / "other")
    for run in ("run", "again", "other"):
        task: Any = regard.load(tmp_path / run).task
        for text in [*TEXTS[:2], ">>de<< Hello, world!"]:
            assert [*task.source.encode(text), task.source.eos] == theirs(text)["input_ids"]
        for text in sides["target"]:
            ids = theirs(text_target=text)["input_ids"]
            assert [*task.target.encode(text), task.target.eos] == ids
            assert task.target.decode(ids[:-1]) == theirs.decode(ids, skip_special_tokens=True)


@pytest.mark.filterwarnings("ignore:Recommended")  # what normalises punctuation is left to the user
def test_marians_two_models_with_one_list_of_ids_cut_as_its_library_does(tmp_path: Path) -> None:
    transformers, library = pytest.importorskip("transformers"), pytest.importorskip("sentencepiece")
    sides = {"source": TEXTS, "target": ["Guten Tag, schöne Welt!", "Ein Mann fährt Rad.", "Das ist gut."]}
    pieces: dict[str, None] = {"</s>": None, "<unk>": None}
    for side, texts in sides.items():
        (tmp_path / "text.txt").write_text("\n".join(text for text in texts * 20 if text), "utf-8")
        prefix, hard = str(tmp_path / side), False
        library.SentencePieceTrainer.train(
            input=str(tmp_path / "text.txt"),
            model_prefix=prefix,
            vocab_size=70,
            hard_vocab_limit=hard,
            minloglevel=5,
        )
        (tmp_path / f"{side}.model").rename(tmp_path / f"{side}.spm")
        model = library.SentencePieceProcessor(model_file=str(tmp_path / f"{side}.spm"))
        pieces |= {model.id_to_piece(index): None for index in range(3, model.get_piece_size())}
    names = [*pieces, ">>de<<", "<pad>"]
    (tmp_path / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}), "utf-8")
    theirs = transformers.MarianTokenizer.from_pretrained(tmp_path)
    options = {"size": len(names), "begin": len(names) - 1, "end": "eos"}
    source = find_tokenizer(folder_of(tmp_path)).tokenizer(**options)
    target = find_tokenizer(folder_of(tmp_path), "target").tokenizer(**options)
    for text in [*TEXTS[:2], ">>de<< Hello, world!"]:
        assert [*source.encode(text), source.eos] == theirs(text)["input_ids"]
        ids = source.encode(text)
        assert source.decode(ids) == target.decode(ids)
    for text in sides["target"]:
        assert [*target.encode(text), target.eos] == theirs(text_target=text)["input_ids"]
    assert source.pieces(range(source.size)) == target.pieces(range(target.size))
