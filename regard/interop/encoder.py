"""Encoders of text like BERT (arXiv 1810.04805): one stack, norms after the sums, a head for each task.

What a family of them calls its weights and its sizes is data (`bert.py`); this file does not know the
families.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from regard.bundle import Bundle
from regard.errors import CheckpointError
from regard.interop.family import Family, Plan, Source, Weights, expect, tokens_of
from regard.interop.keys import Keys
from regard.interop.labels import classes_of, label_options
from regard.interop.mapping import Table, in_blocks, rules_of, skipped
from regard.interop.sentences import LENGTH, prompt_of, sentence_files, vector_of
from regard.interop.stack_keys import StackKeys
from regard.model.attention import AttentionConfig
from regard.model.embed import Tokens, TokenTypes
from regard.model.feedforward import MLP, Activation
from regard.model.head import Classes, Head, Spans, TokenClasses, Transform, Vocabulary
from regard.model.init import Scaled
from regard.model.norm import LayerNorm
from regard.model.position import Learned
from regard.model.stack import StackConfig
from regard.model.transformer import TransformerConfig

FILL: str = "fill-mask"
CLASSES: str = "text-classification"
BODY: str = "sentence-similarity"
SPANS: str = "question-answering"
TOKENS: str = "token-classification"
_PRODUCTS = {SPANS: "qa_outputs", TOKENS: "classifier"}
"""What a head that is one product of each vector calls its weights, in every family."""
_SILENCE = {"threshold.json": '{"unanswerable": 0, "threshold": 0.0}'}
"""What that task keeps of questions without an answer: a checkpoint does not say that there were any."""
_READ = 384
"""Tokens that answers are looked for in at once, at most: what such models were mostly trained with."""
_LEAST = 10
"""Tokens that a question and a context need."""
_POOLER = "the layer over the first vector, which this head does not read"
_HEAD = "a head of its pretraining"
_OF_HEADS = ("cls.", "lm_head.", "vocab_", "generator_", "classifier.", "pre_classifier.", "qa_outputs.")


@dataclass(frozen=True)
class Names:
    """What a family calls its weights."""

    layers: str
    block: Mapping[str, str]
    """Within each, by our names."""
    mask_transform: str
    mask_norm: str
    mask_product: str
    mask_bias: str
    """The head's biases, if they stand beside its product as well."""
    class_transform: str
    class_product: str
    entry: str = ""
    """What makes the width of the blocks of that of an embedding that is narrower, where it may be."""
    bias: str = ""
    """What positions add to scores, where they do."""
    others: tuple[str, ...] = ()
    """The beginnings of weights of further heads, which nothing here reads."""


def classes(start: str) -> dict[str, str]:
    """The classes of a family whose names begin like that, and the task that each becomes."""
    heads = {"MaskedLM": FILL, "SequenceClassification": CLASSES, "QuestionAnswering": SPANS}
    heads["TokenClassification"] = TOKENS
    return {f"{start}For{head}": task for head, task in heads.items()} | {f"{start}Model": BODY}


PLAIN = StackKeys(
    StackConfig(
        width=768,
        depth=12,
        attention=AttentionConfig(12, dropout=0.1),
        feedforward=MLP(3072, "gelu"),
        position=Learned(512),
        norm=LayerNorm(1e-12),
        entry_norm=True,
    ),
    {
        "width": "hidden_size",
        "depth": "num_hidden_layers",
        "attention.heads": "num_attention_heads",
        "attention.dropout": "attention_probs_dropout_prob",
        "feedforward.hidden": "intermediate_size",
        "feedforward.activation": "hidden_act",
        "position.length": "max_position_embeddings",
        "norm.eps": "layer_norm_eps",
        "dropout": "hidden_dropout_prob",
    },
)
"""BERT's."""


