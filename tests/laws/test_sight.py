"""Who sees whom: the rules, and what they promise about a whole stack's output."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Literal

import pytest
import torch
from members import (
    BASE,
    DEPTH,
    MASKED,
    MASKS,
    PARTS,
    POSITIONS,
    STEPPED,
    D,
    close,
    encoder_decoder,
    ids,
    name,
    sees,
    transformer,
)
from torch import Tensor

from regard.model.mask import (
    PADDING,
    Causal,
    Contiguous,
    Full,
    MaskRule,
    Prefix,
    Ragged,
    Window,
    dense,
    lower,
)
from regard.model.position import (
    Learned,
    LearnedAndRelative,
    NoPosition,
    Position,
    Rotary2D,
    Sinusoidal,
    Sinusoidal2D,
)
from regard.model.stack import StackConfig
from regard.model.tap import open_taps

B, T, S = 2, 7, 11

stacks = pytest.mark.parametrize("stack", MASKED.values(), ids=MASKED.keys())
parts = pytest.mark.parametrize("stack", PARTS.values(), ids=PARTS.keys())
sides = pytest.mark.parametrize("side", ["left", "right"])
Side = Literal["left", "right"]


@pytest.mark.parametrize("stack", STEPPED.values(), ids=STEPPED.keys())
@torch.no_grad()
def test_causal_output_ignores_future_tokens(stack: StackConfig) -> None:
    model, past = transformer(stack), ids(B, T)
    future = past.clone()
    future[:, 4:] = (future[:, 4:] + 1 + torch.randint(0, 11, (B, 3))) % 13
    before, after = model(past), model(future)
    torch.testing.assert_close(after[:, :4], before[:, :4], atol=1e-6, rtol=0)
    assert not torch.isclose(after[:, 4:], before[:, 4:]).all(-1).any()


@stacks
@torch.no_grad()
def test_output_depends_on_what_may_be_seen_and_on_nothing_else(stack: StackConfig) -> None:
    model = transformer(stack)
    x = ids(1, T)
    allowed = torch.tensor([[sees(stack.mask, q, k) for k in range(T)] for q in range(T)])
    reached = torch.linalg.matrix_power(allowed.float(), DEPTH) > 0  # a layer a step
    changed = x.repeat(T, 1)
    changed.diagonal().add_(1).remainder_(13)
    influence = (model(changed) - model(x.repeat(T, 1))).abs().amax(-1).T > 1e-6  # (query, changed key)
    assert torch.equal(influence, reached)


@pytest.mark.parametrize("masks", [(Window(1), Causal()), (Causal(), Window(0), Window(2, 1)), (Full(),)])
@torch.no_grad()
def test_each_block_sees_what_its_own_mask_says(masks: tuple[MaskRule, ...]) -> None:
    depth = 2 * len(masks) + 1
    model, x = transformer(replace(BASE, depth=depth, mask=Full(), masks=masks)), ids(1, T)
    seen: dict[str, Tensor] = {}
    with open_taps(model, {"*.weights": seen.__setitem__}):
        model(x)
    for index in range(depth):
        rule = masks[index % len(masks)]
        allowed = torch.tensor([[sees(rule, q, k) for k in range(T)] for q in range(T)])
        assert torch.equal(seen[f"stack.blocks.{index}.attention.weights"][0, 0] > 0, allowed)


def test_no_block_may_see_what_the_stack_does_not() -> None:
    for mask, wider in ((Causal(), Full()), (Causal(), Window(1, 1)), (Window(2), Causal())):
        with pytest.raises(ValueError, match="pattern"):
            replace(BASE, mask=mask, masks=(mask, wider)).build()


def every_rule() -> list[MaskRule]:
    windows = [Window(before, after) for before in range(4) for after in range(3)]
    return [Full(), Causal(), *windows, *(Prefix(length) for length in range(6))]


@pytest.mark.parametrize("rule", every_rule(), ids=name)
def test_what_is_lowered_statically_is_what_the_rule_says(rule: MaskRule) -> None:
    places = [Contiguous(start, length) for start in range(5) for length in range(1, 6)]
    for query, key in itertools.product(places, places):
        says = [
            [sees(rule, q, k) for k in range(key.start, key.stop)] for q in range(query.start, query.stop)
        ]
        lowered = lower(rule, query, key)
        assert lowered != "causal" or query.length == key.length
        allowed = dense(lowered, query.length, key.length)
        if allowed is None:
            assert all(map(all, says)), (query, key)
        else:
            assert allowed.expand(1, 1, query.length, key.length)[0, 0].tolist() == says, (query, key)


def test_every_rule_of_the_union_is_enumerated() -> None:
    assert {type(rule) for rule in every_rule()} == {type(rule) for rule in MASKS}


@pytest.mark.parametrize("rule", [Causal(), Window(7), Prefix(0), Prefix(1)], ids=name)
def test_a_whole_sentence_makes_no_mask_in_memory(rule: MaskRule) -> None:
    assert lower(rule, Contiguous(0, T), Contiguous(0, T)) == "causal"
    assert lower(rule, Contiguous(T - 1, 1), Contiguous(0, T)) is None


@pytest.mark.parametrize("rule", MASKS, ids=name)
def test_ragged_places_are_compared_one_by_one(rule: MaskRule) -> None:
    query = Ragged(
        torch.tensor([[0, 1, 2, 0, 5], [3, 4, 0, 1, 2]]), torch.tensor([[0, 0, 0, 1, 1], [0, 0, 2, 2, -1]]), 6
    )
    key = Ragged(torch.tensor([[0, 1, 2], [4, 0, 3]]), torch.tensor([[0, 0, 1], [0, -1, 2]]), 5)
    allowed = lower(rule, query, key)
    assert isinstance(allowed, torch.Tensor)
    for row, t, s in itertools.product(range(2), range(5), range(3)):
        together = query.segment[row, t] == key.segment[row, s] != PADDING
        right = bool(together) and sees(rule, int(query.position[row, t]), int(key.position[row, s]))
        assert allowed[row, 0, t, s] == right, (row, t, s)


@sides
@stacks
@torch.no_grad()
def test_padding_changes_nothing(stack: StackConfig, side: Side) -> None:
    model, x = transformer(stack), ids(3, T)
    lengths = [7, 4, 1]
    at = Ragged.from_lengths(torch.tensor(lengths), T, side)
    padded = model(x, at)
    other = model(torch.where(at.segment == PADDING, (x + 5) % 13, x), at)
    assert padded.isfinite().all()
    for row, length in enumerate(lengths):
        real = slice(T - length, T) if side == "left" else slice(0, length)
        close(padded[row, real], model(x[row : row + 1, real])[0])
        close(other[row, real], padded[row, real])


@sides
@parts
@torch.no_grad()
def test_padding_of_source_and_target_changes_nothing(stack: StackConfig, side: Side) -> None:
    model, source, target = encoder_decoder(stack), ids(3, S), ids(3, T)
    read, written = [11, 1, 5], [2, 7, 3]
    got = model(
        source,
        target,
        Ragged.from_lengths(torch.tensor(read), S, side),
        Ragged.from_lengths(torch.tensor(written), T, side),
    )
    for row, (s, t) in enumerate(zip(read, written, strict=True)):
        real, seen = (slice(T - t, T), slice(S - s, S)) if side == "left" else (slice(0, t), slice(0, s))
        close(got[row, real], model(source[row : row + 1, seen], target[row : row + 1, real])[0])


@stacks
@torch.no_grad()
def test_packed_documents_are_read_each_alone(stack: StackConfig) -> None:
    model, x = transformer(stack), ids(2, 13)
    packed = model(x, Ragged.packed([[5, 7], [2, 3, 5]], 13))
    for row, start, length in ((0, 0, 5), (0, 5, 7), (1, 0, 2), (1, 2, 3), (1, 5, 5)):
        document = slice(start, start + length)
        close(packed[row, document], model(x[row : row + 1, document])[0])


@parts
@torch.no_grad()
def test_packed_pairs_are_translated_each_alone(stack: StackConfig) -> None:
    model, source, target = encoder_decoder(stack), ids(1, 11), ids(1, 7)
    packed = model(source, target, Ragged.packed([[5, 3]], 11), Ragged.packed([[2, 5]], 7))
    close(packed[:, :2], model(source[:, :5], target[:, :2]))
    close(packed[:, 2:], model(source[:, 5:8], target[:, 2:]))


@parts
@torch.no_grad()
def test_a_row_does_not_depend_on_its_neighbours(stack: StackConfig) -> None:
    model, x = transformer(stack), ids(3, T)
    close(model(x)[1:2], model(x[1:2]))


@torch.no_grad()
def test_without_positions_order_means_nothing() -> None:
    """Permuting keys changes no answer; permuting the whole input permutes the output."""
    order = torch.randperm(T)
    for position in POSITIONS:
        stack = transformer(replace(BASE, mask=Full(), position=position)).stack
        x = torch.randn(B, T, D)
        same = torch.allclose(stack(x[:, order]), stack(x)[:, order], atol=1e-5)
        assert same == isinstance(position, NoPosition), position


@pytest.mark.parametrize("position", POSITIONS, ids=name)
@torch.no_grad()
def test_relative_positions_depend_on_distance_alone(position: Position) -> None:
    absolute = isinstance(
        position, Sinusoidal | Learned | LearnedAndRelative | Sinusoidal2D | Rotary2D
    )  # of a grid: see below
    stack = transformer(replace(BASE, position=position)).stack
    x = torch.randn(B, T, D)
    same = torch.allclose(stack(x, Contiguous(29, T)), stack(x, Contiguous(0, T)), atol=1e-4)
    assert same != absolute


@torch.no_grad()
def test_positions_on_a_grid_depend_on_both_distances_alone() -> None:
    """A window of patches that is moved down, or to the right, sees the same."""
    rows, columns, grid = 2, 3, 11
    stack = transformer(replace(BASE, mask=Full(), position=Rotary2D(columns=grid, leading=1))).stack
    x = torch.randn(B, rows * columns, D)

    def at(down: int, right: int) -> Ragged:
        places = [[1 + (down + r) * grid + right + c for r in range(rows) for c in range(columns)]]
        return Ragged(torch.tensor(places), torch.zeros(1, 1, dtype=torch.long), 1000)

    for down, right in ((0, 5), (29, 0), (13, 7)):
        close(stack(x, at(down, right)), stack(x, at(0, 0)))
    turned = x.unflatten(1, (rows, columns)).transpose(1, 2).flatten(1, 2)
    assert not torch.allclose(stack(turned, at(0, 0)), stack(x, at(0, 0)), atol=1e-3)
