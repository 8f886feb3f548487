"""The models that `gpu.py` compares: GPT-2's geometry and a Vision Transformer, each of several libraries.

All give a loss, from the same numbers; none has dropout.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import generation
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Fed(nn.Module):
    """A model with what it is given at every step."""

    def __init__(self, model: Any, *given: Any) -> None:
        super().__init__()
        self.model, self.given = model, given

    def forward(self) -> Tensor:
        return self.model(*self.given)


class OurGPT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = generation.config().build()

    def forward(self, given: Tensor, wanted: Tensor) -> Tensor:
        hidden = self.model.hidden(given).flatten(0, 1)
        return self.model.head.loss(hidden, wanted) / wanted.numel()


class TorchGPT(nn.Module):
    """nn.TransformerEncoder with a causal mask."""

    def __init__(self) -> None:
        super().__init__()
        g = generation
        self.table, self.places = nn.Embedding(g.VOCAB, g.WIDTH), nn.Embedding(g.CONTEXT, g.WIDTH)
        for part in (self.table, self.places):
            nn.init.normal_(part.weight, std=0.02)
        layer = nn.TransformerEncoderLayer(
            g.WIDTH, g.HEADS, 4 * g.WIDTH, 0.0, F.gelu, batch_first=True, norm_first=True
        )
        self.body = nn.TransformerEncoder(layer, g.DEPTH, nn.LayerNorm(g.WIDTH), enable_nested_tensor=False)

    def forward(self, given: Tensor, wanted: Tensor) -> Tensor:
        length = given.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=given.device)
        x = self.table(given) + self.places.weight[:length]
        logits = F.linear(self.body(x, mask, is_causal=True), self.table.weight)
        return F.cross_entropy(logits.flatten(0, 1).float(), wanted)


class TheirGPT(nn.Module):
    """transformers' GPT2LMHeadModel, without dropout as the others."""

    def __init__(self) -> None:
        super().__init__()
        self.body = generation.gpt2(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)

    def forward(self, given: Tensor, wanted: Tensor) -> Tensor:
        return F.cross_entropy(self.body(given, use_cache=False).logits.flatten(0, 1).float(), wanted)


class NanoGPT(nn.Module):
    """`model.py` of a checkout of nanoGPT."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        spec = importlib.util.spec_from_file_location("nanogpt_model", Path(folder) / "model.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # its dataclass asks for that
        spec.loader.exec_module(module)
        g = generation
        self.body = module.GPT(
            module.GPTConfig(block_size=g.CONTEXT, vocab_size=g.VOCAB, n_layer=g.DEPTH, n_head=g.HEADS,
                             n_embd=g.WIDTH, dropout=0.0, bias=True)
        )  # fmt: skip

    def forward(self, given: Tensor, wanted: Tensor) -> Tensor:
        return self.body(given, wanted.view_as(given))[1]


class OurViT(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.model = config.build()

    def forward(self, images: Tensor, wanted: Tensor) -> Tensor:
        return F.cross_entropy(self.model(images), wanted)


class TorchViT(nn.Module):
    """nn.TransformerEncoder behind a convolution."""

    def __init__(self, size: Any, side: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, size.width, size.patch, size.patch)
        self.first = nn.Parameter(torch.zeros(1, 1, size.width))
        self.places = nn.Parameter(torch.randn(1, (side // size.patch) ** 2 + 1, size.width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            size.width, size.heads, size.hidden, 0.0, F.gelu, batch_first=True, norm_first=True
        )
        self.body = nn.TransformerEncoder(
            layer, size.depth, nn.LayerNorm(size.width), enable_nested_tensor=False
        )
        self.head = nn.Linear(size.width, 1000)

    def forward(self, images: Tensor, wanted: Tensor) -> Tensor:
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat((self.first.to(x.dtype).expand(len(x), -1, -1), x), 1) + self.places
        return F.cross_entropy(self.head(self.body(x)[:, 0]).float(), wanted)


class TheirViT(nn.Module):
    """transformers' ViTForImageClassification."""

    def __init__(self, size: Any, side: int) -> None:
        super().__init__()
        from transformers import ViTConfig, ViTForImageClassification

        self.body = ViTForImageClassification(
            ViTConfig(hidden_size=size.width, num_hidden_layers=size.depth, num_attention_heads=size.heads,
                      intermediate_size=size.hidden, image_size=side, patch_size=size.patch, num_labels=1000,
                      hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        )  # fmt: skip

    def forward(self, images: Tensor, wanted: Tensor) -> Tensor:
        return F.cross_entropy(self.body(pixel_values=images).logits.float(), wanted)
