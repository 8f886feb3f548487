"""The sum that a logit is, for people: in lines, as an object for JSON, as a figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

import torch

from regard.insight.ablation_text import head_lines
from regard.insight.logit_sum import LogitSum
from regard.insight.plotting import graph_objects, subplots
from regard.insight.words import LANGUAGES, Label, Lang, Words
from regard.insight.worked import Drawing, Step, Values

_BEST = 8
_CELL, _BAR, _MARGIN, _BETWEEN = 34, 22, 90, 76  # pixels
_MOST_NAMED = 40
_FORMULA = "logit = Σ heads + embedding + Σ feed-forward + Σ shifts"
_KINDS = {
    "attention": Words("heads, self-attention", "自注意力的头"),
    "cross": Words("heads, attention to the encoder", "对编码器的注意力的头"),
}
_COUNTED = {"layer": Words("layer {0}", "第 {0} 层"), "head": Words("head {0}", "头 {0}")}
_W = {
    "layer": Words("layer", "层"),
    "head": Words("head", "头"),
    "embedding": Words("embedding", "嵌入"),
    "position": Words("positions", "位置"),
    "feedforward": Words("feed-forward", "前馈网络"),
    "shifts": Words("shifts of W_O and norms", "W_O 和归一化的偏置"),
    "head.bias": Words("shifts of the prediction head", "预测头的偏置"),
    "heads": Words("all heads", "所有的头"),
    "logit": Words("logit", "logit"),
    "rest": Words("everything else, and the sum", "其余各项与总和"),
    "title": Words("The logit of {0} as a sum", "{0} 的 logit 是哪些数之和"),
    "others": Words("what is not a head", "头以外的各项"),
    "adds": Words("adds", "贡献"),
    "bars": Words(
        "What is not a head, all heads together, and the sum", "头以外的各项、所有头之和，以及总和"
    ),
    "after": Words("After '{0}' (place {1}). ", "在 '{0}' 之后（位置 {1}）。"),
    "equal": Words(
        "The model's own logit is {0:.5f}; the parts below add up to {1:.5f}, which differs by {2:.1e}.",
        "模型自己算出的 logit 是 {0:.5f}；下面各项之和是 {1:.5f}，相差 {2:.1e}。",
    ),
    "minus": Words("{0} over {1}", "{0} 减 {1}"),
}


def logit_name(found: LogitSum, lang: Lang = "en") -> str:
    """What was asked for, in a few words."""
    if found.against is None:
        return f"'{found.output}'"
    return _W["minus"].of(lang).format(f"'{found.output}'", f"'{found.against}'")


def logit_lines(found: LogitSum) -> Iterator[str]:
    """For a terminal: what adds most and what takes off most, then all heads as a table, then the rest."""
    where = "" if found.place is None else f" after '{found.token}' (place {found.place})"
    yield f"logit of {logit_name(found)}{where}: {found.logit:.4f}"
    yield f"sum of its parts: {found.total:.4f}   (differs by {found.difference:.1e})"
    parts = [(str(head), value) for head, value in found.heads.items()] + list(found.rest.items())
    parts.sort(key=lambda part: -part[1])
    yield "adds most:      " + ", ".join(f"{name} ({x:+.3f})" for name, x in parts[:_BEST] if x > 0)
    yield "takes off most: " + ", ".join(f"{name} ({x:+.3f})" for name, x in parts[::-1][:_BEST] if x < 0)
    width = max(map(len, (*(head.attention for head in found.heads), *found.rest)), default=0)
    yield from head_lines(found.heads, width, "head {}", "{:+.3f}")
    for name, value in found.rest.items():
        yield f"{name:{width}}{value:>+9.3f}"


def logit_object(found: LogitSum) -> dict[str, Any]:
    """`{"output": …, "against": … or null, "place": … or null, "token": …, "logit": …, "total": …, "heads":
    [{"attention": …, "head": …, "value": …}], "rest": [{"name": …, "value": …}]}`"""
    heads = [{**asdict(head), "value": value} for head, value in found.heads.items()]
    rest = [{"name": name, "value": value} for name, value in found.rest.items()]
    about = {key: getattr(found, key) for key in ("output", "against", "place", "token", "logit", "total")}
    return {**about, "heads": heads, "rest": rest}


def logit_figure(found: LogitSum, lang: Lang = "en", *, bars_only: bool = False) -> Any:
    """A Plotly figure: what each head adds, layer by layer, and below it bars for all else, the last of which
    is the sum."""

    sheets = {} if bars_only else _sheets(found)
    names, values = zip(*_bars(found, lang), strict=True)
    sizes = [_CELL * max(2, len(sheet)) for sheet in sheets.values()] + [_BAR * len(names)]
    titles = [_KINDS[kind].of(lang) for kind in sheets] + ([_W["rest"].of(lang)] if sheets else [])
    tall, last = sum(sizes) + _BETWEEN * (len(sizes) - 1), len(sizes)
    figure = subplots().make_subplots(
        last, 1, subplot_titles=titles, row_heights=sizes, vertical_spacing=_BETWEEN / tall
    )
    largest = max((abs(x) for x in found.heads.values()), default=0.0) or 1.0
    for row, sheet in enumerate(sheets.values(), 1):
        figure.add_trace(_heat(sheet, largest, lang), row, 1)
        across = max(map(len, sheet))
        called = {"text": _W["head"].of(lang), "standoff": 4}
        figure.update_xaxes(title=called, dtick=_step(across), row=row, col=1)
        down = {"title": _W["layer"].of(lang), "autorange": "reversed", "dtick": _step(len(sheet))}
        figure.update_yaxes(**down, row=row, col=1)
    figure.add_trace(_bar(names, values), last, 1)
    spread = [min(0.0, *values), max(0.0, *values)]
    margin = 0.28 * (spread[1] - spread[0]) or 1.0  # for the numbers beside the bars
    figure.update_xaxes(range=[spread[0] - margin, spread[1] + margin], row=last, col=1)
    figure.update_yaxes(autorange="reversed", dtick=_step(len(names), _MOST_NAMED), row=last, col=1)
    figure.update_yaxes(automargin=True)  # also without a template
    figure.update_layout(height=tall + _MARGIN, template="plotly_white", margin={"t": 40, "b": _MARGIN - 40})
    return figure


def logit_step(found: LogitSum) -> Step:
    """A section of a page: every part as a number, and bars."""
    numbers = [
        Values(
            _KINDS[kind], torch.tensor(sheet), _counted("layer", len(sheet)), _counted("head", len(sheet[0]))
        )
        for kind, sheet in _sheets(found).items()
    ]
    rest = torch.tensor(list(found.rest.values()))[:, None]
    numbers.append(Values(_W["others"], rest, tuple(found.rest), (_W["adds"],)))
    after = Words("", "") if found.place is None else _W["after"].format(found.token, found.place)
    equal = _W["equal"].format(found.logit, found.total, found.difference)
    title = Words(*(_W["title"].of(lang).format(logit_name(found, lang)) for lang in LANGUAGES))
    text = Words(after.en + equal.en, after.zh + equal.zh)
    figure = Drawing(_W["bars"], lambda lang: logit_figure(found, lang, bars_only=True))
    return Step(title, text, _FORMULA, tuple(numbers), figure)


def _counted(what: str, count: int) -> tuple[Label, ...]:
    return tuple(_COUNTED[what].format(number) for number in range(count))


def _heat(sheet: list[list[float]], largest: float, lang: Lang) -> Any:
    place = f"{_W['layer'].of(lang)} %{{y}}, {_W['head'].of(lang)} %{{x}}"
    style = {"colorscale": "RdBu", "zmin": -largest, "zmax": largest, "showscale": False}
    hover = {"hovertemplate": place + ": %{z:.4f}<extra></extra>", "meta": {"scale": "signed"}}
    return graph_objects().Heatmap(z=sheet, **style, **hover)


def _bar(names: Sequence[str], values: Sequence[float]) -> Any:
    colours = ["#2166ac" if value >= 0 else "#b2182b" for value in values]
    texts = {"text": [f"{value:+.2f}" for value in values], "textposition": "outside"}
    style = {"orientation": "h", "marker": {"color": colours}, "showlegend": False}
    return graph_objects().Bar(
        x=values, y=names, hovertemplate="%{y}: %{x:.4f}<extra></extra>", **texts, **style
    )


def _step(count: int, most: int = 16) -> int:
    """So that no more than `most` of the places of an axis are named."""
    return -(-count // most)


def _sheets(found: LogitSum) -> dict[str, list[list[float]]]:
    """Of each kind of attention: what each head adds, by layers."""
    sheets: dict[str, list[list[float]]] = {}
    for attention, heads in groupby(found.heads.items(), lambda item: item[0].attention):
        sheets.setdefault(attention.rpartition(".")[2], []).append([value for _, value in heads])
    return sheets


def _bars(found: LogitSum, lang: Lang) -> Iterator[tuple[str, float]]:
    """What is not a head, those that say little together; all heads; the logit."""
    names = {key: words.of(lang) for key, words in _W.items()}
    shifts: dict[str, float] = {}
    for name, value in found.rest.items():
        if name.endswith("position.added"):
            yield names["position"], value
        elif name.endswith(".feedforward.out"):
            yield f"{names['feedforward']} {name.split('.')[2]}", value
        elif name.endswith(".bias"):
            where = "head.bias" if name.startswith("head.") else "shifts"
            shifts[where] = shifts.get(where, 0.0) + value
        else:
            yield names["embedding"], value
    yield from ((names[where], shifts[where]) for where in ("shifts", "head.bias") if where in shifts)
    yield names["heads"], sum(found.heads.values())
    yield names["logit"], found.total
