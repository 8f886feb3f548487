"""RoBERTa (arXiv 1907.11692), XLM-R (1911.02116) and CamemBERT (1911.03894): BERT with other names, and
positions that are counted from the padding's id on. The last two differ in their tokenizers only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from regard.interop.bert import BERT_LAYER, BODY, CLASSES, FILL, SPANS, Bert, Names
from regard.interop.family import Plan, Source
from regard.interop.keys import Keys
from regard.interop.mapping import FirstOf
from regard.model.feedforward import MLP
from regard.model.head import Head, Transform, Vocabulary
from regard.model.stack import StackConfig
from regard.model.transformer import TransformerConfig


class Roberta(Bert):
    """BERT with other names, whose positions begin after the padding's id."""

    name: ClassVar[str] = "roberta"
    architectures: ClassVar[dict[str, str]] = {
        "RobertaForMaskedLM": FILL,
        "RobertaForSequenceClassification": CLASSES,
        "RobertaForQuestionAnswering": SPANS,
        "RobertaModel": BODY,
    }
    body: ClassVar[str | None] = "RobertaModel"
    prefix: ClassVar[str] = "roberta."
    names = Names(
        layers="encoder.layer",
        layer=BERT_LAYER,
        mask_transform="lm_head.dense",
        mask_norm="lm_head.layer_norm",
        mask_product="lm_head.decoder",
        mask_bias="lm_head.bias",
        class_transform="classifier.dense",
        class_product="classifier.out_proj",
        offset=2,
    )
    between: ClassVar[int] = 2

    def plan(self, source: Source) -> Plan:
        if source.keys.ids("pad_token_id") not in ((), (1,)):
            raise source.keys.refuse(
                "pad_token_id", "RoBERTa's positions begin after it, and only 1 is supported"
            )
        plan = super().plan(source)
        types = source.keys.size("type_vocab_size", 2)
        if types < 2:
            return plan
        rules = (
            replace(rule, way=FirstOf(types)) if rule.ours == "embed.types" else rule
            for rule in plan.table.rules
        )
        return replace(plan, table=replace(plan.table, rules=tuple(rules)))

    def _types(self, keys: Keys) -> int:
        """Its tokenizer never tells texts apart: all tokens get the first of however many there are."""
        return min(1, super()._types(keys))

    def _head(self, source: Source, task: str, classes: int, stack: StackConfig) -> Head:
        head = super()._head(source, task, classes, stack)
        if not isinstance(head, Vocabulary):
            return head
        return Vocabulary(head.tied, True, Transform("gelu", stack.norm))  # whatever the blocks have

    def _written(self, model: TransformerConfig, feedforward: MLP, positions: int) -> dict[str, Any]:
        return super()._written(model, feedforward, positions) | {"pad_token_id": 1}


class XlmRoberta(Roberta):
    """RoBERTa of a hundred languages."""

    name: ClassVar[str] = "xlm-roberta"
    architectures: ClassVar[dict[str, str]] = {
        "XLMRobertaForMaskedLM": FILL,
        "XLMRobertaForSequenceClassification": CLASSES,
        "XLMRobertaForQuestionAnswering": SPANS,
        "XLMRobertaModel": BODY,
    }
    body: ClassVar[str | None] = "XLMRobertaModel"


class Camembert(Roberta):
    """RoBERTa of French."""

    name: ClassVar[str] = "camembert"
    architectures: ClassVar[dict[str, str]] = {
        "CamembertForMaskedLM": FILL,
        "CamembertForSequenceClassification": CLASSES,
        "CamembertForQuestionAnswering": SPANS,
        "CamembertModel": BODY,
    }
    body: ClassVar[str | None] = "CamembertModel"
