"""Weights laid out for use are the same weights."""

from __future__ import annotations

import pytest
import torch

from regard.model.attention import AttentionConfig
from regard.model.embed import Tokens
from regard.model.feedforward import MLP
from regard.model.layout import lay_out
from regard.model.mask import Causal
from regard.model.quantize import quantize
from regard.model.stack import StackConfig
from regard.model.transformer import TransformerConfig


@pytest.mark.parametrize("int8", [False, True])
def test_laying_out_changes_only_the_order_in_memory(int8: bool) -> None:
    stack = StackConfig(20, 2, AttentionConfig(5), MLP(23), Causal(), dropout=0.0)
    model = TransformerConfig(Tokens(31), stack).build()
    if int8:
        quantize(model)
    x = torch.randint(0, 31, (3, 7))
    with torch.no_grad():
        want, before = model(x), {name: value.clone() for name, value in model.state_dict().items()}
        assert lay_out(model) is model
        torch.testing.assert_close(model(x), want)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_rows_of_the_table_stay_together() -> None:
    model = lay_out(TransformerConfig(Tokens(31), StackConfig(20, 1, AttentionConfig(5))).build())
    assert model.embed.weight.stride() == (20, 1)
    assert model.head.weight.stride() == (1, 31)
