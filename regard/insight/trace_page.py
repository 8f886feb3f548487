"""A trace as one self-contained page, in the shell of `page.py`.

Numbers are stored as base64 of float16, or of float32 where there are few, and decoded by the page: heat maps
and tables are drawn when they are opened, by `assets/trace.js`. Of a vocabulary only the likely part is kept;
all of it is in the JSON.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import torch
from torch import Tensor

from regard.errors import InputError
from regard.insight.figures import patches_figure, search_tree
from regard.insight.markup import step_body
from regard.insight.names import names_object, title_of
from regard.insight.page import as_json, both, drawing, grid, page
from regard.insight.script import asset
from regard.insight.trace import Entry, Pass, Trace
from regard.insight.worked import Drawing, Lang, Step, Words, number

_WHOLE = 2**19
"""Numbers up to which they are stored as float32."""
_MOST = 2**26
"""Numbers that a page can hold."""
_NAMED = 64
"""Outputs that are shown whole; of more, the most likely."""
_BEST = 8

_KINDS = {
    "encoder": Words("Encoder", "编码器"),
    "decoder": Words("Decoder", "解码器"),
    "stack": Words("The stack", "模型主体"),
}
_W = {
    "title": Words("Trace", "追踪"),
    "input": Words("input", "输入"),
    "answer": Words("answer", "输出"),
    "score": Words("score", "得分"),
    "task": Words("task", "任务"),
    "model": Words("parameters", "参数量"),
    "likely": Words("What it thought likely", "模型认为可能的结果"),
    "after": Words("after", "在此之后"),
    "rank": Words("most likely first, with probabilities", "按概率从高到低"),
    "search": Words("The search", "搜索过程"),
    "tree": Words(
        "Each dot is a token that the beam kept; ringed ones ended there. Point at one for its scores.",
        "每个点是束搜索保留的一个词元；空心点在那里结束。指向它可以看到得分。",
    ),
    "image": Words(
        "The image, and how much each head of the last layer's class token looks at each patch",
        "图片，以及最后一层各个头的分类词元对每个图块的关注程度",
    ),
    "vectors": Words("vectors", "个向量"),
    "hint": Words(
        "Point at a cell for its two tokens and its value; click one for the sum that it came from.",
        "指向一个格子可看到两个词元和数值；点击它可看到这个数是怎样算出来的。",
    ),
    "point": Words("Point at a cell for its two tokens and its value.", "指向一个格子可看到两个词元和数值。"),
    "left_out": Words(
        "Of the {0} logits of each token the most likely are shown above; all are in the JSON.",
        "每个词元有 {0} 个 logit，上面只列出最可能的几个；完整数值在 JSON 里。",
    ),
    "half": Words(
        "Numbers on this page are rounded to half precision; the JSON has them in full.",
        "本页的数值已舍入为半精度；JSON 里是完整精度。",
    ),
}


def trace_page(trace: Trace, lang: Lang = "en", *, further: Sequence[Step] = ()) -> str:
    """The whole page; `further`: what else is to be shown of this prediction.

    Raises: InputError when there is too much for one.
    """
    stored = _Stored(trace)
    title = Words(f"Trace: {_short(trace.input)}", f"追踪：{_short(trace.input)}")
    drawings = list(_drawings(trace))
    sections = [_header(trace), *_likely(trace), *drawings]
    sections += [step_body(step, f"further-{index}") for index, step in enumerate(further)]
    sections += [_sequence(one, index) for index, one in enumerate(trace.sequences)]
    notes = [_W["half"]] if stored.half else []
    if len(trace.outputs) > _NAMED:
        count = f"{len(trace.outputs):,}"
        notes.append(Words(*(text.format(count) for text in (_W["left_out"].en, _W["left_out"].zh))))
    body = (
        f'<style>{asset("trace.css")}</style><main class="wide">{"".join(sections)}'
        + "".join(f'<p class="hint">{both(note)}</p>' for note in notes)
        + f'</main><script type="application/json" id="trace">{as_json(stored.about)}</script>'
        f'<script type="text/plain" id="numbers">{stored.base64()}</script>'
    )
    figures = bool(drawings) or any(step.figure for step in further)
    return page(title, body, figures=figures, lang=lang, script="trace")


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"


class _Stored:
    """The numbers of a page, one after the other, and where each value stands."""

    def __init__(self, trace: Trace) -> None:
        self.parts: list[Tensor] = []
        self.at = 0
        self.labels: dict[tuple[str, ...], int] = {}
        sequences = [self._sequence(one) for one in trace.sequences]
        if self.at > _MOST:
            sentence = "a page holds {limit:,} numbers, not {value:,}; choose --layers, --heads or --steps"
            raise InputError(sentence, _MOST, self.at)
        self.half = self.at > _WHOLE
        self.about = {
            "half": self.half,
            "labels": [list(labels) for labels in self.labels],
            "words": names_object(),
            "sequences": sequences,
        }

    def _sequence(self, one: Pass) -> dict[str, Any]:
        entries = [self._entry(entry) for entry in one if _kept(entry)]
        return {"kind": one.kind, "tokens": list(one.tokens), "entries": entries}

    def _entry(self, entry: Entry) -> dict[str, Any]:
        at, value = self.at, entry.value
        self.parts.append(value.detach().float().flatten())
        self.at += value.numel()
        labels = [self.labels.setdefault(axis.labels, len(self.labels)) for axis in entry.axes]
        return {
            "name": entry.name,
            "title": [(title := title_of(entry.name)).en, title.zh],
            "axes": [axis.name for axis in entry.axes],
            "labels": labels,
            "shape": list(value.shape),
            "formula": entry.formula,
            "sources": list(entry.sources),
            "at": at,
        }

    def base64(self) -> str:
        flat = torch.cat(self.parts) if self.parts else torch.zeros(0)
        if self.half:
            largest = torch.finfo(torch.float16).max
            flat = flat.clamp(-largest, largest).half()  # not-a-number stays
        return base64.b64encode(flat.numpy().tobytes()).decode("ascii")


def _kept(entry: Entry) -> bool:
    ids = not entry.value.is_floating_point() and entry.value.dtype != torch.bool
    return not ids and not (entry.axes[-1].name == "output" and entry.value.shape[-1] > _NAMED)


def _header(trace: Trace) -> str:
    facts = [("task", trace.task), ("input", trace.input)]
    if trace.outputs or trace.answer:  # weights alone have answered nothing
        facts.append(("answer", trace.answer))
    if trace.score is not None:
        facts.append(("score", f"{trace.score:.4f}"))
    if "parameters" in trace.about:
        facts.append(("model", f"{trace.about['parameters']:,}"))
    rows = "".join(f"<dt>{both(_W[key])}</dt><dd>{escape(text)}</dd>" for key, text in facts)
    return f'<header><h1>{both(_W["title"])}</h1><dl class="facts">{rows}</dl></header>'


def _likely(trace: Trace) -> Iterator[str]:
    """The most likely outputs at each place."""
    for index, one in enumerate(trace.sequences):
        entry = one.entries.get("head.probabilities")
        if entry is None:
            continue
        shares, outputs, rows = _ranked(entry)
        value, place = shares.topk(min(_BEST, shares.shape[-1]))
        lines = [
            (escape(row), [_share(outputs[at], share) for share, at in zip(some, here, strict=True)])
            for row, some, here in zip(rows, value.tolist(), place.tolist(), strict=True)
        ]
        head = [both(_W["after"]), *map(str, range(1, value.shape[1] + 1))] if rows[0] else []
        table = grid(f"likely-{index}", both(_W["rank"]), head, lines, readout=False)
        yield f"<section><h2>{both(_W['likely'])}</h2>{table}</section>"


def _ranked(entry: Entry) -> tuple[Tensor, tuple[str, ...], tuple[str, ...]]:
    """Probabilities (rows, choices), and how both are called; of spans, tokens are what is chosen among."""
    first, last = entry.axes[0], entry.axes[-1]
    if last.labels == ("start", "end"):
        return entry.value.T, first.labels, last.labels
    outputs = last.labels or tuple(map(str, range(entry.value.shape[-1])))
    return torch.atleast_2d(entry.value), outputs, first.labels if entry.value.dim() == 2 else ("",)


def _share(output: str, share: float) -> str:
    shown = f'{escape(output)} <span class="share">{number(share)}</span>'
    return f'<td class="word likely" style="--w:{share:.3f}">{shown}</td>'


def _drawings(trace: Trace) -> Iterator[str]:
    if any(len(grown.tokens) > 1 for grown in trace.search):
        tree = Drawing(_W["tree"], lambda lang: search_tree(trace.search, trace.path, lang))
        yield f"<section><h2>{both(_W['search'])}</h2>{drawing('search-tree', tree)}</section>"
    for one in trace.sequences:
        layers = [name for name in one.entries if name.endswith(".attention.weights")]
        if "given" in one.entries and one["given"].value.dim() == 3 and layers:
            last = int(layers[-1].split(".")[2])
            figure = Drawing(_W["image"], lambda lang, last=last: patches_figure(trace, last))  # type: ignore[misc]
            yield f"<section>{drawing('patches', figure)}</section>"


def _sequence(one: Pass, index: int) -> str:
    title = f'{both(_KINDS[one.kind])} <span class="shape">{len(one.tokens)} {both(_W["vectors"])}</span>'
    hint = "hint" if any(name.endswith(".scores") for name in one.entries) else "point"
    chips = "".join(f"<li>{escape(token) or '&nbsp;'}</li>" for token in one.tokens)
    return (
        f'<section class="sequence" data-sequence="{index}" id="sequence-{index}"><h2>{title}</h2>'
        f'<ol class="tokens">{chips}</ol><p class="hint">{both(_W[hint])}</p>'
        '<div class="attention"></div><div class="layers"></div></section>'
    )
