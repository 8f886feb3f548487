"""A family of checkpoints from outside is imported, exported and told as those of this library are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

import regard
from regard import bundle as bundles
from regard.bundle import Bundle
from regard.errors import CheckpointError, ConfigError
from regard.interop import export_checkpoint, import_checkpoint
from regard.interop.checkpoint import open_checkpoint
from regard.interop.family import FAMILIES, Family, Plan, Source, Weights
from regard.interop.mapping import Rule, Table
from regard.interop.tokenizer_keys import read_keys
from regard.model.attention import AttentionConfig
from regard.model.embed import Tokens
from regard.model.feedforward import MLP
from regard.model.head import Vocabulary
from regard.model.mask import Causal
from regard.model.stack import StackConfig
from regard.model.transformer import TransformerConfig
from regard.weights import write_weights
from tests.interop.families import V, write_tokenizer
from tests.shared import refused

WIDTH, DEPTH = 6, 2


def stack_of(width: int, depth: int) -> StackConfig:
    return StackConfig(width, depth, AttentionConfig(2), MLP(7), Causal(), dropout=0.0)


class Tiny(Family):
    """One causal stack, whose weights have our names after a word."""

    name: ClassVar[str] = "tiny-from-outside"
    architectures: ClassVar[dict[str, str]] = {"TinyForCausalLM": "text-generation"}
    frame: ClassVar[tuple[str, str]] = ("bos", "eos")
    defaults: ClassVar[dict[str, int]] = {"layers": DEPTH}
    tokenizer: ClassVar[str | None] = "GPT2Tokenizer"

    def plan(self, source: Source) -> Plan:
        keys = source.keys
        return source.text_generation(stack_of(keys.size("width"), keys.depth("layers")), 11, tied=True)

    def table(self, weights: Weights) -> Table:
        rules = (Rule(name, (f"tiny.{name}",)) for name in weights.shapes)
        return Table(weights.shapes, tuple(rules), {})

    def config(self, bundle: Bundle, architecture: str) -> dict[str, Any]:
        model: Any = bundle.model
        return {"width": model.stack.width, "layers": model.stack.depth, "vocab_size": model.embed.vocab}


@pytest.fixture
def joined() -> Iterator[type[Family]]:
    """The families with it, for one test."""
    before = dict(FAMILIES)
    yield regard.register(Tiny)
    FAMILIES._members = before


def write(place: Path) -> Path:
    """A checkpoint of it with random weights, which does not state its depth."""
    place.mkdir()
    model = TransformerConfig(Tokens(V, scale=False), stack_of(WIDTH, DEPTH), Vocabulary(True))
    shapes = bundles.weights_of(model, "here")
    weights = {f"tiny.{name}": torch.randn(entry.shape) for name, entry in shapes.items()}
    write_weights(place / "model.safetensors", weights)
    config = {"model_type": Tiny.name, "width": WIDTH, "vocab_size": V}
    (place / "config.json").write_text(json.dumps(config), "utf-8")
    write_tokenizer(place)
    return place


def test_a_registered_family_comes_in_goes_out_and_comes_in_again(
    joined: type[Family], tmp_path: Path
) -> None:
    there = write(tmp_path / "there")
    seen = import_checkpoint(there, tmp_path / "run", compare=False)
    assert (seen.family, seen.architecture, seen.task) == (Tiny.name, "TinyForCausalLM", "text-generation")
    assert export_checkpoint(tmp_path / "run", tmp_path / "back").family == Tiny.name
    import_checkpoint(tmp_path / "back", tmp_path / "again", compare=False)
    first, second = (bundles.load(tmp_path / name) for name in ("run", "again"))
    assert first.model == second.model
    assert first.weights.keys() == second.weights.keys()
    for name, weight in first.weights.items():
        assert torch.equal(second.weights[name], weight)
    assert read_keys(open_checkpoint(there)).kind == Tiny.tokenizer


def test_a_family_that_nobody_registered_is_refused_with_all_that_are_known(tmp_path: Path) -> None:
    with refused(CheckpointError, key="model_type", limit="mt5"):
        import_checkpoint(write(tmp_path / "there"), tmp_path / "run")


def test_a_family_that_lacks_something_is_refused_when_it_is_registered() -> None:
    class Silent(Tiny):
        name: ClassVar[str] = "silent"
        architectures: ClassVar[dict[str, str]] = {}

    class Partial(Family):
        name: ClassVar[str] = "partial"
        architectures = Tiny.architectures

    with refused(ConfigError, value="architectures"):
        regard.register(Silent)
    with refused(ConfigError, value="config, plan, table"):
        regard.register(Partial)
    with refused(ConfigError, key="bert"):
        regard.register(type("Again", (Tiny,), {"name": "bert"}))
    assert not {"silent", "partial"} & {*FAMILIES}
