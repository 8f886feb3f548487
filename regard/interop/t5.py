"""T5 (arXiv 1910.10683) and its version 1.1: two stacks, unscaled scores, a bias that all layers share.

Where the head is the embedding's table, T5 divides what enters it by √D; here the last norm's gains do that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from regard.bundle import Bundle
from regard.interop.family import Family, Plan, Source, Unsupported, Weights, expect
from regard.interop.generation import stated
from regard.interop.keys import Keys, activation_name
from regard.interop.mapping import SAME, Conversion, Table, in_blocks, rules_of, scaled
from regard.interop.stack_keys import StackKeys
from regard.model.attention import AttentionConfig
from regard.model.block import PreNorm
from regard.model.embed import Tokens
from regard.model.feedforward import MLP, FeedForwardPart, GatedMLP
from regard.model.mask import Causal
from regard.model.norm import RMSNorm
from regard.model.position import RelativeBias
from regard.model.score import DotProduct
from regard.model.stack import StackConfig
from regard.model.transformer import EncoderDecoderConfig
from regard.registry import register

_ENCODER = {
    "attention.qkv": "layer.0.SelfAttention.{q,k,v}",
    "attention.out": "layer.0.SelfAttention.o",
    "attention_residual.norm": "layer.0.layer_norm",
    "feedforward.gate_up": "layer.1.DenseReluDense.{wi_0,wi_1}",
    "feedforward.up": "layer.1.DenseReluDense.wi",
    "feedforward.down": "layer.1.DenseReluDense.wo",
    "feedforward_residual.norm": "layer.1.layer_norm",
}
_DECODER = {name: theirs.replace("layer.1", "layer.2") for name, theirs in _ENCODER.items()} | {
    "cross.q": "layer.1.EncDecAttention.q",
    "cross.kv": "layer.1.EncDecAttention.{k,v}",
    "cross.out": "layer.1.EncDecAttention.o",
    "cross_residual.norm": "layer.1.layer_norm",
}
_BLOCKS = {"encoder": _ENCODER, "decoder": _DECODER}
_STACK = StackKeys(
    StackConfig(
        width=512,
        depth=6,
        attention=AttentionConfig(8, head_width=64, score=DotProduct(1.0), bias=False, dropout=0.1),
        position=RelativeBias(bidirectional=True),
        norm=RMSNorm(1e-6),
        placement=PreNorm(),
    ),
    {
        "width": "d_model",
        "depth": "num_layers",
        "attention.heads": "num_heads",
        "attention.head_width": "d_kv",
        "attention.dropout": "dropout_rate",
        "position.buckets": "relative_attention_num_buckets",
        "position.max_distance": "relative_attention_max_distance",
        "norm.eps": "layer_norm_epsilon",
        "dropout": "dropout_rate",
    },
)
_LONGEST = 512  # tokens of its training; the bias allows any number


@register
class T5(Family):
    """See the module's docstring."""

    name: ClassVar[str] = "t5"
    architectures: ClassVar[dict[str, str]] = {"T5ForConditionalGeneration": "translation"}
    aliases: ClassVar[dict[str, str]] = {"T5WithLMHeadModel": "T5ForConditionalGeneration"}
    proj: ClassVar[str] = "relu"
    """The feed-forward parts, where the configuration does not say it."""
    scales: ClassVar[bool] = True
    """Whether a head that is the embedding's table has its input divided by √D."""
    ignored: ClassVar[tuple[str, ...]] = ("n_positions", "decoder_layers")
    frame: ClassVar[tuple[str, str]] = ("bos", "eos")
    defaults: ClassVar[dict[str, int]] = {"vocab_size": 32128, "d_ff": 2048}
    stack: ClassVar[StackKeys] = _STACK
    tokenizer = "T5Tokenizer"

    # ------------------------------------------------------------------ reading

    def plan(self, source: Source) -> Plan:
        keys = source.keys
        keys.only("is_encoder_decoder", True, "it has two stacks")
        encoder = self.stack.read(keys)
        encoder = replace(encoder, feedforward=_feedforward(keys, self.proj))
        position: Any = encoder.position
        _check_position(keys, position)
        decoder = replace(
            encoder,
            depth=keys.depth("num_decoder_layers", encoder.depth),
            mask=Causal(),
            position=replace(position, bidirectional=False),
            cross=encoder.attention,
        )
        vocab = keys.size("vocab_size")
        tied = keys.flag("tie_word_embeddings", True)
        divided = keys.flag("scale_decoder_outputs", tied) and self.scales
        own = not (tied and self.scales) and source.has("lm_head.weight")
        embed = Tokens(vocab, scale=False)
        model = EncoderDecoderConfig(embed, embed, encoder, decoder, "embeddings" if own else "three-way")
        start = stated(source.checkpoint, "decoder_start_token_id")
        start = (*keys.ids("pad_token_id"), 0)[0] if start is None else start
        plan = source.translation(model, start, _LONGEST)
        return replace(plan, table=plan.table.with_conversions(_scaled(decoder, divided)))

    # ------------------------------------------------------------------ weights

    def table(self, weights: Weights) -> Table:
        model = weights.model
        assert isinstance(model, EncoderDecoderConfig)
        names = {"target": "shared", "head": "lm_head"}
        copies = {f"{side}.embed_tokens.weight": "shared.weight" for side in _BLOCKS}
        copies |= {"lm_head.weight": "shared.weight"} if model.tying == "three-way" else {}
        for side, block in _BLOCKS.items():
            bias = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias"
            names |= {f"{side}.position.table": bias, f"{side}.final_norm": f"{side}.final_layer_norm"}
            names |= in_blocks(f"{side}.blocks", f"{side}.block", block)
        scale = model.tying == "three-way" and self.scales
        rules = rules_of(weights.shapes, names, _scaled(model.decoder) if scale else None)
        unread = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
        why = "a bias that T5 itself never reads"
        return Table(weights.shapes, tuple(rules), copies, ((unread, why),))

    # ------------------------------------------------------------------ writing

    def config(self, bundle: Bundle, architecture: str) -> dict[str, Any]:
        model = expect(bundle.model, EncoderDecoderConfig, "it has one stack")
        stack, part = model.encoder, model.encoder.feedforward
        if part.hidden is None:
            raise Unsupported("its hidden width is not stated")
        name = activation_name(part.activation)
        if isinstance(part, GatedMLP):
            name = "gated-gelu" if name == "gelu_new" else f"gated-{name}"
        tied = model.tying == "three-way"
        return self.stack.write(stack) | {
            "vocab_size": model.target.vocab,
            "d_ff": part.hidden,
            "num_decoder_layers": model.decoder.depth,
            "feed_forward_proj": name,
            "tie_word_embeddings": tied,
            "is_encoder_decoder": True,
        }


