"""Tokens stand somewhere: every character that is not white space lies in some token's place.

For every kind of tokenizer that is trained here and every one that can be imported, on composed and on
decomposed text.
"""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regard.data.token_places import cover
from regard.data.tokenizer import (
    BPE,
    ByteBPE,
    Characters,
    Tokenizer,
    Unigram,
    WordPiece,
    Words,
    train_tokenizer,
)
from tests.interop.tokenizer_folders import CORPUS, FORMS, opened, roles, wordpiece, write

_SPECS = [
    *(ByteBPE(vocab=400, nfc=nfc, lowercase=nfc) for nfc in (False, True)),
    *(kind(vocab=300, lowercase=low) for kind in (BPE, WordPiece, Unigram) for low in (False, True)),
    *(kind(lowercase=low) for kind in (Characters, Words) for low in (False, True)),
]
TEXTS = [
    "Anna Café lives in Zürich — “Zoë” since 1999.",
    "tiếng Việt có nhiều dấu ắ ệ ợ",
    "한국어를 배우고 싶어요",
    "ガラスとパン、私はガガガ",
    "a 🙂 b 👩‍👩‍👧 🇨🇭 e\u0301te\u0301 q\u0323\u0307 q\u0307\u0323",
    "İstanbul ÅNGSTRÖM İİİ x straße ﬁne ①½ ﷺ",
    "a\u200bb a\u2028b \ufeffc \u200b d\u200b\u0000 \u00ade",
    "x\r\ny\tz\x0bw \x85d\x1ce  lead \u3000猫",
    "<s> </s> [SEP] [MASK] <unk> ▁the ##x <0x41> <pad>",
    "\u0301 \u0301a ا\u0651\u064e हिन्दी ไทย 𝔘𝔫𝔦",
]


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    pytest.importorskip("sentencepiece")
    place = tmp_path_factory.mktemp("forms")
    made: dict[str, Tokenizer] = {
        f"{spec}": train_tokenizer(spec, CORPUS + TEXTS, at_most=True) for spec in _SPECS
    }
    for form, files in FORMS.items():
        folder = write(place / form, files())
        made[form] = opened(folder, 1000, **roles(form))
        json_too = write(place / f"{form}.json", {"tokenizer.json": made[form].to_hf()})
        made[f"{form} as tokenizer.json"] = opened(json_too, 1000, **roles(form))
    folder = write(place / "json", {"tokenizer.json": wordpiece().to_str()})
    return made | {"tokenizer.json": opened(folder, 1000, begin="cls", end="sep")}


def check(tokenizer: Tokenizer, text: str) -> list[tuple[int, int]]:
    ids, places = tokenizer.encode_with_offsets(text)
    assert ids == tokenizer.encode(text)
    assert len(places) == len(ids)
    assert all(0 <= start <= end <= len(text) for start, end in places)
    within = {index for start, end in places for index in range(start, end)}
    lost = [index for index, letter in enumerate(text) if index not in within and not letter.isspace()]
    assert not ids or not lost, (text, [text[index] for index in lost], places)
    return places


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_every_character_lies_in_a_place(tokenizers: dict[str, Tokenizer], form: str) -> None:
    for tokenizer in tokenizers.values():
        for text in TEXTS:
            check(tokenizer, unicodedata.normalize(form, text))


def test_every_character_of_any_text_lies_in_a_place(tokenizers: dict[str, Tokenizer]) -> None:
    letters = st.sampled_from(sorted(set("".join(TEXTS) + unicodedata.normalize("NFD", "".join(TEXTS)))))

    @settings(max_examples=60, deadline=None)
    @given(text=st.text(letters, max_size=30) | st.text(st.characters(codec="utf-8"), max_size=20))
    def holds(text: str) -> None:
        for tokenizer in tokenizers.values():
            check(tokenizer, text)

    holds()


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_words_tokens_stand_within_the_word(tokenizers: dict[str, Tokenizer], form: str) -> None:
    """So that what is read off a text by them begins and ends where the word does."""
    words = unicodedata.normalize(form, " ".join(TEXTS[:4])).split(" ")
    text = " ".join(words)
    spans, at = [], 0
    for word in words:
        spans.append((at, at + len(word)))
        at += len(word) + 1
    for name, tokenizer in tokenizers.items():
        places = check(tokenizer, text)
        for start, end in spans:
            inside = [place for place in places if place[0] < end and place[1] > start]
            found = min(first for first, _ in inside), max(last for _, last in inside)
            assert found == (start, end), (name, text[start:end], [text[a:b] for a, b in inside])


def test_what_nobody_claims_goes_to_the_letter_before_it_and_after_white_space_to_the_one_after() -> None:
    assert cover("ae\u0301 b", [(0, 1), (1, 2), (4, 5)]) == [(0, 1), (1, 3), (4, 5)]
    assert cover("a \u200bb", [(0, 1), (3, 4)]) == [(0, 1), (2, 4)]
    assert cover("\u200bb", [(1, 2)]) == [(0, 2)]
    assert cover("a\u0301 \u200bb", [(0, 1), (4, 5)]) == [(0, 2), (3, 5)]
    assert cover("a \u200b", [(0, 1)]) == [(0, 3)]
    assert cover("xx", []) == []
    assert cover("e\u0301", [(0, 1), (0, 1)]) == [(0, 2), (0, 2)]  # bytes of one letter
