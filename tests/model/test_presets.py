"""The family's members have the sizes that they were published with."""

from __future__ import annotations

import pytest
import torch

from regard.model.block import PostNorm, PreNorm
from regard.model.mask import Causal, Full
from regard.model.norm import LayerNorm
from regard.model.position import Sinusoidal
from regard.model.presets import ENCODER_DECODER, encoder_decoder
from regard.model.transformer import EncoderDecoder


def on_meta(name: str, vocab: int) -> EncoderDecoder:
    with torch.device("meta"):
        return encoder_decoder(ENCODER_DECODER[name], source_vocab=vocab, target_vocab=vocab).build()


@pytest.mark.parametrize(("name", "millions"), [("base", 65), ("big", 213)])
def test_the_papers_members_have_the_papers_size(name: str, millions: int) -> None:
    # arXiv 1706.03762, table 3, with the shared vocabulary of about 37,000 (section 5.1).
    count = sum(p.numel() for p in on_meta(name, 37_000).parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.03)


def test_tiny_holds_what_a_count_by_hand_gives() -> None:
    attention, feedforward, norm = 4 * 128**2 + 4 * 128, 2 * 128 * 256 + 256 + 128, 2 * 128
    encoder, decoder = attention + feedforward + 2 * norm, 2 * attention + feedforward + 3 * norm
    assert sum(p.numel() for p in on_meta("tiny", 0).parameters()) == 4 * (encoder + decoder)


@pytest.mark.parametrize("name", ENCODER_DECODER)
def test_a_size_becomes_the_papers_encoder_decoder(name: str) -> None:
    size = ENCODER_DECODER[name]
    config = encoder_decoder(size, source_vocab=17, target_vocab=13, tying="two-way")
    assert (config.source.vocab, config.target.vocab, config.tying) == (17, 13, "two-way")
    for stack, depth in ((config.encoder, size.encoder_depth), (config.decoder, size.decoder_depth)):
        assert (stack.depth, stack.width, stack.dropout) == (depth, size.width, size.dropout)
        assert (stack.attention.heads, stack.feedforward.hidden) == (size.heads, size.hidden)
        assert (stack.placement, stack.norm, stack.position) == (PostNorm(), LayerNorm(), Sinusoidal())
        assert stack.attention.dropout == 0.0
    assert (config.encoder.mask, config.encoder.cross) == (Full(), None)
    assert (config.decoder.mask, config.decoder.cross) == (Causal(), config.decoder.attention)


def test_a_choice_reaches_both_stacks() -> None:
    config = encoder_decoder(ENCODER_DECODER["tiny"], placement=PreNorm(), activation="gelu")
    for stack in (config.encoder, config.decoder):
        assert (stack.placement, stack.feedforward.activation) == (PreNorm(), "gelu")
