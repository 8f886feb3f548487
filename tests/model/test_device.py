"""Devices are named and refused by name; a format that a processor emulates is never used in silence."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import regard
from regard.errors import ConfigError
from regard.model import device as devices
from regard.model.device import moved, pick_device, slow_warning, slowdown
from regard.model.layout import prepared
from tests.shared import refused

CPU = torch.device("cpu")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[torch.dtype, float]:
    """Seconds that a product takes by format: what a processor is said to need."""
    seconds = {torch.float32: 1e-4, torch.bfloat16: 1.3e-2, torch.float16: 2.5e-4}
    monkeypatch.setattr(devices, "_seconds", lambda device, dtype: seconds[dtype])
    slowdown.cache_clear()
    yield seconds
    slowdown.cache_clear()


def test_a_device_that_is_not_there_is_refused_by_name() -> None:
    for name in ("cuda:99", "meta", "nonsense", "mps:7"):
        with refused(ConfigError, key="device", value=name):
            pick_device(name)
    for name in (None, "auto", CPU, "cpu"):
        assert pick_device(name).type in ("cpu", "cuda", "mps")


def test_what_is_on_its_device_is_not_copied() -> None:
    value = torch.ones(3)
    assert moved(value, CPU) is value


def test_a_slow_format_is_said_with_what_it_costs_and_what_is_faster(
    measured: dict[torch.dtype, float], caplog: pytest.LogCaptureFixture
) -> None:
    said = slow_warning(CPU, torch.bfloat16, "--dtype float32")
    assert said == (
        "bfloat16 is computed 130 times slower than float32 on this processor; use --dtype float32"
    )
    assert "float16 is computed 2.5 times slower" in (slow_warning(CPU, torch.float16, "it") or "")
    measured[torch.float16] = 1.5e-4
    slowdown.cache_clear()
    assert slow_warning(CPU, torch.float16, "it") is None
    assert slow_warning(CPU, torch.float32, "it") is None


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int8"])
def test_loading_says_so_once_where_it_is_slow(
    dtype: str, measured: dict[torch.dtype, float], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        prepared(nn.Sequential(nn.Linear(8, 8)), CPU, dtype)
    slow = dtype in ("bfloat16", "float16")
    assert [dtype in record.getMessage() for record in caplog.records] == [True] * slow


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_training_says_so_even_when_it_is_quiet(
    precision: str,
    pairs: Path,
    tmp_path: Path,
    measured: dict[torch.dtype, float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    from tiny import SETTINGS

    settings = (*SETTINGS, f"train.precision={precision}")
    options: dict[str, Any] = {"steps": 2, "quiet": True, "device": "cpu"}
    with caplog.at_level(logging.WARNING):
        regard.train("translation", pairs, tmp_path / "run", settings=settings, **options)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == (precision != "float32")
    assert all("use train.precision=float32" in line for line in said)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_format_is_measured_once_and_soon(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    slowdown.cache_clear()
    started = time.process_time()
    first = slowdown(CPU, dtype)
    assert time.process_time() - started < 2, "of which 50 ms are to be expected on a machine at rest"
    monkeypatch.setattr(devices, "_seconds", lambda device, dtype: pytest.fail("measured again"))
    assert slowdown(CPU, dtype) == first > 0
