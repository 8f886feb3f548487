"""Figures name what they show: also what Plotly would take for markup, or that nobody sees."""

from __future__ import annotations

import pytest
import torch

from regard.insight.figures import cells, plot_labels


def test_no_name_of_a_token_is_markup_or_blank() -> None:
    names = plot_labels(["</s>", "<0x0A>", "\n", "\r", "\t", "a", "▁b"])
    assert all(name.strip() for name in names)
    assert not any(sign in name for name in names for sign in "<>\n\r\t")
    assert len(set(names)) == len(names)


def test_a_heat_map_names_line_breaks_in_cells_and_on_both_axes() -> None:
    pytest.importorskip("plotly")
    figure = cells(
        torch.ones(2, 2), ["a", "\n"], ["\n", "b"], texts=[["\n", "c"], ["d", "e"]], probabilities=True
    )
    assert list(figure.layout.xaxis.ticktext) == ["↵", "b"]
    assert list(figure.layout.yaxis.ticktext) == ["a", "↵"]
    assert figure.data[0].text[0][0] == "↵"
