"""Whatever is made of a stack's vectors: padding, neighbours, files and counting change nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from members import BASE, EMBEDS, OUTPUTS, D, V, close, embedded, ids, left, lively, name

from regard.model.describe import describe
from regard.model.embed import Tokens
from regard.model.head import Head
from regard.model.mask import Full, Ragged
from regard.model.quantize import quantize
from regard.model.transformer import ModelConfig, Transformer, TransformerConfig
from regard.schema import dump, parse

T = 7
LENGTHS = torch.tensor([7, 3, 5])
each = pytest.mark.parametrize("head", OUTPUTS, ids=name)


def made(head: Head) -> Transformer:
    model: Any = lively(TransformerConfig(Tokens(V), replace(BASE, mask=Full()), head).build())
    return model


@each
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_and_neighbours_change_nothing(head: Head, side: Any) -> None:
    model, given = made(head), ids(3, T)
    at = left(LENGTHS, T) if side == "left" else Ragged.from_lengths(LENGTHS, T)
    together = model(given, at)
    for row, length in enumerate(LENGTHS.tolist()):
        real = slice(T - length, T) if side == "left" else slice(0, length)
        alone = model(given[row : row + 1, real])
        close(together[row, real] if alone.dim() == 3 else together[row], alone[0])


@pytest.mark.parametrize("embed", [embed for embed in EMBEDS if isinstance(embed, Tokens)], ids=name)
def test_however_tokens_are_read_padding_and_neighbours_change_nothing(embed: Tokens) -> None:
    model, given = embedded(embed)[0], ids(3, T)
    together = model(given, Ragged.from_lengths(LENGTHS, T))
    for row, length in enumerate(LENGTHS.tolist()):
        close(together[row], model(given[row : row + 1, :length])[0])


@each
def test_what_stands_in_padding_is_not_seen(head: Head) -> None:
    model, given = made(head), ids(3, T)
    other = torch.where(torch.arange(T) < LENGTHS[:, None], given, (given + 1) % V)
    at = Ragged.from_lengths(LENGTHS, T)
    one, two = model(given, at), model(other, at)
    for row, length in enumerate(LENGTHS.tolist()):
        close(*((x[row, :length] if x.dim() == 3 else x[row]) for x in (one, two)))


@each
def test_its_configuration_survives_json(head: Head) -> None:
    config = TransformerConfig(Tokens(V), BASE, head)
    assert parse(ModelConfig, json.loads(json.dumps(dump(config)))) == config


@each
def test_its_weights_are_counted_and_its_work_is_known(head: Head) -> None:
    model = made(head)
    found = describe(model)
    assert found.parameters == sum(weight.numel() for weight in model.parameters())
    assert not found.uncounted


@each
@torch.inference_mode()
def test_eight_bits_say_nearly_the_same(head: Head) -> None:
    model, given = made(head), ids(2, T)
    exact = model(given)
    small = quantize(model)(given)
    assert small.shape == exact.shape
    assert float((small - exact).norm() / exact.norm()) < 0.1
    assert exact.shape[-1] in (V, 3, 2, D)
