"""What a checkpoint said that its bundle has no use for, kept so that an export gives it back.

Weights that nothing reads (a pooler, a head of the pretraining), the names of classes as they were written,
and the configuration of a tokenizer. A bundle keeps all of it in one file.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from regard.bundle import Bundle
from regard.errors import CheckpointError, damaged
from regard.interop.checkpoint import Checkpoint
from regard.interop.family import Family
from regard.interop.tokenizer_keys import OF_CLASSES, read_keys
from regard.strict_json import HEADER, VOCABULARY, loads

ORIGIN = "origin.json"
PROMPTS = "config_sentence_transformers.json"
_OF_PROMPTS = ("prompts", "default_prompt_name", "similarity_fn_name")
_MOST = 24 << 20
"""Bytes of weights that are kept: a text file holds them, and the largest pooler has a sixth of that."""
_OF_TOKENIZER = ("model_max_length", "padding_side", "truncation_side", "clean_up_tokenization_spaces")
"""What of a tokenizer's configuration counts where its file had to be converted."""


@dataclass(frozen=True)
class Origin:
    """See the module's docstring."""

    names: tuple[str, ...] = ()
    """Of the classes, in order."""
    tokenizer: Mapping[str, Any] = field(default_factory=dict)
    """Its configuration."""
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the configuration."""
    prompts: Mapping[str, Any] = field(default_factory=dict)
    """What a folder of sentence-transformers says of texts that stand before others, and of comparing."""

    def file(self) -> dict[str, str]:
        """The file of a bundle; none where there is nothing to keep."""
        parts = {"tokenizer": self.tokenizer, "config": self.config, "prompts": self.prompts}
        state: dict[str, Any] = {"names": list(self.names)} if self.names else {}
        state |= {name: dict(part) for name, part in parts.items() if part}
        if self.weights:
            made = safetensors.torch.save({name: w.contiguous() for name, w in self.weights.items()})
            state["weights"] = base64.b64encode(made).decode("ascii")
        return {ORIGIN: json.dumps(state, ensure_ascii=False)} if state else {}


def collect_origin(
    checkpoint: Checkpoint, weights: Mapping[str, Tensor], kept: tuple[str, ...], family: Family, classes: int
) -> Origin:
    """What is to be kept of a checkpoint. `kept`: the beginnings of weights that are left out, but given
    back."""
    found = {
        name.removeprefix(family.prefix): weight
        for name, weight in weights.items()
        if kept and name.startswith(kept)
    }
    if sum(weight.nbytes for weight in found.values()) > _MOST:
        found = {}
    state = checkpoint.json("tokenizer_config.json", HEADER) or {}
    if not (checkpoint.folder / "tokenizer.json").is_file():
        usual = OF_CLASSES.get(read_keys(checkpoint).kind or "", {})
        state = usual | {name: state[name] for name in _OF_TOKENIZER if name in state}
    labels = checkpoint.config.get("id2label")
    label_names = labels if isinstance(labels, dict) else {}
    names = [name for index in range(classes) if isinstance(name := label_names.get(str(index)), str)]
    config = {key: checkpoint.config[key] for key in family.kept_keys if key in checkpoint.config}
    prompts = checkpoint.json(PROMPTS) or {}
    prompts = {key: prompts[key] for key in _OF_PROMPTS if prompts.get(key)}
    return Origin(tuple(names) if len(names) == classes else (), state, found, config, prompts)


def load_origin(bundle: Bundle) -> Origin:
    """What was kept. Raises: CheckpointError when the file is damaged."""
    text = bundle.tokenizers.get(ORIGIN)
    if text is None:
        return Origin()
    try:
        state = loads(text, VOCABULARY)
        weights = safetensors.torch.load(base64.b64decode(state.get("weights", ""), validate=True) or _EMPTY)
        names = tuple(map(str, state.get("names", ())))
        tokenizer, config, prompts = (dict(state.get(key, {})) for key in ("tokenizer", "config", "prompts"))
        return Origin(names, tokenizer, weights, config, prompts)
    except (ValueError, TypeError, AttributeError, KeyError, binascii.Error, SafetensorError) as error:
        raise damaged(CheckpointError, ORIGIN, error) from error


_EMPTY = safetensors.torch.save({})
