"""Tokenizers of every form that a folder can have cut texts as the reference library does, or are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from regard.data.tokenizer import Tokenizer
from regard.errors import CheckpointError
from tests.interop.tokenizer_folders import (
    CORPUS,
    FORMS,
    JSON_FORMS,
    differing,
    marian,
    opened,
    roles,
    saved_again,
    sentencepiece,
    varied,
    wordpiece,
    write,
)
from tests.shared import refused

transformers = pytest.importorskip("transformers")
pytest.importorskip("sentencepiece")

SIZE = 1000
BERT = {"begin": "cls", "end": "sep"}


def theirs_of(folder: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(folder)


def check_alike(folder: Path, texts: list[str], **options: Any) -> None:
    """The same ids as the reference library's, also after our tokenizer has been kept and read again."""
    theirs, ours = theirs_of(folder), opened(folder, SIZE, **options)
    again = Tokenizer.from_json(ours.to_json())
    for text in texts:
        want = theirs.encode(text, add_special_tokens=False)
        assert ours.encode(text) == want, (text, theirs.convert_ids_to_tokens(want))
        assert again.encode(text) == want
        assert ours.encode_with_offsets(text)[0] == want


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_without_tokenizer_json_cuts_as_its_class_does(form: str, tmp_path: Path) -> None:
    check_alike(write(tmp_path, FORMS[form]()), varied(300), **roles(form))


@pytest.mark.parametrize("form", [*FORMS, *JSON_FORMS])
def test_a_tokenizer_json_cuts_as_its_class_does(form: str, tmp_path: Path) -> None:
    folder = write(tmp_path, (FORMS | JSON_FORMS)[form]())
    check_alike(folder if form in JSON_FORMS else saved_again(folder), varied(300), **roles(form))


@pytest.mark.parametrize("form", FORMS)
def test_what_is_written_of_it_frames_texts_as_its_class_does(form: str, tmp_path: Path) -> None:
    folder = write(tmp_path, FORMS[form]())
    written = Backend.from_str(opened(folder, SIZE, **roles(form)).to_hf())
    theirs = theirs_of(folder)
    for first, second in (("the red cat", None), ("the red cat", "a dog")):
        got = written.encode(first, second)
        want = theirs(first, second)
        assert got.ids == want["input_ids"]
        assert got.type_ids == want.get("token_type_ids", got.type_ids)


@pytest.mark.parametrize("where", ["added_tokens.json", "added_tokens_decoder"])
@pytest.mark.parametrize("form", ["vocab.txt", "gpt2", "qwen2", "llama"])
def test_tokens_that_were_added_later_are_cut_as_one(form: str, where: str, tmp_path: Path) -> None:
    files = FORMS[form]()
    folder = write(tmp_path, files)
    base = len(theirs_of(folder))
    tokens = {"katzenhaus": base, "<|user|>": base + 1, "<|im_end|>": base + 2}
    said = files["tokenizer_config.json"]
    if where == "added_tokens.json":
        write(folder, {where: tokens, "special_tokens_map.json": {"additional_special_tokens": ["<|user|>"]}})
    else:
        said[where] = {
            str(index): {"content": name, "special": name == "<|user|>", "normalized": name == "katzenhaus"}
            for name, index in tokens.items()
        }
        write(folder, {"tokenizer_config.json": said})
    texts = ["the katzenhaus is red", "katzenhaus", "a<|im_end|>b <|im_end|>", *varied(40)]
    check_alike(folder, texts, **roles(form))
    ours, theirs = opened(folder, SIZE, **roles(form)), theirs_of(folder)
    assert base + 1 not in ours.encode("<|user|>hello")  # a special token cannot be written in a text
    assert base + 1 in ours.special_ids
    framed = "<|user|>hello the katzenhaus<|im_end|>"
    assert ours.encode_framed(framed) == theirs.encode(framed, add_special_tokens=False)


def test_added_tokens_whose_ids_leave_a_gap_are_refused_by_name(tmp_path: Path) -> None:
    folder = write(tmp_path, FORMS["gpt2"]() | {"added_tokens.json": {"katzenhaus": 900}})
    with refused(CheckpointError, where="added_tokens.json", key="katzenhaus", value=900):
        opened(folder, SIZE)


