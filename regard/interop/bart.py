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
from regard.interop.family import (
    Family,
    Plan,
    Source,
    Unsupported,
    Weights,
    expect,
    task_options,
    tokens_of,
)
from regard.interop.generation import stated
from regard.interop.keys import Keys
from regard.interop.mapping import ROW, Rule, Table, in_blocks, rules_of, skipped
from regard.interop.stack_keys import StackKeys
from regard.model.attention import AttentionConfig
from regard.model.embed import Tokens
from regard.model.feedforward import MLP
from regard.model.mask import Causal
from regard.model.position import Learned, Position, Sinusoidal, sinusoids
from regard.model.stack import StackConfig
from regard.model.transformer import EncoderDecoderConfig, Tying
from regard.registry import register

_BLOCK = {
    "attention.qkv": "self_attn.{q,k,v}_proj",
    "attention.out": "self_attn.out_proj",
    "attention_residual.norm": "self_attn_layer_norm",
    "cross.q": "encoder_attn.q_proj",
    "cross.kv": "encoder_attn.{k,v}_proj",
    "cross.out": "encoder_attn.out_proj",
    "cross_residual.norm": "encoder_attn_layer_norm",
    "feedforward.up": "fc1",
    "feedforward.down": "fc2",
    "feedforward_residual.norm": "final_layer_norm",
}
_SIDES = ("encoder", "decoder")
_STACKS = {
    side: StackKeys(
        StackConfig(1024, 12, AttentionConfig(16), MLP(4096, "gelu")),
        {
            "width": "d_model",
            "depth": f"{side}_layers",
            "attention.heads": f"{side}_attention_heads",
            "attention.dropout": "attention_dropout",
            "feedforward.hidden": f"{side}_ffn_dim",
            "feedforward.activation": "activation_function",
            "feedforward.dropout": "activation_dropout",
            "dropout": "dropout",
        },
    )
    for side in _SIDES
}
_POSITIONS = 2  # rows of a table of learned positions before the first


@register
class Bart(Family):
    """BART itself."""

    name: ClassVar[str] = "bart"
    architectures: ClassVar[dict[str, str]] = {"BartForConditionalGeneration": "translation"}
    aliases: ClassVar[dict[str, str]] = {"BartModel": "BartForConditionalGeneration"}
    forced_end: ClassVar[int] = 2
    """The id that an output ends with, where the configuration does not say it."""
    offset: ClassVar[int] = 2
    """Rows of a table of learned positions before the first."""
    prefix: ClassVar[str] = "model."
    frame: ClassVar[tuple[str, str]] = ("bos", "eos")
    defaults: ClassVar[Mapping[str, int]] = {"vocab_size": 50265}
    tokenizer = "BartTokenizer"
    stacks: ClassVar[Mapping[str, StackKeys]] = _STACKS
    learned: ClassVar[bool] = True
    """Whether positions are, and what enters a stack is normalised."""
    starts: ClassVar[str | None] = "bos"
    """The role of what an input begins with."""

    # ------------------------------------------------------------------ reading

    def plan(self, source: Source) -> Plan:
        keys = source.keys
        keys.only("is_encoder_decoder", True, "it has two stacks")
        self._check(keys)
        longest = keys.whole("max_position_embeddings", 1024, least=1)
        position: Position = Sinusoidal(interleaved=False)
        if self._learned(source):
            position = Learned(keys.size("max_position_embeddings", longest))
        stacks = (self.stacks[side].read(keys) for side in _SIDES)
        encoder, decoder = (replace(x, position=position, entry_norm=self.learned) for x in stacks)
        decoder = replace(decoder, mask=Causal(), cross=decoder.attention)
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
        return source.translation(
            model,
            stated(source.checkpoint, "decoder_start_token_id"),
            longest,
            starts=self.starts,
            forced_end=self.forced_end if self.forced_end < vocab else None,
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

    # ------------------------------------------------------------------ weights

    def table(self, weights: Weights) -> Table:
        model, start = weights.model, weights.prefix
        assert isinstance(model, EncoderDecoderConfig)
        shared, tables = f"{start}shared", {side: f"{start}{side}.embed_tokens" for side in _SIDES}
        spare = [(f"{start}{side}.version", "a number of the library's that wrote it") for side in _SIDES]
        names = {"target": shared}
        if model.tying == "three-way":
            copies = {f"{name}.weight": f"{shared}.weight" for name in (*tables.values(), "lm_head")}
        else:
            names = {"source": tables["encoder"], "target": tables["decoder"]}
            names["head.weight"] = "lm_head.weight"
            copies = {"lm_head.weight": f"{tables['decoder']}.weight"} if model.tying == "two-way" else {}
            spare.append((f"{shared}.weight", "a table that neither stack reads where tables are not tied"))
        for side, stack in zip(_SIDES, (model.encoder, model.decoder), strict=True):
            positions = f"{start}{side}.embed_positions"
            names |= {f"{side}.position.table": positions}
            names |= {f"{side}.entry_norm": f"{start}{side}.layernorm_embedding"}
            names |= in_blocks(f"{side}.blocks", f"{start}{side}.layers", _BLOCK)
            if not isinstance(stack.position, Learned):
                spare.append((f"{positions}.weight", "sinusoids, which follow from the positions"))
        skip = {f"{side}.position.table.weight": skipped(self.offset) for side in _SIDES}
        biases = Rule("head.bias", ("final_logits_bias",), conversion=ROW, zeros=(1, model.target.vocab))
        rules = (biases, *rules_of(weights.shapes, names, skip))
        return Table(weights.shapes, rules, copies, tuple(spare))

    # ------------------------------------------------------------------ writing

    def config(self, bundle: Bundle, architecture: str) -> dict[str, Any]:
        model = expect(bundle.model, EncoderDecoderConfig, "it has one stack")
        shares = model.tying != "two-way" and model.source == model.target
        if self.learned and not shares:
            raise Unsupported("its sides share no table")
        if not isinstance(model.encoder.position, Learned if self.learned else (Learned, Sinusoidal)):
            raise Unsupported(f"its positions are {model.encoder.position.kind}")
        longest = getattr(model.encoder.position, "length", task_options(bundle).get("max_length", 512))
        config = {
            "vocab_size": tokens_of(model).vocab,
            "max_position_embeddings": longest,
            "scale_embedding": model.target.scale,
            "is_encoder_decoder": True,
            "forced_eos_token_id": None,  # unless the configuration of generation says so
            "tie_word_embeddings": model.tying != "none",
        }
        for side, stack in (("decoder", model.decoder), ("encoder", model.encoder)):
            config |= self.stacks[side].write(stack)
        own = {"decoder_vocab_size": model.target.vocab, "share_encoder_decoder_embeddings": shares}
        return config if self.learned else config | own


@register
class Marian(Bart):
    """A translator of Marian's."""

    name: ClassVar[str] = "marian"
    architectures: ClassVar[dict[str, str]] = {"MarianMTModel": "translation"}
    aliases: ClassVar[dict[str, str]] = {"MarianModel": "MarianMTModel"}
    defaults: ClassVar[Mapping[str, int]] = {"vocab_size": 58101}
    tokenizer = "MarianTokenizer"
    learned = False
    starts = None
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


_NORMED = "BART normalises what enters a stack, Marian does not"