class Encoder(Family):
    """See the module's docstring."""

    names: ClassVar[Names]
    stack: ClassVar[StackKeys] = PLAIN
    types: ClassVar[str | None] = "type_vocab_size"
    """The key of how many token types there are; None where there are none."""
    entry: ClassVar[str | None] = None
    """The key of the embedding's width, where it may be another than that of the blocks."""
    mask_activation: ClassVar[Activation | None] = None
    """Of the layer before hidden words are predicted; None for that of the blocks."""
    class_activation: ClassVar[Activation] = "tanh"
    between: ClassVar[int] = 1
    """Separators between the texts of a pair, where the tokenizer does not say it."""
    tells: ClassVar[bool] = True
    """Whether the texts of a pair get different token types."""

    # ------------------------------------------------------------------ reading

    def plan(self, source: Source) -> Plan:
        keys, task = source.keys, self.architectures[source.architecture]
        stack = self._read_stack(keys, source.checkpoint.config)
        vocab = keys.size("vocab_size")
        tokenizer = source.tokenizer.tokenizer(vocab, begin="cls", end="sep", between=self.between)
        count = keys.size(self.types, 2) if self.types else 0
        types = TokenTypes(count, tokenizer.eos if self.tells or count == 1 else None) if count else None
        embed = Tokens(vocab, scale=False, types=types)
        labels: list[str] = []
        if task in (CLASSES, TOKENS):
            product = self.names.class_product if task == CLASSES else _PRODUCTS[task]
            labels = keys.labels(classes_of(source, product))
        model = TransformerConfig(embed, stack, self._head(source, task, len(labels), stack), Scaled())
        context = min(getattr(stack.position, "length", 512), 1 << 20)
        options = self._options(source, task, context, labels)
        return Plan(
            task=task,
            options=options,
            model=model,
            table=source.table(model),
            tokenizers={"tokenizer.json": tokenizer},
            files=_SILENCE if task == SPANS else {},
            labels=tuple(labels),
        )

    def _read_stack(self, keys: Keys, config: Mapping[str, Any]) -> StackConfig:
        keys.only(
            "position_embedding_type", "absolute", "the relative kinds were dropped by the library itself"
        )
        self._check(keys)
        stack, first = self.stack.read(keys), self._first(config)
        position: Any = stack.position
        if position.length <= first:
            raise keys.refuse("max_position_embeddings", "of them the first {limit} are not used", first)
        entry = keys.size(self.entry, 128) if self.entry else stack.width
        position = replace(position, length=position.length - first)
        return replace(stack, position=position, entry_width=None if entry == stack.width else entry)

    def _check(self, keys: Keys) -> None:
        """Take the keys that only this family has. Raises: CheckpointError."""

    def _first(self, config: Mapping[str, Any]) -> int:
        """The row of the table of positions at which they begin."""
        return 0

    def _stated(self, bundle: Bundle) -> dict[str, Any]:
        """Further keys of a configuration that says what the bundle's model is."""
        return {}

    def _head(self, source: Source, task: str, classes: int, stack: StackConfig) -> Head:
        keys = source.keys
        if task == FILL:
            assert isinstance(stack.feedforward, MLP)
            tied = keys.flag("tie_word_embeddings", True)
            return Vocabulary(
                tied, True, Transform(self.mask_activation or stack.feedforward.activation, stack.norm)
            )
        if task == CLASSES:
            return Classes(classes, "first", Transform(self.class_activation))
        keys.any("tie_word_embeddings")
        if task in _PRODUCTS:
            return Spans() if task == SPANS else TokenClasses(classes)
        return vector_of(source.checkpoint)

    def _options(self, source: Source, task: str, context: int, labels: list[str]) -> dict[str, Any]:
        if task == FILL:
            return {"kind": task, "context": context}
        if task == BODY:
            settings = source.checkpoint.json(LENGTH) or {}
            longest = settings.get("max_seq_length")
            length = longest if type(longest) is int and longest >= 3 else context
            return {"kind": task, "max_length": length, "prompt": prompt_of(source.checkpoint)}
        if task == SPANS:
            if context < _LEAST:
                sentence = "{where}: {value} positions are too few for a question and its context"
                raise CheckpointError(sentence, source.keys.where, context)
            length = min(context, _READ)
            return {"kind": task, "max_length": length, "max_question": min(64, length // 2)}
        if task == TOKENS:
            source.keys.any("problem_type")  # which is of classes
            return {"kind": task, "max_length": context}
        source.keys.any("tie_word_embeddings")
        return {"kind": task, "max_length": context, "either": True} | label_options(source, labels)

    # ------------------------------------------------------------------ weights

    def table(self, weights: Weights) -> Table:
        model, start, names = weights.model, weights.prefix, self.names
        assert isinstance(model, TransformerConfig)
        task, embeddings = self.architectures[weights.architecture], f"{start}embeddings"
        known = {
            "embed": f"{embeddings}.word_embeddings",
            "embed.types": f"{embeddings}.token_type_embeddings.weight",
            "stack.position.table": f"{embeddings}.position_embeddings",
            "stack.position.bias_table": f"{start}{names.bias}",
            "stack.entry_norm": f"{embeddings}.LayerNorm",
            "stack.entry_projection": f"{start}{names.entry}",
            **in_blocks("stack.blocks", f"{start}{names.layers}", names.block),
        }
        copies: dict[str, str] = {}
        pooler, kept = f"{self.prefix}pooler.dense", [f"{start}pooler."]
        spare = [(f"{embeddings}.position_ids", "position numbers, which follow from themselves")]
        if task == FILL:
            known |= {"head.transform.dense": names.mask_transform, "head.transform.norm": names.mask_norm}
            if "head.weight" in weights.shapes:
                known["head"] = names.mask_product
                spare.append((names.mask_bias, "biases of the head that it does not read"))
                kept.append(names.mask_bias)
            else:
                copies[f"{names.mask_product}.weight"] = f"{embeddings}.word_embeddings.weight"
                if (biases := f"{names.mask_product}.bias") != names.mask_bias:
                    copies[biases] = names.mask_bias
                known["head.bias"] = names.mask_bias
        elif task == CLASSES:
            transform = names.class_transform
            transform = start + transform.removeprefix(self.prefix) if transform == pooler else transform
            known |= {"head.transform.dense": transform, "head": names.class_product}
        elif task in _PRODUCTS:
            known["head"] = _PRODUCTS[task]
        if names.class_transform != pooler or task != CLASSES:
            spare.append((f"{start}pooler.", _POOLER))
        heads = ("cls.seq_relationship.", *(_OF_HEADS if task == BODY else ()), *names.others)
        spare += [(head, _HEAD) for head in heads]
        skip = {"stack.position.table.weight": skipped(self._first(weights.config))}
        rules = rules_of(weights.shapes, known, skip)
        return Table(weights.shapes, tuple(rules), copies, tuple(spare), (*kept, *heads))

    # ------------------------------------------------------------------ writing

    def config(self, bundle: Bundle, architecture: str) -> dict[str, Any]:
        model = expect(bundle.model, TransformerConfig, "it has two stacks")
        stack, embed, stated = model.stack, tokens_of(model), self._stated(bundle)
        config = self.stack.write(stack) | {
            "vocab_size": embed.vocab,
            "tie_word_embeddings": getattr(model.head, "tied", True),
        }
        if self.types is not None:
            config[self.types] = embed.types.count if embed.types else 0
        if self.entry is not None:
            config[self.entry] = stack.entry_width or stack.width
        config["max_position_embeddings"] += self._first(stated)
        return config | stated

    def files(self, bundle: Bundle) -> dict[str, str]:
        return sentence_files(bundle)
