"""`regard bench` prints every figure it promises, as text and as JSON."""

from __future__ import annotations

import json

import pytest

from regard.errors import ConfigError
from regard.recipes import bench
from tests.shared import refused


def test_every_figure_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_times", lambda work, device, spend: [0.25, (work(), 0.5)[1], 1.0])
    rows = [json.loads(line) for line in bench.bench_lines("tiny", as_json=True, device="cpu")]
    assert all(row.keys() == {"what", "value", "unit"} and row["value"] > 0 for row in rows)
    by_name = {row["what"]: row for row in rows}
    assert by_name["memory, reading"]["value"] == pytest.approx(2**28 / 0.25 / 1e9)
    assert by_name["decoding, batch 64, beam 5"]["value"] == pytest.approx(64 * 20 / 0.5)
    assert by_name["training, 128 pairs of 16 tokens"]["value"] == pytest.approx(128 * 16 / 0.5)
    assert "training, of the product ceiling" in by_name
    assert sum(row["unit"] == "GFLOP/s" for row in rows) == 6


def test_a_preset_that_does_not_exist_is_named() -> None:
    with refused(ConfigError, key="preset", value="huge", limit="tiny"):
        list(bench.bench_lines("huge"))
