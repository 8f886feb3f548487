"""Positions against the published formulas, and the tables that hold them."""

from __future__ import annotations

import math

import pytest
import torch

from regard.errors import InputError
from regard.model.attention import AttentionConfig
from regard.model.mask import Contiguous, Ragged
from regard.model.position import (
    ALiBi,
    Learned,
    NoPosition,
    Position,
    RelativeBias,
    Rotary,
    Rotary2D,
    Sinusoidal,
    Sinusoidal2D,
    alibi_slopes,
    relative_bucket,
    sinusoids,
)
from regard.model.stack import StackConfig
from tests.shared import refused


@pytest.mark.parametrize("width", [1, 2, 7, 16])
@pytest.mark.parametrize("interleaved", [True, False])
def test_sinusoids_are_the_papers_formula(width: int, interleaved: bool) -> None:
    positions = [0, 1, 2, 31, 5003]
    table = sinusoids(torch.tensor(positions), width, 10000.0, interleaved)
    assert table.shape == (5, width)
    pairs = (width + 1) // 2
    for p, row in zip(positions, table.tolist(), strict=True):
        for i in range(pairs):
            angle = p / 10000 ** (2 * i / width)
            sine, cosine = (2 * i, 2 * i + 1) if interleaved else (i, pairs + i)
            assert row[sine] == pytest.approx(math.sin(angle), abs=1e-7)
            if cosine < width:
                assert row[cosine] == pytest.approx(math.cos(angle), abs=1e-7)


def test_alibi_slopes_are_the_published_ones() -> None:
    # arXiv 2108.12409, section 3: for 8 heads 1/2, 1/4 … 1/256; for 16 the geometric means between.
    assert alibi_slopes(8).tolist() == [2.0**-i for i in range(1, 9)]
    torch.testing.assert_close(alibi_slopes(16), torch.tensor([2 ** (-i / 2) for i in range(1, 17)]))
    # The authors' code for 12 heads: the eight of 8, then every second of 16.
    torch.testing.assert_close(
        alibi_slopes(12), torch.tensor([2.0**-i for i in range(1, 9)] + [2 ** (-i / 2) for i in (1, 3, 5, 7)])
    )


def test_alibi_lowers_scores_by_slope_times_distance() -> None:
    bias = ALiBi().build(20, 5, 4).bias(Contiguous(3, 2), Contiguous(0, 11), torch.device("cpu"))
    assert bias is not None
    want = [[[-slope * abs(q - k) for k in range(11)] for q in (3, 4)] for slope in alibi_slopes(5).tolist()]
    torch.testing.assert_close(bias, torch.tensor([want]))


