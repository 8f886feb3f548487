"""Figures of merit for written text: how near predictions are to references.

BLEU and chrF are sacreBLEU's (Post 2018, arXiv 1804.08771), always with the signature that says how
they were computed. Exact match and token error rate are for short answers such as pronunciations.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from regard.errors import DependencyError, InputError, unknown
from regard.tasks.metric import ComparedAnswers
from regard.values import Value

_LOOKED_AT = 100


class PairMetric(ComparedAnswers):
    """BLEU, chrF, exact match and the token error rate of texts; see `pair_metrics`."""

    def __init__(self, key: str, unit: str = "word", tokenize: str | None = None) -> None:
        compare = partial(pair_metrics, unit=unit, tokenize=tokenize)
        super().__init__(key, Value.plain, lambda row: row.values[-1], compare)
        self.unit = unit

    def tokenized(self, name: str) -> PairMetric:
        _bleu(name)
        return PairMetric(self.key, self.unit, name)


def pair_metrics(
    predictions: Sequence[str], references: Sequence[str], *, unit: str = "word", tokenize: str | None = None
) -> dict[str, Any]:
    """All figures, in per cent: `bleu`, `chrf`, `exact`, `token_error_rate` and `token_accuracy`, with
    the signatures of the first two. `tokenize`: BLEU's; None is `suited_tokenizer`."""
    from sacrebleu.metrics import CHRF

    bleu, chrf = _bleu(tokenize or suited_tokenizer(references)), CHRF()
    if not references:
        return {"count": 0}
    errors = token_error_rate(predictions, references, unit)
    return {
        "bleu": bleu.corpus_score(list(predictions), [list(references)]).score,
        "bleu_signature": str(bleu.get_signature()),
        "chrf": chrf.corpus_score(list(predictions), [list(references)]).score,
        "chrf_signature": str(chrf.get_signature()),
        "exact": 100 * sum(p == r for p, r in zip(predictions, references, strict=True)) / len(references),
        "token_error_rate": errors,
        "token_accuracy": 100 - errors,
        "count": len(references),
    }


def suited_tokenizer(references: Sequence[str]) -> str:
    """Of sacreBLEU's tokenizers the one for Chinese where most letters are Chinese, since its usual one would
    take a whole sentence for a word."""
    letters = [letter for text in references[:_LOOKED_AT] for letter in text if letter.isalpha()]
    chinese = sum("\u3400" <= letter <= "\u9fff" for letter in letters)
    kana = any("\u3040" <= letter <= "\u30ff" for letter in letters)
    return "zh" if 2 * chinese > len(letters) and not kana else "13a"


def _bleu(tokenize: str) -> Any:
    """sacreBLEU's metric. Raises: InputError for a tokenizer that it has not, or not here."""
    from sacrebleu.metrics import BLEU

    known = sorted(BLEU.TOKENIZERS)
    if tokenize not in known:
        raise unknown(InputError, "tokenizer of sacreBLEU", tokenize, known)
    try:
        # `force` silences a warning about text that looks tokenised: the signature says what was done.
        return BLEU(tokenize=tokenize, force=True)
    except (ImportError, RuntimeError, OSError) as problem:  # a package is missing, or a file of its own
        reason = " ".join(str(problem).split())
        sentence = "{key} '{value}' of sacreBLEU cannot be used here: {reason}"
        raise DependencyError(sentence, "tokenizer", tokenize, reason) from problem


def token_error_rate(predictions: Sequence[str], references: Sequence[str], unit: str = "word") -> float:
    """Edit distance over reference length, in per cent, summed over all pairs before dividing.

    `unit`: "word" counts what spaces separate (syllables, words), "character" everything but spaces.
    """
    wrong = total = 0
    for prediction, reference in zip(predictions, references, strict=True):
        said, meant = _units(prediction, unit), _units(reference, unit)
        wrong += edit_distance(said, meant)
        total += len(meant)
    return 100 * wrong / max(total, 1)


def _units(text: str, unit: str) -> list[str]:
    return text.split() if unit == "word" else [c for c in text if not c.isspace()]


def edit_distance(a: Sequence[str], b: Sequence[str]) -> int:
    """Insertions, deletions and substitutions that turn `a` into `b` (Levenshtein)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]
