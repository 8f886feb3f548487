"""Whatever number stands in a configuration, it is refused by name or builds, in little time."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import torch
from members import BASE, MASKS, PARTS, D, V, name
from torch import nn

from regard.bundle import weights_of
from regard.errors import ConfigError, RegardError
from regard.model import sizes
from regard.model.attention import Attention, AttentionConfig
from regard.model.embed import Patches, Tokens
from regard.model.head import Classes
from regard.model.stack import StackConfig
from regard.model.transformer import EncoderDecoderConfig, ModelConfig, TransformerConfig
from regard.schema import describe, dump, parse
from regard.training.config import TrainConfig
from regard.training.optim import Optimizer, OptimizerConfig
from tests.shared import refused

EXTREMES = (0, -1, 1, 10**9, 2**31, 2**63, 10**30, 0.5, -0.5, 1e-300, 1e308, -1e308)
CHECKED_BY_THEIR_PART = {"factor", "original", "low", "high", "amplitude", "short", "long", "fast", "slow"}
"""Of `rotary_scaling.py`."""
SECONDS = 5


def changed(given: Any) -> Iterator[tuple[str, Any]]:
    """The same JSON, with another number in one place, again and again."""

    def places(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from places(inner, (*path, key))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield path

    for path in places(given):
        for extreme in EXTREMES:
            copy = json.loads(json.dumps(given))
            here = copy
            for key in path[:-1]:
                here = here[key]
            here[path[-1]] = extreme
            yield f"{'.'.join(path)}={extreme}", copy


STACKS = {**PARTS, **{name(mask): replace(BASE, mask=mask) for mask in MASKS}}


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS.keys())
def test_a_model_of_any_number_is_refused_in_a_sentence_or_computes(stack: StackConfig) -> None:
    """The weights of a bundle say nothing of some numbers, so that all must be harmless that are let in."""
    for what, data in changed(dump(TransformerConfig(Tokens(V), replace(stack, depth=1)))):
        start = time.monotonic()
        with suppress(RegardError):
            config = parse(ModelConfig, data)
            size = sum(math.prod(one.shape) for one in weights_of(config, "model").values())
            if size < 100_000 and config.embed.vocab:
                # A ValueError is told, such as of seven tokens in a table of one.
                with torch.inference_mode(), suppress(ValueError):
                    config.build().eval()(torch.zeros(2, 7, dtype=torch.long))
        assert time.monotonic() - start < SECONDS, what


def test_the_same_of_images_and_classes() -> None:
    for what, data in changed(dump(TransformerConfig(Patches(3, 14, 22, 2), BASE, Classes(3)))):
        start = time.monotonic()
        with suppress(RegardError):
            assert weights_of(parse(ModelConfig, data), "model")
        assert time.monotonic() - start < SECONDS, what


def test_every_number_of_a_model_has_its_range() -> None:
    """So that a new part cannot forget it."""
    numbers = {
        key.path.rpartition(".")[2]
        for kind in (TransformerConfig, EncoderDecoderConfig)
        for key in describe(kind)
        if "integer" in key.type or "number" in key.type
    }
    assert {"width", "heads", "eps", "vocab"} <= numbers
    assert numbers - CHECKED_BY_THEIR_PART <= set(sizes._RANGES)


@pytest.mark.parametrize("heads", [0, -1, 10**9])
def test_parts_that_are_built_alone_are_checked_too(heads: int) -> None:
    with pytest.raises(ValueError, match="heads is"):
        Attention(D, AttentionConfig(heads))
    with pytest.raises(ValueError, match=r"attention\.heads is"):
        StackConfig(D, 1, AttentionConfig(heads)).build()


def test_training_with_any_number_is_refused_by_name_or_moves_the_weights() -> None:
    for kind in ("adamw", "muon"):
        for _, data in changed(dump(parse(OptimizerConfig, kind))):
            with suppress(ConfigError):
                config = parse(OptimizerConfig, data)
                model = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
                optimizer = Optimizer(model, config)
                model(torch.ones(2, 3)).sum().backward()
                optimizer.step(1.0, torch.amp.GradScaler("cpu", enabled=False))


def test_every_number_of_training_is_bounded() -> None:
    for key in describe(TrainConfig):
        if "." not in key.path and "integer" in key.type:
            for extreme in (-1, 10**30):
                with refused(ConfigError, key=key.path):
                    parse(TrainConfig, {key.path: extreme})
