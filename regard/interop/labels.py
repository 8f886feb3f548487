"""The classes of a checkpoint: how many there are, their names, and what a model says of them; read and
written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from regard.bundle import Bundle
from regard.errors import BundleError, CheckpointError, damaged
from regard.interop.family import Source, task_options
from regard.interop.keys import refusal
from regard.strict_json import loads

LABELS = "labels.json"
SCALE = "scale.json"
_MOST = 10_000
_ONE, _SEVERAL, _NUMBER = "single_label_classification", "multi_label_classification", "regression"
_IDENTITY = "torch.nn.modules.linear.Identity"


def classes_of(source: Source, product: str) -> int:
    """How many classes the weights of that product have. Raises: CheckpointError."""
    entry = source.checkpoint.entries.get(f"{product}.weight")
    if entry is None or len(entry.shape) != 2:
        sentence = "{where}: the weight '{key}' is missing or no matrix"
        raise CheckpointError(sentence, source.checkpoint.folder, f"{product}.weight")
    if not 1 <= entry.shape[0] <= _MOST:
        sentence = "{where}: it has {value} classes; there must be 1 to {limit:,}"
        raise CheckpointError(sentence, source.checkpoint.folder, entry.shape[0], _MOST)
    return entry.shape[0]


def label_options(source: Source, labels: Sequence[str]) -> dict[str, Any]:
    """What a task that classifies is to know: whether an input has one label or several, or a number for an
    answer. Raises: CheckpointError."""
    kind = source.keys.any("problem_type")
    if len(labels) == 1:
        return {"number": "plain" if _is_plain(source) else "sigmoid"}
    if kind not in (None, _ONE, _SEVERAL):
        raise source.keys.refuse("problem_type", "of several outputs, only classes are supported")
    if kind != _SEVERAL:
        return {"separator": None}
    return {"separator": next(mark for mark in _separators() if not any(mark in x for x in labels))}


def label_file(labels: Sequence[str]) -> dict[str, str]:
    """The file of a bundle that names them; none without labels."""
    return {LABELS: json.dumps(dict.fromkeys(labels, 1), ensure_ascii=False)} if labels else {}


def label_keys(bundle: Bundle, came: Sequence[str]) -> dict[str, Any]:
    """The keys of a configuration for a bundle's labels. `came`: their names as they were once imported."""
    if LABELS not in bundle.tokenizers:
        return {}
    names = list(loads(bundle.tokenizers[LABELS]))
    names = list(came) if len(came) == len(names) else names
    task = task_options(bundle)
    kind = _ONE if task.get("separator") is None else _SEVERAL
    plain = {"problem_type": _NUMBER, "sentence_transformers": {"activation_fn": _IDENTITY}}
    kinds: dict[Any, dict[str, Any]] = {"plain": plain, "sigmoid": {}}
    return {
        "id2label": {str(index): name for index, name in enumerate(names)},
        "label2id": {name: index for index, name in enumerate(names)},
        **kinds.get(task.get("number"), {"problem_type": kind}),
    }


def in_units_of_data(bundle: Bundle) -> Bundle:
    """The same model with a head that gives a number as it is: what it is scaled by has no place in a
    configuration. Raises: BundleError."""
    if SCALE not in bundle.tokenizers or task_options(bundle).get("number") != "plain":
        return bundle
    try:
        scale = loads(bundle.tokenizers[SCALE])
        weight, bias = (bundle.weights[name] * scale["deviation"] for name in ("head.weight", "head.bias"))
        weights = {**bundle.weights, "head.weight": weight, "head.bias": bias + scale["mean"]}
    except (ValueError, TypeError, LookupError) as error:
        raise damaged(BundleError, SCALE, f"it does not say what a number is scaled by ({error})") from error
    return replace(bundle, weights=weights)


def _separators() -> Iterator[str]:
    """What may stand between labels of one input: what no label contains is among them."""
    return (mark * times for times in count(1) for mark in "|;/")


def _is_plain(source: Source) -> bool:
    """Whether the one number that a model gives is its output as it is; else it is a probability, as whoever
    ranks by such models takes it."""
    settings = source.checkpoint.config
    own = settings.get("sentence_transformers")
    stated = own.get("activation_fn") if isinstance(own, dict) else None
    stated = stated or settings.get("sbert_ce_default_activation_function")
    if isinstance(stated, str):
        if stated.endswith((".Identity", ".Sigmoid")):
            return stated.endswith(".Identity")
        raise refusal(
            source.keys.where,
            "activation_fn",
            stated,
            "as the activation of its output, that is not supported",
        )
    return settings.get("problem_type") == _NUMBER
