"""Which vectors point the same way: nearest neighbours of words or sentences.

Mikolov et al. 2013 (arXiv 1301.3781), section 4. It knows vectors, not texts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_AT_ONCE = 256  # queries whose cosines with everything are held


@torch.inference_mode()
def nearest(queries: Tensor, known: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """(Q, D) and (N, D) → cosines (Q, n) of the n nearest to each query, best first, and which they are."""
    queries, known = F.normalize(queries.float(), dim=-1), F.normalize(known.float(), dim=-1)
    found = [(some @ known.T).topk(min(n, len(known)), dim=-1) for some in queries.split(_AT_ONCE)]
    return torch.cat([x.values for x in found]), torch.cat([x.indices for x in found])
