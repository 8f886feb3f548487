"""The same input through the reference library, where it is installed: how far the outputs are apart.

What that library cannot load or run is no fault of the checkpoint's: it is said, and nothing is compared.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from regard.bundle import Bundle
from regard.interop.checkpoint import Checkpoint
from regard.interop.family import tokens_of
from regard.model.embed import Patches, Tokens
from regard.model.head import Vector
from regard.model.transformer import EncoderDecoder, Transformer, TransformerConfig

_ROWS, _LENGTH = 2, 16
TOLERANCE = 1e-3
"""How far outputs may be apart, as a part of the largest: a hundred times what rounding makes of a deep
model, and far less than any mistake does."""


@dataclass(frozen=True)
class Comparison:
    """What came of it: two numbers, or why there are none."""

    difference: float | None = None
    """The largest difference of any output from the reference library's."""
    largest: float | None = None
    """The largest of its outputs."""
    why: str | None = None
    """Why they could not be compared."""

    @property
    def equal(self) -> bool:
        """Whether the two agree, as far as they were compared."""
        if self.difference is None or self.largest is None:
            return True
        return self.difference <= TOLERANCE * self.largest  # which no NaN is


def compare_outputs(bundle: Bundle, checkpoint: Checkpoint, architecture: str) -> Comparison:
    """Our outputs and transformers', for random input."""
    if importlib.util.find_spec("transformers") is None:
        return Comparison(why="it is not installed")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    try:
        want, given = _reference(bundle, checkpoint, architecture)
    except Exception as error:  # a library of many hands, which raises whatever its code happens to meet
        first = str(error).strip().partition("\n")[0]
        return Comparison(why=f"it cannot run this checkpoint itself ({type(error).__name__}: {first[:200]})")
    with torch.inference_mode():
        got = _ours(bundle, *given)
    if want.shape != got.shape:
        return Comparison(math.inf, float(want.abs().max()))
    return Comparison(float((want - got).abs().max()), float(want.abs().max()))


@torch.inference_mode()
def _reference(
    bundle: Bundle, checkpoint: Checkpoint, architecture: str
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """What transformers makes of some input, and that input. It reads the folder by itself, unless weights
    stand there under names that it does not know."""
    import transformers

    kind = getattr(transformers, architecture)
    transformers.utils.logging.disable_progress_bar()
    options: dict[str, Any] = {"local_files_only": True, "dtype": torch.float32}
    if checkpoint.renamed:
        config = transformers.AutoConfig.from_pretrained(checkpoint.folder, local_files_only=True)
        theirs = kind.from_pretrained(None, config=config, state_dict=checkpoint.weights(), **options)
    else:
        theirs = kind.from_pretrained(checkpoint.folder, use_safetensors=True, **options)
    theirs.eval()
    if (images := _images(bundle)) is not None:
        return _outputs(theirs(pixel_values=images)), (images,)
    return _theirs(theirs, *(ids := _ids(bundle, checkpoint))), ids


def _images(bundle: Bundle) -> Tensor | None:
    """(B, C, H, W) numbers for a model that takes images."""
    model = bundle.model
    if not isinstance(model, TransformerConfig) or not isinstance(model.embed, Patches):
        return None
    shape = (model.embed.channels, model.embed.pixel_rows, model.embed.pixel_columns)
    return torch.randn(_ROWS, *shape, generator=torch.Generator().manual_seed(1))


def _ids(bundle: Bundle, checkpoint: Checkpoint) -> tuple[Tensor, Tensor]:
    """Ids that any model takes, from a generator of its own."""
    rng = torch.Generator().manual_seed(1)
    model = bundle.model
    if isinstance(model, TransformerConfig):
        longest = getattr(model.stack.position, "length", _LENGTH)
        embed = tokens_of(model)
        ids = torch.randint(0, embed.vocab, (_ROWS, min(_LENGTH, longest)), generator=rng)
        # RoBERTa counts positions by what is not padding, which has the id 1 in MPNet whatever is said.
        avoid = {1, checkpoint.config.get("pad_token_id"), embed.types.separator if embed.types else None}
        other = next((id_ for id_ in reversed(range(embed.vocab)) if id_ not in avoid), 0)
        for id_ in avoid - {None}:
            ids[ids == id_] = other
        return ids, ids
    assert isinstance(model.source, Tokens)
    longest = min(getattr(s.position, "length", _LENGTH) for s in (model.encoder, model.decoder))
    shape = (_ROWS, min(_LENGTH, longest))
    return (
        torch.randint(2, model.source.vocab, shape, generator=rng),
        torch.randint(2, model.target.vocab, shape, generator=rng),
    )


def _theirs(model: Any, source: Tensor, target: Tensor) -> Tensor:
    written = {"decoder_input_ids": target} if model.config.is_encoder_decoder else {}
    return _outputs(model(input_ids=source, attention_mask=torch.ones_like(source), **written))


def _outputs(given: Any) -> Tensor:
    """Of what the library returned: logits, or a vector for each place where there is no head."""
    if hasattr(given, "start_logits"):
        return torch.stack((given.start_logits, given.end_logits), -1)
    names = ("prediction_logits", "logits", "last_hidden_state")
    return next(getattr(given, name) for name in names if hasattr(given, name))


def _ours(bundle: Bundle, source: Tensor, target: Tensor | None = None) -> Tensor:
    model = bundle.build()
    if isinstance(model, Transformer) and isinstance(model.config.head, Vector):
        return model.hidden(source)
    return model(source, target) if isinstance(model, EncoderDecoder) else model(source)
