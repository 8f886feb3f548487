"""DistilBERT (arXiv 1910.01108): a BERT of half the depth, with other names and without token types."""

from __future__ import annotations

from typing import Any, ClassVar

from regard.interop.bert import BODY, CLASSES, FILL, SPANS, Bert, Names
from regard.interop.family import tokens_of
from regard.interop.keys import Keys, activation_name
from regard.model.feedforward import MLP, Activation
from regard.model.stack import StackConfig
from regard.model.transformer import TransformerConfig


class DistilBert(Bert):
    """A BERT of half the depth, without token types."""

    name: ClassVar[str] = "distilbert"
    architectures: ClassVar[dict[str, str]] = {
        "DistilBertForMaskedLM": FILL,
        "DistilBertForSequenceClassification": CLASSES,
        "DistilBertForQuestionAnswering": SPANS,
        "DistilBertModel": BODY,
    }
    body: ClassVar[str | None] = "DistilBertModel"
    prefix: ClassVar[str] = "distilbert."
    names = Names(
        layers="transformer.layer",
        layer={
            "q": "attention.q_lin",
            "k": "attention.k_lin",
            "v": "attention.v_lin",
            "out": "attention.out_lin",
            "first_norm": "sa_layer_norm",
            "up": "ffn.lin1",
            "down": "ffn.lin2",
            "second_norm": "output_layer_norm",
        },
        mask_transform="vocab_transform",
        mask_norm="vocab_layer_norm",
        mask_product="vocab_projector",
        mask_bias="vocab_projector.bias",
        class_transform="pre_classifier",
        class_product="classifier",
    )
    class_activation: ClassVar[Activation] = "relu"

    def _stack(self, keys: Keys) -> StackConfig:
        keys.flag("sinusoidal_pos_embds", False)  # how the table was begun; it is a table all the same
        width, heads = keys.size("dim"), keys.size("n_heads")
        if width % heads:
            raise keys.refuse("dim", f"it must be a multiple of the {heads} heads")
        return self._made(
            width=width,
            depth=keys.depth("n_layers"),
            heads=heads,
            feedforward=MLP(keys.size("hidden_dim"), keys.activation("activation", "gelu")),
            positions=keys.size("max_position_embeddings"),
            eps=1e-12,
            dropout=keys.rate("dropout", 0.1),
            attention_dropout=keys.rate("attention_dropout", 0.1),
        )

    def _types(self, keys: Keys) -> int:
        return 0

    def _written(self, model: TransformerConfig, feedforward: MLP, positions: int) -> dict[str, Any]:
        stack = model.stack
        return {
            "vocab_size": tokens_of(model).vocab,
            "dim": stack.width,
            "n_layers": stack.depth,
            "n_heads": stack.attention.heads,
            "hidden_dim": feedforward.hidden or 4 * stack.width,
            "activation": activation_name(feedforward.activation),
            "dropout": stack.dropout,
            "attention_dropout": stack.attention.dropout,
            "max_position_embeddings": positions,
            "tie_word_embeddings": getattr(model.head, "tied", True),
        }
