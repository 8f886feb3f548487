"""MPNet (arXiv 2004.09297): BERT whose positions are learned and also bias the scores, shared by all blocks.

Positions are counted from the padding's id on, as RoBERTa's are; there are no token types.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from regard.bundle import Bundle
from regard.interop.bert import BODY, CLASSES, FILL, SPANS, Bert, Names
from regard.interop.family import Source, Unfit
from regard.interop.keys import Keys
from regard.interop.mapping import Rule, Table
from regard.model.feedforward import MLP
from regard.model.head import Head, Transform, Vocabulary
from regard.model.position import Learned, LearnedAndRelative
from regard.model.stack import StackConfig
from regard.model.transformer import ModelConfig, TransformerConfig

_BUCKETS, _FARTHEST = 32, 128
"""Of the bias; the reference's code reads no others."""


class MPNet(Bert):
    """See the module's docstring."""

    name: ClassVar[str] = "mpnet"
    architectures: ClassVar[dict[str, str]] = {
        "MPNetForMaskedLM": FILL,
        "MPNetForSequenceClassification": CLASSES,
        "MPNetForQuestionAnswering": SPANS,
        "MPNetModel": BODY,
    }
    body: ClassVar[str | None] = "MPNetModel"
    prefix: ClassVar[str] = "mpnet."
    names = Names(
        layers="encoder.layer",
        layer={
            "q": "attention.attn.q",
            "k": "attention.attn.k",
            "v": "attention.attn.v",
            "out": "attention.attn.o",
            "first_norm": "attention.LayerNorm",
            "up": "intermediate.dense",
            "down": "output.dense",
            "second_norm": "output.LayerNorm",
        },
        mask_transform="lm_head.dense",
        mask_norm="lm_head.layer_norm",
        mask_product="lm_head.decoder",
        mask_bias="lm_head.bias",
        class_transform="classifier.dense",
        class_product="classifier.out_proj",
        offset=2,
    )
    between: ClassVar[int] = 2

    def _stack(self, keys: Keys) -> StackConfig:
        keys.only("relative_attention_num_buckets", _BUCKETS, "the reference's code counts on it")
        stack = super()._stack(keys)
        assert isinstance(stack.position, Learned)
        return replace(stack, position=LearnedAndRelative(stack.position.length, _BUCKETS, _FARTHEST))

    def _types(self, keys: Keys) -> int:
        return 0

    def _head(self, source: Source, task: str, classes: int, stack: StackConfig) -> Head:
        head = super()._head(source, task, classes, stack)
        if not isinstance(head, Vocabulary):
            return head
        return Vocabulary(head.tied, True, Transform("gelu", stack.norm))  # whatever the blocks have

    def table(self, model: ModelConfig, architecture: str, *, prefixed: bool | None = None) -> Table:
        table = super().table(model, architecture, prefixed=prefixed)
        prefixed = self.architectures[architecture] != BODY if prefixed is None else prefixed
        start = self.prefix if prefixed else ""
        bias = Rule("stack.position.bias_table.weight", (f"{start}encoder.relative_attention_bias.weight",))
        return replace(table, rules=(*table.rules, bias))

    def config(self, bundle: Bundle, architecture: str) -> dict[str, Any]:
        model = bundle.model
        if not isinstance(model, TransformerConfig) or not isinstance(
            model.stack.position, LearnedAndRelative
        ):
            raise Unfit("its positions are not both learned and relative")
        return super().config(bundle, architecture)

    def _written(self, model: TransformerConfig, feedforward: MLP, positions: int) -> dict[str, Any]:
        said = super()._written(model, feedforward, positions)
        del said["type_vocab_size"]
        return said | {"relative_attention_num_buckets": _BUCKETS, "pad_token_id": 1}