@register
class MT5(T5):
    """T5 of a hundred languages (arXiv 2010.11934)."""

    name: ClassVar[str] = "mt5"
    architectures: ClassVar[dict[str, str]] = {"MT5ForConditionalGeneration": "translation"}
    aliases: ClassVar[dict[str, str]] = {}
    proj: ClassVar[str] = "gated-gelu"
    scales: ClassVar[bool] = False
    defaults: ClassVar[dict[str, int]] = {"vocab_size": 250112, "d_ff": 1024}
    stack: ClassVar[StackKeys] = replace(
        _STACK, base=replace(_STACK.base, depth=8, attention=replace(_STACK.base.attention, heads=6))
    )


def _check_position(keys: Keys, position: Any) -> None:
    if position.buckets < 4:
        raise keys.refuse("relative_attention_num_buckets", "it must be {limit} or more", 4)
    if position.max_distance <= position.buckets // 2:
        raise keys.refuse("relative_attention_max_distance", "it must be more than half of the buckets")


def _feedforward(keys: Keys, usual: str) -> FeedForwardPart:
    """`relu`, or a gate and what it is: `gated-gelu`, by which the tanh form is meant. The two keys that
    follow from it count before it where they are written, too."""
    settings = keys.any("feed_forward_proj") or usual
    kinds = settings.split("-") if isinstance(settings, str) else []
    if not 1 <= len(kinds) <= 2 or (len(kinds) == 2 and kinds[0] != "gated"):
        raise keys.refuse("feed_forward_proj", "it must be an activation, or 'gated-' and one")
    named = "dense_act_fn" if "dense_act_fn" in keys else "feed_forward_proj"
    name = keys.any("dense_act_fn") or ("gelu_new" if settings == "gated-gelu" else kinds[-1])
    activation = Keys({named: name}, keys.where, 1).activation(named, usual)
    hidden, rate = keys.size("d_ff"), keys.rate("dropout_rate", 0.1)
    if keys.flag("is_gated_act", kinds[0] == "gated"):
        return GatedMLP(hidden, activation, dropout=rate)
    return MLP(hidden, activation, bias=False, dropout=rate)


def _scaled(decoder: StackConfig, scale: bool = True) -> dict[str, Conversion]:
    """What divides the input of the head by √D, if it is divided."""
    return {"decoder.final_norm.weight": scaled(decoder.width**-0.5) if scale else SAME}
