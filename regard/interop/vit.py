"""ViT (arXiv 2010.11929), DeiT (2012.12877), DINOv2 (2304.07193): one stack over patches, norms before parts.

They differ in what stands before the patches, in what the classes are read from, and in that DINOv2 scales
what each part adds, may have gates, and stretches its table of positions to images of another size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor

from regard.bundle import Bundle
from regard.data.image_processor import ImageProcessor
from regard.interop.encoder import PLAIN
from regard.interop.family import Family, Plan, Source, Unsupported, Weights, expect
from regard.interop.image_processors import image_processor_file, preprocessor_file, read_image_processor
from regard.interop.keys import Keys, activation_name
from regard.interop.labels import classes_of, label_options
from regard.interop.mapping import (
    ROW,
    Averaged,
    Conversion,
    Rule,
    Table,
    in_blocks,
    resized,
    rules_of,
    scaled,
)
from regard.interop.stack_keys import StackKeys
from regard.model.attention import AttentionConfig
from regard.model.block import LayerScale, PreNorm
from regard.model.embed import Patches
from regard.model.feedforward import MLP, FeedForwardPart, GatedMLP
from regard.model.head import Classes, Pooling, Vector
from regard.model.init import Scaled
from regard.model.norm import LayerNorm
from regard.model.position import Learned
from regard.model.stack import StackConfig
from regard.model.transformer import ModelConfig, TransformerConfig
from regard.registry import register

CLASSES = "image-classification"
_SIDE = 1 << 14  # pixels
_TABLE, _FIRST = "stack.position.table.weight", "embed.first"
_REGISTERS, _MOST_REGISTERS = 4, 64
_NO_IMAGES = "it does not read images"
_NO_LABELS = "it knows no labels yet: it gives vectors, and `regard train image-classification` with --init"
_NO_LABELS += " begins with its body"
_BLOCK = {
    "attention.qkv": "attention.attention.{query,key,value}",
    "attention.out": "attention.output.dense",
    "attention_residual.norm": "layernorm_before",
    "feedforward_residual.norm": "layernorm_after",
    "feedforward.up": "intermediate.dense",
    "feedforward.down": "output.dense",
}
_STACK = StackKeys(
    replace(PLAIN.base, attention=AttentionConfig(12), placement=PreNorm(), dropout=0.0, entry_norm=False),
    {p: key for p, key in PLAIN.names.items() if p != "position.length"} | {"attention.bias": "qkv_bias"},
)
_OF_OTHER_HEADS = ("encoder_stride", "pooler_output_size", "pooler_act")
_OF_BACKBONES = (
    *("out_features", "out_indices", "_out_features", "_out_indices", "stage_names"),
    *("apply_layernorm", "reshape_hidden_states", "use_mask_token"),
)


def _classes(start: str, *more: str) -> dict[str, str]:
    """The classes of a family, whose names begin like that."""
    return {f"{start}{end}": CLASSES for end in ("ForImageClassification", *more, "Model")}


@register
class ViT(Family):
    """ViT itself."""

    name: ClassVar[str] = "vit"
    architectures: ClassVar[dict[str, str]] = _classes("ViT")
    body: ClassVar[str] = "ViTModel"
    prefix: ClassVar[str] = "vit."
    kept_keys: ClassVar[tuple[str, ...]] = _OF_OTHER_HEADS
    image_processor = "ViT"
    stack: ClassVar[StackKeys] = _STACK
    patch: ClassVar[int] = 16
    """Pixels along a patch, where the configuration does not say it."""
    registers: ClassVar[int] = 0
    further: ClassVar[str] = ""
    """The weight of the vectors that stand between the class token and the patches, where there are some."""
    placed: ClassVar[bool] = True
    """Whether these have places as patches do, and count among what is pooled."""
    antialias: ClassVar[bool] = False
    """How positions are stretched to images of another size."""
    pooling: ClassVar[Pooling] = "first"
    block: ClassVar[Mapping[str, str]] = _BLOCK
    """What weights are called within a block."""
    gated_block: ClassVar[Mapping[str, str]] = {}
    """The same where feed-forward parts have gates, as far as it differs."""

    # ------------------------------------------------------------------ reading

    def plan(self, source: Source) -> Plan:
        keys = source.keys
        made = self._patches(keys)
        processor = read_image_processor(source, 3 if made.channels == 3 else 1)
        embed = self._fitted(keys, made, processor)
        head = self._head(source, embed)
        count = head.count if isinstance(head, Classes) else 0
        stack = self._read_stack(keys)
        attention = replace(stack.attention, out_bias=None if stack.attention.bias else True)
        stack = replace(stack, attention=attention, position=Learned(embed.length))
        model = TransformerConfig(embed, stack, head, Scaled())
        table = source.table(model)
        notes = [] if count else [_NO_LABELS]
        if embed != made:
            conversion = self._resized(made, embed)
            table = table.with_conversions({_TABLE: conversion})
            notes.append(f"positions were stretched from {_shown(made)} pixels to {_shown(embed)}")
        labels = keys.labels(count) if count else []
        options = {"kind": CLASSES, "channels": processor.channels}
        return Plan(
            task=CLASSES,
            options=options | (label_options(source, labels) if labels else {}),
            model=model,
            table=table,
            tokenizers={},
            files=image_processor_file(processor),
            labels=tuple(labels),
            notes=tuple(notes),
        )

    def _patches(self, keys: Keys) -> Patches:
        """The images that the weights were made for."""
        rows, columns = _sides(keys, "image_size", 224)
        patch, across = _sides(keys, "patch_size", self.patch)
        if patch != across:
            raise keys.refuse("patch_size", "only square patches can be imported")
        if rows % patch or columns % patch:
            raise keys.refuse("image_size", "the patches of {limit} pixels must divide it", patch)
        channels = keys.whole("num_channels", 3)
        if channels not in (1, 3):
            raise keys.refuse("num_channels", "only grey (1) or colour (3) can be imported")
        return Patches(channels, rows, columns, patch, registers=self.registers)

    def _fitted(self, keys: Keys, embed: Patches, processor: ImageProcessor) -> Patches:
        """What the images as the folder's preprocessor makes need."""
        if (processor.rows, processor.columns) != (embed.pixel_rows, embed.pixel_columns):
            why = "it must be the preprocessor's {limit} pixels, as this family's positions are of one size"
            raise keys.refuse("image_size", why, f"{processor.columns} × {processor.rows}")
        return embed

    def _read_stack(self, keys: Keys) -> StackConfig:
        return self.stack.read(keys)

    def _head(self, source: Source, embed: Patches) -> Classes | Vector:
        products = self._products(source.architecture)
        if not products:
            return Vector(self.pooling, normalised=False)
        pooling = "first-and-second" if len(products) == 2 else self.pooling
        count = classes_of(source, products[0])
        return Classes(count, pooling, skipped=0 if self.placed else embed.registers)

    # ------------------------------------------------------------------ weights

    def _resized(self, made: Patches, embed: Patches) -> Conversion:
        """How a table of positions for images of one size becomes one for another."""
        theirs, ours = ((some.pixel_rows // some.patch, some.columns) for some in (made, embed))
        registers = 0 if self.placed else made.registers
        return resized(theirs, ours, made.leading - registers, registers, antialias=self.antialias)

    def table(self, weights: Weights) -> Table:
        model, start = weights.model, weights.prefix
        assert isinstance(model, TransformerConfig)
        embed = model.embed
        assert isinstance(embed, Patches)
        embeddings, products = f"{start}embeddings", self._products(weights.architecture)
        leading = ",".join(name for name in ("cls_token", self.further) if name)
        gated = self.gated_block if isinstance(model.stack.feedforward, GatedMLP) else {}
        names = {
            "embed": f"{embeddings}.patch_embeddings.projection",
            _FIRST: f"{embeddings}.{{{leading}}}",
            _TABLE: f"{embeddings}.position_embeddings",
            "stack.final_norm": f"{start}layernorm",
            **in_blocks("stack.blocks", f"{start}encoder.layer", {**self.block, **gated}),
        }
        names |= {"head": products[0]} if len(products) == 1 else {}
        conversions = {_FIRST: ROW, _TABLE: self._resized(embed, embed)}
        rules = rules_of(weights.shapes, names, conversions, {_FIRST: (1, embed.registers)})
        if len(products) == 2:  # the mean of two heads is one that reads both vectors with half the weights
            both, biases = (tuple(f"{name}.{kind}" for name in products) for kind in ("weight", "bias"))
            rules.append(Rule("head.weight", both, (model.stack.width,) * 2, scaled(0.5), axis=1))
            rules.append(Averaged("head.bias", biases))
        spare = (
            (f"{embeddings}.mask_token", "what stands for hidden patches, which only its pretraining hides"),
            (f"{start}pooler.", "the layer over the first vector, which this head does not read"),
        )
        return Table(weights.shapes, tuple(rules), {}, spare, tuple(name for name, _ in spare))

    def _products(self, architecture: str) -> tuple[str, ...]:
        """The products of the head: a body has none, a model that learned from a teacher two."""
        if architecture.endswith("WithTeacher"):
            return ("cls_classifier", "distillation_classifier")
        return () if architecture == self.body else ("classifier",)

    # ------------------------------------------------------------------ writing

    def config(self, bundle: Bundle, architecture: str) -> dict[str, Any]:
        model = expect(bundle.model, TransformerConfig, _NO_IMAGES)
        stack, embed = model.stack, expect(model.embed, Patches, _NO_IMAGES)
        if stack.placement.kind != self.stack.base.placement.kind:
            raise Unsupported(f"its norms are {stack.norm.kind} and {stack.placement.kind}")
        return self._write_stack(stack) | {
            "image_size": _written_sides(embed),
            "patch_size": embed.patch,
            "num_channels": embed.channels,
        }

    def _write_stack(self, stack: StackConfig) -> dict[str, Any]:
        return self.stack.write(stack)

    def files(self, bundle: Bundle) -> dict[str, str]:
        return preprocessor_file(bundle)


@register
class DeiT(ViT):
    """A ViT with a second vector before the patches, which has learned from a teacher."""

    name: ClassVar[str] = "deit"
    architectures: ClassVar[dict[str, str]] = _classes("DeiT", "ForImageClassificationWithTeacher")
    body: ClassVar[str] = "DeiTModel"
    prefix: ClassVar[str] = "deit."
    image_processor = "DeiT"
    registers: ClassVar[int] = 1
    further: ClassVar[str] = "distillation_token"


@register
class Dinov2(ViT):
    """A ViT that has learned without labels."""

    name: ClassVar[str] = "dinov2"
    architectures: ClassVar[dict[str, str]] = _classes("Dinov2")
    body: ClassVar[str] = "Dinov2Model"
    prefix: ClassVar[str] = "dinov2."
    kept_keys: ClassVar[tuple[str, ...]] = _OF_BACKBONES
    image_processor = "Bit"
    stack: ClassVar[StackKeys] = StackKeys(
        replace(_STACK.base, norm=LayerNorm(1e-6), placement=LayerScale(1.0)),
        {path: key for path, key in _STACK.names.items() if not path.startswith("feedforward")},
    )
    patch: ClassVar[int] = 14
    pooling: ClassVar[Pooling] = "first-and-mean"
    block: ClassVar[Mapping[str, str]] = _BLOCK | {
        "attention_residual.norm": "norm1",
        "attention_residual.gain": "layer_scale1.lambda1",
        "feedforward_residual.norm": "norm2",
        "feedforward_residual.gain": "layer_scale2.lambda1",
        "feedforward.up": "mlp.fc1",
        "feedforward.down": "mlp.fc2",
    }
    gated_block: ClassVar[Mapping[str, str]] = {
        "feedforward.gate_up": "mlp.weights_in",
        "feedforward.down": "mlp.weights_out",
    }

    def _fitted(self, keys: Keys, embed: Patches, processor: ImageProcessor) -> Patches:
        if embed.pixel_rows != embed.pixel_columns:
            raise keys.refuse("image_size", "its positions must be a square")
        if processor.rows % embed.patch or processor.columns % embed.patch:
            why = "it must divide the {limit} pixels that the preprocessor makes"
            raise keys.refuse("patch_size", why, f"{processor.columns} × {processor.rows}")
        embed = replace(embed, pixel_rows=processor.rows, pixel_columns=processor.columns)
        return super()._fitted(keys, embed, processor)

    def _read_stack(self, keys: Keys) -> StackConfig:
        keys.rate("drop_path_rate", 0.0)  # of training only
        stack = self.stack.read(keys)
        hidden = int(stack.width * keys.number("mlp_ratio", 4.0, 0.01, 1e3))
        activation = keys.activation("hidden_act", "gelu")
        part: FeedForwardPart = MLP(hidden, activation)
        if keys.flag("use_swiglu_ffn", False):
            part = GatedMLP(_gated(hidden), "silu", bias=True)
        scale = LayerScale(keys.number("layerscale_value", 1.0))
        return replace(stack, feedforward=part, placement=scale)

    def _write_stack(self, stack: StackConfig) -> dict[str, Any]:
        part, width = stack.feedforward, stack.width
        assert isinstance(stack.placement, LayerScale)
        gated = isinstance(part, GatedMLP)
        hidden = part.hidden or (8 * width // 3 if gated else 4 * width)
        sizes = ((ratio, _gated(ratio * width) if gated else ratio * width) for ratio in range(1, 65))
        ratio = next((ratio for ratio, size in sizes if size == hidden), None)
        if ratio is None:
            raise Unsupported(f"its {hidden} hidden values are no whole multiple of its width")
        activation = "gelu" if gated else activation_name(part.activation)
        return self.stack.write(stack) | {
            "mlp_ratio": ratio,
            "use_swiglu_ffn": gated,
            "hidden_act": activation,
            "layerscale_value": stack.placement.start,
        }


@register
class Dinov2WithRegisters(Dinov2):
    """arXiv 2309.16588: learned vectors without a position stand between the class token and the patches, and
    classes are read from the class token and the patches alone."""

    name: ClassVar[str] = "dinov2_with_registers"
    architectures: ClassVar[dict[str, str]] = _classes("Dinov2WithRegisters")
    body: ClassVar[str] = "Dinov2WithRegistersModel"
    prefix: ClassVar[str] = "dinov2_with_registers."
    patch: ClassVar[int] = 16
    further: ClassVar[str] = "register_tokens"
    placed: ClassVar[bool] = False
    antialias: ClassVar[bool] = True

    def _patches(self, keys: Keys) -> Patches:
        count = keys.whole("num_register_tokens", _REGISTERS)
        if count > _MOST_REGISTERS:
            raise keys.refuse("num_register_tokens", "it must be at most {limit}", _MOST_REGISTERS)
        return replace(super()._patches(keys), registers=count)

    def weights(self, model: ModelConfig, ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Where registers have places after all, since they were trained here, these become part of them:
        both are only ever added."""
        assert isinstance(model, TransformerConfig)
        assert isinstance(model.embed, Patches)
        here = slice(1, 1 + model.embed.registers)
        first, table = ours[_FIRST].clone(), ours[_TABLE].clone()
        first[here] += table[here]
        table[here] = 0
        return {**ours, _FIRST: first, _TABLE: table}

    def config(self, bundle: Bundle, architecture: str) -> dict[str, Any]:
        config = super().config(bundle, architecture)
        assert isinstance(bundle.model, TransformerConfig)
        assert isinstance(bundle.model.embed, Patches)
        return config | {"num_register_tokens": bundle.model.embed.registers}


def _gated(hidden: int) -> int:
    """How many hidden values are left where each has a gate: two thirds, filled up to eights."""
    return (int(hidden * 2 / 3) + 7) // 8 * 8


def _sides(keys: Keys, name: str, default: int) -> tuple[int, int]:
    """Height and width in pixels: one number for both, or each."""
    value = keys.any(name)
    sides = value if isinstance(value, list) else [default if value is None else value] * 2
    if len(sides) != 2 or not all(type(side) is int and 1 <= side <= _SIDE for side in sides):
        raise keys.refuse(
            name, "it must be a number of pixels from 1 to {limit:,}, or one for each side", _SIDE
        )
    return sides[0], sides[1]


def _written_sides(embed: Patches) -> int | list[int]:
    if embed.pixel_rows == embed.pixel_columns:
        return embed.pixel_rows
    return [embed.pixel_rows, embed.pixel_columns]


def _shown(embed: Patches) -> str:
    return f"{embed.pixel_columns} × {embed.pixel_rows}"
