"""Marian's translators (aclanthology.org/P18-4020) and BART (arXiv 1910.13461): two stacks, late norms.

Marian adds sinusoids, the sines first, and scales its embedding; BART adds learned positions, whose table
begins with two rows that nothing looks up, and normalises what enters a stack.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch

from regard.bundle import Bundle
from regard.interop.family import Family, Plan, Source, Unfit, both_sides, tokens_of
from regard.interop.generation import generation_options, stated
from regard.interop.keys import Keys, activation_name
from regard.interop.mapping import After, Row, Rule, Table, both, stacked
from regard.model.attention import AttentionConfig
from regard.model.embed import Tokens
from regard.model.feedforward import MLP
from regard.model.mask import Causal, Full
from regard.model.norm import LayerNorm
from regard.model.position import Learned, Sinusoidal, sinusoids
from regard.model.stack import StackConfig
from regard.model.transformer import EncoderDecoderConfig, ModelConfig, Tying

TARGET_FILE = "tokenizer.target.json"
_POSITIONS = 2  # rows of a table of learned positions before the first


class Bart(Family):
    """BART itself."""

    name: ClassVar[str] = "bart"
    architectures: ClassVar[dict[str, str]] = {"BartForConditionalGeneration": "translation"}
    aliases: ClassVar[dict[str, str]] = {"BartModel": "BartForConditionalGeneration"}
    forced_end: ClassVar[int] = 2
    """The id that an output ends with, where the configuration does not say it."""
    offset: ClassVar[int] = 2
    """Rows of a table of learned positions before the first."""
    frame: ClassVar[tuple[str, str]] = ("bos", "eos")
    learned: ClassVar[bool] = True
    """Whether positions are, and what enters a stack is normalised."""
    starts: ClassVar[bool] = True
    """Whether an input begins with a token of its own."""

    # ------------------------------------------------------------------ reading

    def plan(self, source: Source) -> Plan:
        keys = source.keys
        keys.only("is_encoder_decoder", True, "it has two stacks")
        self._check(keys)
        learned = self._learned(source)
        encoder = self._stack(keys, "encoder", learned)
        decoder = replace(self._stack(keys, "decoder", learned), mask=Causal())
        decoder = replace(decoder, cross=decoder.attention)
        keys.any("num_hidden_layers")  # the encoder's depth once more
        shares = keys.flag("share_encoder_decoder_embeddings", True)
        if self.learned and not shares:
            raise keys.refuse("share_encoder_decoder_embeddings", "both sides must share a table")
        embed = Tokens(keys.size("vocab_size"), scale=keys.flag("scale_embedding", False))
        vocab = keys.size("decoder_vocab_size", embed.vocab)
        if shares and vocab != embed.vocab:
            raise keys.refuse("decoder_vocab_size", "sides that share a table have one vocabulary")
        tying: Tying = "none"
        if keys.flag("tie_word_embeddings", True):
            tying = "three-way" if shares else "two-way"
        target = replace(embed, vocab=vocab)
        model = EncoderDecoderConfig(embed, target, encoder, decoder, tying, head_bias=True)
        begin = stated(source.checkpoint, "decoder_start_token_id")
        if type(begin) is not int or not 0 <= begin < vocab:
            raise keys.refuse("decoder_start_token_id", "it must be the id that a decoder begins with")
        context = keys.whole("max_position_embeddings", 1024, least=1)
        starts = "bos" if self.starts else None
        options = {"kind": "translation", "max_length": context}
        end = self.forced_end if self.forced_end < vocab else None
        options |= generation_options(source.checkpoint, vocab, two_stacks=True, forced_end=end)
        return Plan(
            task="translation",
            options=options,
            model=model,
            table=self.table(
                model, source.architecture, source.checkpoint.config, prefixed=source.has("model.")
            ),
            tokenizers=both_sides(
                source, TARGET_FILE, (embed.vocab, vocab), begin=begin, end="eos", starts=starts
            ),
        )

    def _check(self, keys: Keys) -> None:
        """What older files say, and what has only one answer now."""
        for name in ("normalize_before", "add_final_layer_norm", "add_bias_logits"):
            keys.only(name, False, "norms come after the sums, and the bias is a weight")
        if keys.any("normalize_embedding") not in (None, self.learned):
            raise keys.refuse("normalize_embedding", _NORMED)
        static = keys.any("static_position_embeddings")
        if static not in (None, not self.learned):
            raise keys.refuse(
                "static_position_embeddings", "in {family} it is {limit}", self.name, not self.learned
            )
        if keys.any("extra_pos_embeddings") not in (None, _POSITIONS, 0, 1):
            raise keys.refuse("extra_pos_embeddings", "it must be {limit}", _POSITIONS)

    def _learned(self, source: Source) -> bool:
        """Whether positions are learned."""
        return self.learned

    def _stack(self, keys: Keys, side: str, learned: bool) -> StackConfig:
        width, heads = keys.size("d_model"), keys.size(f"{side}_attention_heads")
        if width % heads:
            raise keys.refuse("d_model", "it must be a multiple of the {limit} heads", heads)
        activation = keys.activation("activation_function", "gelu")
        positions = keys.whole("max_position_embeddings", 1024, least=1)
        return StackConfig(
            width=width,
            depth=keys.depth(f"{side}_layers"),
            attention=AttentionConfig(heads, dropout=keys.rate("attention_dropout")),
            feedforward=MLP(
                keys.size(f"{side}_ffn_dim"), activation, dropout=keys.rate("activation_dropout")
            ),
            mask=Full(),
            position=Learned(keys.size("max_position_embeddings", positions))
            if learned
            else Sinusoidal(interleaved=False),
            norm=LayerNorm(),
            dropout=keys.rate("dropout", 0.1),
            entry_norm=self.learned,
        )

    # ------------------------------------------------------------------ weights

    def table(
        self,
        model: ModelConfig,
        architecture: str,
        config: Mapping[str, Any],
        *,
        prefixed: bool | None = None,
    ) -> Table:
        assert isinstance(model, EncoderDecoderConfig)
        start = "" if prefixed is False else "model."
        shared, biases = f"{start}shared.weight", (1, model.target.vocab)
        rules = [Rule("head.bias", ("final_logits_bias",), way=Row(), zeros=biases)]
        tables = {side: f"{start}{side}.embed_tokens.weight" for side in _SIDES}
        spare = [(f"{start}{side}.version", "a number of the library's that wrote it") for side in _SIDES]
        if model.tying == "three-way":
            rules.append(Rule("target.weight", (shared,)))
            copies = dict.fromkeys([*tables.values(), "lm_head.weight"], shared)
        else:
            rules.append(Rule("source.weight", (tables["encoder"],)))
            rules.append(Rule("target.weight", (tables["decoder"],)))
            copies = {"lm_head.weight": tables["decoder"]} if model.tying == "two-way" else {}
            if not copies:
                rules.append(Rule("head.weight", ("lm_head.weight",)))
            spare.append((shared, "a table that neither stack reads where tables are not tied"))
        for side, stack in (("encoder", model.encoder), ("decoder", model.decoder)):
            positions = f"{start}{side}.embed_positions.weight"
            if isinstance(stack.position, Learned):
                rules.append(Rule(f"{side}.position.table.weight", (positions,), way=After(self.offset)))
            else:
                spare.append((positions, "sinusoids, which follow from the positions"))
            if stack.entry_norm:
                rules += both(f"{side}.entry_norm", f"{start}{side}.layernorm_embedding")
            for index in range(stack.depth):
                rules += _block(stack, f"{side}.blocks.{index}.", f"{start}{side}.layers.{index}.")
        return Table(tuple(rules), copies, tuple(spare))

    # ------------------------------------------------------------------ writing

    def config(self, bundle: Bundle, architecture: str) -> dict[str, Any]:
        model = bundle.model
        if not isinstance(model, EncoderDecoderConfig):
            raise Unfit("it has one stack")
        shares = model.tying != "two-way" and model.source == model.target
        if self.learned and not shares:
            raise Unfit("its sides share no table")
        if not isinstance(model.encoder.position, Learned if self.learned else (Learned, Sinusoidal)):
            raise Unfit(f"its positions are {model.encoder.position.kind}")
        task = bundle.training.get("task")
        options = task if isinstance(task, dict) else {}
        longest = getattr(model.encoder.position, "length", options.get("max_length", 512))
        config = {
            "vocab_size": tokens_of(model).vocab,
            "d_model": model.encoder.width,
            "max_position_embeddings": longest,
            "scale_embedding": model.target.scale,
            "dropout": model.encoder.dropout,
            "attention_dropout": model.encoder.attention.dropout,
            "is_encoder_decoder": True,
            "forced_eos_token_id": None,  # unless the configuration of generation says so
            "tie_word_embeddings": model.tying != "none",
        }
        for side, stack in (("encoder", model.encoder), ("decoder", model.decoder)):
            part = stack.feedforward
            if not isinstance(part, MLP):
                raise Unfit("its feed-forward parts are gated")
            config |= {
                f"{side}_layers": stack.depth,
                f"{side}_attention_heads": stack.attention.heads,
                f"{side}_ffn_dim": part.hidden or 4 * stack.width,
                "activation_function": activation_name(part.activation),
                "activation_dropout": part.dropout,
            }
        own = {"decoder_vocab_size": model.target.vocab, "share_encoder_decoder_embeddings": shares}
        return config if self.learned else config | own


class Marian(Bart):
    """A translator of Marian's."""

    name: ClassVar[str] = "marian"
    architectures: ClassVar[dict[str, str]] = {"MarianMTModel": "translation"}
    aliases: ClassVar[dict[str, str]] = {"MarianModel": "MarianMTModel"}
    learned = False
    starts = False
    forced_end = 0
    offset = 0

    def _learned(self, source: Source) -> bool:
        """Positions are sinusoids, but where a file holds a table of them, that is what counts."""
        entries = source.checkpoint.entries
        names = [f"{start}encoder.embed_positions.weight" for start in ("model.", "")]
        name = next((name for name in names if name in entries), None)
        if name is None:
            return False
        table = source.checkpoint.weights()[name]
        made = sinusoids(torch.arange(len(table)), table.shape[-1], interleaved=False)
        return not torch.allclose(table, made, atol=1e-3)