def test_relative_buckets_are_t5s() -> None:
    """Values of mesh-tensorflow's `_relative_position_bucket` with its defaults, 32 buckets to 128."""
    distance = torch.tensor([-200, -128, -127, -64, -20, -8, -7, -1, 0, 1, 7, 8, 20, 64, 127, 128, 200])
    both = [15, 15, 15, 14, 10, 8, 7, 1, 0, 17, 23, 24, 26, 30, 31, 31, 31]
    assert relative_bucket(distance, RelativeBias()).tolist() == both
    past = [31, 31, 31, 26, 17, 8, 7, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert relative_bucket(distance, RelativeBias(bidirectional=False)).tolist() == past


def test_a_learned_table_refuses_what_is_longer() -> None:
    part = Learned(7).build(4, 2, 2)
    x = torch.zeros(1, 8, 4)
    with refused(InputError, value=8, limit=7):
        part.add(x, Contiguous(0, 8))
    with refused(InputError, value=8, limit=7):
        part.add(x, Ragged.from_lengths(torch.tensor([8]), 8))


def test_a_row_of_short_documents_fits_a_short_table() -> None:
    part = Learned(7).build(4, 2, 2)
    with torch.no_grad():
        part.table.weight.copy_(torch.arange(28.0).view(7, 4))
    added = part.add(torch.zeros(1, 13, 4), Ragged.packed([[7, 5]], 13))
    assert torch.equal(added[0, :12], torch.cat((part.table.weight, part.table.weight[:5])))


@pytest.mark.parametrize("position", [Rotary(), Sinusoidal(), Rotary2D(7), Sinusoidal2D(7)])
def test_a_table_grown_during_inference_serves_training(position: Position) -> None:
    stack = StackConfig(8, 1, AttentionConfig(heads=2), position=position).build()
    x = torch.randn(1, 101, 8)
    with torch.inference_mode():
        stack(x)
    stack(x).sum().backward()
    assert stack.blocks[0].attention.qkv.weight.grad is not None


@pytest.mark.parametrize("start", [0, 97], ids=["a table as it was made", "a grown table"])
def test_a_table_goes_where_it_is_used(start: int) -> None:
    """To a device that torch always has; an accelerator is no different."""
    rotation = Rotary().build(4, 2, 2).rotation(Contiguous(start, 5), torch.device("meta"))
    assert rotation is not None
    assert rotation.cos.is_meta


def test_rotary_refuses_an_odd_number_of_turned_numbers() -> None:
    with pytest.raises(ValueError, match="even"):
        Rotary().build(9, 3, 3)


@pytest.mark.parametrize(
    "position",
    [
        *(Sinusoidal(), Learned(7), Rotary(), ALiBi(), RelativeBias(), NoPosition()),
        *(Sinusoidal2D(3, 1), Rotary2D(3, 1)),
    ],
)
def test_a_model_built_without_memory_is_whole_once_its_weights_are_loaded(position: Position) -> None:
    config = StackConfig(20, 2, AttentionConfig(heads=5), position=position, dropout=0.0)
    whole = config.build()
    with torch.device("meta"):
        empty = config.build()
    empty.load_state_dict(whole.state_dict(), assign=True)
    x = torch.randn(2, 7, 20)
    assert torch.equal(empty(x), whole(x))


@pytest.mark.parametrize("leading", [0, 1, 2])
def test_sinusoids_of_a_grid_are_the_published_formula(leading: int) -> None:
    """MAE's: a quarter each of sin and cos of the column, then of the row; nothing on a class token."""
    width, columns = 12, 5
    added = (
        Sinusoidal2D(columns, leading).build(width, 2, 6).add(torch.zeros(1, 13, width), Contiguous(0, 13))
    )
    for place, row in enumerate(added[0].tolist()):
        r, c = divmod(place - leading, columns)
        rates = [10000 ** (-i / 3) for i in range(3)]
        want = [f(p * rate) for p in (c, r) for f in (math.sin, math.cos) for rate in rates]
        assert row == pytest.approx(want if place >= leading else [0.0] * width, abs=1e-6)


def test_a_grid_turns_half_of_the_pairs_by_the_row_and_half_by_the_column() -> None:
    rotation = Rotary2D(columns=5, leading=1).build(16, 2, 8).rotation(Contiguous(3, 7), torch.device("cpu"))
    assert rotation is not None
    assert not rotation.interleaved
    for place, cos, sin in zip(range(3, 10), rotation.cos[0, 0], rotation.sin[0, 0], strict=True):
        r, c = divmod(place - 1, 5)
        angles = [r, r * 0.1, c, c * 0.1]  # 100^0 and 100^(-1/2)
        assert cos.tolist() == pytest.approx([math.cos(angle) for angle in angles], abs=1e-6)
        assert sin.tolist() == pytest.approx([math.sin(angle) for angle in angles], abs=1e-6)


def test_widths_that_do_not_suit_a_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="even width, not 7"):
        Sinusoidal2D(3).build(7, 1, 7)
    with pytest.raises(ValueError, match="head width in fours, not 6"):
        Rotary2D(3).build(12, 2, 6)
