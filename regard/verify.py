"""What proves that a model is computed right: the library's laws, tried on that very model.

It does not know files, but for the folder in which a bundle is saved and loaded again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable

from torch import nn

from regard import bundle as bundles
from regard.bundle import Bundle
from regard.errors import InputError
from regard.insight.laws import Finding, laws
from regard.model.transformer import EncoderDecoder, Transformer
from regard.tasks.decoding import Decoding
from regard.tasks.protocols import Inspects
from regard.tasks.task import Task

__all__ = ["Finding", "verified"]


def verified(task: Task, model: nn.Module, bundle: Bundle, inputs: Iterable[object] | None) -> list[Finding]:
    """By how much logits differ, as a part of the largest, and whether that is within rounding.

    `inputs`: None for some that need no data.

    Raises: InputError for a task that does not say what its model is given.
    """
    if not isinstance(task, Inspects):
        raise InputError("{where} does not say what its model is given, and cannot be verified", task.name)
    if inputs is None:
        source, target = task.dummy_inputs(model)
    else:
        source, target = task.model_inputs(model, [task.input.parse(one) for one in inputs], Decoding())
    assert isinstance(model, EncoderDecoder | Transformer)
    return [*laws(model, source, target), Finding("reload changes nothing", _reload(bundle), 0.0)]


def _reload(bundle: Bundle) -> float:
    """Save, load, and compare every weight."""
    with tempfile.TemporaryDirectory() as folder:
        bundles.save(bundle, folder)
        again = bundles.load(folder).build().state_dict()
    before = bundle.build().state_dict()
    return max(float((before[name] - again[name]).abs().max()) for name in before)
