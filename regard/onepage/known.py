"""What a page can compute: one table of parts, by their types. Everything else is refused by name.

A part that joins a union later, and a field that a known part gets later, are refused until somebody writes
them in JavaScript and adds them here. This file does not know how a page is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from regard.data.tokenizer import BPE, ByteBPE, Characters, Tokenizer, Words
from regard.data.tokenizer_given import GivenTokenizer
from regard.errors import InputError
from regard.model.attention import AttentionConfig
from regard.model.block import LayerScale, PostNorm, PreNorm, SandwichNorm
from regard.model.embed import Patches, Tokens
from regard.model.feedforward import MLP, GatedMLP
from regard.model.head import Classes, Transform, Vocabulary
from regard.model.init import Init
from regard.model.mask import Causal, Full, Prefix, Window
from regard.model.norm import LayerNorm, RMSNorm
from regard.model.position import ALiBi, Learned, NoPosition, RelativeBias, Rotary, Sinusoidal
from regard.model.position_2d import Rotary2D, Sinusoidal2D
from regard.model.score import Additive, DotProduct
from regard.model.stack import LayerPattern, StackConfig
from regard.model.transformer import EncoderDecoderConfig, TransformerConfig
from regard.run import Run
from regard.tasks import TASKS
from regard.tasks.protocols import FitsOnePage

PARTS: dict[type, str] = {
    TransformerConfig: "embed stack head init",
    EncoderDecoderConfig: "source target encoder decoder tying init head_bias",
    StackConfig: (
        "width depth attention feedforward mask masks pattern position norm placement cross cross_position"
        " dropout entry_norm entry_width"
    ),
    LayerPattern: "mask position",
    AttentionConfig: "heads kv_heads head_width score bias out_bias norm dropout",
    DotProduct: "scale",
    Additive: "",
    MLP: "hidden activation bias dropout",
    GatedMLP: "hidden activation bias dropout",
    LayerNorm: "eps bias",
    RMSNorm: "eps",
    PostNorm: "",
    PreNorm: "",
    SandwichNorm: "",
    LayerScale: "start",
    Full: "",
    Causal: "",
    Window: "before after",
    Prefix: "length",
    NoPosition: "",
    Sinusoidal: "base interleaved",
    Learned: "length",
    Rotary: "base fraction interleaved scaling",
    ALiBi: "",
    RelativeBias: "buckets max_distance bidirectional",
    Sinusoidal2D: "columns leading base",
    Rotary2D: "columns leading base",
    Tokens: "vocab scale types",
    Patches: "channels pixel_rows pixel_columns patch class_token registers",
    Vocabulary: "tied bias transform",
    Classes: "count pooling transform skipped",
    Transform: "activation norm",
}
"""The parts of a model that `assets/model.js` computes, and their fields."""

WORDS: dict[str, tuple[str, ...]] = {
    "activation": ("relu", "gelu", "gelu-tanh", "silu", "tanh"),
    "pooling": ("mean", "first", "first-and-second", "first-and-mean"),
    "tying": ("three-way", "two-way", "embeddings", "none"),
}
"""Fields that are chosen among words, and the words that it knows."""

TOKENIZERS: tuple[Any, ...] = (Characters, Words, ByteBPE, BPE)
"""Those of `assets/tokenizer.js`."""


def check(run: Run) -> None:
    """Refuse what a page cannot do. Raises: InputError naming it."""
    for problem in _problems(run):
        sentence = "{where} cannot become a page: {value}; `regard look {where}` shows any model"
        raise InputError(sentence, run.folder, problem)


def _problems(run: Run) -> Iterator[str]:
    task = run.task
    if isinstance(task, FitsOnePage):
        yield from task.page_problems()
    else:
        known = ", ".join(name for name, one in TASKS.items() if issubclass(one, FitsOnePage))
        yield f"its task is {task.name}, where a page can do {known}"
    yield from strange(run.bundle.model, "model")
    for name, text in run.bundle.tokenizers.items():
        if name.startswith("tokenizer"):
            yield from _tokenizer(name, Tokenizer.from_json(text))


def _tokenizer(name: str, tokenizer: Tokenizer) -> Iterator[str]:
    if isinstance(tokenizer, GivenTokenizer):
        yield f"{name} came with an imported model, and a page knows only tokenizers that were trained here"
    elif type(tokenizer.spec) not in TOKENIZERS:
        kinds = ", ".join(one.kind for one in TOKENIZERS)
        yield f"{name} is of the kind '{tokenizer.spec.kind}', where a page knows {kinds}"


def strange(part: Any, path: str) -> Iterator[str]:
    """What of a configuration is not in the table, in words."""
    if isinstance(part, Init):  # where training began: no part of what is computed
        return
    if isinstance(part, tuple):
        for index, one in enumerate(part):
            yield from strange(one, f"{path}.{index}")
        return
    if not is_dataclass(part):
        name = path.rpartition(".")[2]
        if isinstance(part, str) and part not in WORDS.get(name, ()):
            yield f"{path} is '{part}', which a page does not compute"
        return
    if type(part) not in PARTS:
        yield f"{path} is '{getattr(part, 'kind', type(part).__name__)}', which a page does not compute"
        return
    for field in fields(part):
        if field.name == "kind":
            continue
        if field.name not in PARTS[type(part)].split():
            yield f"{path}.{field.name} is not known to pages"
        yield from strange(getattr(part, field.name), f"{path}.{field.name}")
