"""Where one number of a computation comes from: the sum behind it, with the actual values.

`account` takes what was recorded of a pass, and of the one whose output it looks at, and one place of one
entry. The part that made the number says how it adds up; what is looked up instead of computed has an account
without terms.
"""

from __future__ import annotations

import math

from regard.insight.trace import check_index
from regard.model.account import Account, Entry, Factor, Index, Made, Numbers, Term, made_of, one, softmax


def account(numbers: Numbers, name: str, index: Index) -> Account:
    """How the number at `index` of an entry came to be.

    Raises: InputError for an entry that was not recorded, or a place that it does not have.
    """
    entry = numbers.entry(name)
    check_index(name, index, entry.value)
    value = float(entry.value[index])
    made = _made(numbers, entry, index)
    if made is None:
        return Account(name, index, value, entry.formula, (), (), value)
    return Account(name, index, value, entry.formula, made.terms, made.stages, made.sum)


def _made(numbers: Numbers, entry: Entry, index: Index) -> Made | None:
    place, _, point = entry.name.rpartition(".")
    if not place:
        return None  # what is given
    if point == "probabilities":
        return _probability(numbers, entry, index)
    part = numbers.module(place)
    if point == "residual":  # of a block, which adds nothing of its own
        return made_of([one(numbers.part("x", entry.sources[0], *index))])
    made = part.account(numbers, entry, index) if hasattr(part, "account") else None
    if made is not None and entry.name == "head.logits" and numbers.temperature != 1.0:
        t = Factor("temperature", numbers.temperature)
        made = made.then("÷ temperature", made.last / t.value, t)
    return made


def _probability(numbers: Numbers, entry: Entry, index: Index) -> Made:
    logits = numbers.entry("head.logits")
    if entry.formula.startswith("σ"):
        made = made_of([one(numbers.part("logit", logits.name, *index))])
        return made.then("σ", 1 / (1 + math.exp(-made.last)))
    across = 0 if "tokens" in entry.formula else logits.value.dim() - 1
    row = logits.value.movedim(across, -1)[tuple(i for at, i in enumerate(index) if at != across)].double()
    values, powers = row.tolist(), (row - row.max()).exp().tolist()
    labels = entry.axes[across].labels

    def term(at: int) -> Term:
        place = (*index[:across], at, *index[across + 1 :])
        logit = Factor("logit", values[at], place, part=logits.name)
        return Term(labels[at] if labels else str(at), powers[at], (logit,))

    return softmax(powers, index[across], term, "e^(logit - max)")
