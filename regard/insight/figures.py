"""Plotly figures of what was traced: heads side by side, vectors, patches by attention, a beam as a tree.

They show in a notebook and save as HTML; with Plotly's exporter (the extra `figures`) as PNG and SVG. The
page of a trace draws the same from the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from regard.errors import InputError
from regard.insight.plotting import graph_objects, subplots
from regard.insight.trace import Entry, Grown, Trace, check_number
from regard.insight.worked import Lang, Words

_PIECE, _GAP = 260, 70  # pixels
_MOST_TICKS = 40


_SEEN = str.maketrans({"<": "‹", ">": "›", "\n": "↵", "\t": "⇥", "\r": "␍"})


def plot_labels(texts: Sequence[str]) -> list[str]:
    """Plotly would take `</s>` for markup, and shows nothing of white space."""
    return [text.translate(_SEEN) for text in texts]


def no_map(entry: Entry) -> InputError:
    """What to raise for a value that is no matrix, nor one for each head."""
    return InputError("{key} has {value} axes; a map has {limit}", entry.name, entry.value.dim(), "2 or 3")


_Titled = Sequence[tuple[str, Sequence[str]]]
_WHOLE: Mapping[str, int] = MappingProxyType({})


def label_axes(figure: Any, axes: _Titled, most: int, place: Mapping[str, int] = _WHOLE) -> None:
    """Titles and labels of the rows, which go downwards, and of the columns; labels for up to `most` places.
    `place`: which of subplots."""
    for update, (title, labels) in zip((figure.update_yaxes, figure.update_xaxes), axes, strict=True):
        places = list(range(len(labels)))  # equal labels would share a place
        ticks = {"tickvals": places, "ticktext": plot_labels(labels)} if 0 < len(labels) <= most else {}
        update(title=title, **ticks, **place)
    figure.update_yaxes(autorange="reversed", **place)


def heat(entry: Entry) -> Any:
    """A heat map of a value of two axes; of three, one for each place of the first, side by side.

    Raises: InputError for a value of another number of axes.
    """
    go = graph_objects()
    if entry.value.dim() not in (2, 3):
        raise no_map(entry)
    sheets, titles = entry.value.float(), [f"{entry.axes[0].name} {label}" for label in entry.axes[0].labels]
    if entry.value.dim() == 2:
        sheets, titles = sheets[None], [entry.name]
    columns = min(4, len(sheets))
    rows = math.ceil(len(sheets) / columns)
    figure = subplots().make_subplots(rows, columns, subplot_titles=titles)
    probabilities = entry.name.endswith((".weights", ".mask", ".probabilities"))
    largest = float(sheets.nan_to_num(0.0).abs().max()) or 1.0
    for index, sheet in enumerate(sheets):
        scale = {"zmin": 0, "zmax": 1} if probabilities else {"zmin": -largest, "zmax": largest}
        colours = "Blues" if probabilities else "RdBu"
        trace = go.Heatmap(z=sheet.tolist(), colorscale=colours, showscale=index == 0, **scale)
        place = {"row": index // columns + 1, "col": index % columns + 1}
        figure.add_trace(trace, **place)
        label_axes(figure, [(axis.name, axis.labels) for axis in entry.axes[-2:]], _MOST_TICKS, place)
    figure.update_layout(
        width=_GAP + columns * (_PIECE + _GAP), height=_GAP + rows * (_PIECE + _GAP), template="plotly_white"
    )
    return figure


def cells(
    value: Tensor,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    texts: Sequence[Sequence[str]] | None = None,
    titles: tuple[str, str] = ("", ""),
    probabilities: bool = False,
    square: bool = False,
) -> Any:
    """A heat map of (R, C) numbers with a name for each row and column, and a text in each cell.

    `titles`: of the rows, of the columns. `probabilities`: the numbers are; otherwise they have signs,
    and nothing has no colour. `square`: cells are as wide as they are high.
    """
    go = graph_objects()
    largest = 1.0 if probabilities else float(value.abs().max()) or 1.0
    cut = texts is not None and len(columns) <= _MOST_TICKS
    heatmap = go.Heatmap(
        z=value.tolist(),
        text=None if texts is None else [plot_labels(line) for line in texts],
        texttemplate="%{text}" if cut else None,
        customdata=[[[row, column] for column in plot_labels(columns)] for row in plot_labels(rows)],
        hovertemplate="%{customdata[0]} · %{customdata[1]}: %{z:.4g}"
        + ("" if texts is None else "<br>%{text}")
        + "<extra></extra>",
        colorscale="Blues" if probabilities else "RdBu",
        zmin=0 if probabilities else -largest,
        zmax=largest,
        meta={"scale": "share" if probabilities else "signed"},
    )
    figure = go.Figure(heatmap)
    label_axes(figure, list(zip(titles, (rows, columns), strict=True)), 4 * _MOST_TICKS)
    if square:
        figure.update_xaxes(constrain="domain")
        figure.update_yaxes(scaleanchor="x", constrain="domain")
    figure.update_layout(
        template="plotly_white", width=_GAP * 2 + 54 * max(6, len(columns)), height=160 + 28 * len(rows)
    )
    return figure


_MAP = 90  # pixels
_MOST_CELLS, _SIDE = 200_000, 32
_MOSAIC = {"layer": Words("layer", "层"), "head": Words("head", "头")}


def mosaic(layers: Sequence[Entry], lang: Lang = "en") -> Any:
    """All heads of all layers in one figure: a row of small heat maps for each of `layers`, weights of (H, T,
    S) each. Of many tokens a cell stands for a few: for the largest of their weights.

    Raises: InputError where there is no layer, or the layers differ in their tokens.
    """
    go = graph_objects()
    shapes = sorted({tuple(entry.value.shape[1:]) for entry in layers})
    if len(shapes) != 1:
        raise InputError("a {key} takes layers of the same tokens, not of {value}", "mosaic", shapes)
    heads = max(len(entry.value) for entry in layers)
    side = min(_SIDE, max(4, math.isqrt(_MOST_CELLS // (len(layers) * heads))))
    T, S = (min(side, size) for size in shapes[0])
    gap = 1 + max(T, S) // 12
    z = torch.full((len(layers), T + gap, heads, S + gap), torch.nan)
    for row, entry in enumerate(layers):
        small = torch.nn.functional.adaptive_max_pool2d(entry.value.float(), (T, S))
        z[row, :T, : len(small), :S] = small.transpose(0, 1)
    values = [[None if x != x else round(x, 5) for x in line] for line in z.flatten(2).flatten(0, 1).tolist()]
    heatmap = go.Heatmap(z=values, colorscale="Blues", zmin=0, zmax=1, showscale=False, hoverongaps=False)
    heatmap.update(meta={"scale": "share"}, hovertemplate="%{z:.4f}<extra></extra>")
    if shapes[0] == (T, S):
        texts = _pairs(layers[0], len(layers), heads, gap)
        heatmap.update(text=texts, hovertemplate="%{text}: %{z:.4f}<extra></extra>")
    figure = go.Figure(heatmap)
    counts = ([entry.name.split(".")[2] for entry in layers], list(map(str, range(heads))))
    updates = (figure.update_yaxes, figure.update_xaxes)
    for update, what, names, size in zip(updates, _MOSAIC, counts, (T, S), strict=True):
        middles = [place * (size + gap) + (size - 1) / 2 for place in range(len(names))]
        update(title=_MOSAIC[what].of(lang), tickvals=middles, ticktext=names, showgrid=False, zeroline=False)
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(side="top")
    extent = {"width": 2 * _GAP + heads * _MAP, "height": 2 * _GAP + len(layers) * _MAP}
    figure.update_layout(**extent, template="plotly_white")
    return figure


def _pairs(entry: Entry, layers: int, heads: int, gap: int) -> list[list[str]]:
    """Who looks at whom, for each cell of a mosaic."""
    rows, columns = (plot_labels(axis.labels) for axis in entry.axes[1:])
    empty = [""] * gap
    lines = [[*(f"{row} → {column}" for column in columns), *empty] * heads for row in rows]
    return [*lines, *([empty * heads] * gap)] * layers


def patches_figure(trace: Trace, layer: int, query: int = 0) -> Any:
    """A traced image, and its patches, for each head that was recorded of a layer coloured by how much the
    vector `query` (0: the class token) looks at them (Dosovitskiy et al., arXiv 2010.11929, figure 6).

    Raises: InputError where there is no image or no such vector, or the layer was not recorded.
    """
    go = graph_objects()
    given, weights = trace["given"], trace[f"stack.blocks.{layer}.attention.weights"]
    if given.value.dim() != 3:
        raise InputError("this trace is not of an image")
    check_number("vector", query, weights.value.shape[1])
    grid, leading = patch_grid(weights.axes[-1].labels)
    maps: list[Tensor] = [given.value.mean(0), *weights.value[:, query, leading:].unflatten(-1, grid)]
    titles = ["image", *(f"head {head}" for head in weights.axes[0].labels)]
    columns = min(5, len(maps))
    rows = math.ceil(len(maps) / columns)
    figure = subplots().make_subplots(rows, columns, subplot_titles=titles)
    for index, one in enumerate(maps):
        place = {"row": index // columns + 1, "col": index % columns + 1}
        colours, least = ("Blues", 0) if index else ("Greys_r", None)
        heatmap = go.Heatmap(z=one.tolist(), colorscale=colours, showscale=False, zmin=least)
        heatmap.meta = {"scale": "share"} if index else {}
        figure.add_trace(heatmap, **place)
        figure.update_xaxes(showticklabels=False, constrain="domain", **place)
        square = {"scaleanchor": f"x{index + 1 if index else ''}", "constrain": "domain"}
        figure.update_yaxes(autorange="reversed", showticklabels=False, **square, **place)
    figure.update_layout(width=_GAP + columns * 180, height=_GAP + rows * 200, template="plotly_white")
    return figure


def patch_grid(labels: Sequence[str]) -> tuple[tuple[int, int], int]:
    """Of the names of an image's vectors, `[CLS]` or `2,3`: patches down and across, vectors before them."""
    patches = [label for label in labels if not label.startswith("[")]
    down, across = (1 + int(number) for number in patches[-1].split(","))
    return (down, across), len(labels) - len(patches)


