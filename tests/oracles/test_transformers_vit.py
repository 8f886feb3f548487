"""A whole ViT against transformers' ViTForImageClassification, and positions of a grid against its ViTMAE."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from regard.model.attention import AttentionConfig
from regard.model.block import PreNorm
from regard.model.embed import Patches
from regard.model.feedforward import MLP
from regard.model.head import Classes
from regard.model.mask import Contiguous
from regard.model.norm import LayerNorm
from regard.model.position import Learned, Sinusoidal2D
from regard.model.stack import StackConfig
from regard.model.transformer import Transformer, TransformerConfig

B, CHANNELS, ROWS, COLUMNS, PATCH, D, H, HIDDEN, DEPTH, K = 2, 3, 35, 21, 7, 15, 3, 11, 2, 5


def copied(ours: Transformer, theirs: dict[str, torch.Tensor]) -> set[str]:
    """Copy by name; what was used comes back."""
    used: set[str] = set()

    def take(target: torch.Tensor, *names: str) -> None:
        value = torch.cat([theirs[name] for name in names])
        target.copy_(value.reshape(target.shape))
        used.update(names)

    def linear(target: nn.Module, *names: str) -> None:
        for part in ("weight", "bias"):
            take(getattr(target, part), *(f"{name}.{part}" for name in names))

    linear(ours.embed, "vit.embeddings.patch_embeddings.projection")
    take(ours.embed.first, "vit.embeddings.cls_token")
    take(ours.stack.position.table.weight, "vit.embeddings.position_embeddings")
    for index, block in enumerate(ours.stack.blocks):
        at = f"vit.layers.{index}"
        linear(block.attention.qkv, *(f"{at}.attention.{part}_proj" for part in "qkv"))
        linear(block.attention.out, f"{at}.attention.o_proj")
        linear(block.attention_residual.norm, f"{at}.layernorm_before")
        linear(block.feedforward_residual.norm, f"{at}.layernorm_after")
        linear(block.feedforward.up, f"{at}.mlp.fc1")
        linear(block.feedforward.down, f"{at}.mlp.fc2")
    linear(ours.stack.final_norm, "vit.layernorm")
    linear(ours.head, "classifier")
    return used


@torch.no_grad()
def test_a_vit_is_transformers_vit() -> None:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=D,
        num_hidden_layers=DEPTH,
        num_attention_heads=H,
        intermediate_size=HIDDEN,
        hidden_act="gelu",
        image_size=(ROWS, COLUMNS),
        patch_size=PATCH,
        num_channels=CHANNELS,
        layer_norm_eps=1e-6,
        num_labels=K,
    )
    theirs = ViTForImageClassification(config).eval()
    for parameter in theirs.parameters():
        parameter.normal_(0, 0.5)
    stack = StackConfig(
        D,
        DEPTH,
        AttentionConfig(H),
        MLP(HIDDEN, "gelu"),
        position=Learned(1 + 5 * 3),
        norm=LayerNorm(1e-6),
        placement=PreNorm(),
    )
    embed = Patches(CHANNELS, ROWS, COLUMNS, PATCH)
    ours = TransformerConfig(embed, stack, Classes(K, "first")).build().eval()
    state = theirs.state_dict()
    assert copied(ours, state) == state.keys()
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    images = torch.randn(B, CHANNELS, ROWS, COLUMNS)
    want = theirs(pixel_values=images).logits
    assert want.std() > 0.1
    torch.testing.assert_close(ours(images), want, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("rows", "columns"), [(5, 5), (3, 7)])
def test_a_grids_sinusoids_are_maes(rows: int, columns: int) -> None:
    """Of transformers' ViTMAE, which puts the halves of the rows and of the columns the other way round."""
    from transformers.models.vit_mae.modeling_vit_mae import build_2d_sinusoidal_position_embedding

    width, count = 20, 1 + rows * columns
    theirs = build_2d_sinusoidal_position_embedding(rows, columns, width, cls_token=True)
    want = torch.cat((theirs[:, width // 2 :], theirs[:, : width // 2]), 1)
    part = Sinusoidal2D(columns, leading=1).build(width, 5, 4)
    got = part.add(torch.zeros(1, count, width), Contiguous(0, count))[0]
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
