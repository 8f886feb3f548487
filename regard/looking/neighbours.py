"""What is nearest to a word, by the table of a model, as predictions."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from regard.data.tokenizer import Tokenizer
from regard.errors import InputError
from regard.insight.neighbours import nearest
from regard.tasks.prediction import best_of
from regard.values import Prediction, Text


def nearest_words(
    tokenizer: Tokenizer, table: Tensor, queries: Sequence[str], n: int
) -> list[Prediction[Text]]:
    """`table`: (V, D). Of a query of several pieces the mean is taken; its own pieces are no answers."""
    special = len(tokenizer.special)
    names = tokenizer.pieces(range(tokenizer.size))
    answers = []
    for query in queries:
        ids = min((tokenizer.encode(text) for text in (f" {query}", query)), key=len)
        if not ids:
            raise InputError("the input '{value}' has no word to look for", query[:40])
        cosines, places = nearest(table[ids].mean(0, keepdim=True), table[special:], n + len(set(ids)))
        found = zip(cosines[0].tolist(), (places[0] + special).tolist(), strict=True)
        answers.append(ranked([(names[token], cosine) for cosine, token in found if token not in ids][:n]))
    return answers


def ranked(best: list[tuple[str, float]]) -> Prediction[Text]:
    """The best and, as its candidates, all of them with their cosines. Raises: InputError for none."""
    if not best:
        raise InputError("there is nothing to compare with but the input itself")
    return best_of([(Text(text), cosine) for text, cosine in best])
