"""Which laws are tried on a model, follows from what it sees."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from torch import Tensor

from regard.insight.laws import laws
from regard.model.embed import Tokens
from regard.model.mask import Causal, Full, MaskRule, Prefix, Window
from regard.model.transformer import TransformerConfig
from tests.laws.members import BASE, V, lively

ROWS = [[1, 2, 3, 4, 5, 6, 7], [3, 1, 2]]
OF_WRITERS = {"cached = uncached", "the future is not seen"}


@pytest.mark.parametrize(
    ("mask", "writes"),
    [(Causal(), True), (Window(2), True), (Window(2, 1), False), (Prefix(2), False), (Full(), False)],
    ids=lambda value: str(value),
)
def test_whatever_sees_no_future_is_tried_as_a_writer(mask: MaskRule, writes: bool) -> None:
    model = lively(TransformerConfig(Tokens(V), replace(BASE, mask=mask)).build())
    found = laws(model, [], ROWS)
    assert all(finding.holds for finding in found)
    assert ({finding.law for finding in found} >= OF_WRITERS) == writes


@dataclass(frozen=True)
class Foreign:
    """A rule that the library does not know: every second token, up to `after` ahead."""

    after: int

    def static(self, query: object, key: object) -> str:
        return "undecided"

    def sees(self, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query + self.after) & ((query - key) % 2 == 0)


@pytest.mark.parametrize(("after", "writes"), [(0, True), (1, True), (2, False)])
def test_a_rule_of_ones_own_is_judged_by_what_it_sees(after: int, writes: bool) -> None:
    model = lively(TransformerConfig(Tokens(V), replace(BASE, mask=Foreign(after))).build())  # type: ignore[arg-type]
    found = laws(model, [], ROWS)
    assert all(finding.holds for finding in found)
    assert ({finding.law for finding in found} >= OF_WRITERS) == writes
