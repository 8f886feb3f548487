"""Llama (arXiv 2302.13971), Mistral (2310.06825), Qwen2 (2407.10671) and Qwen3 (2505.09388).

One causal stack: RMSNorm before the parts, gated feed-forward parts, rotary positions, grouped queries. They
differ in biases, in the window of what is seen, and in Qwen3's norms of queries and keys.
"""

from __future__ import annotations

from typing import Any, ClassVar

from regard.bundle import Bundle
from regard.interop.family import Family, Plan, Source, Unfit, tokens_of
from regard.interop.keys import Keys, activation_name
from regard.interop.mapping import Rule, Table, both, stacked
from regard.interop.rotary import read_rotary, written_rotary
from regard.model.attention import AttentionConfig
from regard.model.block import PreNorm
from regard.model.embed import Tokens
from regard.model.feedforward import GatedMLP
from regard.model.head import Vocabulary
from regard.model.init import Scaled
from regard.model.mask import Causal, MaskRule, Window
from regard.model.norm import RMSNorm
from regard.model.position import Rotary
from regard.model.stack import StackConfig
from regard.model.transformer import ModelConfig, TransformerConfig


class Llama(Family):
    """Llama itself."""

    name: ClassVar[str] = "llama"
    architectures: ClassVar[dict[str, str]] = {"LlamaForCausalLM": "text-generation"}
    frame: ClassVar[tuple[str, str]] = ("bos", "eos")
    head_width: ClassVar[int | None] = None
    """Of a head where the configuration does not say; None for width / heads."""
    longest: ClassVar[int] = 2048
    kv_heads: ClassVar[int | None] = None
    normed: ClassVar[bool] = False
    """Whether queries and keys are normalised."""

    # ------------------------------------------------------------------ reading

    def plan(self, source: Source) -> Plan:
        keys = source.keys
        width, heads = keys.size("hidden_size"), keys.size("num_attention_heads")
        kv_heads = keys.size("num_key_value_heads", self.kv_heads or heads)
        if heads % kv_heads:
            raise keys.refuse("num_key_value_heads", f"it must divide the {heads} heads")
        if "head_dim" not in keys and self.head_width is None and width % heads:
            raise keys.refuse("hidden_size", f"it must be a multiple of the {heads} heads")
        head_width = keys.size("head_dim", self.head_width or width // heads)
        eps = keys.number("rms_norm_eps", 1e-6, 1e-30, 1.0)
        bias, out_bias = self._biases(keys)
        context = keys.whole("max_position_embeddings", self.longest, least=1)
        stack = StackConfig(
            width=width,
            depth=(depth := keys.depth("num_hidden_layers")),
            attention=AttentionConfig(
                heads,
                kv_heads,
                head_width,
                bias=bias,
                out_bias=out_bias,
                norm=RMSNorm(eps) if self.normed else None,
                dropout=keys.rate("attention_dropout"),
            ),
            feedforward=GatedMLP(
                keys.size("intermediate_size"),
                keys.activation("hidden_act", "silu"),
                bias=self._mlp_bias(keys),
            ),
            mask=self._mask(keys, depth),
            position=read_rotary(keys, head_width, context),
            norm=RMSNorm(eps),
            placement=PreNorm(),
            dropout=0.0,
        )
        vocab = keys.size("vocab_size")
        head = Vocabulary(keys.flag("tie_word_embeddings", False))
        model = TransformerConfig(Tokens(vocab, scale=False), stack, head, Scaled())
        return Plan(
            task="text-generation",
            options=source.writes(context, vocab),
            model=model,
            table=self.table(model, source.architecture, prefixed=source.has("model.")),
            tokenizers={"tokenizer.json": source.tokenizer.tokenizer(vocab, begin="bos", end="eos")},
        )

    def _biases(self, keys: Keys) -> tuple[bool, bool]:
        """Of what makes queries, keys and values, and of what joins the heads."""
        both_ = keys.flag("attention_bias", False)
        return both_, both_

    def _mlp_bias(self, keys: Keys) -> bool:
        return keys.flag("mlp_bias", False)

    def _mask(self, keys: Keys, depth: int) -> MaskRule:
        return Causal()

    # ------------------------------------------------------------------ weights

    def table(self, model: ModelConfig, architecture: str, *, prefixed: bool | None = None) -> Table:
        assert isinstance(model, TransformerConfig)
        start = "" if prefixed is False else "model."
        stack, part = model.stack, model.stack.attention
        embedding = f"{start}embed_tokens.weight"
        rules = [
            Rule("embed.weight", (embedding,)),
            Rule("stack.final_norm.weight", (f"{start}norm.weight",)),
        ]
        spare = [(f"{start}rotary_emb.inv_freq", "rates of rotation, which follow from the configuration")]
        width = part.head_width or stack.width // part.heads
        shared = (part.kv_heads or part.heads) * width
        out_bias = part.bias if part.out_bias is None else part.out_bias
        gated = stack.feedforward
        assert isinstance(gated, GatedMLP)
        hidden = gated.hidden or 8 * stack.width // 3
        for index in range(stack.depth):
            ours, theirs = f"stack.blocks.{index}.", f"{start}layers.{index}."
            attention, mlp = f"{theirs}self_attn.", f"{theirs}mlp."
            qkv = [f"{attention}{name}_proj" for name in "qkv"]
            rules += stacked(f"{ours}attention.qkv", qkv, (part.heads * width, shared, shared), part.bias)
            rules += both(f"{ours}attention.out", f"{attention}o_proj", out_bias)
            if part.norm is not None:
                rules += both(f"{ours}attention.q_norm", f"{attention}q_norm", False)
                rules += both(f"{ours}attention.k_norm", f"{attention}k_norm", False)
            rules += both(f"{ours}attention_residual.norm", f"{theirs}input_layernorm", False)
            gate_up = [f"{mlp}gate_proj", f"{mlp}up_proj"]
            rules += stacked(f"{ours}feedforward.gate_up", gate_up, [hidden] * 2, gated.bias)
            rules += both(f"{ours}feedforward.down", f"{mlp}down_proj", gated.bias)
            rules += both(f"{ours}feedforward_residual.norm", f"{theirs}post_attention_layernorm", False)
            spare.append((f"{attention}rotary_emb.inv_freq", spare[0][1]))
        if isinstance(model.head, Vocabulary) and model.head.tied:
            return Table(tuple(rules), {"lm_head.weight": embedding}, tuple(spare))
        return Table((*rules, Rule("head.weight", ("lm_head.weight",))), {}, tuple(spare))

    # ------------------------------------------------------------------ writing

    def config(self, bundle: Bundle, architecture: str) -> dict[str, Any]:
        model = bundle.model
        if not isinstance(model, TransformerConfig) or not isinstance(model.head, Vocabulary):
            raise Unfit("it is not one stack with a vocabulary")
        stack, part, gated = model.stack, model.stack.attention, model.stack.feedforward
        if not isinstance(gated, GatedMLP) or not isinstance(stack.position, Rotary):
            raise Unfit(f"its parts are {gated.kind} and {stack.position.kind}, not gated and rotary")
        if not isinstance(stack.norm, RMSNorm):
            raise Unfit(f"its norm is {stack.norm.kind}, not rms")
        task = bundle.training.get("task")
        context = task.get("context") if isinstance(task, dict) else None
        return {
            "vocab_size": tokens_of(model).vocab,
            "hidden_size": stack.width,
            "intermediate_size": gated.hidden or 8 * stack.width // 3,
            "num_hidden_layers": stack.depth,
            "num_attention_heads": part.heads,
            "num_key_value_heads": part.kv_heads or part.heads,
            "head_dim": part.head_width or stack.width // part.heads,
            "hidden_act": activation_name(gated.activation),
            "max_position_embeddings": context or self.longest,
            "rms_norm_eps": stack.norm.eps,
            "attention_dropout": part.dropout,
            "tie_word_embeddings": model.head.tied,
            **written_rotary(stack.position),
            **self._written(stack),
        }

    def _written(self, stack: StackConfig) -> dict[str, Any]:
        return {"attention_bias": stack.attention.bias, "mlp_bias": getattr(stack.feedforward, "bias", False)}


class Mistral(Llama):
    """Llama without biases, each token seeing a window of those before it."""

    name: ClassVar[str] = "mistral"
    architectures: ClassVar[dict[str, str]] = {"MistralForCausalLM": "text-generation"}
    longest = 131072
    kv_heads = 8

    def _biases(self, keys: Keys) -> tuple[bool, bool]:
        return False, False

    def _mlp_bias(self, keys: Keys) -> bool:
        return False

    def _mask(self, keys: Keys, depth: int) -> MaskRule:
        window = _stated_window(keys)
        return Causal() if window is None else Window(window - 1)

    def _written(self, stack: StackConfig) -> dict[str, Any]:
        return {"sliding_window": _window(stack)}


class Qwen2(Llama):
    """Llama with biases where queries, keys and values are made."""

    name: ClassVar[str] = "qwen2"
    architectures: ClassVar[dict[str, str]] = {"Qwen2ForCausalLM": "text-generation"}
    longest = 32768

    def _biases(self, keys: Keys) -> tuple[bool, bool]:
        return True, False

    def _mlp_bias(self, keys: Keys) -> bool:
        return False

    def _mask(self, keys: Keys, depth: int) -> MaskRule:
        used = keys.flag("use_sliding_window", False)
        first = keys.whole("max_window_layers", 28)
        kinds = keys.any("layer_types")
        window = _stated_window(keys) if used else keys.any("sliding_window")
        if not used:
            if kinds not in (None, ["full_attention"] * depth):
                raise keys.refuse("layer_types", "without use_sliding_window all must be full_attention")
            return Causal()
        if kinds is None and window is None:
            return Causal()
        if kinds is None:
            kinds = ["full_attention" if index < first else "sliding_attention" for index in range(depth)]
        if kinds == ["full_attention"] * depth:
            return Causal()
        if kinds != ["sliding_attention"] * depth:
            raise keys.refuse("layer_types" if keys.any("layer_types") else "max_window_layers", _ALIKE)
        if window is None:
            raise keys.refuse("sliding_window", "layers that see a window need its size")
        return Window(window - 1)

    def _written(self, stack: StackConfig) -> dict[str, Any]:
        window = _window(stack)
        if window is None:
            return {"use_sliding_window": False}
        return {"use_sliding_window": True, "sliding_window": window, "max_window_layers": 0}


class Qwen3(Qwen2):
    """Qwen2 whose queries and keys are normalised, with biases if the configuration says so."""

    name: ClassVar[str] = "qwen3"
    architectures: ClassVar[dict[str, str]] = {"Qwen3ForCausalLM": "text-generation"}
    head_width = 128
    normed = True

    def _biases(self, keys: Keys) -> tuple[bool, bool]:
        both_ = keys.flag("attention_bias", False)
        return both_, both_

    def _written(self, stack: StackConfig) -> dict[str, Any]:
        return {**super()._written(stack), "attention_bias": stack.attention.bias}


def _stated_window(keys: Keys) -> int | None:
    """How many tokens are seen: 4,096 where the configuration is silent, all where it says null."""
    if keys.says("sliding_window") and "sliding_window" not in keys:
        keys.any("sliding_window")
        return None
    return keys.whole("sliding_window", 4096, least=1)


_ALIKE = "all layers must see alike, either everything or a window"


def _window(stack: StackConfig) -> int | None:
    return stack.mask.before + 1 if isinstance(stack.mask, Window) else None
