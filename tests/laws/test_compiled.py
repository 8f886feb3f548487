"""`torch.compile` takes a model as one graph, and steps aside while somebody looks inside."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from members import PARTS, close, encoder_decoder, ids, transformer

from regard.model.head import vocabulary_loss
from regard.model.tap import open_taps

SOME = ["multi-head", "grouped", "normed", "ALiBi(kind='alibi')", "SandwichNorm(kind='sandwich')"]
SOME = [key for key in PARTS if key in SOME or key.startswith(("ALiBi", "Sandwich", "Gated", "Learned"))]


@pytest.fixture(autouse=True)
def _anew() -> Any:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("part", SOME)
def test_a_model_is_one_graph(part: str) -> None:
    """With `fullgraph` whatever breaks it raises."""
    model, given = transformer(PARTS[part]), ids(2, 7)
    want = model(given)
    close(torch.compile(model, backend="eager", fullgraph=True)(given), want)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # by torch itself
def test_an_encoder_decoder_and_its_loss_are_one_graph() -> None:
    model, source, target, wanted = encoder_decoder(PARTS["grouped"]), ids(3, 5), ids(3, 4), ids(12)

    def loss() -> Any:
        hidden = model.hidden(source, target).flatten(0, 1)
        return vocabulary_loss(hidden, model.head.weight, wanted, smoothing=0.1)

    want = loss()
    close(torch.compile(loss, backend="eager", fullgraph=True)(), want)


def test_open_taps_see_into_a_compiled_model() -> None:
    model, given, seen = transformer(PARTS["multi-head"]), ids(2, 7), {}
    compiled = torch.compile(model, backend="eager")
    want = compiled(given)
    for _ in range(2):
        with open_taps(model, {"*.weights": seen.__setitem__}):
            close(compiled(given), want)
        assert len(seen) == len(model.stack.blocks)
        seen.clear()
        close(compiled(given), want)
        assert not seen
    with open_taps(model, {"*.weights": lambda name, weights: torch.zeros_like(weights)}):
        assert not torch.allclose(compiled(given), want)
