"""BERT (arXiv 1810.04805): one stack, norms after the sums. What came after it differs in a few members each:
`roberta.py`, `distilbert.py`, `electra.py`, `mpnet.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, ClassVar

from regard.bundle import Bundle
from regard.errors import CheckpointError
from regard.interop.family import Family, Plan, Source, Unfit, classes_of, tokens_of
from regard.interop.keys import Keys, activation_name
from regard.interop.mapping import After, Rule, Table, both, stacked
from regard.interop.sentences import LENGTH, sentence_files, vector_of
from regard.model.attention import AttentionConfig
from regard.model.embed import Tokens, TokenTypes
from regard.model.feedforward import MLP, Activation
from regard.model.head import Classes, Head, Spans, Transform, Vocabulary
from regard.model.init import Scaled
from regard.model.mask import Full
from regard.model.norm import LayerNorm
from regard.model.position import Learned
from regard.model.stack import StackConfig
from regard.model.transformer import ModelConfig, TransformerConfig

FILL: str = "fill-mask"
CLASSES: str = "text-classification"
BODY: str = "sentence-similarity"
SPANS: str = "question-answering"
_SILENCE = {"threshold.json": '{"unanswerable": 0, "threshold": 0.0}'}
"""What that task keeps of questions without an answer: a checkpoint does not say that there were any."""
_READ = 384
"""Tokens that answers are looked for in at once, at most: what such models were mostly trained with."""
_LEAST = 10
"""Tokens that a question and a context need."""
BERT_LAYER: dict[str, str] = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "out": "attention.output.dense",
    "first_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "second_norm": "output.LayerNorm",
}
_POOLER = "the layer over the first vector, which this head does not read"
_HEAD = "a head of its pretraining"
_OF_HEADS = ("cls.", "lm_head.", "vocab_", "generator_", "classifier.", "pre_classifier.", "qa_outputs.")


@dataclass(frozen=True)
class Names:
    """What one of the three calls its parts."""

    layers: str
    layer: dict[str, str]
    mask_transform: str
    mask_norm: str
    mask_product: str
    mask_bias: str
    """The head's biases, if they stand beside its product as well."""
    class_transform: str
    class_product: str
    offset: int = 0
    """Positions begin at this row of their table."""
    others: tuple[str, ...] = ()
    """The beginnings of weights of further heads, which nothing here reads."""