@pytest.mark.parametrize(
    "said", [{}, {"do_lower_case": False}, {"do_lower_case": True}, {"strip_accents": False}]
)
@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("name", ["BertTokenizer", "BertTokenizerFast", "PreTrainedTokenizerFast", None])
def test_keys_that_contradict_tokenizer_json_are_obeyed(
    said: dict[str, Any], lowercase: bool, name: str | None, tmp_path: Path
) -> None:
    named = {"tokenizer_class": name} if name else {}
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    files = {
        "tokenizer.json": wordpiece(lowercase).to_str(),
        "tokenizer_config.json": {**special, **named, **said},
        "config.json": {"model_type": "bert"},
    }
    check_alike(write(tmp_path, files), ["The RED Cat, très été", *varied(20)], **BERT)


@pytest.mark.parametrize("said", [{}, {"add_prefix_space": True}, {"add_prefix_space": False}])
@pytest.mark.parametrize("form", ["gpt2", "roberta", "qwen2"])
def test_a_prefix_space_beside_tokenizer_json_is_obeyed(
    form: str, said: dict[str, Any], tmp_path: Path
) -> None:
    files = FORMS[form]()
    folder = write(tmp_path, files)
    text = opened(folder, SIZE, **roles(form)).to_hf()
    write(folder, {"tokenizer.json": text, "tokenizer_config.json": files["tokenizer_config.json"] | said})
    check_alike(folder, ["the red cat", " the red cat", *varied(20)], **roles(form))


def test_a_beginning_that_is_asked_for_stands_before_what_goes_on(tmp_path: Path) -> None:
    for said, begins in (({"add_bos_token": True}, True), ({"add_bos_token": False}, False)):
        for form in ("llama", "gpt2"):
            files = FORMS[form]()
            files["tokenizer_config.json"] |= said
            folder = write(tmp_path / f"{form}{begins}", files)
            ours = opened(folder, SIZE)
            assert ours.encode_prompt("the red cat") == theirs_of(folder)("the red cat")["input_ids"]
            assert ours.spec.begins is begins


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("gpt2", {"add_eos_token": True}),
        ("vocab.txt", {"tokenizer_class": "BertJapaneseTokenizer"}),
        ("vocab.txt", {"word_tokenizer_type": "mecab"}),
        ("vocab.txt", {"tokenizer_class": "BertweetTokenizer"}),
        ("vocab.txt", {"tokenizer_class": "XLNetTokenizer"}),
        ("vocab.txt", {"do_basic_tokenize": False}),
        ("vocab.txt", {"do_lower_case": "no"}),
        ("gpt2", {"tokenizer_class": "CLIPTokenizer"}),
        ("gpt2", {"auto_map": {"AutoTokenizer": ["t.T", None]}}),
        ("t5", {"tokenizer_class": "AlbertTokenizer"}),
    ],
)
def test_a_key_that_cannot_be_honoured_is_refused_by_name(
    form: str, said: dict[str, Any], tmp_path: Path
) -> None:
    files = FORMS[form]()
    files["tokenizer_config.json"] |= said
    ((key, value),) = said.items()
    with refused(CheckpointError, where="tokenizer_config.json", key=key, value=json.dumps(value)):
        opened(write(tmp_path, files), SIZE)


