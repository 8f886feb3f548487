"""Training that starts from another bundle's body: its embedding, its stacks and its tokenizers.

The head is the new task's own, unless the two are the same in kind and say the same things. This file does
not know which tasks there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from regard import bundle as bundles
from regard.bundle import Bundle
from regard.errors import ConfigError
from regard.model.transformer import ModelConfig, TransformerConfig

_HEAD = "head."


@dataclass(frozen=True)
class Start:
    """A bundle whose body is to be fine-tuned."""

    folder: Path
    bundle: Bundle

    @classmethod
    def open(cls, folder: str | Path) -> Start:
        """Raises: BundleError when there is none in `folder`, or it is damaged."""
        return cls(Path(folder), bundles.load(folder))

    def model(self, wanted: ModelConfig) -> ModelConfig:
        """The bundle's body, with the head of the model that a task wants.

        Raises: ConfigError when the two are built differently.
        """
        mine = self.bundle.model
        if mine.kind != wanted.kind:
            sentence = "{where} holds a model of kind '{value}', but this task needs '{limit}'"
            raise ConfigError(sentence, self.folder, mine.kind, wanted.kind)
        if not (isinstance(mine, TransformerConfig) and isinstance(wanted, TransformerConfig)):
            return mine
        if mine.embed.kind != wanted.embed.kind:
            sentence = "{where} holds a model that reads '{value}', but this task needs '{limit}'"
            raise ConfigError(sentence, self.folder, mine.embed.kind, wanted.embed.kind)
        head = mine.head if type(mine.head) is type(wanted.head) else wanted.head
        return replace(mine, head=head.for_new_data(mine.head))

    @torch.no_grad()
    def put(self, model: nn.Module, tokenizers: Mapping[str, str]) -> list[str]:
        """Give `model` the weights; says what it got, and what is new. `tokenizers`: the new task's files.

        Raises: ConfigError when the body was changed by settings, so that the weights do not fit.
        """
        same = dict(tokenizers) == dict(self.bundle.tokenizers)
        source = self.bundle.build().state_dict()
        copied: dict[int, str] = {}
        new: list[str] = []
        target: dict[str, Tensor] = model.state_dict(keep_vars=True)
        for name, value in target.items():
            fits = name in source and source[name].shape == value.shape
            if id(value) in copied:  # tied to one that is there already
                continue
            if fits and (same or not name.startswith(_HEAD)):
                value.copy_(source[name])
                copied[id(value)] = name
            elif name.startswith(_HEAD):
                new.append(name)
            else:
                sentence = (
                    "the body of {where} has no weight '{key}' of shape {value}; leave its sizes and parts"
                    " as they are"
                )
                raise ConfigError(sentence, self.folder, name, tuple(value.shape))
        fresh = f"; new: {', '.join(new)}" if new else ""
        return [f"{len(copied)} weights of {self.folder} ({self.bundle.task}){fresh}"]
