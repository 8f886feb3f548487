"""Values to try the laws on: a strategy for each kind. A new kind of the registry needs one."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from regard.values import (
    Audio,
    Boxes,
    Chat,
    Image,
    Items,
    Labels,
    Mask,
    Message,
    Pair,
    Score,
    Span,
    Spans,
    Text,
    Value,
    Vector,
    Video,
)
from regard.values.words import Words

SIDES = st.integers(1, 5)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=7)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SINGLES = st.floats(-(2.0**99), 2.0**99, width=32)
PROBABILITIES = st.floats(0, 1)


@st.composite
def labels(draw: st.DrawFn) -> Labels:
    names = draw(st.lists(WORDS, max_size=5))
    ranked = sorted((draw(PROBABILITIES) for _ in names), reverse=True) if draw(st.booleans()) else []
    return Labels(tuple(names), tuple(ranked), draw(st.integers(0, len(names))))


@st.composite
def spans(draw: st.DrawFn) -> Spans:
    text = draw(WORDS)
    found = []
    for _ in range(draw(st.integers(0, 3)) if text else 0):
        start = draw(st.integers(0, len(text) - 1))
        end = draw(st.integers(start + 1, len(text)))
        found.append(Span(start, end, draw(WORDS), draw(st.none() | NUMBERS)))
    return Spans(text, tuple(found))


@st.composite
def chats(draw: st.DrawFn) -> Chat:
    contents = WORDS.filter(lambda text: bool(text.strip()) and "\0" not in text)
    roles = st.sampled_from(["user", "assistant"])
    some = [Message(draw(roles), draw(contents)) for _ in range(draw(st.integers(1, 3)))]
    return Chat((Message("system", draw(contents)), *some) if draw(st.booleans()) else tuple(some))


@st.composite
def items(draw: st.DrawFn) -> Items:
    ids = draw(st.lists(WORDS.filter(bool), max_size=5))
    times = sorted(draw(NUMBERS) for _ in ids) if draw(st.booleans()) else []
    return Items(tuple(ids), tuple(times), draw(st.none() | WORDS))


@st.composite
def boxes(draw: st.DrawFn) -> Boxes:
    corners = st.tuples(*[st.integers(-99, 99), st.integers(-99, 99), st.integers(1, 7), st.integers(1, 7)])
    made = [(x / 4, y / 4, x / 4 + w, y / 4 + h) for x, y, w, h in draw(st.lists(corners, max_size=4))]
    has_labels, has_scores = draw(st.booleans()), draw(st.booleans())
    names = tuple(draw(WORDS) for _ in made) if has_labels else ()
    return Boxes(np.array(made), names, tuple(draw(PROBABILITIES) for _ in made) if has_scores else ())


def pixels(*shape: st.SearchStrategy[int]) -> st.SearchStrategy[np.ndarray]:
    return st.tuples(*shape).flatmap(lambda sizes: arrays.arrays(np.uint8, sizes))


MASKS = st.tuples(st.sampled_from([np.uint8, np.uint16]), st.tuples(SIDES, SIDES)).flatmap(
    lambda about: arrays.arrays(*about)
)
SOUNDS = st.tuples(SIDES, st.integers(1, 2)).flatmap(
    lambda shape: arrays.arrays(np.float32, shape, elements=st.floats(-1, 1, width=32))
)

MEMBERS: dict[str, st.SearchStrategy[Value]] = {
    "text": st.builds(Text, WORDS),
    "pair": st.builds(Pair, WORDS, WORDS),
    "chat": chats(),
    "labels": labels(),
    "spans": spans(),
    "vector": st.lists(SINGLES, min_size=1, max_size=5).map(lambda some: Vector(np.array(some))),
    "score": st.builds(Score, NUMBERS),
    "image": pixels(SIDES, SIDES, st.sampled_from([1, 3])).map(Image),
    "mask": st.builds(Mask, MASKS, st.lists(WORDS, max_size=3).map(tuple)),
    "boxes": boxes(),
    "audio": st.builds(Audio, SOUNDS, st.integers(1, 48_000)),
    "video": st.builds(Video, pixels(SIDES, SIDES, SIDES, st.just(3)), st.floats(0.5, 60)),
    "items": items(),
    "words": st.lists(WORDS.filter(bool), max_size=5).map(lambda some: Words(tuple(some))),
}
