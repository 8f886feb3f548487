"""torch's `nn.MultiheadAttention`, on top of `attend`: same arguments, same weights by the same names.

Code written for torch's module runs with this one, and its state dict loads. It stands beside the
stack, whose own `Attention` is leaner; it knows no positions and no cache. Source: 'Attention Is All
You Need', arXiv 1706.03762, section 3.2.2, and torch's documentation of `torch.nn.MultiheadAttention`.

Differs: a query that may see nothing gets zeros from attention (so its output is the bias of the last
projection) and weights of zero, where torch gives NaN. Boolean and additive masks may be mixed.
`is_causal` without a mask means causal, where torch asks for the mask as well; with a mask, the mask
decides. Shapes that do not fit raise ValueError.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regard.model.attention import attend, attention_scores, attention_weights, weigh
from regard.model.dropout import dropout as drop
from regard.model.init import Init
from regard.model.part import Part, product_flops


class MultiheadAttention(nn.MultiheadAttention, Part):
    """Multi-head attention that returns (output, weights), as torch's does.

    `embed_dim` is D, of which each of `num_heads` gets an equal part; `kdim` and `vdim` are the widths
    of keys and values, D unless said otherwise. `dropout` drops weights while training.
    `add_bias_kv` appends a learned key and value, `add_zero_attn` one of zeros. With `batch_first`,
    inputs are (B, T, D), otherwise (T, B, D). Source: arXiv 1706.03762, section 3.2.2.

    Raises: ValueError when D is no multiple of the heads.
    """

    cross = True

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ValueError(f"embed_dim {embed_dim} is not a positive multiple of num_heads {num_heads}")
        of_keys, of_values = kdim or embed_dim, vdim or embed_dim
        extra = (add_bias_kv, add_zero_attn, of_keys, of_values, batch_first)
        super().__init__(embed_dim, num_heads, dropout, bias, *extra, device=device, dtype=dtype)
        # Torch's encoder layer asks for this before it takes a shortcut past `forward`.
        self._qkv_same_embed_dim = False

    def flops(self, T: int, S: int) -> int:
        D, extra = self.embed_dim, int(self.bias_k is not None) + int(self.add_zero_attn)
        projections = 2 * D * (T * D + S * self.kdim + S * self.vdim)
        return projections + 4 * T * (S + extra) * D + product_flops(self.out_proj, T)

    def initialise(self, init: Init, branches: int | None = None) -> None:
        """It is filled when it is made, as torch does."""

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """(T, B, D) queries, (S, B, ·) keys and values → (T, B, D) and the weights.

        With `batch_first` the first two axes are exchanged; without B everywhere, there is no batch.
        Masks have torch's meaning: True may NOT be seen, numbers are added to the scores.
        `key_padding_mask`: (B, S); `attn_mask`: (T, S) or (B·H, T, S). Weights are (B, T, S), the mean
        of the heads, or (B, H, T, S) if not `average_attn_weights`, or None if not `need_weights`, which
        is faster. Raises ValueError: shapes that do not fit.
        """
        batched, alone = query.dim() == 3, query is key and key is value
        query, key, value = self._batch_first(query, key, value)
        B, T, _ = query.shape
        S = key.shape[1]
        if key_padding_mask is not None and not batched:
            key_padding_mask = key_padding_mask[None]
        masks = [self._attn_mask(attn_mask, is_causal, B, T, S, query.device)]
        masks.append(self._padding_mask(key_padding_mask, B, S))
        q, k, v = self._project(query, key, value, alone)
        k, v, extra = self._extended(k, v)
        allowed, bias = _combined(masks, extra)

        p = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            weights = drop(attention_weights(attention_scores(q, k, bias=bias), allowed), p, training=True)
            z = weigh(weights, v)
        else:
            z = attend(q, k, v, allowed, bias=bias, dropout=p)
        output = self.out_proj(z.transpose(1, 2).reshape(B, T, self.embed_dim))
        if weights is not None and average_attn_weights:
            weights = weights.mean(dim=1)
        if not batched:
            return output[0], None if weights is None else weights[0]
        return output if self.batch_first else output.transpose(0, 1), weights

    def _batch_first(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """All as (B, T, ·), checked."""
        shapes = f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}"
        if query.dim() not in (2, 3) or not query.dim() == key.dim() == value.dim():
            raise ValueError(f"{shapes}: all must have three axes, or all two without a batch")
        if query.dim() == 2:
            query, key, value = query[None], key[None], value[None]
        elif not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        widths = (query.shape[2], key.shape[2], value.shape[2])
        if widths != (self.embed_dim, self.kdim, self.vdim):
            needed = f"{self.embed_dim}, {self.kdim} and {self.vdim}"
            raise ValueError(f"{shapes}: their last axes must be {needed}")
        if key.shape[:2] != value.shape[:2]:
            raise ValueError(f"{shapes}: there must be a value for every key")
        if query.shape[0] != key.shape[0]:
            order = "first" if self.batch_first else "second"
            raise ValueError(f"{shapes}: the batch, their {order} axis, must be the same")
        return query, key, value

    def _attn_mask(
        self, mask: Tensor | None, is_causal: bool, B: int, T: int, S: int, device: torch.device
    ) -> Tensor | None:
        """Torch's mask as (1 | B, 1 | H, T, S)."""
        if mask is None and not is_causal:
            return None
        if mask is None:
            if T != S:
                raise ValueError(f"is_causal needs as many keys as queries, not {S} and {T}: pass attn_mask")
            mask = torch.ones((T, S), dtype=torch.bool, device=device).triu(1)
        if mask.shape == (T, S):
            return mask[None, None]
        if mask.shape == (B * self.num_heads, T, S):
            return mask.view(B, self.num_heads, T, S)
        allowed = f"{(T, S)} or {(B * self.num_heads, T, S)}"
        raise ValueError(f"attn_mask must have the shape {allowed}, not {tuple(mask.shape)}")

    def _padding_mask(self, mask: Tensor | None, B: int, S: int) -> Tensor | None:
        if mask is None:
            return None
        if mask.shape != (B, S):
            raise ValueError(f"key_padding_mask must have the shape {(B, S)}, not {tuple(mask.shape)}")
        return mask[:, None, None]

    def _project(
        self, query: Tensor, key: Tensor, value: Tensor, alone: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(B, H, T, C) queries, (B, H, S, C) keys and values; one product if all are made of one x."""
        bias = (None, None, None) if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        if self.in_proj_weight is not None and alone:
            q, k, v = F.linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        else:
            q, k, v = (
                F.linear(x, weight, b)
                for x, weight, b in zip((query, key, value), self._weights(), bias, strict=True)
            )
        return self._heads(q), self._heads(k), self._heads(v)

    def _weights(self) -> tuple[Tensor, ...]:
        if self.in_proj_weight is not None:
            return self.in_proj_weight.chunk(3)
        return tuple(self.get_parameter(f"{letter}_proj_weight") for letter in "qkv")

    def _heads(self, x: Tensor) -> Tensor:
        """(B, T, D) → (B, H, T, C)."""
        return x.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)

    def _extended(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, int]:
        """Keys and values with the extra ones that every query may see, and how many those are."""
        S = k.shape[2]
        if self.bias_k is not None and self.bias_v is not None:
            k = torch.cat([k, self._heads(self.bias_k).expand(len(k), -1, -1, -1)], dim=2)
            v = torch.cat([v, self._heads(self.bias_v).expand(len(v), -1, -1, -1)], dim=2)
        if self.add_zero_attn:
            k, v = F.pad(k, (0, 0, 0, 1)), F.pad(v, (0, 0, 0, 1))
        return k, v, k.shape[2] - S


def _combined(masks: list[Tensor | None], extra: int) -> tuple[Tensor | None, Tensor | None]:
    """Torch's masks as ours: (allowed, bias), each of them or None; `extra` keys at the end are free."""
    allowed: Tensor | None = None
    bias: Tensor | None = None
    for mask in masks:
        if mask is None:
            continue
        if mask.dtype == torch.bool:
            seen = ~F.pad(mask, (0, extra))
            allowed = seen if allowed is None else allowed & seen
        elif mask.dtype.is_floating_point:
            added = F.pad(mask, (0, extra))
            bias = added if bias is None else bias + added
        else:
            raise ValueError(f"a mask holds booleans or floating-point numbers, not {mask.dtype}")
    return allowed, bias