_TREE = {
    "way": Words("kept by the search", "搜索保留的"),
    "answer": Words("the answer", "答案"),
    "step": Words("step", "步"),
    "place": Words("place", "名次"),
    "total": Words("log-probability", "对数概率"),
    "score": Words("score", "得分"),
}


def search_tree(search: Sequence[Grown], path: Sequence[int], lang: Lang = "en") -> Any:
    """What a beam search kept, step by step, and the way to its answer; dots that are ringed ended there."""
    go = graph_objects()
    names = {key: words.of(lang) for key, words in _TREE.items()}
    figure = go.Figure()
    for best in (False, True):
        x: list[float | None] = []
        y: list[float | None] = []
        for step, grown in enumerate(search, 1):
            for place, parent in enumerate(grown.parents):
                on = step <= len(path) and path[step - 1] == place
                if on == best and math.isfinite(grown.totals[place]):
                    x += [step - 1, step, None]
                    y += [parent if step > 1 else 0, place, None]
        name = names["answer" if best else "way"]
        figure.add_scatter(
            x=x, y=y, mode="lines", name=name, line={"width": 4 if best else 1}, hoverinfo="skip"
        )
    nodes = [
        (step, place, grown)
        for step, grown in enumerate(search, 1)
        for place in range(len(grown.tokens))
        if math.isfinite(grown.totals[place])
    ]
    symbols = ["circle-open" if grown.done[place] else "circle" for _, place, grown in nodes]
    hover = [f"{names[key]} %{{customdata[{at}]:.4f}}" for at, key in enumerate(("total", "score"))]
    figure.add_scatter(
        x=[step for step, _, _ in nodes],
        y=[place for _, place, _ in nodes],
        mode="markers+text",
        text=plot_labels([grown.tokens[place] for _, place, grown in nodes]),
        textposition="top center",
        marker={"size": 10, "symbol": symbols},
        customdata=[(grown.totals[place], grown.scores[place]) for _, place, grown in nodes],
        hovertemplate="<br>".join(("%{text}", *hover)) + "<extra></extra>",
        showlegend=False,
    )
    figure.update_yaxes(autorange="reversed", title=names["place"], dtick=1, zeroline=False)
    figure.update_xaxes(title=names["step"], zeroline=False, dtick=max(1, len(search) // 20))
    return figure
