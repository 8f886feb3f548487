"""Folders of sentence-transformers: what makes one vector of an encoder's, read and written.

Such a folder is a checkpoint with `modules.json`, which lists steps, and folders for those after the first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from regard.bundle import Bundle
from regard.errors import CheckpointError
from regard.interop.checkpoint import Checkpoint
from regard.interop.family import Unfit
from regard.model.head import Pooling, Vector
from regard.model.transformer import TransformerConfig

MODULES, POOLING, LENGTH = "modules.json", "1_Pooling/config.json", "sentence_bert_config.json"
_STEPS = ("Transformer", "Pooling", "Normalize")
_MODES: dict[str, Pooling] = {"mean_tokens": "mean", "cls_token": "first"}


def vector_of(checkpoint: Checkpoint) -> Vector:
    """The mean of an encoder's vectors, unless the folder is sentence-transformers' and says otherwise.

    Raises: CheckpointError.
    """
    steps = checkpoint.text(MODULES)
    if steps is None:
        return Vector("mean", normalised=False)
    kinds = [kind for kind in _STEPS if f'models.{kind}"' in steps]
    if steps.count('"type"') != len(kinds):
        raise CheckpointError(f"{checkpoint.folder / MODULES}: only {', '.join(_STEPS)} can be taken over")
    pooling = checkpoint.json(POOLING) or {}
    modes = [name for name, on in pooling.items() if name.startswith("pooling_mode") and on is True]
    found = [_MODES.get(name.removeprefix("pooling_mode_")) for name in modes]
    if len(found) != 1 or found[0] is None:
        raise CheckpointError(
            f"{checkpoint.folder / POOLING}: only the mean or the first vector can be taken, not"
            f" {', '.join(modes) or 'nothing'}"
        )
    return Vector(found[0], "Normalize" in kinds)


def sentence_files(bundle: Bundle) -> dict[str, str]:
    """What says how a bundle's encoder makes one vector of a text; nothing for others. Raises: Unfit."""
    model = bundle.model
    if not isinstance(model, TransformerConfig) or not isinstance(model.head, Vector):
        return {}
    head = model.head
    if head.pooling not in _MODES.values():
        raise Unfit(f"its vectors are pooled by '{head.pooling}'")
    places = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    steps = [
        {
            "idx": index,
            "name": str(index),
            "path": places[kind],
            "type": f"sentence_transformers.models.{kind}",
        }
        for index, kind in enumerate(_STEPS if head.normalised else _STEPS[:2])
    ]
    pooling: dict[str, Any] = {"word_embedding_dimension": model.stack.width}
    pooling |= {f"pooling_mode_{name}": mode == head.pooling for name, mode in _MODES.items()}
    task = bundle.training.get("task")
    longest = task.get("max_length") if isinstance(task, Mapping) else None
    files = {MODULES: steps, POOLING: pooling}
    if type(longest) is int:
        files[LENGTH] = {"max_seq_length": longest, "do_lower_case": False}
    return {name: json.dumps(content, indent=2) + "\n" for name, content in files.items()}
