"""A trace in the reader's language."""

from __future__ import annotations

import re
from pathlib import Path

from rich.cells import cell_len

import regard
from regard.insight import names
from regard.insight.trace_page import trace_page
from regard.insight.trace_text import trace_lines

CHINESE = re.compile("[\u4e00-\u9fff]")


def test_every_entry_of_a_trace_has_a_chinese_name(run: Path) -> None:
    found = regard.load(run).trace("abc")
    for one in found.sequences:
        titles = [names.title_of(entry.name) for entry in one]
        assert all(CHINESE.search(title.zh) for title in titles)
        assert len({title.zh for title in titles}) == len(titles)
        assert len({title.en for title in titles}) == len(titles)
        for entry in one:
            assert all(axis.name in names.AXES for axis in entry.axes)


def test_the_text_and_the_page_of_a_trace_say_them(run: Path) -> None:
    found = regard.load(run).trace("abc")
    title = names.title_of("decoder.blocks.0.cross.q").zh
    assert title == "解码器，第 0 层，交叉注意力：Q 查询"
    assert title in "\n".join(trace_lines(found, "zh"))
    assert title not in "\n".join(trace_lines(found))
    assert any(line.startswith("输出: ") for line in trace_lines(found, "zh"))
    page = trace_page(found, "zh")
    assert title in page or title.encode("unicode_escape").decode() in page


def test_columns_stand_under_one_another_in_both_languages(run: Path) -> None:
    """On a terminal a Chinese character is two cells wide."""
    found = regard.load(run).trace("abc")
    lines = [line for line in trace_lines(found, "zh") if line.startswith("  encoder.blocks.0.attention")]
    starts = {cell_len(line[: line.index("编码器，")]) for line in lines}
    assert len(lines) > 5
    assert len(starts) == 1
