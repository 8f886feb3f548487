"""Cached = uncached, whatever is done to the cache: filled in steps or chunks, reordered, rolled back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from members import BASE, HEADS, PARTS, STEPPED, close, encoder_decoder, ids, left, transformer
from torch import Tensor

from regard.model.cache import Cache
from regard.model.mask import Contiguous, Positions, Prefix, Ragged, Window
from regard.model.stack import StackConfig
from regard.model.transformer import Transformer

B, T, S = 3, 11, 7

stepped = pytest.mark.parametrize("stack", STEPPED.values(), ids=STEPPED.keys())
parts = pytest.mark.parametrize("stack", PARTS.values(), ids=PARTS.keys())
capacities = pytest.mark.parametrize("capacity", [0, 5, T])
some = pytest.mark.parametrize(
    "stack",
    [
        BASE,
        replace(BASE, attention=HEADS["grouped"], mask=Window(2)),
        *(replace(BASE, position=part.position) for part in PARTS.values() if part.position != BASE.position),
    ],
    ids=lambda stack: f"{stack.mask}-{stack.position}",
)


def chunked(at: Positions, sizes: Sequence[int]) -> list[Positions]:
    """The places of consecutive chunks of tokens."""
    found: list[Positions] = []
    for stop, size in zip(torch.tensor(sizes).cumsum(0).tolist(), sizes, strict=True):
        here = slice(stop - size, stop)
        if isinstance(at, Contiguous):
            found.append(Contiguous(at.start + here.start, size))
        else:
            found.append(Ragged(at.position[:, here], at.segment[:, here], at.bound))
    return found


def fed(
    model: Transformer, x: Tensor, cache: Cache, places: Sequence[Positions | None], sizes: Sequence[int]
) -> Tensor:
    """Logits of x, given to the model chunk by chunk."""
    pieces = [model(chunk, at, cache) for chunk, at in zip(x.split(list(sizes), 1), places, strict=True)]
    return torch.cat(pieces, 1)


@capacities
@pytest.mark.parametrize("sizes", [[3, *[1] * 8], [5, 2, 1, 3]], ids=["steps", "chunks"])
@stepped
@torch.no_grad()
def test_cached_logits_are_the_uncached_ones(stack: StackConfig, sizes: list[int], capacity: int) -> None:
    model, x = transformer(stack), ids(B, T)
    cache = model.cache(capacity)
    close(fed(model, x, cache, [None] * len(sizes), sizes), model(x))
    assert cache.length == T


@stepped
@torch.no_grad()
def test_cached_logits_of_left_padded_rows_are_those_of_each_row_alone(stack: StackConfig) -> None:
    model, x = transformer(stack), ids(B, T)
    lengths = torch.tensor([11, 9, 6])
    sizes = [8, 1, 2]  # the last row's prompt is 3 tokens, a whole prefix
    at = left(lengths, T)
    got = fed(model, x, model.cache(), chunked(at, sizes), sizes)
    close(got[at.segment == 0], model(x, at)[at.segment == 0])
    for row, length in enumerate(lengths.tolist()):
        close(got[row, T - length :], model(x[row : row + 1, T - length :])[0])


@torch.no_grad()
def test_a_segment_given_once_for_a_row_is_enough() -> None:
    """What a decoder passes for one new token: (B, 1) places, and (1, 1) segments."""
    model, x = transformer(BASE), ids(B, T)
    lengths = torch.tensor([9, 8, 4])
    cache = model.cache()
    model(x[:, :9], left(lengths, 9), cache)
    for step in (9, 10):
        at = Ragged((lengths + step - 9)[:, None], torch.zeros(1, 1, dtype=torch.long), T)
        got = model(x[:, step : step + 1], at, cache)
    for row, length in enumerate(lengths.tolist()):
        close(got[row, -1], model(x[row : row + 1, 9 - length :])[0, -1])


def test_ragged_rows_must_say_where_new_tokens_stand() -> None:
    model = transformer(BASE)
    cache = model.cache()
    model(ids(B, T), left(torch.tensor([11, 5, 2]), T), cache)
    with pytest.raises(ValueError, match="pass the positions"):
        model(ids(B, 1), cache=cache)


@capacities
@parts
@torch.no_grad()
def test_an_encoder_decoders_cached_vectors_are_the_uncached_ones(stack: StackConfig, capacity: int) -> None:
    model, source, target = encoder_decoder(stack), ids(B, S), ids(B, T)
    at = Ragged.from_lengths(torch.tensor([7, 2, 5]), S)
    want = model.hidden(source, target, at)
    cache = model.cache(capacity)
    first = model.decode(target[:, :2], model.encode(source, at), at, cache=cache)
    rest = [model.decode(chunk, cache=cache) for chunk in target[:, 2:].split([1, 1, 3, 4], 1)]
    close(torch.cat([first, *rest], 1), want)


@pytest.mark.parametrize("ragged", [False, True], ids=["contiguous", "ragged"])
@some
@torch.no_grad()
def test_reordered_rows_go_on_as_themselves(stack: StackConfig, ragged: bool) -> None:
    model, x = transformer(stack), ids(B, T)
    at = left(torch.tensor([11, 7, 9]), T) if ragged else Contiguous(0, T)
    rows = torch.tensor([2, 0, 0, 1, 2])
    before, after = chunked(at, [5, 6])
    cache = model.cache()
    model(x[:, :5], before, cache)
    cache.select(rows)
    if isinstance(after, Ragged):
        after = after.select(rows)
    new = torch.cat((x[rows][:, :5], ids(5, 6)), 1)
    got = model(new[:, 5:], after, cache)
    want = model(new, at.select(rows) if isinstance(at, Ragged) else at)
    close(got, want[:, 5:])


@pytest.mark.parametrize("ragged", [False, True], ids=["contiguous", "ragged"])
@some
@torch.no_grad()
def test_a_rolled_back_cache_has_forgotten(stack: StackConfig, ragged: bool) -> None:
    model, x = transformer(stack), ids(B, T)
    at = left(torch.tensor([11, 7, 9]), T) if ragged else Contiguous(0, T)
    first, guess, last = chunked(at, [5, 2, 4])
    cache = model.cache(7)
    model(x[:, :5], first, cache)
    model(ids(B, 2), guess, cache)
    cache.truncate(5)
    got = fed(model, x[:, 5:], cache, [guess, last], [2, 4])
    close(got[:, :], model(x, at)[:, 5:])
    cache.truncate(0)
    close(model(x, at, cache), model(x, at))


@torch.no_grad()
def test_a_prefix_that_comes_at_once_may_be_followed_by_steps() -> None:
    model, x = transformer(replace(BASE, mask=Prefix(5))), ids(B, T)
    whole = model(x)
    close(fed(model, x, model.cache(), [None, None], [5, 6]), whole)
    torn = fed(model, x, model.cache(), [None, None], [4, 7])
    assert not torch.allclose(torn, whole, atol=1e-3), "a torn prefix cannot see its own end"


def test_a_cache_keeps_the_room_that_it_was_given() -> None:
    model = transformer(BASE)
    cache = model.cache(T)
    with torch.no_grad():
        for token in ids(B, T).split(1, 1):
            model(token, cache=cache)
            assert {layer.keys.shape[2] for layer in cache} == {T}
        model(ids(B, 1), cache=cache)
    assert {layer.keys.shape[2] for layer in cache} == {2 * (T + 1)}


@pytest.mark.parametrize("cached", [False, True])
@parts
@torch.no_grad()
def test_beams_look_at_one_memory_as_if_each_had_its_own(stack: StackConfig, cached: bool) -> None:
    beams = 3
    model, source = encoder_decoder(stack), ids(2, S)
    target = ids(2 * beams, 5)
    at = Ragged.from_lengths(torch.tensor([7, 3]), S)
    memory = model.encode(source, at)
    repeated = Ragged(at.position.expand(2, S), at.segment, at.bound).select(
        torch.arange(2).repeat_interleave(beams)
    )
    want = model.decode(target, memory.repeat_interleave(beams, 0), repeated)
    if cached:
        cache = model.cache()
        got = torch.cat(
            [
                model.decode(target[:, :2], memory, at, cache=cache),
                *(model.decode(token, cache=cache) for token in target[:, 2:].split(1, 1)),
            ],
            1,
        )
    else:
        got = model.decode(target, memory, at)
    close(got, want)


@pytest.mark.parametrize("whole", [False, True], ids=["padded memory", "whole memory"])
@pytest.mark.parametrize("cached", [False, True])
@torch.no_grad()
def test_beams_of_prompts_of_different_lengths_share_one_memory(cached: bool, whole: bool) -> None:
    beams = 3
    model, source, target = encoder_decoder(BASE), ids(2, S), ids(2 * beams, 5)
    at = left(torch.tensor([5, 5, 4, 3, 3, 2]), 5)
    read = None if whole else Ragged.from_lengths(torch.tensor([7, 3]), S)
    rows = torch.arange(2).repeat_interleave(beams)
    memory = model.encode(source, read)
    want = model.decode(target, memory[rows], read and read.select(rows), positions=at)
    if cached:
        cache, (first, last) = model.cache(), chunked(at, [4, 1])
        got = model.decode(target[:, :4], memory, read, positions=first, cache=cache)
        got = torch.cat((got, model.decode(target[:, 4:], positions=last, cache=cache)), 1)
    else:
        got = model.decode(target, memory, read, positions=at)
    close(got[at.segment == 0], want[at.segment == 0])


@torch.no_grad()
def test_beams_of_packed_pairs_share_one_memory() -> None:
    """All rows are packed alike, so that their places are given once."""
    beams = 3
    model, source, target = encoder_decoder(BASE), ids(2, S), ids(2 * beams, 5)
    at, read = Ragged.packed([[2, 3]], 5), Ragged.packed([[4, 3], [5, 2]], S)
    rows = torch.arange(2).repeat_interleave(beams)
    memory = model.encode(source, read)
    want = model.decode(target, memory[rows], read.select(rows), positions=at)
    close(model.decode(target, memory, read, positions=at), want)


@torch.no_grad()
def test_finished_sentences_leave_with_their_memory() -> None:
    beams, model, source = 2, encoder_decoder(BASE), ids(3, S)
    at = Ragged.from_lengths(torch.tensor([7, 3, 5]), S)
    target = ids(3 * beams, 5)
    want = model.decode(target, model.encode(source, at), at)
    cache = model.cache()
    model.decode(target[:, :4], model.encode(source, at), at, cache=cache)
    stay = torch.tensor([0, 2])
    rows = torch.tensor([0, 1, 4, 5])
    cache.select(rows)
    cache.select_memory(stay)
    close(model.decode(target[rows, 4:], cache=cache), want[rows, 4:])


def test_a_decoder_without_its_memory_is_refused() -> None:
    model = encoder_decoder(BASE)
    with pytest.raises(ValueError, match="attends to a memory"):
        model.decode(ids(2, 3), cache=model.cache())
