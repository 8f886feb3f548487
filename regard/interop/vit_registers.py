"""DINOv2 with registers (arXiv 2309.16588): learned vectors without a place stand between the class token and
the patches, and classes are read from the class token and the patches alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor

from regard.bundle import Bundle
from regard.interop.family import Unfit
from regard.interop.keys import Keys
from regard.interop.vit import CLASSES, Dinov2
from regard.model.embed import Patches
from regard.model.transformer import ModelConfig, TransformerConfig

_TABLE, _FIRST = "stack.position.table.weight", "embed.first"
_USUAL, _MOST = 4, 64


class Dinov2WithRegisters(Dinov2):
    """See the module's docstring."""

    name: ClassVar[str] = "dinov2_with_registers"
    architectures: ClassVar[dict[str, str]] = {
        "Dinov2WithRegistersForImageClassification": CLASSES,
        "Dinov2WithRegistersModel": CLASSES,
    }
    body: ClassVar[str] = "Dinov2WithRegistersModel"
    prefix: ClassVar[str] = "dinov2_with_registers."
    patch: ClassVar[int] = 16
    further: ClassVar[str] = "register_tokens"
    placed: ClassVar[bool] = False
    antialias: ClassVar[bool] = True

    def _patches(self, keys: Keys) -> Patches:
        count = keys.whole("num_register_tokens", _USUAL)
        if count > _MOST:
            raise keys.refuse("num_register_tokens", "it must be at most {limit}", _MOST)
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
        model = bundle.model
        if not isinstance(model, TransformerConfig) or not isinstance(model.embed, Patches):
            raise Unfit("it does not read images")
        return super().config(bundle, architecture) | {"num_register_tokens": model.embed.registers}
