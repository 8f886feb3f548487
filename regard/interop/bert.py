"""BERT (arXiv 1810.04805) and the encoders after it: each is a few lines of data for `encoder.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from regard.bundle import Bundle
from regard.data.tokenizer import Tokenizer
from regard.interop.encoder import FILL, PLAIN, Encoder, Names, classes
from regard.interop.keys import Keys
from regard.interop.origin import load_origin
from regard.interop.stack_keys import StackKeys
from regard.model.feedforward import MLP, Activation
from regard.model.position import LearnedAndRelative
from regard.registry import register

_BLOCK = {
    "attention.qkv": "attention.self.{query,key,value}",
    "attention.out": "attention.output.dense",
    "attention_residual.norm": "attention.output.LayerNorm",
    "feedforward.up": "intermediate.dense",
    "feedforward.down": "output.dense",
    "feedforward_residual.norm": "output.LayerNorm",
}
_BUCKETS, _FARTHEST = 32, 128
"""Of MPNet's bias; the reference's code reads no others."""
_VOCAB = {"vocab_size": 30522}


@register
class Bert(Encoder):
    """BERT itself."""

    name: ClassVar[str] = "bert"
    architectures = classes("Bert") | {"BertForPreTraining": FILL}
    body = "BertModel"
    prefix = "bert."
    defaults = _VOCAB
    tokenizer = "BertTokenizer"
    names = Names(
        layers="encoder.layer",
        block=_BLOCK,
        mask_transform="cls.predictions.transform.dense",
        mask_norm="cls.predictions.transform.LayerNorm",
        mask_product="cls.predictions.decoder",
        mask_bias="cls.predictions.bias",
        class_transform="bert.pooler.dense",
        class_product="classifier",
    )


@register
class Roberta(Encoder):
    """RoBERTa (arXiv 1907.11692): positions are counted from the padding's id on, and its tokenizer never
    tells texts apart, however many types there are."""

    name: ClassVar[str] = "roberta"
    architectures = classes("Roberta")
    body = "RobertaModel"
    prefix = "roberta."
    defaults: ClassVar[Mapping[str, int]] = {"vocab_size": 50265}
    tokenizer = "RobertaTokenizer"
    kept_keys = ("pad_token_id",)
    names = replace(
        Bert.names,
        mask_transform="lm_head.dense",
        mask_norm="lm_head.layer_norm",
        mask_product="lm_head.decoder",
        mask_bias="lm_head.bias",
        class_transform="classifier.dense",
        class_product="classifier.out_proj",
    )
    mask_activation: ClassVar[Activation | None] = "gelu"
    between = 2
    tells = False

    def _check(self, keys: Keys) -> None:
        keys.whole("pad_token_id", 1)

    def _first(self, config: Mapping[str, Any]) -> int:
        pad = config.get("pad_token_id")
        return 2 if pad is None else int(pad) + 1

    def _stated(self, bundle: Bundle) -> dict[str, Any]:
        own = Tokenizer.from_json(bundle.tokenizers["tokenizer.json"]).pad
        return {"pad_token_id": load_origin(bundle).config.get("pad_token_id", own)}


@register
class XlmRoberta(Roberta):
    """XLM-R (arXiv 1911.02116): RoBERTa of a hundred languages, with another tokenizer."""

    name: ClassVar[str] = "xlm-roberta"
    architectures = classes("XLMRoberta")
    body = "XLMRobertaModel"
    defaults = _VOCAB
    tokenizer = "XLMRobertaTokenizer"


@register
class Camembert(Roberta):
    """CamemBERT (arXiv 1911.03894): RoBERTa of French, with another tokenizer."""

    name: ClassVar[str] = "camembert"
    architectures = classes("Camembert")
    body = "CamembertModel"
    defaults = _VOCAB
    tokenizer = "CamembertTokenizer"


@register
class DistilBert(Encoder):
    """DistilBERT (arXiv 1910.01108): half as deep, without token types."""

    name: ClassVar[str] = "distilbert"
    architectures = classes("DistilBert")
    body = "DistilBertModel"
    prefix = "distilbert."
    defaults = _VOCAB
    tokenizer = "BertTokenizer"
    names = Names(
        layers="transformer.layer",
        block={
            "attention.qkv": "attention.{q,k,v}_lin",
            "attention.out": "attention.out_lin",
            "attention_residual.norm": "sa_layer_norm",
            "feedforward.up": "ffn.lin1",
            "feedforward.down": "ffn.lin2",
            "feedforward_residual.norm": "output_layer_norm",
        },
        mask_transform="vocab_transform",
        mask_norm="vocab_layer_norm",
        mask_product="vocab_projector",
        mask_bias="vocab_projector.bias",
        class_transform="pre_classifier",
        class_product="classifier",
    )
    stack = StackKeys(
        replace(PLAIN.base, depth=6),
        {
            "width": "dim",
            "depth": "n_layers",
            "attention.heads": "n_heads",
            "attention.dropout": "attention_dropout",
            "feedforward.hidden": "hidden_dim",
            "feedforward.activation": "activation",
            "position.length": "max_position_embeddings",
            "dropout": "dropout",
        },
    )
    types = None
    class_activation = "relu"

    def _check(self, keys: Keys) -> None:
        keys.flag("sinusoidal_pos_embds", False)  # how the table was begun; it is a table all the same


@register
class Electra(Encoder):
    """ELECTRA (arXiv 2003.10555): its embedding may be narrower than its blocks. What its discriminator says
    of each token is of its pretraining only, and left out; what is left is a body."""

    name: ClassVar[str] = "electra"
    architectures = classes("Electra")
    body = "ElectraModel"
    aliases: ClassVar[dict[str, str]] = {"ElectraForPreTraining": "ElectraModel"}
    prefix = "electra."
    defaults = _VOCAB
    tokenizer = "BertTokenizer"
    names = replace(
        Roberta.names,
        mask_transform="generator_predictions.dense",
        mask_norm="generator_predictions.LayerNorm",
        mask_product="generator_lm_head",
        mask_bias="generator_lm_head.bias",
        entry="embeddings_project",
        others=("discriminator_predictions.",),
    )
    stack = replace(
        PLAIN,
        base=replace(
            PLAIN.base,
            width=256,
            attention=replace(PLAIN.base.attention, heads=4),
            feedforward=MLP(1024, "gelu"),
        ),
    )
    entry = "embedding_size"
    class_activation = mask_activation = "gelu"

    ignored = ("summary_type", "summary_use_proj", "summary_activation", "summary_last_dropout")


@register
class MPNet(Encoder):
    """MPNet (arXiv 2004.09297): positions also bias the scores, by one table that all blocks share; they are
    counted as RoBERTa's are, from the id 1 on. There are no token types."""

    name: ClassVar[str] = "mpnet"
    architectures = classes("MPNet")
    body = "MPNetModel"
    prefix = "mpnet."
    defaults: ClassVar[Mapping[str, int]] = {"vocab_size": 30527}
    tokenizer = "MPNetTokenizer"
    names = replace(
        Roberta.names,
        block=_BLOCK
        | {
            "attention.qkv": "attention.attn.{q,k,v}",
            "attention.out": "attention.attn.o",
            "attention_residual.norm": "attention.LayerNorm",
        },
        bias="encoder.relative_attention_bias",
    )
    stack = replace(PLAIN, base=replace(PLAIN.base, position=LearnedAndRelative(512, _BUCKETS, _FARTHEST)))
    types = None
    mask_activation: ClassVar[Activation | None] = "gelu"
    between = 2

    def _check(self, keys: Keys) -> None:
        keys.only("relative_attention_num_buckets", _BUCKETS, "the reference's code counts on it")

    def _first(self, config: Mapping[str, Any]) -> int:
        return 2

    def _stated(self, bundle: Bundle) -> dict[str, Any]:
        return {"relative_attention_num_buckets": _BUCKETS, "pad_token_id": 1}
