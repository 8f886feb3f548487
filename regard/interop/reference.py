"""The same input through the reference library, where it is installed: how far the outputs are apart."""

from __future__ import annotations

import importlib.util
import logging
import os
from contextlib import suppress
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


@torch.inference_mode()
def compared(bundle: Bundle, checkpoint: Checkpoint, architecture: str) -> tuple[float, float] | None:
    """The largest difference between our outputs and transformers', and the largest output, for random ids;
    None where it is not installed or cannot read the checkpoint itself."""
    if importlib.util.find_spec("transformers") is None:
        return None
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    import transformers

    kind = getattr(transformers, architecture, None)
    if kind is None:
        return None
    transformers.utils.logging.disable_progress_bar()
    theirs = kind.from_pretrained(
        checkpoint.folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
    ).eval()
    if (pictures := _pictures(bundle)) is not None:
        want, got = _outputs(theirs(pixel_values=pictures)), _ours(bundle, pictures)
    else:
        want = _theirs(theirs, *(ids := _ids(bundle)))
        got = _ours(bundle, *ids)
    return float((want - got).abs().max()), float(want.abs().max())


def _pictures(bundle: Bundle) -> Tensor | None:
    """(B, C, H, W) numbers for a model that takes pictures."""
    model = bundle.model
    if not isinstance(model, TransformerConfig) or not isinstance(model.embed, Patches):
        return None
    shape = (model.embed.channels, model.embed.pixel_rows, model.embed.pixel_columns)
    return torch.randn(_ROWS, *shape, generator=torch.Generator().manual_seed(1))


def _ids(bundle: Bundle) -> tuple[Tensor, Tensor]:
    """Ids that any model takes, from a generator of its own."""
    chance = torch.Generator().manual_seed(1)
    model = bundle.model
    if isinstance(model, TransformerConfig):
        longest = getattr(model.stack.position, "length", _LENGTH)
        embed = tokens_of(model)
        avoid = embed.types.separator if embed.types else -1
        ids = torch.randint(0, embed.vocab, (_ROWS, min(_LENGTH, longest)), generator=chance)
        # RoBERTa counts positions by what is not padding, which has the id 1 there.
        for id_ in (avoid, 1):
            ids[ids == id_] = embed.vocab - 1 if embed.vocab - 1 != avoid else 0
        return ids, ids
    assert isinstance(model.source, Tokens)
    longest = min(getattr(s.position, "length", _LENGTH) for s in (model.encoder, model.decoder))
    shape = (_ROWS, min(_LENGTH, longest))
    return (
        torch.randint(2, model.source.vocab, shape, generator=chance),
        torch.randint(2, model.target.vocab, shape, generator=chance),
    )


def _theirs(model: Any, source: Tensor, target: Tensor) -> Tensor:
    everything = torch.ones_like(source)
    if model.config.is_encoder_decoder:
        logits: Tensor = model(input_ids=source, attention_mask=everything, decoder_input_ids=target).logits
        return logits
    return _outputs(model(input_ids=source, attention_mask=everything))


def _outputs(given: Any) -> Tensor:
    """Of what the library returned: logits, or a vector for each place where there is no head."""
    if hasattr(given, "start_logits"):
        return torch.stack((given.start_logits, given.end_logits), -1)
    with suppress(AttributeError):
        logits: Tensor = given.logits
        return logits
    hidden: Tensor = given.last_hidden_state
    return hidden


def _ours(bundle: Bundle, source: Tensor, target: Tensor | None = None) -> Tensor:
    model = bundle.build()
    if isinstance(model, EncoderDecoder):
        logits: Tensor = model(source, target)
        return logits
    assert isinstance(model, Transformer)
    if isinstance(model.config.head, Vector):
        return model.hidden(source)
    found: Tensor = model(source)
    return found
