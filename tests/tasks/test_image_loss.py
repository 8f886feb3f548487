"""The loss of image classification is torch's, and augmentation keeps to its limits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from regard.tasks.augment import NoAugmentation, Warp
from tests.tasks.tiny_images import images, in_training, made, stored


def test_the_loss_is_torchs(tmp_path: Path) -> None:
    rows = images(tmp_path)
    task, model = made(rows, "task.smoothing=0.2")
    batch = task.batch(stored(task, rows, tmp_path), np.array([3, 0, 1, 4]))
    logits = model(task._given(model, [rows[row].values[0] for row in (3, 0, 1, 4)]))
    target = torch.tensor([0, 0, 1, 1])
    want = F.cross_entropy(logits, target, label_smoothing=0.2, reduction="sum")
    torch.testing.assert_close(task.loss(in_training(model), batch)["loss"], want)
    torch.testing.assert_close(
        task.loss(model.eval(), batch)["loss"], F.cross_entropy(logits, target, reduction="sum")
    )


def test_chance_follows_from_the_epoch_and_the_rows(tmp_path: Path) -> None:
    rows = images(tmp_path)
    task, model = made(rows, "task.augmentation=warp", "task.augmentation.bend=0.05")
    store = stored(task, rows, tmp_path)

    def moved(epoch: int, *chosen: int) -> torch.Tensor:
        batch = task.batch(store, np.array(chosen), epoch)
        assert batch.moves is not None
        return batch.moves.applied(batch.pixels.float())

    assert torch.equal(moved(1, 3, 4), moved(1, 3, 4))
    assert not torch.equal(moved(1, 3, 4), moved(2, 3, 4))
    assert not torch.equal(moved(1, 3, 4)[0], moved(1, 3, 5)[0])
    batch = task.batch(store, np.arange(4), 3)
    model = in_training(model)
    assert not torch.equal(
        task.loss(model, batch)["loss"], task.loss(model, replace(batch, moves=None))["loss"]
    )
    assert torch.equal(
        task.loss(model.eval(), batch)["loss"], task.loss(model, replace(batch, moves=None))["loss"]
    )


@pytest.mark.parametrize("shape", [(64, 2, 15, 9), (64, 1, 8, 8)])
def test_a_warp_without_limits_changes_nothing_and_a_flip_is_a_mirror(shape: tuple[int, ...]) -> None:
    x, chance = torch.rand(shape), np.random.default_rng(1)
    still = Warp(0, 0, 0, 0).draw(shape, chance)
    assert still is not None
    torch.testing.assert_close(still.applied(x), x)
    flip = Warp(0, 0, 0, 0, flip=True).draw(shape, chance)
    assert flip is not None
    got = flip.applied(x)
    same = [torch.allclose(a, b, atol=1e-5) for a, b in zip(got, x, strict=True)]
    mirrored = [torch.allclose(a, b.flip(2), atol=1e-5) for a, b in zip(got, x, strict=True)]
    assert all(a != b for a, b in zip(same, mirrored, strict=True))
    assert 16 < sum(mirrored) < 48
    assert NoAugmentation().draw(shape, chance) is None


def test_a_warp_keeps_to_its_limits() -> None:
    """A bright point in the middle of a long image is moved no further than was asked for."""
    x = torch.zeros(200, 1, 41, 81)
    x[:, :, 20, 40] = 1
    for limits, far in ((Warp(0, 0.1, 0, 0), (4.1, 8.1)), (Warp(180, 0, 0.2, 0.1), (0.01, 0.01))):
        moves = limits.draw(tuple(x.shape), np.random.default_rng(1))
        assert moves is not None
        got = moves.applied(x)
        weight = got.sum((2, 3))
        seen = weight[:, 0] > 0.5
        places = torch.arange(41.0)[:, None], torch.arange(81.0)
        middle = [((got * place).sum((2, 3)) / weight)[seen] for place in places]
        for found, about, most in zip(middle, (20, 40), far, strict=True):
            apart = (found - about).abs().max()
            assert 0.8 * most - 0.02 < apart <= most + 0.02


def test_a_turn_leaves_right_angles_right_in_a_image_that_is_no_square() -> None:
    x = torch.zeros(1, 1, 41, 81)
    x[..., 20, 20:61] = 1  # a line along the image
    moves = Warp(90, 0, 0, 0).draw((50, 1, 41, 81), np.random.default_rng(4))
    assert moves is not None
    got = moves.applied(x.expand(50, 1, 41, 81))
    weight = got.sum((2, 3))[:, 0]
    rows, columns = torch.arange(41.0)[:, None] - 20, torch.arange(81.0) - 40
    spread = [((got * p**2).sum((2, 3))[:, 0] / weight).sqrt() for p in (rows, columns)]
    near = (spread[0] < 8).nonzero()[:, 0]  # those that end inside
    assert len(near) > 10
    length = (spread[0] ** 2 + spread[1] ** 2).sqrt()[near]
    assert length.min() > 10.8
    assert length.max() < 12.8  # as before: 11.8
