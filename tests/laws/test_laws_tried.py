"""Which laws are tried on a model, follows from what it sees."""

from __future__ import annotations

from dataclasses import replace

import pytest

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
