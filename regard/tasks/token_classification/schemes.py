"""Tags of words that say where entities begin and end: IOB1, IOB2 (BIO), IOE1, IOE2, BIOES, BILOU, BMES, IO.

A tag is `O`, or a letter and a type such as `B-person`; a letter alone has the type `_`. Whatever the scheme,
tags are read as conlleval (Tjong Kim Sang and De Meulder 2003, CoNLL-2003) and after it seqeval's
`get_entities` read them, which gives broken sequences a meaning, too: an `I-` after `O` begins an entity.
This file does not know words, nor models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

Scheme = Literal["IO", "IOB1", "IOB2", "IOE1", "IOE2", "BIOES", "BILOU", "BMES"]
OUTSIDE = "O"


class Entity(NamedTuple):
    """The words `start … end - 1`, counted from 0."""

    start: int
    end: int
    label: str


SCHEMES: dict[Scheme, tuple[str, str, str, str]] = {
    "IO": ("I", "I", "I", "I"),
    "IOB1": ("I", "I", "I", "I"),
    "IOB2": ("B", "I", "I", "B"),
    "IOE1": ("I", "I", "I", "I"),
    "IOE2": ("I", "I", "E", "E"),
    "BIOES": ("B", "I", "E", "S"),
    "BILOU": ("B", "I", "L", "U"),
    "BMES": ("B", "M", "E", "S"),
}
"""The letters of an entity's first word, of those inside, of its last, and of a single one. IOB1 and IOE1
have a B or an E only between two entities of one type that touch."""
_READ_AS = {"L": "E", "U": "S", "M": "I"}
_BEGINS = {"OE", "OI", "EE", "EI", "SE", "SI"}
"""The letters of two words after each other, of which the second begins an entity, as B and S always do."""
_ENDS = {"BB", "BS", "BO", "IB", "IS", "IO"}
"""Of which the first ends one, as E and S always do."""


def is_tag(tag: str) -> bool:
    """Whether it is `O` or has the letter of some scheme, and so may be no name such as NOUN."""
    return tag == OUTSIDE or (tag[:1] in set("BIESLUM") and tag[1:2] in ("", "-") and tag[1:] != "-")


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities of a sentence, in order."""
    found: list[Entity] = []
    before, type_before, start = OUTSIDE, "", 0
    for place, tag in enumerate((*tags, OUTSIDE)):
        letter = _READ_AS.get(tag[:1], tag[:1])
        label = tag[1:].split("-", 1)[-1] or "_"
        other, pair = label != type_before, before + letter
        if before in "ES" or pair in _ENDS or (before != OUTSIDE and other):
            found.append(Entity(start, place, type_before))
        if letter in "BS" or pair in _BEGINS or (letter != OUTSIDE and other):
            start = place
        before, type_before = letter, label
    return found


def write_tags(found: Iterable[Entity], length: int, scheme: Scheme) -> list[str]:
    """The tags of a sentence of `length` words with these entities, which do not overlap."""
    first, inside, last, single = SCHEMES[scheme]
    ordered, tags = sorted(found), [OUTSIDE] * length
    for place, (start, end, label) in enumerate(ordered):
        names = [single] if end - start == 1 else [first, *inside * (end - start - 2), last]
        touches = [
            other.label == label and (other.end == start or other.start == end)
            for other in (ordered[max(0, place - 1)], ordered[min(place + 1, len(ordered) - 1)])
        ]
        if scheme == "IOB1" and touches[0] and place:
            names[0] = "B"
        if scheme == "IOE1" and touches[1] and place + 1 < len(ordered):
            names[-1] = "E"
        tags[start:end] = [f"{name}-{label}" for name in names]
    return tags


def tags_for(labels: Iterable[str], scheme: Scheme) -> list[str]:
    """Every tag that a scheme has for entities of these types, `O` first."""
    letters = dict.fromkeys(SCHEMES[scheme])
    letters |= dict.fromkeys({"IOB1": "B", "IOE1": "E"}.get(scheme, ""))
    return [OUTSIDE, *(f"{letter}-{label}" for label in labels for letter in letters)]


def scheme_of(tags: Iterable[str]) -> Scheme | None:
    """The scheme of all tags that there are, by their letters; None where they are names, such as NOUN.

    IOB1 and IOE1 have the letters of IOB2 and IOE2, and are taken for those: what entities they mean is the
    same, and of the two of a kind those are the easier to learn.
    """
    different = set(tags)
    letters = {tag[:1] for tag in different} - {OUTSIDE}
    if not letters or not all(map(is_tag, different)):
        return None
    if letters <= {"I"}:
        return "IO"
    if letters <= {"B", "I"}:
        return "IOB2"
    if letters <= {"I", "E"}:
        return "IOE2"
    if letters & {"L", "U"}:
        return "BILOU"
    return "BMES" if "M" in letters else "BIOES"
