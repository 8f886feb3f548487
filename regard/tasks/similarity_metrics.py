"""How good vectors of sentences are: whether partners find each other, and whether cosines rank as people do.

Retrieval is counted in pools of at most a thousand pairs, in their order, so that figures of sets of
different sizes can be compared. Spearman's correlation: Spearman 1904; for sentences, Reimers and Gurevych
2019 (arXiv 1908.10084, section 4.1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

POOL = 1000
"""Pairs among which a partner is looked for."""


def partners(left: Tensor, right: Tensor, pairs: Sequence[Sequence[str]]) -> tuple[list[int], list[int]]:
    """(N, D) and (N, D) vectors of the texts of N pairs: the rank of each left text's partner among the right
    ones of its pool, and which is the nearest.

    Another right text that is the same, or whose left text is, is no mistake and is left out. Of equally near
    ones the partner comes last, so that vectors that are all the same find nobody.
    """
    left, right = F.normalize(left, dim=-1), F.normalize(right, dim=-1)
    ranks, nearest = list[int](), list[int]()
    for begin in range(0, len(pairs), POOL):
        some = slice(begin, begin + POOL)
        cosines = left[some] @ right[some].T
        same = alike([pair[0] for pair in pairs[some]]) | alike([pair[1] for pair in pairs[some]])
        own = cosines.diagonal()[:, None]
        ranks += (1 + ((cosines >= own) & ~same).sum(1)).tolist()
        nearest += (begin + cosines.argmax(1)).tolist()
    return ranks, nearest


def alike(texts: Sequence[str]) -> Tensor:
    """(N, N) booleans: which texts are the same."""
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    ids = torch.tensor([numbers[text] for text in texts])
    return ids[:, None] == ids[None]


def retrieval_metrics(ranks: Sequence[float]) -> dict[str, Any]:
    """`accuracy`: partners that are the nearest, and `mrr`: the mean of 1 / rank; both in per cent."""
    if not ranks:
        return {"count": 0}
    return {
        "count": len(ranks),
        "accuracy": 100 * sum(rank == 1 for rank in ranks) / len(ranks),
        "mrr": 100 * sum(1 / rank for rank in ranks) / len(ranks),
    }


def correlation_metrics(cosines: Sequence[float], scores: Sequence[float]) -> dict[str, Any]:
    """`spearman` of cosines and scores."""
    if not scores:
        return {"count": 0}
    return {"count": len(scores), "spearman": spearman(cosines, scores)}


def spearman(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> float:
    """The correlation of their ranks, as `correlation` has it."""
    return correlation(_ranks(x), _ranks(y))


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's, times a hundred as is usual; 0 where either is all the same."""
    if min(np.ptp(x), np.ptp(y)) == 0:  # of which the mean may be another by rounding
        return 0.0
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return 100 * float((x * y).sum()) / size if size else 0.0


def uniformity_metrics(vectors: Tensor) -> dict[str, Any]:
    """`uniformity` of (N, D) vectors of different texts: the log of the mean of e^(-2 d²) over all pairs, d
    being how far apart they are on the sphere (arXiv 2005.10242, section 4.1.2). 0 where all are the same;
    lower is better."""
    points = F.normalize(vectors, dim=-1)
    total, pairs = 0.0, len(points) * (len(points) - 1)
    for begin in range(0, len(points), POOL):
        some = points[begin : begin + POOL]
        total += float(torch.exp(4 * (some @ points.T - 1)).double().sum())
    if not pairs:
        return {"count": len(points)}
    return {"count": len(points), "uniformity": math.log(max((total - len(points)) / pairs, 1e-300))}


def bags(rows: Sequence[Sequence[int]], weights: Tensor) -> Tensor:
    """(N, V): how often each token stands in a row, times its weight (V,)."""
    counts = torch.zeros((len(rows), len(weights)))
    for number, ids in enumerate(rows):
        counts[number].index_add_(0, torch.tensor(ids, dtype=torch.long), torch.ones(len(ids)))
    return counts * weights


def rarity(rows: Sequence[Sequence[int]], vocabulary: int) -> Tensor:
    """(V,): log of how much rarer a token is than one that stands in every row (Spärck Jones 1972)."""
    found = torch.zeros(vocabulary)
    for ids in rows:
        found[torch.tensor(sorted(set(ids)), dtype=torch.long)] += 1
    return torch.log((1 + len(rows)) / (1 + found))


def _ranks(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Places in order; equal values share the mean of theirs."""
    _, place, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = counts.cumsum()
    means: np.ndarray = (last - (counts - 1) / 2)[place]
    return means
