"""ELECTRA (arXiv 2003.10555): BERT with other names and other heads.

What its discriminator says of each token is of its pretraining only, and left out; what is left is a body.
"""

from __future__ import annotations

from typing import Any, ClassVar

from regard.interop.bert import BERT_LAYER, BODY, CLASSES, FILL, SPANS, Bert, Names
from regard.interop.family import Source
from regard.interop.keys import Keys
from regard.model.feedforward import MLP, Activation
from regard.model.head import Head, Transform, Vocabulary
from regard.model.stack import StackConfig
from regard.model.transformer import TransformerConfig


class Electra(Bert):
    """See the module's docstring."""

    name: ClassVar[str] = "electra"
    architectures: ClassVar[dict[str, str]] = {
        "ElectraForMaskedLM": FILL,
        "ElectraForSequenceClassification": CLASSES,
        "ElectraForQuestionAnswering": SPANS,
        "ElectraModel": BODY,
    }
    body: ClassVar[str | None] = "ElectraModel"
    aliases: ClassVar[dict[str, str]] = {"ElectraForPreTraining": "ElectraModel"}
    prefix: ClassVar[str] = "electra."
    names = Names(
        layers="encoder.layer",
        layer=BERT_LAYER,
        mask_transform="generator_predictions.dense",
        mask_norm="generator_predictions.LayerNorm",
        mask_product="generator_lm_head",
        mask_bias="generator_lm_head.bias",
        class_transform="classifier.dense",
        class_product="classifier.out_proj",
        others=("discriminator_predictions.",),
    )
    class_activation: ClassVar[Activation] = "gelu"

    def _stack(self, keys: Keys) -> StackConfig:
        for name in ("summary_type", "summary_use_proj", "summary_activation", "summary_last_dropout"):
            keys.any(name)  # of heads that are not taken over
        width = keys.size("hidden_size", 256)
        if keys.size("embedding_size", 128) != width:
            raise keys.refuse(
                "embedding_size",
                f"only models whose embedding is as wide as their blocks ({width}) are supported",
            )
        return super()._stack(keys)

    def _head(self, source: Source, task: str, classes: int, stack: StackConfig) -> Head:
        head = super()._head(source, task, classes, stack)
        if not isinstance(head, Vocabulary):
            return head
        return Vocabulary(head.tied, True, Transform("gelu", stack.norm))  # whatever the blocks have

    def _written(self, model: TransformerConfig, feedforward: MLP, positions: int) -> dict[str, Any]:
        return super()._written(model, feedforward, positions) | {"embedding_size": model.stack.width}
