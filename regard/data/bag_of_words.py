"""What counting words can tell of a text: TF-IDF and logistic regression, for a Transformer to beat.

Weights of words: Spärck Jones 1972. It needs scikit-learn, and is left out where that is not installed. This
file does not know models.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

_WORD = r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\d_\u3040-\u30ff\u3400-\u9fff]+|\d+"
"""A run of letters, a number, or a character of a script that has no blanks between words."""

MOST = 50_000
"""Examples of the training part that are looked at."""


def guesses_from_words(texts: Sequence[str], labels: Sequence[str], asked: Sequence[str]) -> list[str] | None:
    """The label of each text that is `asked`, from the words of `texts`; None without scikit-learn, or where
    no text has a word or all have one label."""
    if find_spec("sklearn") is None or len(set(labels)) < 2:
        return None
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    counts = TfidfVectorizer(token_pattern=_WORD, sublinear_tf=True)
    try:
        seen = counts.fit_transform(texts)
    except ValueError:  # no words at all
        return None
    model = LogisticRegression(C=4.0, max_iter=300).fit(seen, labels)
    return [str(label) for label in model.predict(counts.transform(asked))]
