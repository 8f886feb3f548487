"""Parts that are scaled by learned gains, and what stands for a sequence."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import nn

from regard.model.block import LayerScale, PreNorm
from regard.model.head import Pooling, pooled
from regard.model.mask import Ragged
from regard.model.norm import LayerNorm

B, T, D = 3, 5, 7


@torch.no_grad()
def test_gains_scale_what_a_part_adds_and_begin_as_they_are_told() -> None:
    scaled: Any = LayerScale(0.25).build(D, LayerNorm(), 0.0)
    plain = PreNorm().build(D, LayerNorm(), 0.0)
    part, x = nn.Linear(D, D), torch.randn(B, T, D)
    added = plain(x, part) - x
    torch.testing.assert_close(scaled(x, part), x + 0.25 * added)
    scaled.gain.copy_(torch.arange(D))
    torch.testing.assert_close(scaled(x, part), x + torch.arange(D) * added)


@pytest.mark.parametrize("pooling", get_args(Pooling))
@pytest.mark.parametrize("skipped", [0, 1, 4])
@pytest.mark.parametrize("side", ["left", "right"])
def test_what_stands_for_a_sequence_is_what_its_name_says(pooling: Pooling, skipped: int, side: Any) -> None:
    x, lengths = torch.randn(B, 7, D), torch.tensor([7, 2, 1])
    at = Ragged.from_lengths(lengths, 7, side)
    for row, length in enumerate(lengths.tolist()):
        real = x[row, 7 - length :] if side == "left" else x[row, :length]
        nothing = torch.zeros(D)
        first, rest, patches = real[0], real[1:], real[1 + skipped :]
        want = {
            "mean": real.mean(0),
            "first": first,
            "first-and-second": torch.cat((first, rest[0] if length > 1 else nothing)),
            "first-and-mean": torch.cat((first, patches.mean(0) if len(patches) else nothing)),
        }[pooling]
        torch.testing.assert_close(pooled(x, at, pooling, skipped)[row], want)
        torch.testing.assert_close(pooled(real[None], None, pooling, skipped)[0], want)
