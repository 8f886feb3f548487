"""What an explorer found, as objects for JSON; `docs/explorer-api.md` describes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from regard.errors import InputError
from regard.insight.names import place_of, title_of
from regard.insight.sums import Account, Factor
from regard.insight.trace import Entry, Grown, Pass
from regard.looking.analyses import analysis
from regard.looking.explorer import Answer, Explorer, Question, Searched, answer_of, shape_of
from regard.looking.scene import Scene, UnansweredError
from regard.serve.numbers import encoded, rounded
from regard.serve.requests import MOST_LISTED, MOST_NUMBERS, AnalysisAsked, Part, TraceAsked
from regard.strict_json import plain

_BEST = 8
_CANDIDATES = 16
_GIVEN = ("given", "source_given", "target_given")
_DIGITS = 6
_HOW = {"base64": ("in base64", "fewer parts"), "lists": ("as lists", "fewer parts, or for base64")}


# ---------------------------------------------------------------------- predictions


def prediction(explorer: Explorer, found: Answer) -> dict[str, Any]:
    """P of the documentation."""
    answer, score, alternatives = answer_of(found.prediction)
    return {
        "answer": answer,
        "score": plain(score),
        "alternatives": [[text, plain(score)] for text, score in alternatives],
        "sequences": [_sequence(one) for one in found.passes],
        "begin": found.begin,
        "choices": [
            {"sequence": at, **choice}
            for at, one in enumerate(found.passes)
            for choice in _choices(explorer, found, one)
        ],
        "independent": explorer.naming.independent is not False,
        "positions": None if found.order is None else list(found.order),
    }


def _sequence(one: Pass) -> dict[str, Any]:
    given = next((one.entries[name] for name in _GIVEN if name in one.entries), None)
    ids = None if given is None or given.value.is_floating_point() else given.value.tolist()
    return {"kind": one.kind, "tokens": list(one.tokens), "ids": ids, "start": one.start}


def _choices(explorer: Explorer, found: Answer, one: Pass) -> Iterator[dict[str, Any]]:
    entry = one.entries.get("head.probabilities")
    if entry is None:
        return
    outputs = explorer.naming.outputs
    if entry.axes[-1].labels == ("start", "end"):
        for of, column in zip(("start", "end"), entry.value.T, strict=True):
            yield {"at": None, "of": of, "chosen": None, "best": _best(column, one.tokens)}
        return
    if entry.value.dim() == 1:
        yield {"at": None, "of": "output", "chosen": None, "best": _best(entry.value, outputs)}
        return
    shares, ids = entry.value.topk(min(_BEST, entry.value.shape[-1]), dim=-1)
    for at, (values, places) in enumerate(zip(shares.tolist(), ids.tolist(), strict=True)):
        written = -1 if found.begin is None else at - found.begin + 1
        chosen = found.written[written] if 0 <= written < len(found.written) else None
        best = [_candidate(outputs, *pair) for pair in zip(places, values, strict=True)]
        yield {"at": at, "of": "output", "chosen": chosen, "best": best}


def _best(shares: Tensor, outputs: Sequence[str], n: int = _BEST) -> list[dict[str, Any]]:
    values, places = shares.topk(min(n, len(shares)))
    return [_candidate(outputs, *pair) for pair in zip(places.tolist(), values.tolist(), strict=True)]


def _candidate(outputs: Sequence[str], at: int, share: float) -> dict[str, Any]:
    return {
        "id": at,
        "token": outputs[at] if at < len(outputs) else str(at),
        "probability": plain(float(f"{share:.6g}")),
    }


# ---------------------------------------------------------------------- the whole computation


def structure(explorer: Explorer, question: Question, asked: TraceAsked) -> dict[str, Any]:
    """T of the documentation: the prediction, every part, and the numbers that were asked for."""
    named = [Part(name=part) if isinstance(part, str) else part for part in asked.parts]
    parts = {part.name: part for part in named}
    for name, part in parts.items():
        if name not in explorer.outline:
            continue  # which is refused by the explorer, with the nearest name
        axes = [axis.name for axis in explorer.outline[name].axes]
        for axis in part.at:
            if axis not in axes:
                raise InputError("{where} has no axis '{key}', only {limit}", name, axis, ", ".join(axes))
    found = explorer.answer(question, list(parts))
    memory = max((len(one.tokens) for one in found.passes if one.kind == "encoder"), default=0)
    listed, numbers, in_base64 = [], 0, asked.encoding == "base64"
    most = MOST_NUMBERS if in_base64 else MOST_LISTED
    write = encoded if in_base64 else partial(rounded, digits=asked.digits)
    for sequence, one in enumerate(found.passes):
        for name, entry in explorer.outline.items():
            if explorer.stack_of(name) != one.kind or not (asked.structure or name in parts):
                continue
            shape = shape_of(entry, len(one.tokens), memory)
            about = {"sequence": sequence, **part_object(explorer, entry, shape)}
            value = _cut(one.entries.get(name), parts.get(name))
            numbers += 0 if value is None else value.numel()
            if numbers > most:
                sentence = "an answer has at most {limit:,} numbers {value}; ask for {remedy}"
                raise InputError(sentence, most, *_HOW[asked.encoding])
            listed.append({**about, "values": None if value is None else write(value)})
    return {**prediction(explorer, found), "parts": listed}


def part_object(explorer: Explorer, entry: Entry, shape: Sequence[int]) -> dict[str, Any]:
    """Where a part stands in the model and how it is made."""
    place = place_of(entry.name)
    stack = place.stack or (None if place.section == "head" else explorer.stack_of(entry.name))
    return {
        **vars(place),
        "stack": stack,
        "name": entry.name,
        "title": vars(title_of(entry.name)),
        "axes": [axis.name for axis in entry.axes],
        "shape": list(shape),
        "formula": entry.formula,
        "sources": [source for source in entry.sources if source in explorer.outline],
    }


def _cut(entry: Entry | None, part: Part | None) -> Tensor | None:
    """What was asked for of an entry, if anything was."""
    if entry is None or part is None:
        return None
    value = entry.value
    for axis in reversed(range(value.dim())):
        if (at := part.at.get(entry.axes[axis].name)) is not None:
            if at >= value.shape[axis]:
                sentence = "{where} has no {key} {value}; there are {limit}, from 0"
                raise InputError(sentence, part.name, entry.axes[axis].name, at, value.shape[axis])
            value = value.select(axis, at)
    return value


# ---------------------------------------------------------------------- one number


def account_object(found: Account) -> dict[str, Any]:
    """The sum behind a number; `## Number` of the documentation."""
    terms = [{**vars(term), "factors": [*map(_factor, term.factors)]} for term in found.terms]
    stages = [{**vars(stage), "by": stage.by and _factor(stage.by)} for stage in found.stages]
    return plain({**vars(found), "terms": terms, "stages": stages, "total": found.total})


def _factor(factor: Factor) -> dict[str, Any]:
    about: dict[str, Any] = {"name": factor.name, "value": factor.value}
    for key in ("part", "weight"):
        if (name := getattr(factor, key)) is not None:
            about |= {key: name, "index": factor.index}
    return about | ({"rounded": True} if factor.rounded else {})


# ---------------------------------------------------------------------- figures


def analysed(explorer: Explorer, question: Question, asked: AnalysisAsked) -> dict[str, Any]:
    """A figure as Plotly has it, `data` and `layout`; or `told`, why there is none."""
    scene = Scene(explorer, question, asked.other, asked.number)
    try:
        found = analysis(explorer, asked.name).draw(scene, asked.lang)
    except UnansweredError as problem:  # what people type is often unfinished
        return {"told": problem.words.of(asked.lang)}
    made: dict[str, Any] = json.loads(found.to_json())
    made["layout"].pop("template", None)  # the page has colours of its own
    return made


# ---------------------------------------------------------------------- writing


def stepped(explorer: Explorer, question: Question) -> dict[str, Any]:
    """What may be written next; `## Step` of the documentation."""
    found = explorer.next(question)
    text, done = explorer.decoded(question.begin, question.text)
    shares = found.passes[-1]["head.probabilities"].value if found.passes else torch.zeros(0, 0)
    outputs, begin = explorer.naming.outputs, found.begin or 0
    written = []
    for place, token in enumerate(question.begin[: len(shares)]):
        row = shares[begin - 1 + place]
        share = float(row[token])
        rank = int((row > share).sum()) + 1
        written.append({**_candidate(outputs, token, share), "rank": rank, "forced": True})
    following = [] if done or not len(shares) else _best(shares[-1], outputs, _CANDIDATES)
    return {"text": text, "written": written, "next": following, "done": done or not len(shares)}


def tree(explorer: Explorer, found: Searched) -> dict[str, Any]:
    """What a beam search kept, step by step; `## Beam` of the documentation."""
    return {
        "answer": found.prediction.value.plain(),
        "path": list(found.path),
        "hypotheses": _hypotheses(explorer, found.steps),
        "steps": [
            [
                {
                    "place": place,
                    "parent": grown.parents[place],
                    "id": grown.ids[place],
                    "token": grown.tokens[place],
                    "total": _score(grown.totals[place]),
                    "score": _score(grown.scores[place]),
                    "done": grown.done[place],
                    "chosen": step < len(found.path) and found.path[step] == place,
                }
                for place in range(len(grown.ids))
            ]
            for step, grown in enumerate(found.steps)
        ],
    }


def _score(value: float) -> float | str | None:
    return None if value == -float("inf") else plain(round(value, _DIGITS))


def _hypotheses(explorer: Explorer, steps: Sequence[Grown]) -> list[dict[str, Any]]:
    """What has ended, best first; of what says the same the best."""
    ended = [
        (score, step, place)
        for step, grown in enumerate(steps)
        for place, (score, done) in enumerate(zip(grown.scores, grown.done, strict=True))
        if done
    ]
    made: dict[str, dict[str, Any]] = {}
    for score, step, place in sorted(ended, key=lambda one: -one[0]):
        ids: list[int] = []
        for grown in steps[step::-1]:
            ids.insert(0, grown.ids[place])
            place = grown.parents[place]
        text = explorer.decoded(ids)[0]
        made.setdefault(text, {"text": text, "score": _score(score), "ids": ids})
    return list(made.values())
