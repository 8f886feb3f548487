"""DINOv2 with registers (arXiv 2309.16588): learned vectors without a place stand between the class token and
the patches, and classes are read from the class token and the patches alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor

from regard.bundle import Bundle
from regard.interop.family import Source, Unfit
from regard.interop.keys import Keys
from regard.interop.mapping import Regridded, Row, Rule, Table, Way
from regard.interop.vit import CLASSES, Dinov2
from regard.model.embed import Patches
from regard.model.head import REGISTERS, Classes, Pooling, Vector
from regard.model.transformer import ModelConfig, TransformerConfig

_TABLE, _FIRST = "stack.position.table.weight", "embed.first"
_MOST = 64


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

    def _patches(self, keys: Keys) -> Patches:
        count = keys.whole("num_register_tokens", REGISTERS)
        if count > _MOST:
            raise keys.refuse("num_register_tokens", f"it must be at most {_MOST}")
        return replace(super()._patches(keys), registers=count)

    def _head(self, source: Source) -> Classes | Vector:
        head = super()._head(source)
        if isinstance(head, Classes) and source.keys.whole("num_register_tokens", REGISTERS) != REGISTERS:
            raise source.keys.refuse("num_register_tokens", f"classes are read beside {REGISTERS} only")
        return head

    def _pooling(self, architecture: str) -> Pooling:
        return "first" if architecture == self.body else "first-and-mean-from-5"

    def table(self, model: ModelConfig, architecture: str, *, prefixed: bool | None = None) -> Table:
        table = super().table(model, architecture, prefixed=prefixed)
        assert isinstance(model, TransformerConfig)
        assert isinstance(model.embed, Patches)
        count = model.embed.registers
        found: list[Rule] = []
        for rule in table.rules:
            if rule.ours == _FIRST and count:
                names = (rule.theirs[0], rule.theirs[0].replace("cls_token", "register_tokens"))
                rule = Rule(_FIRST, names, (1, count), Row())
            elif rule.ours == _TABLE:
                rule = replace(rule, way=self._places(model.embed, model.embed))
            found.append(rule)
        return replace(table, rules=tuple(found))

    def _places(self, made: Patches, embed: Patches) -> Way:
        theirs, ours = ((some.pixel_rows // some.patch, some.columns) for some in (made, embed))
        return Regridded(theirs, ours, 1, embed.registers, antialias=True)

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
            raise Unfit("it does not read pictures")
        return super().config(bundle, architecture) | {"num_register_tokens": model.embed.registers}
