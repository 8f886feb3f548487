"""Any bytes at all are rows or one sentence."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regard.data.readers import open_data
from regard.errors import RegardError
from tests.data.tables import table_bytes

PAIR = (None, None)
PAIRS = [(f"source {number}", f"target {number}") for number in range(200)]
FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
_PIECES = [b"\t", b"\n", b"\r\n", b"\r", b",", b'"', b'""', b" ", b"", b"\0", b"\xff", b"\xef\xbb\xbf", b"a"]
_PIECES += [b"source", b"target", "字".encode(), b"{", b"}", b"[", b"]", b":", b"null", b"1e999", b"\\ud800"]
_PIECES += [b'{"source": "a", "target": "b"}\n', b'{"source": 1}\n', b"a b\tc d\n", b"a b,c d\n"]
ANY_BYTES = st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(_PIECES), max_size=40).map(b"".join))
HEADERS = {"tsv": b"source\ttarget\n", "csv": b"source,target\n", "jsonl": b"", "txt": b"", "tsv.gz": b""}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def law_of_any_bytes(path: Path, columns: tuple[str | None, ...]) -> None:
    """Rows or a RegardError, nothing else; and with `skip` every row is accounted for."""
    for on_error in ("refuse", "skip"):
        message = ""
        try:
            data = open_data(path, columns, on_error=on_error, whole=True)
            rows = [row for split in data.splits.values() for row in split]
        except RegardError as error:
            message = str(error)
        if message:
            assert "\n" not in message
            continue
        assert data.report.kept == len(rows)
        assert data.report.kept + sum(data.report.skipped.values()) == data.report.read
        for row in rows:
            assert len(row.values) == len(columns)
            assert not any("\0" in value or value.encode() is None for value in row.values)
            assert len(columns) == 1 or all(value.strip() for value in row.values)


@pytest.mark.parametrize("form", HEADERS)
def test_any_bytes_give_rows_or_one_sentence(place: Path, form: str) -> None:
    path = place / f"any.{form}"
    columns = (None,) if form == "txt" else PAIR

    @FUZZ
    @given(content=ANY_BYTES, header=st.booleans())
    def law(content: bytes, header: bool) -> None:
        content = HEADERS[form] + content if header else content
        path.write_bytes(gzip.compress(content, 1) if form.endswith("gz") and header else content)
        law_of_any_bytes(path, columns)

    law()


def test_any_parallel_bytes_give_rows_or_one_sentence(place: Path) -> None:
    folder = place / "parallel"
    folder.mkdir()

    @FUZZ
    @given(left=ANY_BYTES, right=ANY_BYTES)
    def law(left: bytes, right: bytes) -> None:
        (folder / "all.en").write_bytes(left)
        (folder / "all.de").write_bytes(right)
        law_of_any_bytes(folder, ("en", "de"))

    law()


def test_any_parquet_bytes_give_rows_or_one_sentence(place: Path) -> None:
    path = place / "any.parquet"
    sound = table_bytes("parquet", ("source", "target"), [*PAIRS[:20], ("字", "b")])
    changes = st.lists(st.tuples(st.integers(0, len(sound) - 1), st.integers(0, 255)), max_size=6)

    @FUZZ
    @given(changes=changes, end=st.one_of(st.just(len(sound)), st.integers(0, len(sound))), junk=ANY_BYTES)
    def law(changes: list[tuple[int, int]], end: int, junk: bytes) -> None:
        content = bytearray(sound)
        for position, byte in changes:
            content[position] = byte
        path.write_bytes(bytes(content[:end]) if end else junk)
        law_of_any_bytes(path, PAIR)

    law()


@pytest.mark.parametrize("byte", [0x00, 0x02, 0x1C, 0xFF])
def test_no_byte_of_a_parquet_footer_ends_the_process(place: Path, byte: int) -> None:
    """pyarrow's metadata of a column chunk that lacks something is not raised: it aborts."""
    path = place / "footer.parquet"
    sound = table_bytes("parquet", ("source", "target"), PAIRS[:20])
    for position in range(len(sound) - 8 - int.from_bytes(sound[-8:-4], "little"), len(sound)):
        path.write_bytes(sound[:position] + bytes([byte]) + sound[position + 1 :])
        law_of_any_bytes(path, PAIR)
