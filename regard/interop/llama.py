"""Llama (arXiv 2302.13971), Mistral (2310.06825), Ministral, Qwen2 (2407.10671) and Qwen3 (2505.09388).

One causal stack: RMSNorm before the parts, gated feed-forward parts, rotary positions, grouped queries. They
differ in biases, in the window of what is seen, and in Qwen3's norms of queries and keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from regard.bundle import Bundle
from regard.interop.family import (
    Family,
    Plan,
    Source,
    Unsupported,
    Weights,
    expect,
    one_stack,
    task_options,
    tokens_of,
)
from regard.interop.keys import Keys
from regard.interop.mapping import Table, in_blocks, rules_of
from regard.interop.rotary import read_rotary, rotary_keys
from regard.interop.stack_keys import StackKeys
from regard.model.attention import AttentionConfig
from regard.model.block import PreNorm
from regard.model.feedforward import GatedMLP
from regard.model.mask import Causal, MaskRule, Window
from regard.model.norm import RMSNorm
from regard.model.position import Rotary
from regard.model.stack import LayerPattern, StackConfig
from regard.model.transformer import TransformerConfig
from regard.registry import register

_BLOCK = {
    "attention.qkv": "self_attn.{q,k,v}_proj",
    "attention.out": "self_attn.o_proj",
    "attention.q_norm": "self_attn.q_norm",
    "attention.k_norm": "self_attn.k_norm",
    "attention_residual.norm": "input_layernorm",
    "feedforward.gate_up": "mlp.{gate,up}_proj",
    "feedforward.down": "mlp.down_proj",
    "feedforward_residual.norm": "post_attention_layernorm",
}
_BASE = StackConfig(
    width=4096,
    depth=32,
    attention=AttentionConfig(32, bias=False, out_bias=False),
    feedforward=GatedMLP(11008),
    norm=RMSNorm(1e-6),
    placement=PreNorm(),
    dropout=0.0,
)
_QWEN = replace(_BASE, feedforward=GatedMLP(22016))
_NAMES = {
    "width": "hidden_size",
    "depth": "num_hidden_layers",
    "attention.heads": "num_attention_heads",
    "attention.kv_heads": "num_key_value_heads",
    "attention.head_width": "head_dim",
    "attention.dropout": "attention_dropout",
    "feedforward.hidden": "intermediate_size",
    "feedforward.activation": "hidden_act",
    "norm.eps": "rms_norm_eps",
}
_BIASES = {"attention.bias": "attention_bias", "attention.out_bias": "attention_bias"}
_RATES = "rates of rotation, which follow from the configuration"


@register
class Llama(Family):
    """Llama itself."""

    name: ClassVar[str] = "llama"
    architectures: ClassVar[dict[str, str]] = {"LlamaForCausalLM": "text-generation"}
    prefix: ClassVar[str] = "model."
    frame: ClassVar[tuple[str, str]] = ("bos", "eos")
    defaults: ClassVar[Mapping[str, int]] = {"vocab_size": 32000}
    tokenizer = "LlamaTokenizer"
    stack: ClassVar[StackKeys] = StackKeys(_BASE, _NAMES | _BIASES | {"feedforward.bias": "mlp_bias"})
    longest: ClassVar[int] = 2048

    # ------------------------------------------------------------------ reading

    def plan(self, source: Source) -> Plan:
        keys = source.keys
        stack = self.stack.read(keys)
        assert stack.attention.head_width is not None
        context = keys.whole("max_position_embeddings", self.longest, least=1)
        position = read_rotary(keys, stack.attention.head_width, context)
        stack = replace(stack, **_sight(self._rules(keys, stack.depth)), position=position)
        return source.text_generation(stack, context, tied=False)

    def _rules(self, keys: Keys, depth: int) -> list[MaskRule]:
        """Who may see whom, block by block."""
        return [Causal()] * depth

    # ------------------------------------------------------------------ weights

    def table(self, weights: Weights) -> Table:
        model, start = weights.model, weights.prefix
        assert isinstance(model, TransformerConfig)
        stack, part = model.stack, model.stack.attention
        embedding, rates = f"{start}embed_tokens", "rotary_emb.inv_freq"
        names = {
            "embed": embedding,
            "stack.final_norm": f"{start}norm",
            "head": "lm_head",
            **in_blocks("stack.blocks", f"{start}layers", _BLOCK),
        }
        width = part.head_width or stack.width // part.heads
        shared = (part.kv_heads or part.heads) * width
        rows = {"stack.blocks.#.attention.qkv": (part.heads * width, shared, shared)}
        rules = rules_of(weights.shapes, names, rows=rows)
        tied = {} if "head.weight" in weights.shapes else {"lm_head.weight": f"{embedding}.weight"}
        places = (start, *(f"{start}layers.{index}.self_attn." for index in range(stack.depth)))
        return Table(weights.shapes, tuple(rules), tied, tuple((place + rates, _RATES) for place in places))

    # ------------------------------------------------------------------ writing

    def config(self, bundle: Bundle, architecture: str) -> dict[str, Any]:
        model, head = one_stack(bundle)
        stack = model.stack
        position = expect(stack.position, Rotary, f"its positions are {stack.position.kind}")
        return {
            **self.stack.write(stack),
            "vocab_size": tokens_of(model).vocab,
            "max_position_embeddings": task_options(bundle).get("context") or self.longest,
            "tie_word_embeddings": head.tied,
            **rotary_keys(position),
            **self._write_rules(stack),
        }

    def _write_rules(self, stack: StackConfig) -> dict[str, Any]:
        """The keys that say who may see whom. Raises: Unsupported."""
        return {}


@register
class Mistral(Llama):
    """Llama without biases, each token seeing a window of those before it."""

    name: ClassVar[str] = "mistral"
    architectures: ClassVar[dict[str, str]] = {"MistralForCausalLM": "text-generation"}
    tokenizer_by_class = False
    longest = 131072
    stack = StackKeys(
        replace(_BASE, attention=replace(_BASE.attention, kv_heads=8), feedforward=GatedMLP(14336)), _NAMES
    )

    def _rules(self, keys: Keys, depth: int) -> list[MaskRule]:
        window = _stated_window(keys)
        return [Causal() if window is None else Window(window - 1)] * depth

    def _write_rules(self, stack: StackConfig) -> dict[str, Any]:
        windows, _ = _windows(stack)
        if not all(windows) and any(windows):
            raise Unsupported("its blocks differ in what they see")
        return {"sliding_window": windows[0]}


@register
class Ministral(Mistral):
    """Mistral, some of whose blocks see a window and others everything."""

    name: ClassVar[str] = "ministral"
    architectures: ClassVar[dict[str, str]] = {"MinistralForCausalLM": "text-generation"}

    def _rules(self, keys: Keys, depth: int) -> list[MaskRule]:
        window = _stated_window(keys)
        return _by_kind(keys, [_ALL if window is None else _SOME] * depth, window)

    def _write_rules(self, stack: StackConfig) -> dict[str, Any]:
        windows, kinds = _windows(stack)
        return {"sliding_window": max(filter(None, windows), default=None), "layer_types": kinds}


@register
class Qwen2(Llama):
    """Llama with biases where queries, keys and values are made."""

    name: ClassVar[str] = "qwen2"
    architectures: ClassVar[dict[str, str]] = {"Qwen2ForCausalLM": "text-generation"}
    defaults: ClassVar[Mapping[str, int]] = {"vocab_size": 151936}
    tokenizer = "Qwen2Tokenizer"
    longest = 32768
    stack = StackKeys(replace(_QWEN, attention=replace(_QWEN.attention, bias=True)), _NAMES)

    def _rules(self, keys: Keys, depth: int) -> list[MaskRule]:
        used = keys.flag("use_sliding_window", False)
        first = keys.whole("max_window_layers", 28)
        kinds = keys.any("layer_types")
        window = _stated_window(keys) if used else keys.any("sliding_window")
        if not used and kinds not in (None, [_ALL] * depth):
            raise keys.refuse("layer_types", "without use_sliding_window all must be full_attention")
        near = used and window is not None
        usual = [_SOME if near and index >= first else _ALL for index in range(depth)]
        return _by_kind(keys, usual, window)

    def _write_rules(self, stack: StackConfig) -> dict[str, Any]:
        windows, kinds = _windows(stack)
        config: dict[str, Any] = {"use_sliding_window": any(windows), "layer_types": kinds}
        if any(windows):
            config |= {
                "sliding_window": max(filter(None, windows)),
                "max_window_layers": kinds.index(_SOME),
            }
        return config


@register
class Qwen3(Qwen2):
    """Qwen2 whose queries and keys are normalised, with biases if the configuration says so."""

    name: ClassVar[str] = "qwen3"
    architectures: ClassVar[dict[str, str]] = {"Qwen3ForCausalLM": "text-generation"}
    stack = StackKeys(
        replace(_QWEN, attention=replace(_QWEN.attention, head_width=128, norm=RMSNorm(1e-6))),
        _NAMES | _BIASES | {"attention.norm.eps": "rms_norm_eps"},
    )


def _stated_window(keys: Keys) -> int | None:
    """How many tokens are seen: 4,096 where the configuration is silent, all where it says null."""
    if keys.says("sliding_window") and "sliding_window" not in keys:
        keys.any("sliding_window")
        return None
    return keys.whole("sliding_window", 4096, least=1)


_ALL, _SOME = "full_attention", "sliding_attention"


def _by_kind(keys: Keys, usual: list[str], window: int | None) -> list[MaskRule]:
    """Who may see whom, block by block, from the library's word for each. `usual`: those that count where
    the configuration is silent. Raises: CheckpointError."""
    kinds, depth = keys.any("layer_types"), len(usual)
    kinds = usual if kinds is None else kinds
    if not isinstance(kinds, list) or len(kinds) != depth or not set(map(str, kinds)) <= {_ALL, _SOME}:
        why = "it must say {limit} of each of the {layers} layers"
        raise keys.refuse("layer_types", why, f"{_ALL} or {_SOME}", depth)
    if _SOME not in kinds:
        return [Causal()] * depth
    if window is None:
        raise keys.refuse("sliding_window", "layers that see a window need its size")
    return [Causal() if kind == _ALL else Window(window - 1) for kind in kinds]


def _sight(rules: list[MaskRule]) -> dict[str, Any]:
    """The fields of a stack whose blocks have these rules: one for all, or the shortest pattern of them."""
    if len(set(rules)) == 1:
        return {"mask": rules[0]}
    depth = len(rules)
    length = next(n for n in range(2, depth + 1) if all(rules[i] == rules[i % n] for i in range(depth)))
    return {"mask": Causal(), "pattern": tuple(map(LayerPattern, rules[:length]))}


def _windows(stack: StackConfig) -> tuple[list[int | None], list[str]]:
    """How many tokens each block sees, None for all, and what the library calls that. Raises: Unsupported."""
    if any(layer.position is not None for layer in stack.pattern):
        raise Unsupported("its blocks differ in how they are rotated")
    windows = [rule.before + 1 if isinstance(rule, Window) else None for rule in stack.rules]
    if len({window for window in windows if window}) > 1:
        raise Unsupported("its blocks have windows of several sizes")
    return windows, [_SOME if window else _ALL for window in windows]