class Bert(Family):
    """BERT itself."""

    name: ClassVar[str] = "bert"
    architectures: ClassVar[dict[str, str]] = {
        "BertForMaskedLM": FILL,
        "BertForPreTraining": FILL,
        "BertForSequenceClassification": CLASSES,
        "BertForQuestionAnswering": SPANS,
        "BertModel": BODY,
    }
    prefix: ClassVar[str] = "bert."
    names = Names(
        layers="encoder.layer",
        layer=BERT_LAYER,
        mask_transform="cls.predictions.transform.dense",
        mask_norm="cls.predictions.transform.LayerNorm",
        mask_product="cls.predictions.decoder",
        mask_bias="cls.predictions.bias",
        class_transform="bert.pooler.dense",
        class_product="classifier",
    )
    body: ClassVar[str | None] = "BertModel"
    class_activation: ClassVar[Activation] = "tanh"
    between: ClassVar[int] = 1
    """Separators between the texts of a pair, where the tokenizer does not say it."""

    # ------------------------------------------------------------------ reading

    def plan(self, source: Source) -> Plan:
        keys, task = source.keys, self.architectures[source.architecture]
        stack = self._stack(keys)
        vocab = keys.size("vocab_size")
        tokenizer = source.tokenizer.tokenizer(vocab, begin="cls", end="sep", between=self.between)
        types = self._types(keys)
        embed = Tokens(vocab, scale=False, types=TokenTypes(types, tokenizer.eos) if types else None)
        labels: list[str] = []
        if task == CLASSES:
            labels = keys.labels(classes_of(source, self.names.class_product, least=1))
        model = TransformerConfig(embed, stack, self._head(source, task, len(labels), stack), Scaled())
        context = min(getattr(stack.position, "length", 512), 1 << 20)
        options = self._options(source, task, context, labels)
        prefixed = source.has(self.prefix)
        return Plan(
            task=task,
            options=options,
            model=model,
            table=self.table(model, source.architecture, prefixed=prefixed),
            tokenizers={"tokenizer.json": tokenizer},
            files=_SILENCE if task == SPANS else {},
            labels=tuple(labels),
        )

    def _stack(self, keys: Keys) -> StackConfig:
        keys.only(
            "position_embedding_type", "absolute", "the relative kinds were dropped by the library itself"
        )
        width, heads = keys.size("hidden_size"), keys.size("num_attention_heads")
        if width % heads:
            raise keys.refuse("hidden_size", f"it must be a multiple of the {heads} heads")
        return self._made(
            width=width,
            depth=keys.depth("num_hidden_layers"),
            heads=heads,
            feedforward=MLP(keys.size("intermediate_size"), keys.activation("hidden_act", "gelu")),
            positions=keys.size("max_position_embeddings"),
            eps=keys.number("layer_norm_eps", 1e-12, 1e-30, 1.0),
            dropout=keys.rate("hidden_dropout_prob", 0.1),
            attention_dropout=keys.rate("attention_probs_dropout_prob", 0.1),
        )

    def _made(
        self,
        *,
        width: int,
        depth: int,
        heads: int,
        feedforward: MLP,
        positions: int,
        eps: float,
        dropout: float,
        attention_dropout: float,
    ) -> StackConfig:
        if positions <= self.names.offset:
            raise CheckpointError(
                f"{positions} positions are none, as the first {self.names.offset} are not used"
            )
        return StackConfig(
            width=width,
            depth=depth,
            attention=AttentionConfig(heads, dropout=attention_dropout),
            feedforward=feedforward,
            mask=Full(),
            position=Learned(positions - self.names.offset),
            norm=LayerNorm(eps),
            dropout=dropout,
            entry_norm=True,
        )

    def _types(self, keys: Keys) -> int:
        return keys.size("type_vocab_size", 2)

    def _head(self, source: Source, task: str, classes: int, stack: StackConfig) -> Head:
        keys = source.keys
        if task == FILL:
            assert isinstance(stack.feedforward, MLP)
            tied = keys.flag("tie_word_embeddings", True)
            return Vocabulary(tied, True, Transform(stack.feedforward.activation, stack.norm))
        if task == CLASSES:
            return Classes(classes, "first", Transform(self.class_activation))
        keys.any("tie_word_embeddings")
        if task == SPANS:
            return Spans()
        return vector_of(source.checkpoint)

    def _options(self, source: Source, task: str, context: int, labels: list[str]) -> dict[str, Any]:
        if task == FILL:
            return {"kind": task, "context": context}
        if task == BODY:
            said = source.checkpoint.json(LENGTH) or {}
            longest = said.get("max_seq_length")
            return {"kind": task, "max_length": longest if type(longest) is int and longest >= 3 else context}
        if task == SPANS:
            if context < _LEAST:
                raise CheckpointError(f"{context} positions are too few for a question and its context")
            length = min(context, _READ)
            return {"kind": task, "max_length": length, "max_question": min(64, length // 2)}
        several = source.keys.any("problem_type")
        source.keys.any("tie_word_embeddings")
        options = {"kind": task, "max_length": context, "either": True}
        if len(labels) == 1:
            return options | {"number": "plain" if _is_plain(source) else "sigmoid"}
        if several not in (None, "single_label_classification", "multi_label_classification"):
            raise source.keys.refuse("problem_type", "of several outputs, only classes are supported")
        if several != "multi_label_classification":
            return options | {"separator": None}
        return options | {
            "separator": next(mark for mark in _separators() if not any(mark in x for x in labels))
        }

    # ------------------------------------------------------------------ weights

    def table(self, model: ModelConfig, architecture: str, *, prefixed: bool | None = None) -> Table:
        assert isinstance(model, TransformerConfig)
        task, names = self.architectures[architecture], self.names
        prefixed = task != BODY if prefixed is None else prefixed
        start = self.prefix if prefixed else ""
        stack, embeddings = model.stack, f"{start}embeddings"
        rules = [Rule("embed.weight", (f"{embeddings}.word_embeddings.weight",))]
        if tokens_of(model).types is not None:
            rules.append(Rule("embed.types", (f"{embeddings}.token_type_embeddings.weight",)))
        positions = f"{embeddings}.position_embeddings.weight"
        rules.append(Rule("stack.position.table.weight", (positions,), way=After(names.offset)))
        rules += both("stack.entry_norm", f"{embeddings}.LayerNorm")
        for index in range(stack.depth):
            rules += self._layer(index, stack.width, f"{start}{names.layers}.{index}.")
        spare = [(f"{embeddings}.position_ids", "position numbers, which follow from themselves")]
        copies: dict[str, str] = {}
        pooler, kept = f"{self.prefix}pooler.dense", [f"{start}pooler."]
        if task == FILL:
            rules += both("head.transform.dense", names.mask_transform)
            rules += both("head.transform.norm", names.mask_norm)
            product, biases = f"{names.mask_product}.weight", f"{names.mask_product}.bias"
            if isinstance(model.head, Vocabulary) and model.head.tied:
                copies[product] = f"{embeddings}.word_embeddings.weight"
                copies |= {biases: names.mask_bias} if biases != names.mask_bias else {}
                rules.append(Rule("head.bias", (names.mask_bias,)))
            else:
                rules += both("head", names.mask_product)
                spare.append((names.mask_bias, "biases of the head that it does not read"))
                kept.append(names.mask_bias)
        elif task == CLASSES:
            transform = names.class_transform
            transform = start + transform.removeprefix(self.prefix) if transform == pooler else transform
            rules += both("head.transform.dense", transform) + both("head", names.class_product)
        elif task == SPANS:
            rules += both("head", "qa_outputs")
        if names.class_transform != pooler or task != CLASSES:
            spare.append((f"{start}pooler.", _POOLER))
        heads = (*_OF_HEADS, *names.others) if task == BODY else names.others
        heads = ("cls.seq_relationship.", *heads)
        spare += [(head, _HEAD) for head in heads]
        return Table(tuple(rules), copies, tuple(spare), (*kept, *heads))

    def _layer(self, index: int, width: int, start: str) -> list[Rule]:
        ours, names = f"stack.blocks.{index}.", self.names.layer
        qkv = [start + names[part] for part in "qkv"]
        return [
            *stacked(f"{ours}attention.qkv", qkv, [width] * 3),
            *both(f"{ours}attention.out", start + names["out"]),
            *both(f"{ours}attention_residual.norm", start + names["first_norm"]),
            *both(f"{ours}feedforward.up", start + names["up"]),
            *both(f"{ours}feedforward.down", start + names["down"]),
            *both(f"{ours}feedforward_residual.norm", start + names["second_norm"]),
        ]

    # ------------------------------------------------------------------ writing

    def config(self, bundle: Bundle, architecture: str) -> dict[str, Any]:
        model = bundle.model
        if not isinstance(model, TransformerConfig):
            raise Unfit("it has two stacks")
        position = model.stack.position
        if not isinstance(model.stack.feedforward, MLP) or not hasattr(position, "length"):
            raise Unfit("its positions are not learned, or its feed-forward parts not plain")
        if not isinstance(model.stack.norm, LayerNorm):
            raise Unfit("its norm is not LayerNorm")
        return self._written(model, model.stack.feedforward, position.length + self.names.offset)

    def files(self, bundle: Bundle) -> dict[str, str]:
        return sentence_files(bundle)

    def _written(self, model: TransformerConfig, feedforward: MLP, positions: int) -> dict[str, Any]:
        stack, embed = model.stack, tokens_of(model)
        assert isinstance(stack.norm, LayerNorm)
        return {
            "vocab_size": embed.vocab,
            "hidden_size": stack.width,
            "num_hidden_layers": stack.depth,
            "num_attention_heads": stack.attention.heads,
            "intermediate_size": feedforward.hidden or 4 * stack.width,
            "hidden_act": activation_name(feedforward.activation),
            "hidden_dropout_prob": stack.dropout,
            "attention_probs_dropout_prob": stack.attention.dropout,
            "max_position_embeddings": positions,
            "type_vocab_size": embed.types.count if embed.types else 0,
            "layer_norm_eps": stack.norm.eps,
            "tie_word_embeddings": getattr(model.head, "tied", True),
        }


def _separators() -> Iterator[str]:
    """What may stand between the labels of a text that has several: what no label contains is among them."""
    return (mark * times for times in count(1) for mark in "|;/")


def _is_plain(source: Source) -> bool:
    """Whether the one number that a model gives is its output as it is; else it is a probability, as whoever
    ranks by such models takes it."""
    said = source.checkpoint.config
    own = said.get("sentence_transformers")
    stated = own.get("activation_fn") if isinstance(own, dict) else None
    stated = stated or said.get("sbert_ce_default_activation_function")
    if isinstance(stated, str):
        if stated.endswith((".Identity", ".Sigmoid")):
            return stated.endswith(".Identity")
        raise CheckpointError(
            f"{source.keys.where}: the activation '{stated}' of its output is not supported"
        )
    return said.get("problem_type") == "regression"
