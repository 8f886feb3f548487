"""SentencePiece's compiled normalisation is done as SentencePiece does it."""

from __future__ import annotations

import io
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regard.data.charsmap import Charsmap

library = pytest.importorskip("sentencepiece")

TEXTS = [
    "tiếng Việt ắ ệ ợ ữ Ắ",
    "한국어를 배우고",
    "ガラスとパン",
    "ﬁ ½ Ⅷ ｆｕｌｌ ① ﷺ",
    "a\u00a0b\u3000c\u200bd\r\ne",
    "é",
]


def model_of(**options: object) -> tuple[object, bytes]:
    """A SentencePiece model that keeps white space as it is, and its table."""
    written = io.BytesIO()
    library.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c d"] * 20),
        model_writer=written,
        vocab_size=12,
        hard_vocab_limit=False,
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
        minloglevel=5,
        **options,
    )
    from regard.interop.sentencepiece import _parse

    return library.SentencePieceProcessor(model_proto=written.getvalue()), _parse(written.getvalue()).charsmap


@pytest.mark.parametrize("rule", ["nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf"])
def test_any_text_becomes_what_sentencepiece_makes_of_it(rule: str) -> None:
    processor, table = model_of(normalization_rule_name=rule)
    charsmap = Charsmap(table)

    @settings(max_examples=300, deadline=None)
    @given(
        text=st.text(st.sampled_from(sorted(set(unicodedata.normalize("NFD", "".join(TEXTS)))))) | st.text()
    )
    def holds(text: str) -> None:
        text = text.replace("\0", "").replace("▁", "")
        made, places = charsmap.aligned(text)
        assert made == charsmap.normalise(text) == processor.normalize(text).replace("▁", " ")
        assert len(places) == len(made)
        assert places == sorted(places)

    holds()
    for text in TEXTS:
        for form in ("NFC", "NFD", "NFKD"):
            holds.hypothesis.inner_test(unicodedata.normalize(form, text))


def test_rules_of_ones_own_are_followed_the_longest_first(tmp_path_factory: pytest.TempPathFactory) -> None:
    rules = tmp_path_factory.mktemp("rules") / "rules.tsv"
    rows = [("a", "1"), ("ab", "2"), ("abcd", "3"), ("e\u0301", "E")]
    row = [
        " ".join(f"{ord(letter):04X}" for letter in left) + "\t" + f"{ord(right):04X}" for left, right in rows
    ]
    rules.write_text("\n".join(row) + "\n", "utf-8")
    processor, table = model_of(normalization_rule_tsv=str(rules))
    charsmap = Charsmap(table, ["cab"])
    for text in ("abcde\u0301", "abc", "aab abcdabc", "ab" * 5, "eab"):
        assert charsmap.normalise(text) == processor.normalize(text).replace("▁", " ")
    assert charsmap.normalise("cab ab") == "cab 2"  # what is to stay whole stays


def test_where_what_was_made_comes_from_is_told() -> None:
    _, table = model_of(normalization_rule_name="nfkc")
    made, places = Charsmap(table).aligned("e\u0301ﬁx")
    assert (made, places) == ("éfix", [(0, 2), (2, 3), (2, 3), (3, 4)])


@settings(max_examples=300, deadline=None)
@given(table=st.binary(max_size=80), text=st.text(max_size=10))
def test_any_bytes_are_a_table_or_refused(table: bytes, text: str) -> None:
    try:
        made = Charsmap(table).normalise(text)
    except (ValueError, IndexError):
        return
    assert isinstance(made, str)
