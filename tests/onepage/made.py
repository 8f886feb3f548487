"""Runs that nobody trained: models of random numbers, tokenizers learned from a few words."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch

from regard.bundle import Bundle, software_versions
from regard.data.image_processor import ImageProcessor
from regard.data.tokenizer import Characters, TokenizerSpec, train_tokenizer
from regard.model.transformer import ModelConfig
from regard.run import Run
from regard.schema import dump, override, parse
from regard.tasks import TASKS, Task
from regard.tasks.image_classification import ImageClassificationConfig
from regard.tasks.targets import target_kind
from regard.tasks.text_classification import TextClassificationConfig
from regard.tasks.text_generation import TextGenerationConfig
from regard.tasks.translation import TranslationConfig

WORDS = ["the cat sat", "a dog ran off", "猫喜欢吃鱼", "don't — stop!", "naïve café", "x = [1, 2]"]
SMALL = ("width=12", "depth=2", "attention.heads=3", "feedforward.hidden=17", "dropout=0.0")


def task_of(name: str, spec: TokenizerSpec | None = None, **options: Any) -> Task:
    """A task that has seen a few words, or images of 6 × 9 pixels."""
    tokenizer = train_tokenizer(spec or Characters(), WORDS * 3, at_most=True)
    if name == "translation":
        return TASKS[name](TranslationConfig(**options), tokenizer, tokenizer)  # type: ignore[call-arg]
    if name == "text-generation":
        return TASKS[name](TextGenerationConfig(**options), tokenizer)  # type: ignore[call-arg]
    labels = {"a": 2, "b": 3, "</script><b>": 5}
    if name == "text-classification":
        config = TextClassificationConfig(**options)
        return TASKS[name](config, tokenizer, target_kind(config)(config, labels))  # type: ignore[call-arg]
    processor = ImageProcessor(1, 6, 9, (0.4,), (0.3,))
    asked = ImageClassificationConfig(**options)
    return TASKS[name](asked, processor, target_kind(asked)(asked, labels))  # type: ignore[call-arg]


def run_of(task: Task, folder: Path, *settings: str, seed: int = 7) -> Run:
    """A model for it: the smallest preset, smaller still, changed by `settings` as `--set` has them; numbers
    that are large enough for attention to choose."""
    model = task.presets["micro"]
    sides = ("encoder", "decoder") if task.name == "translation" else ("stack",)
    small = [f"{side}.{one}" for side in sides for one in SMALL]
    small += ["decoder.cross.heads=3"] if task.name == "translation" else []
    small += ["embed.patch=3"] if task.name == "image-classification" else []
    changed = functools.reduce(override, [*small, *settings], dump(model))
    model = task.configure_model(parse(ModelConfig, changed))
    torch.manual_seed(seed)
    built = model.build()
    for name, weight in built.named_parameters():
        gain = "norm" in name and name.endswith("weight")
        torch.nn.init.normal_(weight, 1.0 if gain else 0.0, 0.3)
    bundle = Bundle(
        task=task.name,
        model=model,
        weights=built.state_dict(),
        tokenizers=task.files(),
        training={"task": dump(task.config)},
        data={},
        metrics={},
        versions=software_versions(),
    )
    return Run(bundle, folder, torch.device("cpu"))
