"""Exact match and F1 of answers, as SQuAD's own program counts them (arXiv 1606.05250, section 6.1).

Before answers are compared, letters are made small, punctuation and the articles a, an and the are taken out,
and what is left is cut into words. Differs: text with Chinese or Japanese characters loses their punctuation
too, and each such character is a word, as CMRC 2018 counts (arXiv 1810.07366). An empty answer stands for
'there is none', and is right or wrong as a whole (arXiv 1806.03822).
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

from regard.data.readers.answers import read_answers
from regard.data.rows import Row

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_ASCII = str.maketrans("", "", string.punctuation)
# Han, kana and their extensions: scripts that are written without spaces between words.
_ALONE = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


def references_of(row: Row) -> list[str]:
    """What may be answered; nothing where there is no answer."""
    return [answer.text for answer in read_answers(row.values[2], row.values[0], row.where)]


def words_of(text: str) -> list[str]:
    """What of an answer is compared."""
    text = text.lower()
    if _ALONE.search(text):
        text = "".join(" " if unicodedata.category(c).startswith("P") else c for c in text)
        text = _ALONE.sub(r" \g<0> ", text)
    return _ARTICLES.sub(" ", text.translate(_ASCII)).split()


def exact(answer: str, references: Sequence[str]) -> bool:
    """Whether it is one of the references, of which there are none where there is no answer."""
    return any(words_of(answer) == wanted for wanted in _wanted(references))


def overlap(answer: str, references: Sequence[str]) -> float:
    """F1 of the words that it shares with a reference, the best over the references: 0 to 1."""
    words = words_of(answer)
    return max(_f1(words, wanted) for wanted in _wanted(references))


def span_metrics(answers: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Any]:
    """`exact` and `token_f1` in per cent; and where some questions have no answer, F1 of both sorts."""
    if not references:
        return {"count": 0}
    f1 = [overlap(answer, wanted) for answer, wanted in zip(answers, references, strict=True)]
    right = sum(exact(answer, wanted) for answer, wanted in zip(answers, references, strict=True))
    figures: dict[str, Any] = {
        "count": len(references),
        "exact": 100 * right / len(references),
        "token_f1": 100 * sum(f1) / len(references),
    }
    some = [value for value, wanted in zip(f1, references, strict=True) if wanted]
    if len(some) < len(references):
        none = [value for value, wanted in zip(f1, references, strict=True) if not wanted]
        figures["answerable_f1"] = 100 * sum(some) / max(1, len(some))
        figures["unanswerable_f1"] = 100 * sum(none) / len(none)
    return figures


def best_threshold(margins: Sequence[float], answered: Sequence[float], silent: Sequence[float]) -> float:
    """From which margin of 'no answer' over the best span on it is best to be silent.

    `margins`: of each question; `answered`, `silent`: its F1 if it is answered or not. Of equal ones the
    highest.
    """
    order = sorted(range(len(margins)), key=lambda i: -margins[i])
    total = best = sum(answered)
    threshold = max(margins, default=0.0)
    for place, index in enumerate(order):
        total += silent[index] - answered[index]
        last = place + 1 == len(order)
        if not last and margins[order[place + 1]] == margins[index]:
            continue  # those of one margin are silent together
        if total > best:
            below = margins[index] - 1.0 if last else (margins[index] + margins[order[place + 1]]) / 2
            best, threshold = total, below
    return threshold


def _wanted(references: Sequence[str]) -> list[list[str]]:
    return [words for reference in references if (words := words_of(reference))] or [[]]


def _f1(words: list[str], wanted: list[str]) -> float:
    if not words or not wanted:
        return float(words == wanted)
    shared = sum((Counter(words) & Counter(wanted)).values())
    return 2 * shared / (len(words) + len(wanted))
