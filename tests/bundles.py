"""Small bundles of every kind of model, and how tests damage them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from regard import bundle as module
from regard.bundle import Bundle, load, software_versions
from regard.errors import BundleError
from regard.model.transformer import ModelConfig
from regard.schema import parse
from regard.weights import write_weights

STACK = {"width": 6, "depth": 1, "attention": {"heads": 2}, "feedforward": {"kind": "mlp", "hidden": 5}}
TOKENS = {"kind": "tokens", "vocab": 11}
MODELS = {
    "tied": {"kind": "transformer", "embed": TOKENS, "stack": STACK},
    "untied": {
        "kind": "transformer",
        "embed": TOKENS,
        "stack": STACK,
        "head": {"kind": "vocabulary", "tied": False},
    },
    "classes": {
        "kind": "transformer",
        "embed": TOKENS,
        "stack": STACK,
        "head": {"kind": "classes", "count": 3},
    },
    "rotary": {
        "kind": "transformer",
        "embed": TOKENS,
        "stack": STACK | {"position": {"kind": "rotary", "fraction": 0.7}},
    },
    "relative": {"kind": "transformer", "embed": TOKENS, "stack": STACK | {"position": "relative"}},
    "alibi": {"kind": "transformer", "embed": TOKENS, "stack": STACK | {"position": "alibi"}},
    "learned": {
        "kind": "transformer",
        "embed": TOKENS,
        "stack": STACK | {"position": {"kind": "learned", "length": 13}},
        "init": "scaled",
    },
    "three-way": {
        "kind": "encoder-decoder",
        "source": TOKENS,
        "target": TOKENS,
        "encoder": STACK,
        "decoder": STACK | {"cross": {"heads": 2}, "mask": "causal"},
    },
    "two vocabularies": {
        "kind": "encoder-decoder",
        "source": TOKENS,
        "target": {"kind": "tokens", "vocab": 7},
        "encoder": STACK,
        "decoder": STACK | {"cross": {"heads": 2}, "mask": "causal"},
        "tying": "two-way",
    },
}


def make(name: str = "three-way", seed: int = 1, **changes: Any) -> Bundle:
    torch.manual_seed(seed)
    config: ModelConfig = parse(ModelConfig, MODELS[name])
    made = Bundle(
        task="translation",
        model=config,
        weights=config.build().state_dict(),
        tokenizers={"tokenizer.json": '{"model": "é中"}', "tokenizer.target.json": "{}"},
        training={"seed": seed, "lr": 1e-3, "path": "\udcff"},
        data={"name": "pairs.tsv", "counts": [3, 2]},
        metrics={"bleu": 41.5},
        versions=software_versions(),
    )
    return replace(made, **changes)


def edit(folder: Path, change: Any) -> None:
    """Change `config.json` through a function of its content."""
    path = folder / "config.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def rewrite(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """Other weights, whose hash is right."""
    write_weights(folder / "model.safetensors", weights)
    accept(folder)


def accept(folder: Path) -> None:
    found = module._fingerprint(folder / "model.safetensors")
    edit(folder, lambda data: data["files"].update({"model.safetensors": vars(found)}))


def refusal(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)
