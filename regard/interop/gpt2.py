"""GPT-2 (Radford et al. 2019): one causal stack, norms before the parts, learned positions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from regard.bundle import Bundle
from regard.interop.family import Family, Plan, Source, Weights, one_stack, tokens_of
from regard.interop.mapping import TRANSPOSED, Table, in_blocks, rules_of, scaled_queries
from regard.interop.stack_keys import StackKeys
from regard.model.attention import AttentionConfig
from regard.model.block import PreNorm
from regard.model.feedforward import MLP
from regard.model.mask import Causal
from regard.model.norm import LayerNorm
from regard.model.position import Learned
from regard.model.score import DotProduct
from regard.model.stack import StackConfig
from regard.model.transformer import TransformerConfig
from regard.registry import register

_BLOCK = {
    "attention.qkv": "attn.c_attn",
    "attention.out": "attn.c_proj",
    "attention_residual.norm": "ln_1",
    "feedforward.up": "mlp.c_fc",
    "feedforward.down": "mlp.c_proj",
    "feedforward_residual.norm": "ln_2",
}
_STACK = StackKeys(
    StackConfig(
        width=768,
        depth=12,
        attention=AttentionConfig(12, dropout=0.1),
        feedforward=MLP(activation="gelu-tanh"),
        mask=Causal(),
        position=Learned(1024),
        norm=LayerNorm(1e-5),
        placement=PreNorm(),
    ),
    {
        "width": "n_embd",
        "depth": "n_layer",
        "attention.heads": "n_head",
        "attention.dropout": "attn_pdrop",
        "feedforward.hidden": "n_inner",
        "feedforward.activation": "activation_function",
        "position.length": "n_positions",
        "norm.eps": "layer_norm_epsilon",
        "dropout": "resid_pdrop",
    },
)
_MASK = "the causal mask, which is no weight"


@register
class Gpt2(Family):
    """See the module's docstring."""

    name: ClassVar[str] = "gpt2"
    architectures: ClassVar[dict[str, str]] = {"GPT2LMHeadModel": "text-generation"}
    aliases: ClassVar[dict[str, str]] = {"GPT2Model": "GPT2LMHeadModel"}
    ignored: ClassVar[tuple[str, ...]] = (
        *("summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels"),
        *("summary_first_dropout", "embd_pdrop", "reorder_and_upcast_attn"),
    )
    prefix: ClassVar[str] = "transformer."
    frame: ClassVar[tuple[str, str]] = ("bos", "eos")
    defaults: ClassVar[dict[str, int]] = {"vocab_size": 50257}
    tokenizer = "GPT2Tokenizer"
    stack: ClassVar[StackKeys] = _STACK

    def plan(self, source: Source) -> Plan:
        keys = source.keys
        scaled = keys.flag("scale_attn_weights", True)
        divided = keys.flag("scale_attn_by_inverse_layer_idx", False)
        stack = self.stack.read(keys, {"position.length": keys.any("n_ctx")})  # read where it is alone
        attention = replace(stack.attention, score=DotProduct() if scaled else DotProduct(1.0))
        stack = replace(stack, attention=attention)
        plan = source.text_generation(stack, getattr(stack.position, "length", 0), tied=True)
        return replace(plan, table=_divided(plan.table, stack.width)) if divided else plan

    def table(self, weights: Weights) -> Table:
        model, start = weights.model, weights.prefix
        assert isinstance(model, TransformerConfig)
        names = {
            "embed": f"{start}wte",
            "stack.position.table": f"{start}wpe",
            "stack.final_norm": f"{start}ln_f",
            "head": "lm_head",
            **in_blocks("stack.blocks", f"{start}h", _BLOCK),
        }
        transposed = {f"stack.blocks.#.{name}.weight": TRANSPOSED for name in _BLOCK if "norm" not in name}
        rules = rules_of(weights.shapes, names, transposed)
        tied = {} if "head.weight" in weights.shapes else {"lm_head.weight": f"{start}wte.weight"}
        blocks = (f"{start}h.{index}.attn." for index in range(model.stack.depth))
        masks = ((block + name, _MASK) for block in blocks for name in ("bias", "masked_bias"))
        return Table(weights.shapes, tuple(rules), tied, tuple(masks))

    def config(self, bundle: Bundle, architecture: str) -> dict[str, Any]:
        model, head = one_stack(bundle)
        stack = model.stack
        return self.stack.write(stack) | {
            "vocab_size": tokens_of(model).vocab,
            "embd_pdrop": stack.dropout,
            "scale_attn_weights": getattr(stack.attention.score, "scale", None) is None,
            "tie_word_embeddings": head.tied,
        }


def _divided(table: Table, width: int) -> Table:
    """The same where the scores of block n are divided by n: its queries are, where they are made."""
    conversions = {}
    for name in table.shapes:
        if ".attention.qkv." in name:
            factor = 1.0 / (1 + int(name.split(".")[2]))
            conversions[name] = scaled_queries(width, factor, transposed=name.endswith("weight"))
    return table.with_conversions(conversions)
