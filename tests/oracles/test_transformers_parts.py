"""Parts against transformers': a whole T5 (unscaled scores, a relative bias shared by the layers) and
the rotations of Llama and GPT-J.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from regard.model.attention import Attention, AttentionConfig
from regard.model.block import PreNorm
from regard.model.embed import Tokens
from regard.model.feedforward import MLP
from regard.model.mask import Causal, Contiguous, Ragged
from regard.model.norm import RMSNorm
from regard.model.position import RelativeBias, Rotary, relative_bucket, rotate
from regard.model.score import DotProduct
from regard.model.stack import Stack, StackConfig
from regard.model.transformer import EncoderDecoderConfig

V, D, C, H, HIDDEN, S, T = 13, 15, 7, 3, 11, 17, 5
BUCKETS, FARTHEST = 8, 11


def copy_attention(ours: Attention, theirs: nn.Module) -> None:
    kv = [theirs.k.weight, theirs.v.weight]
    if ours.cross:
        ours.q.weight.copy_(theirs.q.weight)
        ours.kv.weight.copy_(torch.cat(kv))
    else:
        ours.qkv.weight.copy_(torch.cat([theirs.q.weight, *kv]))
    ours.out.weight.copy_(theirs.o.weight)


def copy_stack(ours: Stack, theirs: nn.Module) -> None:
    first = theirs.block[0].layer[0].SelfAttention
    ours.position.table.weight.copy_(first.relative_attention_bias.weight)
    ours.final_norm.weight.copy_(theirs.final_layer_norm.weight)
    for block, layers in zip(ours.blocks, (block.layer for block in theirs.block), strict=True):
        copy_attention(block.attention, layers[0].SelfAttention)
        block.attention_residual.norm.weight.copy_(layers[0].layer_norm.weight)
        if block.cross is not None:
            copy_attention(block.cross, layers[1].EncDecAttention)
            block.cross_residual.norm.weight.copy_(layers[1].layer_norm.weight)
        block.feedforward.up.weight.copy_(layers[-1].DenseReluDense.wi.weight)
        block.feedforward.down.weight.copy_(layers[-1].DenseReluDense.wo.weight)
        block.feedforward_residual.norm.weight.copy_(layers[-1].layer_norm.weight)


@torch.no_grad()
def test_a_t5_needs_no_part_that_the_stack_lacks() -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    theirs = T5ForConditionalGeneration(
        T5Config(
            vocab_size=V,
            d_model=D,
            d_kv=C,
            d_ff=HIDDEN,
            num_layers=2,
            num_decoder_layers=2,
            num_heads=H,
            relative_attention_num_buckets=BUCKETS,
            relative_attention_max_distance=FARTHEST,
            dropout_rate=0.0,
            feed_forward_proj="relu",
            tie_word_embeddings=True,
            decoder_start_token_id=0,
        )
    ).eval()
    for parameter in theirs.parameters():
        parameter.normal_(0, 0.5)
    attention = AttentionConfig(H, head_width=C, score=DotProduct(1.0), bias=False)
    encoder = StackConfig(
        D,
        2,
        attention,
        MLP(HIDDEN, bias=False),
        position=RelativeBias(BUCKETS, FARTHEST),
        norm=RMSNorm(),
        placement=PreNorm(),
    )
    decoder = replace(
        encoder, mask=Causal(), position=RelativeBias(BUCKETS, FARTHEST, False), cross=attention
    )
    ours = (
        EncoderDecoderConfig(Tokens(V, scale=False), Tokens(V, scale=False), encoder, decoder).build().eval()
    )
    ours.target.weight.copy_(theirs.shared.weight)
    copy_stack(ours.encoder, theirs.encoder)
    copy_stack(ours.decoder, theirs.decoder)
    ours.decoder.final_norm.weight.mul_(D**-0.5)  # T5 scales down what enters its tied head

    source, target = torch.randint(1, V, (2, S)), torch.randint(1, V, (2, T))
    lengths = torch.tensor([S, 11])
    real = torch.arange(S) < lengths[:, None]
    want = theirs(input_ids=source, attention_mask=real.long(), decoder_input_ids=target).logits
    got = ours(source, target, Ragged.from_lengths(lengths, S))
    assert want.std() > 0.1
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("buckets", "farthest"), [(32, 128), (BUCKETS, FARTHEST), (10, 64)])
def test_relative_buckets_are_t5s_at_every_distance(buckets: int, farthest: int, bidirectional: bool) -> None:
    from transformers.models.t5.modeling_t5 import T5Attention

    distance = torch.arange(-300, 301)
    want = T5Attention._relative_position_bucket(distance, bidirectional, buckets, farthest)
    assert torch.equal(relative_bucket(distance, RelativeBias(buckets, farthest, bidirectional)), want)


def rotated(config: Rotary, x: Tensor, start: int) -> Tensor:
    part = config.build(x.shape[1] * x.shape[3], x.shape[1], x.shape[3])
    rotation = part.rotation(Contiguous(start, x.shape[2]), x.device)
    assert rotation is not None
    return rotate(x, rotation)


def test_halves_are_rotated_as_in_llama() -> None:
    from transformers.models.llama.configuration_llama import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

    x = torch.randn(2, H, T, 14)
    llama = LlamaRotaryEmbedding(LlamaConfig(hidden_size=14 * H, num_attention_heads=H))
    cos, sin = llama(x, torch.arange(97, 97 + T)[None])
    want, _ = apply_rotary_pos_emb(x, x, cos, sin)
    torch.testing.assert_close(rotated(Rotary(), x, 97), want, atol=1e-4, rtol=1e-4)


def test_neighbours_are_rotated_as_in_gpt_j() -> None:
    from transformers.models.gptj.modeling_gptj import apply_rotary_pos_emb, create_sinusoidal_positions

    x = torch.randn(2, H, T, 14)
    sin, cos = create_sinusoidal_positions(97 + T, 10)[None, 97:].chunk(2, dim=-1)
    turned = apply_rotary_pos_emb(x[..., :10].transpose(1, 2), sin, cos).transpose(1, 2)
    want = torch.cat((turned, x[..., 10:]), dim=-1)
    got = rotated(Rotary(fraction=10 / 14, interleaved=True), x, 97)
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)
