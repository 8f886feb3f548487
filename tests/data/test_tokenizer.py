"""Laws of the tokenizers, for every member of the union."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import get_args

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from regard.data.tokenizer import (
    BPE,
    ByteBPE,
    Characters,
    Tokenizer,
    TokenizerSpec,
    Unigram,
    WordPiece,
    Words,
    train_pair,
    train_tokenizer,
)
from regard.data.tokenizer_given import _growth
from regard.errors import RegardError, TokenizerError
from regard.strict_json import Limit
from tests.shared import refused

TEXTS = [
    "The quick brown fox jumps over the lazy dog, doesn't it?",
    "The dogs jumped; the foxes (all of them) were jumping quickly.",
    "Zwölf große Boxkämpfer jagen Viktor quer über den Sylter Deich.",
    "我喜欢学习语言，他喜欢学习音乐。我们喜欢学习。",
    "emoji 😀 👩‍👩‍👧 and flags 🇨🇭",
    "שלום עולם  مرحبا بالعالم",
    "cafe\u0301 Ångstro\u0308m e\u0301\u0323 ﬁ Ω",
    "tab\there\tand\ttwo  spaces   three\n",
    "  leading and trailing  ",
    "<s> </s> <pad> [CLS] ## ▁ ▁▁ _",
    "ผมชอบเรียนภาษา हिन्दी में",
] * 3
KINDS = [ByteBPE(vocab=400), BPE(vocab=300), WordPiece(vocab=350), Unigram(vocab=300), Characters(), Words()]
TRAINED = [train_tokenizer(spec, TEXTS, at_most=True) for spec in KINDS]
every = pytest.mark.parametrize("tokenizer", TRAINED, ids=lambda tokenizer: tokenizer.spec.kind)

characters = st.sampled_from(sorted(set("".join(TEXTS))))
sentences = st.text(characters, max_size=60) | st.lists(
    st.sampled_from(" ".join(TEXTS).split(" ")), max_size=9
).map(" ".join)


def test_every_kind_of_the_union_is_tested():
    assert {type(tokenizer.spec) for tokenizer in TRAINED} == set(get_args(TokenizerSpec))


@every
@settings(max_examples=300, deadline=None)
@given(text=sentences)
def test_decoding_gives_back_the_normalised_text(tokenizer: Tokenizer, text: str):
    ids = tokenizer.encode(text)
    assert not set(ids) & {tokenizer.pad, tokenizer.bos, tokenizer.eos, tokenizer.mask}
    normal = tokenizer.normalise(text)
    if isinstance(tokenizer.spec, Words):
        known = set(normal.split(" ")) <= {*tokenizer.vocabulary.pieces}
    else:  # NFC may join two known characters to one that is not
        known = isinstance(tokenizer.spec, ByteBPE) or set(normal) <= {" ", *tokenizer.vocabulary.pieces}
    assert not known or tokenizer.decode(ids) == normal


@every
@settings(max_examples=300, deadline=None)
@given(text=st.text(st.characters(codec=None), max_size=40))
def test_any_text_at_all_is_encoded_decoded_and_shown(tokenizer: Tokenizer, text: str):
    ids = tokenizer.encode(text)
    assert all(0 <= i < tokenizer.size for i in ids)
    assert not set(ids) & {tokenizer.pad, tokenizer.bos, tokenizer.eos, tokenizer.mask}
    assert [ids] == tokenizer.encode_batch([text])
    assert len(tokenizer.pieces(ids)) == len(tokenizer.encode_with_offsets(text)[1]) == len(ids)
    assert all(0 <= start <= end <= len(text) for start, end in tokenizer.encode_with_offsets(text)[1])
    decoded = tokenizer.decode(ids)
    decoded.encode()
    if tokenizer.unk not in ids:
        assert decoded == tokenizer.normalise(text)


@every
def test_normalising_is_what_the_specification_says(tokenizer: Tokenizer):
    expected = {
        "byte-bpe": "  Cafe\u0301 \t我们 ▁ (a, b) </s>\ud800 ",
        "bpe": "  Café \t我们   (a, b) </s>\ud800 ",
        "unigram": "  Café \t我们   (a, b) </s>\ud800 ",
        "characters": "  Café \t我们 ▁ (a, b) </s>\ud800 ",
        "words": "Café 我们 ▁ (a, b) < /s>\ud800",
        "wordpiece": "Café我们▁ (a, b) < / s >",
    }[tokenizer.spec.kind].replace("\ud800", "\ufffd")
    assert tokenizer.normalise("  Cafe\u0301 \t我们 ▁ (a, b) </s>\ud800 ") == expected


@every
def test_a_tokenizer_comes_back_from_json(tokenizer: Tokenizer):
    again = Tokenizer.from_json(tokenizer.to_json())
    assert again == tokenizer
    assert again.sample == tokenizer.sample
    assert again.to_json() == tokenizer.to_json()
    assert again.encode_batch(TEXTS) == tokenizer.encode_batch(TEXTS)


@every
def test_training_twice_gives_the_same_to_the_bit(tokenizer: Tokenizer):
    assert train_tokenizer(tokenizer.spec, iter(TEXTS), at_most=True).to_json() == tokenizer.to_json()


def test_training_in_another_process_gives_the_same_to_the_bit():
    code = (
        "import sys, json\n"
        "from regard.data.tokenizer import *\n"
        "texts = json.loads(sys.stdin.read())\n"
        "for spec in (WordPiece(vocab=350), Unigram(vocab=300)):\n"
        "    print(json.dumps(train_tokenizer(spec, texts, at_most=True).to_json()))\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(TEXTS),
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert [json.loads(line) for line in out.stdout.splitlines()] == [
        TRAINED[2].to_json(),
        TRAINED[3].to_json(),
    ]


@every
def test_special_ids_are_the_same_for_every_kind_and_left_out_of_the_text(tokenizer: Tokenizer):
    assert (tokenizer.pad, tokenizer.unk, tokenizer.bos, tokenizer.eos) == (0, 1, 2, 3)
    assert tokenizer.mask == (4 if tokenizer.spec.kind == "wordpiece" else None)
    ids = tokenizer.encode("The lazy dog")
    assert tokenizer.decode([2, *ids, 3, 0, 0]) == tokenizer.decode(ids)
    assert tokenizer.pieces([0, 1, 2, 3]) == list(tokenizer.special[:4])
    assert "\ufffd" in tokenizer.decode([1])
    for wrong in (-1, tokenizer.size):
        with pytest.raises(TokenizerError, match=str(wrong)):
            tokenizer.decode([wrong])
    assert tokenizer.decode([]) == tokenizer.decode(tokenizer.encode("")) == ""


@every
def test_offsets_point_at_what_a_token_stands_for(tokenizer: Tokenizer):
    text = "The  quick fox, 我喜欢 dogs"
    spans = tokenizer.encode_with_offsets(text)[1]
    covered = {i for start, end in spans for i in range(start, end)}
    assert {i for i, letter in enumerate(text) if not letter.isspace()} <= covered
    assert spans == sorted(spans)
    if not isinstance(tokenizer.spec, Characters):
        assert all(text[start:end] == text[start:end].strip() or end - start == 1 for start, end in spans)
    # Bytes of one character share its place.
    words = ["".join(text[start:end].split()) for start, end in sorted(set(spans))]
    assert "".join(words) == "".join(text.split())


@every
def test_the_file_for_hugging_face_gives_the_same_ids_and_text(tokenizer: Tokenizer):
    backend = tokenizers.Tokenizer.from_str(tokenizer.to_hf())
    backend.encode_special_tokens = True
    for text in TEXTS:
        assert backend.encode(text).ids == tokenizer.encode(text)
        if not isinstance(tokenizer.spec, WordPiece | Words):  # their spacing is ours alone
            assert backend.decode(tokenizer.encode(text)) == tokenizer.decode(tokenizer.encode(text))
    assert backend.token_to_id(tokenizer.special[3]) == tokenizer.eos


@pytest.mark.parametrize("kind", [ByteBPE, BPE, WordPiece, Unigram, Words])
def test_a_vocabulary_larger_than_the_data_allow_says_how_large_it_can_be(kind):
    with refused(TokenizerError, value=5000) as caught:
        train_tokenizer(kind(vocab=5000), TEXTS)
    tokenizer = train_tokenizer(kind(vocab=5000), TEXTS, at_most=True)
    assert caught.value.limit == tokenizer.size
    exact = train_tokenizer(kind(vocab=tokenizer.size), TEXTS)
    assert exact.size == tokenizer.size


@pytest.mark.parametrize("spec", KINDS[:4], ids=lambda spec: spec.kind)
def test_a_vocabulary_has_the_size_asked_for(spec):
    assert train_tokenizer(spec, TEXTS).size == spec.vocab


@pytest.mark.parametrize("spec", KINDS, ids=lambda spec: spec.kind)
def test_no_text_gives_no_tokenizer(spec):
    for texts in ([], ["", ""]):
        with refused(TokenizerError, remedy="give at least one line that is not empty"):
            train_tokenizer(spec, texts)


@pytest.mark.parametrize(("kind", "vocab"), [(BPE, 0), (ByteBPE, 259), (Words, -1), (Unigram, 1 << 40)])
def test_a_size_out_of_range_is_refused(kind, vocab):
    with pytest.raises(TokenizerError, match=str(vocab)):
        kind(vocab=vocab)


def test_specs_are_chosen_by_their_kind():
    adapter = TypeAdapter(TokenizerSpec)
    assert [adapter.validate_python(adapter.dump_python(spec)) for spec in KINDS] == KINDS


def test_lower_case_and_nfc_are_as_the_spec_says():
    for kind in (ByteBPE, BPE, WordPiece, Unigram):
        tokenizer = train_tokenizer(kind(vocab=300, lowercase=True, nfc=True), TEXTS, at_most=True)
        assert tokenizer.decode(tokenizer.encode("THE CAFE\u0301")) == "the café"
        assert tokenizer.encode("The Café") == tokenizer.encode("the cafe\u0301")
    plain = train_tokenizer(Characters(nfc=False), ["e\u0301"])
    assert len(plain.encode("e\u0301")) == 2


def test_bytes_are_shown_as_text_where_they_are_text():
    tokenizer = train_tokenizer(ByteBPE(vocab=260), ["a"], at_most=True)
    assert tokenizer.pieces(tokenizer.encode("a b\té")) == ["a", "▁", "b", "\t", "<0xC3>", "<0xA9>"]
    assert tokenizer.decode(tokenizer.encode("é")[:1]) == "\ufffd"


def test_words_spelled_like_special_tokens_stay_plain_text():
    tokenizer = train_tokenizer(Words(), ["<s> <unk> a </s>"])
    assert tokenizer.encode("<unk> a") == [tokenizer.unk, tokenizer.encode("a")[0]]
    for text in ("<s>", "</s>", "<pad>"):
        assert min(tokenizer.encode(text)) > tokenizer.eos or tokenizer.unk in tokenizer.encode(text)


def test_a_sample_is_even_bounded_and_stated():
    texts = [f"word{i}" for i in range(20_000)]
    words = train_tokenizer(Words(), iter(texts), sample_bytes=64_000)
    assert words.sample is not None
    assert words.sample.seen == 20_000
    assert 500 <= words.sample.texts <= 2_000
    assert words.sample.size == sum(map(len, words.vocabulary.pieces))
    assert words.sample.texts == words.size - 4
    numbers = [int(word.removeprefix("word")) for word in words.vocabulary.pieces]
    assert 8_500 < sum(numbers) / len(numbers) < 11_500


def test_a_sample_of_alternating_sides_holds_both():
    texts = [side for i in range(5_000) for side in (f"s{i}", f"t{i}")]
    words = train_tokenizer(Words(), texts, sample_bytes=64_000).vocabulary.pieces
    assert 0.4 < sum(word[0] == "s" for word in words) / len(words) < 0.6


def test_pairs_get_one_joint_tokenizer_or_two_of_the_same_sample():
    pairs = [(f"source{i}", f"target{i} x") for i in range(5_000)]
    joint, same = train_pair(Words(), None, iter(pairs))
    assert joint is same
    assert joint.size == 4 + 10_001
    source, target = train_pair(Words(), Characters(), iter(pairs), sample_bytes=5_000)
    assert source.sample.texts == target.sample.texts < 5_000
    assert source.unk not in source.encode("source" + source.vocabulary.pieces[0].removeprefix("source"))
    assert target.decode(target.encode("target1 x")) == "target1 x"
    with refused(TokenizerError, value=4000, limit=177, where="target side"):
        train_pair(Words(), BPE(vocab=4000), pairs)


def test_a_long_line_takes_no_unreasonable_time():
    line = "我爱abc" * 20_000
    for tokenizer in TRAINED:
        assert tokenizer.encode_batch([line])


GARBAGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=9,
)


@settings(max_examples=300, deadline=None)
@given(text=st.text() | GARBAGE.map(json.dumps))
def test_garbage_is_no_tokenizer(text: str):
    with pytest.raises(TokenizerError):
        Tokenizer.from_json(text)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_changed_file_gives_a_working_tokenizer_or_one_clear_error(data):
    content = json.loads(data.draw(st.sampled_from(SMALL)))
    place: object = content
    while True:  # walk to some value and put another there
        assert isinstance(place, dict | list)
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    replaced = data.draw(GARBAGE | st.sampled_from([1, 5, 300, "<s>", "a", [], ["a", "b"], -1.5]))
    place[key] = replaced
    try:
        tokenizer = Tokenizer.from_json(json.dumps(content))
    except RegardError as error:
        sentence = str(error)
    else:
        sentence = "".join(tokenizer.decode(tokenizer.encode(text)) for text in ("ab ba", "</s>", "我"))
    assert sentence
    assert "\n" not in sentence


SMALL = [train_tokenizer(spec, ["ab ab", "ba 我我"], at_most=True).to_json() for spec in KINDS]


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_file_with_changed_characters_gives_a_working_tokenizer_or_one_clear_error(data):
    text = data.draw(st.sampled_from(SMALL))
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.text(max_size=2)) + text[at + data.draw(st.integers(0, 3)) :]
    answer = "a tokenizer"
    try:
        Tokenizer.from_json(changed).encode("ab 我")
    except RegardError as error:
        answer = str(error)
    assert "tokenizer" in answer


def test_a_file_cut_deep_or_huge_is_refused(monkeypatch: pytest.MonkeyPatch):
    for text in ("", SMALL[0][:-9], "[" * 100_000, '{"format": "regard-tokenizer", "version": 2}'):
        with pytest.raises(TokenizerError):
            Tokenizer.from_json(text)
    monkeypatch.setattr("regard.data.tokenizer_file.VOCABULARY", Limit(10, 10))
    with refused(
        TokenizerError, value="it is not JSON that can be used (it is larger", where="the tokenizer"
    ):
        Tokenizer.from_json(SMALL[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_can_encode_without_a_warning():
    code = (
        "import os, sys\n"
        "from regard.data.tokenizer import *\n"
        "t = train_tokenizer(BPE(vocab=20), ['ab ab ab'] * 9, at_most=True)\n"
        "t.encode_batch(['ab'] * 999)\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    os._exit(len(t.encode_batch(['ab'] * 999)) != 999)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert 'TOKENIZERS_PARALLELISM' not in os.environ\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "TOKENIZERS_PARALLELISM"}
    out = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert (out.returncode, out.stderr) == (0, "")


def test_nfc_is_that_of_unicode():
    text = "e\u0323\u0301 \u1100\u1161 Å"
    assert TRAINED[1].normalise(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("part", ["normalizers", "decoders"])
def test_a_sequence_of_no_steps_makes_one_character_of_one(part: str) -> None:
    inner = {"type": "Sequence", part: []}
    assert _growth(inner) == _growth({"type": "Sequence", part: [inner, inner]}) == 1