_SIDES = ("encoder", "decoder")
_NORMED = "BART normalises what enters a stack, Marian does not"


def _block(stack: StackConfig, ours: str, theirs: str) -> list[Rule]:
    width, own = stack.width, f"{theirs}self_attn."
    rules = [
        *stacked(f"{ours}attention.qkv", [f"{own}{name}_proj" for name in "qkv"], [width] * 3),
        *both(f"{ours}attention.out", f"{own}out_proj"),
        *both(f"{ours}attention_residual.norm", f"{theirs}self_attn_layer_norm"),
        *both(f"{ours}feedforward.up", f"{theirs}fc1"),
        *both(f"{ours}feedforward.down", f"{theirs}fc2"),
        *both(f"{ours}feedforward_residual.norm", f"{theirs}final_layer_norm"),
    ]
    if stack.cross is not None:
        cross = f"{theirs}encoder_attn."
        rules += both(f"{ours}cross.q", f"{cross}q_proj")
        rules += stacked(f"{ours}cross.kv", [f"{cross}k_proj", f"{cross}v_proj"], [width] * 2)
        rules += both(f"{ours}cross.out", f"{cross}out_proj")
        rules += both(f"{ours}cross_residual.norm", f"{theirs}encoder_attn_layer_norm")
    return rules
