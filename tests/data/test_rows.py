"""Laws of rows and reports."""

from __future__ import annotations

from itertools import pairwise

import pytest

from regard.data.rows import DataSet, Report, Row, Rows
from regard.data.splits import SINGLE_FILE, choose_by_hash, contiguous_bounds, held_out, share
from regard.errors import DataError
from tests.shared import refused


def test_rows_can_be_read_again_and_again() -> None:
    opened = []

    def opener():
        opened.append(1)
        yield from (Row((str(number),), f"x:{number}") for number in range(3))

    rows = Rows(opener)
    assert not opened, "nothing is read before it is asked for"
    assert list(rows) == list(rows) != []
    assert rows.count() == 3


def test_two_readers_of_the_same_rows_do_not_disturb_each_other() -> None:
    rows = Rows(lambda: (Row((str(number),), "") for number in range(4)))
    assert all(left == right for left, right in zip(rows, rows, strict=True))


def test_report_counts_every_row_once_and_names_the_first_places() -> None:
    report = Report()
    tally = report.begin("pairs.tsv")
    tally.keep()
    for line in range(2, 8):
        tally.skip("empty zh", f"pairs.tsv:{line}")
    tally.skip("bad UTF-8", "pairs.tsv:9")
    report.finish("pairs.tsv", tally)
    assert (report.read, report.kept, report.skipped) == (8, 1, {"empty zh": 6, "bad UTF-8": 1})
    assert report.places("empty zh") == ["pairs.tsv:2", "pairs.tsv:3", "pairs.tsv:4"]
    assert str(report) == (
        "rows read 8, kept 1, skipped 7 (empty zh 6: pairs.tsv:2, pairs.tsv:3, pairs.tsv:4, …; "
        "bad UTF-8 1: pairs.tsv:9)"
    )


def test_a_second_pass_does_not_count_twice_and_a_broken_off_one_does_not_undo_the_first() -> None:
    report = Report()
    for _ in range(2):
        tally = report.begin("x")
        tally.keep()
        report.finish("x", tally)
    assert report.read == 1
    report.begin("x")
    assert report.read == 1


def test_an_unknown_split_is_refused_with_the_nearest_name() -> None:
    data = DataSet("x", {"train": Rows.of([]), "valid": Rows.of([])}, ("text",), Report())
    with refused(DataError, key="vaild", limit="train, valid", where="x"):
        data.split("vaild")


def test_the_hash_is_the_same_on_every_machine() -> None:
    # By `printf aback | b2sum -l 56`; any other answer would move rows between train and test.
    assert share("aback") == 0x2847645E127C05 / (1 << 56)
    assert [held_out(word, test=0.03, valid=0.02) for word in ("abelia", "aback")] == ["test", "train"]


def test_every_source_is_in_exactly_one_split_in_about_the_right_shares() -> None:
    choosers = choose_by_hash(SINGLE_FILE)
    sources = [f"sentence {number}" for number in range(20_000)]
    counts = {split: sum(map(chosen, sources)) for split, chosen in choosers.items()}
    assert sum(counts.values()) == len(sources)
    for split, part in SINGLE_FILE.items():
        assert abs(counts[split] / len(sources) - part) < 0.01
    assert all(sum(chosen(source) for chosen in choosers.values()) == 1 for source in sources[:100])


@pytest.mark.parametrize("size", [0, 1, 7, 1_115_394])
def test_contiguous_parts_cover_a_text_without_gap_or_overlap(size: int) -> None:
    bounds = list(contiguous_bounds({"train": 0.9, "valid": 0.05, "test": 0.05}, size).values())
    assert bounds[0][0] == 0
    assert bounds[-1][1] == size
    assert all(left[1] == right[0] for left, right in pairwise(bounds))
