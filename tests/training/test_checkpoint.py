"""Checkpoints: exact, whole, and refused by name when they are not."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from regard.errors import BundleError, StorageError
from regard.training.checkpoint import FILE, load_checkpoint, save_checkpoint
from tests.shared import refused

STATE = {"step": 7, "best": float("-inf"), "third": 1 / 3, "plan": None, "name": "é"}


def tensors() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {
        "model.weight": torch.randn(3, 5),
        "model.half": torch.randn(7).to(torch.bfloat16),
        "optimizer.0.0.step": torch.tensor(7.0),
        "optimizer.count": torch.tensor(3),
        "empty": torch.zeros(0, 4),
        "flags": torch.tensor([True, False]),
        "transposed": torch.randn(3, 5).T,
    }


def test_everything_comes_back_to_the_bit(tmp_path: Path) -> None:
    save_checkpoint(tensors(), STATE, tmp_path)
    again, state = load_checkpoint(tmp_path)
    assert state == STATE
    assert again.keys() == tensors().keys()
    for name, value in tensors().items():
        assert again[name].dtype == value.dtype
        assert torch.equal(again[name], value)


def test_no_checkpoint_is_said(tmp_path: Path) -> None:
    with refused(BundleError, remedy="give --overwrite instead of --resume to start anew"):
        load_checkpoint(tmp_path)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    save_checkpoint(tensors(), STATE, folder)
    return folder / FILE


@settings(max_examples=100, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_checkpoint_is_refused(good: Path, share: float) -> None:
    content = good.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / FILE).write_bytes(content[: int(share * len(content))])
        with refused(
            BundleError,
            where="checkpoint.safetensors",
            remedy="give --overwrite instead of --resume to start anew",
        ):
            load_checkpoint(Path(folder))


@settings(max_examples=300, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_an_edited_checkpoint_is_refused_or_says_the_same(good: Path, share: float, flip: int) -> None:
    """Bytes that fill up its header may change, what it says may not."""
    changed = bytearray(good.read_bytes())
    changed[int(share * len(changed))] ^= flip
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / FILE).write_bytes(changed)
        with suppress(BundleError):
            again, state = load_checkpoint(Path(folder))
            assert state == STATE
            assert all(torch.equal(again[name], value) for name, value in tensors().items())


def test_a_failed_save_keeps_the_last_good_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tensors(), STATE, tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with refused(StorageError, value="the disk is full", where="checkpoint.safetensors"):
        save_checkpoint({"model.weight": torch.ones(2)}, {"step": 8}, tmp_path)
    monkeypatch.undo()
    assert load_checkpoint(tmp_path)[1] == STATE
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_refused_by_name_and_a_moment_is_not(
    tmp_path: Path, value: float
) -> None:
    bad = torch.tensor([1.0, value])
    save_checkpoint({"optimizer.a": bad}, {}, tmp_path)
    assert "optimizer.a" in load_checkpoint(tmp_path)[0]
    for group in ("model", "average", "best"):
        save_checkpoint({f"{group}.a": bad}, {}, tmp_path)
        with pytest.raises(BundleError, match=rf"'{group}\.a' holds {value}.*--overwrite"):
            load_checkpoint(tmp_path)
