"""GPT-2 (Radford et al. 2019): one causal stack, norms before the parts, learned positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from regard.bundle import Bundle
from regard.interop.family import Family, Plan, Source, Unfit, tokens_of
from regard.interop.keys import activation_name
from regard.interop.mapping import LeadingTimes, Rule, Table, Transposed, both
from regard.model.attention import AttentionConfig
from regard.model.block import PreNorm
from regard.model.embed import Tokens
from regard.model.feedforward import MLP
from regard.model.head import Vocabulary
from regard.model.init import Scaled
from regard.model.mask import Causal
from regard.model.norm import LayerNorm
from regard.model.position import Learned
from regard.model.score import DotProduct
from regard.model.stack import StackConfig
from regard.model.transformer import ModelConfig, TransformerConfig

_TURNED = Transposed()
_SUMMARY = ("summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels")


class Gpt2(Family):
    """See the module's docstring."""

    name: ClassVar[str] = "gpt2"
    architectures: ClassVar[dict[str, str]] = {"GPT2LMHeadModel": "text-generation"}
    aliases: ClassVar[dict[str, str]] = {"GPT2Model": "GPT2LMHeadModel"}
    frame: ClassVar[tuple[str, str]] = ("bos", "eos")

    def plan(self, source: Source) -> Plan:
        keys = source.keys
        scaled = keys.flag("scale_attn_weights", True)
        lessened = keys.flag("scale_attn_by_inverse_layer_idx", False)
        for name in (*_SUMMARY, "summary_first_dropout", "embd_pdrop", "reorder_and_upcast_attn"):
            keys.any(name)  # of heads that are not imported, of training, of halves
        width, heads = keys.size("n_embd"), keys.size("n_head")
        if width % heads:
            raise keys.refuse("n_embd", "it must be a multiple of the {limit} heads", heads)
        positions = keys.size("n_positions", keys.any("n_ctx"))  # where both stand, only the first is read
        stack = StackConfig(
            width=width,
            depth=keys.depth("n_layer"),
            attention=AttentionConfig(
                heads,
                score=DotProduct() if scaled else DotProduct(1.0),
                dropout=keys.rate("attn_pdrop", 0.1),
            ),
            feedforward=MLP(
                keys.size("n_inner", 4 * width), keys.activation("activation_function", "gelu_new")
            ),
            mask=Causal(),
            position=Learned(positions),
            norm=LayerNorm(keys.number("layer_norm_epsilon", 1e-5, 1e-30, 1.0)),
            placement=PreNorm(),
            dropout=keys.rate("resid_pdrop", 0.1),
        )
        vocab = keys.size("vocab_size")
        head = Vocabulary(keys.flag("tie_word_embeddings", True))
        model = TransformerConfig(Tokens(vocab, scale=False), stack, head, Scaled())
        table = self.table(
            model, source.architecture, source.checkpoint.config, prefixed=source.has("transformer.")
        )
        return Plan(
            task="text-generation",
            options=source.writes(positions, vocab),
            model=model,
            table=_lessened(table, width) if lessened else table,
            tokenizers={"tokenizer.json": source.tokenizer.tokenizer(vocab, begin="bos", end="eos")},
        )

    def table(
        self,
        model: ModelConfig,
        architecture: str,
        config: Mapping[str, Any],
        *,
        prefixed: bool | None = None,
    ) -> Table:
        assert isinstance(model, TransformerConfig)
        start = "" if prefixed is False else "transformer."
        rules = [
            Rule("embed.weight", (f"{start}wte.weight",)),
            Rule("stack.position.table.weight", (f"{start}wpe.weight",)),
            *both("stack.final_norm", f"{start}ln_f"),
        ]
        spare = []
        for index in range(model.stack.depth):
            ours, theirs = f"stack.blocks.{index}.", f"{start}h.{index}."
            rules += both(f"{ours}attention.qkv", f"{theirs}attn.c_attn", way=_TURNED)
            rules += both(f"{ours}attention.out", f"{theirs}attn.c_proj", way=_TURNED)
            rules += both(f"{ours}attention_residual.norm", f"{theirs}ln_1")
            rules += both(f"{ours}feedforward.up", f"{theirs}mlp.c_fc", way=_TURNED)
            rules += both(f"{ours}feedforward.down", f"{theirs}mlp.c_proj", way=_TURNED)
            rules += both(f"{ours}feedforward_residual.norm", f"{theirs}ln_2")
            why = "the causal mask, which is no weight"
            spare += [(f"{theirs}attn.bias", why), (f"{theirs}attn.masked_bias", why)]
        tied = isinstance(model.head, Vocabulary) and model.head.tied
        if not tied:
            rules.append(Rule("head.weight", ("lm_head.weight",)))
        return Table(tuple(rules), {"lm_head.weight": f"{start}wte.weight"} if tied else {}, tuple(spare))

    def config(self, bundle: Bundle, architecture: str) -> dict[str, Any]:
        model = bundle.model
        if not isinstance(model, TransformerConfig) or not isinstance(model.head, Vocabulary):
            raise Unfit("it is not one stack with a vocabulary")
        stack, part, position, norm = (
            model.stack,
            model.stack.feedforward,
            model.stack.position,
            model.stack.norm,
        )
        if not isinstance(part, MLP) or not isinstance(position, Learned) or not isinstance(norm, LayerNorm):
            raise Unfit(
                f"its parts are {part.kind}, {position.kind} and {norm.kind}, not mlp, learned and layer"
            )
        return {
            "vocab_size": tokens_of(model).vocab,
            "n_embd": stack.width,
            "n_layer": stack.depth,
            "n_head": stack.attention.heads,
            "n_inner": part.hidden or 4 * stack.width,
            "n_positions": position.length,
            "activation_function": activation_name(part.activation),
            "resid_pdrop": stack.dropout,
            "embd_pdrop": stack.dropout,
            "attn_pdrop": stack.attention.dropout,
            "layer_norm_epsilon": norm.eps,
            "scale_attn_weights": getattr(stack.attention.score, "scale", None) is None,
            "tie_word_embeddings": model.head.tied,
        }


def _lessened(table: Table, width: int) -> Table:
    """The same where the scores of block n are divided by n: its queries are, where they are made."""
    rules = []
    for rule in table.rules:
        if ".attention.qkv." in rule.ours:
            factor = 1.0 / (1 + int(rule.ours.split(".")[2]))
            rule = replace(rule, way=LeadingTimes(width, factor, transposed=rule.ours.endswith("weight")))
        rules.append(rule)
    return replace(table, rules=tuple(rules))