def test_words_that_a_program_cuts_are_refused_beside_tokenizer_json_too(tmp_path: Path) -> None:
    said = {"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "mecab"}
    folder = write(tmp_path, {"tokenizer.json": wordpiece().to_str(), "tokenizer_config.json": said})
    with refused(CheckpointError, key="word_tokenizer_type"):
        opened(folder, SIZE, **BERT)


def test_a_token_without_a_row_in_the_model_is_named_with_its_id_and_both_sizes(tmp_path: Path) -> None:
    backend = wordpiece()
    size = backend.get_vocab_size()
    backend.add_special_tokens([AddedToken("<extra>", special=True)])
    said = {"cls_token": "[CLS]", "sep_token": "[SEP]", "tokenizer_class": "BertTokenizer"}
    folder = write(tmp_path, {"tokenizer.json": backend.to_str(), "tokenizer_config.json": said})
    with refused(CheckpointError, key="<extra>", value=size, limit=size):
        opened(folder, size, **BERT)


@pytest.mark.filterwarnings("ignore:Recommended")  # what normalises punctuation is left to the user
@pytest.mark.parametrize("rule", ["nmt_nfkc", "nfkc", "identity"])
def test_marians_pieces_that_only_the_other_side_has_are_never_chosen(rule: str, tmp_path: Path) -> None:
    folder, size = marian(tmp_path, rule)
    assert differing(folder, "marian", varied(300, forms=("NFC", "NFD")), size) == []


@pytest.mark.filterwarnings("ignore:Recommended")  # what normalises punctuation is left to the user
def test_letters_that_only_marians_other_side_has_are_looked_up_together(tmp_path: Path) -> None:
    """In what is written, too, which the reference library runs by itself."""
    library = pytest.importorskip("sentencepiece")
    sides = {"source": [0, 1, 2], "target": [3, 4, 5, 6, 7, 8, 10]}
    models = {
        f"{side}.spm": sentencepiece(
            size=300, corpus=[CORPUS[line] for line in lines] * 12, normalization_rule_name="identity"
        )
        for side, lines in sides.items()
    }
    pieces: dict[str, None] = {"</s>": None, "<unk>": None}
    for model in models.values():
        processor = library.SentencePieceProcessor(model_proto=model)
        pieces |= {processor.id_to_piece(index): None for index in range(3, processor.get_piece_size())}
    ids = {name: index for index, name in enumerate([*pieces, "<pad>"])}
    beside = {"tokenizer_config.json": {"tokenizer_class": "MarianTokenizer"}, "vocab.json": ids}
    folder = write(tmp_path, {**models, **beside, "config.json": {"model_type": "marian"}})
    theirs = transformers.MarianTokenizer.from_pretrained(folder)
    texts = [
        "é",
        "éé x",
        "a한b",
        "중국어를 中国 é我 x中y",
        "ắằ",
        *CORPUS[:11],
        *varied(100, forms=("NFC", "NFD")),
    ]
    for side, name in (("source", "text"), ("target", "text_target")):
        ours = opened(folder, len(ids), side, begin=len(ids) - 1)
        written = Backend.from_str(ours.to_hf())
        for text in texts:
            want = theirs(**{name: text})["input_ids"]
            assert [*ours.encode(text), ours.eos] == want, text
            assert written.encode(text).ids == want, text


@pytest.mark.parametrize("form", ["t5", "xlm-roberta", "camembert", "llama"])
def test_special_tokens_are_text_to_a_sentencepiece_model(form: str, tmp_path: Path) -> None:
    library = pytest.importorskip("sentencepiece")
    files = FORMS[form]()
    model = next(content for content in files.values() if isinstance(content, bytes))
    processor = library.SentencePieceProcessor(model_proto=model)
    folder = write(tmp_path, files)
    converted = opened(folder, SIZE, **roles(form))
    theirs_of(folder).save_pretrained(folder)  # with a tokenizer.json
    for ours in (converted, opened(folder, SIZE, **roles(form))):
        for name in ("</s>", "<s>", "<pad>", "<unk>", "<mask>", "<extra_id_0>", "<0x41>", "<s>NOTUSED"):
            for text in (name, f"the red {name} cat", f"a{name}b", f"{name} {name}"):
                ids = ours.encode(text)
                assert not set(ids) & (set(ours.special_ids) - {ours.unk})
                want = processor.encode_as_pieces(text)
                if all(processor.piece_to_id(piece) != processor.unk_id() for piece in want):
                    assert ours.pieces(ids) == want, text


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_special_and_byte_pieces_are_text_whatever_a_model_joins(kind: str, tmp_path: Path) -> None:
    library = pytest.importorskip("sentencepiece")
    text = ["<pad> </s> <0x41> <0x0A> <s> a<unk>b", "</ s> <0x 41>"] * 50
    model = sentencepiece(kind, size=400, byte_fallback=True, pad_id=3, input_sentence_size=0)
    processor = library.SentencePieceProcessor(model_proto=model)
    folder = write(tmp_path, {"tokenizer.model": model})
    ours = opened(folder, processor.get_piece_size())
    for line in text[:2]:
        assert ours.encode(line) == processor.encode(line)
    byte = ours.encode("€ଆ")  # what no piece has is made of bytes still
    assert ours.decode(byte) == "€ଆ"
    assert byte == processor.encode("€ଆ")


@pytest.mark.parametrize("rule", ["nmt_nfkc", "nfkc", "nmt_nfkc_cf"])
@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_compiled_normalisation_is_sentencepieces_own(kind: str, rule: str, tmp_path: Path) -> None:
    library = pytest.importorskip("sentencepiece")
    model = sentencepiece(kind, normalization_rule_name=rule)
    processor = library.SentencePieceProcessor(model_proto=model)
    ours = opened(write(tmp_path, {"spiece.model": model}), processor.get_piece_size())
    for text in varied(300, forms=("NFC", "NFD", "NFKD"), seed=2):
        assert ours.encode(text) == processor.encode(text), text


@pytest.mark.parametrize("kind", ["word", "char"])
def test_a_sentencepiece_model_of_another_kind_is_not_called_damaged(kind: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"size": 40} if kind == "word" else {"size": 200}
    folder = write(tmp_path, {"spiece.model": sentencepiece(kind, **options)})
    with refused(CheckpointError, where="spiece.model", value=f"'model_type' is {kind}"):
        opened(folder, SIZE)


def test_options_that_change_how_a_text_is_cut_are_honoured_or_refused(tmp_path: Path) -> None:
    library = pytest.importorskip("sentencepiece")
    folder = write(tmp_path / "suffix", {"spiece.model": sentencepiece(treat_whitespace_as_suffix=True)})
    with refused(CheckpointError, value="'treat_whitespace_as_suffix' is true"):
        opened(folder, SIZE)
    for kind in ("unigram", "bpe"):
        for name, options in (
            ("across", {"split_by_whitespace": False}),
            ("spaces", {"allow_whitespace_only_pieces": True, "remove_extra_whitespaces": False}),
            ("bare", {"add_dummy_prefix": False}),
            ("as it is", {"normalization_rule_name": "identity"}),
            ("all kept", {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}),
            ("digits", {"split_digits": True}),
        ):
            model = sentencepiece(kind, **options)
            processor = library.SentencePieceProcessor(model_proto=model)
            ours = opened(
                write(tmp_path / f"{kind}{name}", {"spiece.model": model}), processor.get_piece_size()
            )
            for text in ["▁", " ▁a", "▁▁", "a ▁ ", "\n    x", "  \n", *varied(60)]:
                got, want = ours.encode(text), processor.encode(text)
                if (kind, name) == ("unigram", "spaces"):  # a run may be cut in two orders, equally likely
                    got, want = sorted(got), sorted(want)
                assert got == want, (name, text)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("model_type", ["mistral", "ministral", "llama"])
def test_a_space_before_a_text_that_transformers_is_of_two_minds_about_is_asked_for(
    model_type: str, named: bool, tmp_path: Path
) -> None:
    files = FORMS["llama"]() | {"config.json": {"model_type": model_type}}
    said = files.pop("tokenizer_config.json") if named else {}
    folder = write(tmp_path / "unsaid", files | {"tokenizer_config.json": said})
    if model_type == "llama" and named:
        check_alike(folder, varied(20))
        return
    with refused(CheckpointError, key="add_prefix_space", value="null", remedy="say true"):
        opened(folder, SIZE)
    for prefix in (True, False):
        said = said | {"add_prefix_space": prefix}
        folder = write(tmp_path / str(prefix), files | {"tokenizer_config.json": said})
        theirs = transformers.LlamaTokenizer.from_pretrained(folder)
        for text in varied(20):
            assert opened(folder, SIZE).encode(text) == theirs.encode(text, add_special_tokens=False), text
