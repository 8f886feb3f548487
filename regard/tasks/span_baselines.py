"""Answers that need no model: what every learned figure of question answering is printed beside."""

from __future__ import annotations

import re
from collections.abc import Iterable
from statistics import median_low

_WORD = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|\\w+")


def usual_length(answers: Iterable[str]) -> int:
    """Words that an answer has; the median."""
    return max(1, median_low([len(_WORD.findall(text)) for text in answers] or [2]))


def beside(question: str, context: str, size: int) -> str:
    """The `size` words of the context that stand nearest to words of the question, without holding any.

    In the manner of the sliding window of Richardson et al. 2013 (MCTest), section 5.
    """
    asked = {word.lower() for word in _WORD.findall(question)}
    words = list(_WORD.finditer(context))
    hits = [place for place, word in enumerate(words) if word.group().lower() in asked]
    best, answer = float("-inf"), context
    for start in range(len(words) - size + 1):
        last = start + size - 1
        near = sum(-1.0 if start <= hit <= last else 1 / max(start - hit, hit - last) for hit in hits)
        if near > best:
            best, answer = near, context[words[start].start() : words[last].end()]
    return answer
