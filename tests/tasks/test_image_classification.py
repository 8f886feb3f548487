"""Image classification: how images travel, what is refused, the loss, augmentation, and what is learned."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import regard
from regard.data.rows import Row, Rows
from regard.errors import BundleError, ConfigError, DataError, InputError
from regard.evaluation import metric_of
from regard.model.mask import Contiguous
from regard.tasks import TASKS, Decoding
from regard.tasks.image_classification import ImageClassification
from regard.tasks.labels import labels_of, several
from regard.tasks.metric import scored
from regard.training.resolve import Asked, resolve
from regard.values import Score
from tests.shared import refused
from tests.tasks.tiny_images import COLUMNS, COUNT, ROWS, STEPS, images, made, stored

NO_LOOKS = ("", "{", "[]", "{}", '{"channels": 2, "rows": 3, "columns": 3, "mean": [0], "deviation": [1]}')
WRONG_LOOKS = (
    {"mean": [0.5, 0.5]},
    {"deviation": [0]},
    {"deviation": [float("inf")]},
    {"rows": 0},
    {"rows": 1 << 40},
    {"colour": True},
)


def as_array(row: Row) -> np.ndarray:
    with Image.open(row.values[0]) as image:
        return np.asarray(image)


# ------------------------------------------------------------------------------------------ how they travel


@pytest.mark.parametrize("shape", [(ROWS, COLUMNS), (ROWS, COLUMNS, 3)])
def test_pixels_come_out_of_the_store_as_they_stand_in_the_file(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    rows = images(tmp_path, *shape)
    task, _ = made(rows)
    store = stored(task, rows, tmp_path)
    batch = task.batch(store, np.array([3, 0, 5]))
    assert batch.pixels.dtype == torch.uint8
    assert batch.wanted.tolist() == [0, 0, 2]
    for place, row in enumerate((3, 0, 5)):
        want = as_array(rows[row]).reshape(ROWS, COLUMNS, -1).transpose(2, 0, 1)
        assert np.array_equal(batch.pixels[place].numpy(), want)
    assert store.nbytes < 4096 + COUNT * (np.prod(shape) + 50)  # a byte a pixel


def test_a_image_costs_what_the_model_makes_of_it(tmp_path: Path) -> None:
    rows = images(tmp_path)
    for settings, length in (((), 16), (("model.embed.patch=1",), 136)):
        task, model = made(rows, *settings)
        assert (task.costs(stored(task, rows, tmp_path))[0] == length).all()
        assert model.config.embed.length == length


def test_numbers_are_centred_by_channel(tmp_path: Path) -> None:
    rows = images(tmp_path, ROWS, COLUMNS, 3, count=30)
    task, model = made(rows)
    seen = task._given(model, [row.values[0] for row in rows])
    assert seen.mean((0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-4)
    assert seen.std((0, 2, 3)).tolist() == pytest.approx([1, 1, 1], abs=1e-3)


@torch.no_grad()
def test_a_image_of_several_labels_is_a_yes_or_no_to_each(tmp_path: Path) -> None:
    rows = [
        Row((row.values[0], label), row.where)
        for row, label in zip(images(tmp_path), ("x", "x|z", "", "y | x", "z", "y", "x|y|z"), strict=True)
    ]
    task, model = made(rows, "task.separator=|")
    assert task.target.labels == {"x": 4, "y": 3, "z": 3}
    batch = task.batch(stored(task, rows, tmp_path), np.array([3, 2, 6]))
    assert batch.wanted.tolist() == [[1, 1, 0], [0, 0, 0], [1, 1, 1]]
    paths = [row.values[0] for row in rows]
    shares = model(task._given(model, paths)).sigmoid()
    right = torch.where(batch.wanted == 1, shares[[3, 2, 6]], 1 - shares[[3, 2, 6]])
    torch.testing.assert_close(task.loss(model, batch)["loss"], -right.log().mean(1).sum())
    said = [prediction.value.plain() for prediction in task.predict(model, paths, Decoding())]
    assert said == ["|".join(name for name, x in zip("xyz", row, strict=True) if x >= 0.5) for row in shares]
    assert len(set(said)) > 1
    assert (
        scored(task.metric(), [several(labels_of(row, task.config.separator), None) for row in rows], rows)[
            "accuracy"
        ]
        == 100
    )
    assert scored(task.metric(), [several(["x"], None)] * len(rows), rows)["accuracy"] == pytest.approx(
        100 / len(rows)
    )


@torch.no_grad()
def test_an_image_may_have_a_number(tmp_path: Path) -> None:
    rows = [
        Row((row.values[0], number), row.where)
        for row, number in zip(images(tmp_path), ["1", "3", "3", "8", "9", "2", "2"], strict=True)
    ]
    task, model = made(rows, "task.number=plain")
    numbers = np.array([1, 3, 3, 8, 9, 2, 2])
    batch = task.batch(stored(task, rows, tmp_path), np.arange(7))
    paths = [row.values[0] for row in rows]
    output = model(task._given(model, paths))[:, 0]
    wanted = torch.from_numpy((numbers - numbers.mean()) / numbers.std()).float()
    torch.testing.assert_close(task.loss(model, batch)["loss"], (output - wanted).square().sum())
    found = [one.value.number for one in task.predict(model, paths, Decoding())]
    assert found == pytest.approx((numbers.mean() + numbers.std() * output.numpy()).tolist(), abs=1e-5)
    assert scored(task.metric(), [Score(float(n)) for n in numbers], rows)["rmse"] == 0


def test_blank_images_are_no_trouble(tmp_path: Path) -> None:
    rows = images(tmp_path)
    for row in rows:
        Image.new("L", (COLUMNS, ROWS)).save(row.values[0])
    task, model = made(rows)
    assert task._given(model, [rows[0].values[0]]).abs().max() == 0


def test_a_bundle_keeps_labels_and_look(tmp_path: Path) -> None:
    task, model = made(images(tmp_path))
    again = ImageClassification.prepare(task.config, None, task.files())
    assert again.target is not None
    assert (again.processor, again.target.labels) == (task.processor, task.target.labels)
    assert task.target.labels == {"x": 3, "y": 2, "z": 2}
    assert again.configure_model(model.config) == model.config
    given = ImageClassification.prepare(task.config, Rows.of(images(tmp_path, 3, 3)), task.files())
    assert given.processor == task.processor  # of the bundle that it starts from


@pytest.mark.parametrize("text", NO_LOOKS)
def test_a_damaged_look_is_refused(tmp_path: Path, text: str) -> None:
    task, _ = made(images(tmp_path))
    with refused(BundleError, where="image_processor.json"):
        ImageClassification.prepare(task.config, None, task.files() | {"image_processor.json": text})
    for wrong in WRONG_LOOKS:
        damaged = json.dumps(json.loads(task.files()["image_processor.json"]) | wrong)
        with refused(BundleError, where="image_processor.json"):
            ImageClassification.prepare(task.config, None, task.files() | {"image_processor.json": damaged})
    with refused(BundleError, where="image_processor.json"):
        ImageClassification.prepare(task.config, None, {"labels.json": task.files()["labels.json"]})


# --------------------------------------------------------------------------------------------------- sizes


def test_images_of_another_size_are_refused_or_brought_to_one(tmp_path: Path) -> None:
    rows = images(tmp_path)
    other = tmp_path / "other.png"
    Image.new("L", (COLUMNS, ROWS + 1)).save(other)
    task, model = made(rows)
    with refused(DataError, where="other.png", value="15 × 10", limit="15 × 9", remedy="task.size"):
        task.predict(model, [str(other)], Decoding())
    task, model = made(rows, "task.size=8")
    assert task.processor.shape == (1, 8, 8)
    assert task.predict(model, [str(other)], Decoding())[0].value.plain() in "xyz"


def test_grey_and_colour_may_be_mixed(tmp_path: Path) -> None:
    rows = images(tmp_path)
    Image.new("RGB", (COLUMNS, ROWS), "red").save(rows[1].values[0])
    task, _ = made(rows)
    stored(task, rows, tmp_path)
    assert task.processor.channels == 1
    assert task.notes() == [
        "images of 15 × 9 pixels, grey",
        "1 were in colour and made grey; task.channels = 3 keeps colour",
    ]
    task, model = made(rows, "task.channels=3")
    assert task.decoder(rows[1].values[0])[:, 0, 0].tolist() == [255, 0, 0]
    assert model.config.embed.channels == 3
    assert task.notes() == ["images of 15 × 9 pixels, in colour"]


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        (("model.head=vocabulary",), {"key": "model"}),
        (("model.embed=tokens",), {"key": "model"}),
        (("model.head.count=9",), {"key": "model.head.count", "value": 9, "limit": 3}),
        (("model.embed.patch=2",), {"key": "model.embed.patch", "value": 2, "limit": "15 × 9"}),
        (("model.embed.channels=3",), {"key": "model.embed.channels", "value": 3, "limit": 1}),
        (("model.embed.pixel_rows=15",), {"key": "model.embed.pixel_rows", "value": 15, "limit": 9}),
        (("model.embed.class_token=false",), {"key": "model.head.pooling", "limit": "mean"}),
        (("model.stack.position.length=9",), {"key": "model.stack.position.length", "value": 9, "limit": 16}),
        (
            ("model.stack.position=rotary-2d", "model.stack.position.columns=4"),
            {"key": "model.stack.position.columns", "value": 4, "limit": 5},
        ),
        (("task.size=0",), {"key": "size", "value": 0}),
        (("task.smoothing=1",), {"key": "smoothing", "value": 1.0}),
        (("task.augmentation=warp", "task.augmentation.bend=1"), {"key": "bend", "value": 1.0}),
    ],
)
def test_what_does_not_go_together_is_refused(
    tmp_path: Path, settings: tuple[str, ...], parts: dict[str, Any]
) -> None:
    with refused(ConfigError, **parts):
        made(images(tmp_path), *settings)


@pytest.mark.parametrize(
    ("size", "patch"),
    [((8, 8), 2), ((28, 28), 4), ((224, 224), 14), ((9, 15), 3), ((7, 31), 1), ((32, 64), 4)],
)
def test_a_patch_that_nobody_chose_divides_the_image(tmp_path: Path, size: Any, patch: int) -> None:
    task, _ = made(images(tmp_path, *size))
    fitted: Any = task.configure_model(ImageClassification.presets["tiny"])
    assert fitted.embed.patch == patch


def test_text_is_no_use_for_patches() -> None:
    task: Any = TASKS["text-classification"]
    rows = Rows.of([Row(("a", "x"), "1"), Row(("b", "y"), "2")])
    config: Any = resolve(Asked("text-classification", settings=("model.embed=patches",)))
    with refused(ConfigError, key="model.embed", value="patches", limit="tokens"):
        task.prepare(config.task, rows).configure_model(config.model)


# --------------------------------------------------------------------------------------------- predicting


def test_an_answer_does_not_depend_on_its_neighbours_and_scores_are_probabilities(tmp_path: Path) -> None:
    rows = images(tmp_path)
    task, model = made(rows)
    names = task.inputs(rows)
    together = task.predict(model, names, Decoding(beam=3, n=3, batch_tokens=40))
    assert len(together) == COUNT
    for name, prediction in zip(names, together, strict=True):
        (alone,) = task.predict(model, [name], Decoding(beam=3, n=3))
        assert alone.value.plain() == prediction.value.plain() == prediction.ranked[0][0].plain()
        assert sum(score for _, score in prediction.candidates) == pytest.approx(1)
        scores = [score for _, score in prediction.candidates]
        assert [score for _, score in alone.candidates] == pytest.approx(scores, abs=1e-5)


def test_images_need_no_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All are of one length, so the stack is told of no place at all, in training and in use."""
    rows = images(tmp_path)
    task, model = made(rows)
    places: list[object] = []
    forward = type(model.stack)._context

    def watched(stack: Any, query: Any, *rest: Any) -> Any:
        around = forward(stack, query, *rest)
        places.append((query, around.mask))
        return around

    monkeypatch.setattr(type(model.stack), "_context", watched)
    task.loss(model, task.batch(stored(task, rows, tmp_path), np.arange(4)))
    task.predict(model, task.inputs(rows), Decoding())
    assert places == [(Contiguous(0, 16), None)] * 2


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    task, model = made(images(tmp_path))
    (tmp_path / "broken.png").write_bytes(b"x")
    for name in ("nothing.png", str(tmp_path / "broken.png"), ""):
        with refused(InputError, **{"where" if name else "value": name}):
            task.predict(model, [name], Decoding())
    with refused(DataError, where="nothing.png", outer_where="table.csv:2"):
        stored(task, [Row(("nothing.png", "x"), "table.csv:2")], tmp_path)


def test_an_unknown_label_is_counted_as_wrong_and_a_sheet_shows_mistakes_first(tmp_path: Path) -> None:
    rows = images(tmp_path)
    task, _ = made(rows)
    foreign = [*rows, Row((rows[0].values[0], "other"), "there")]
    answers = [several(["x"], None)] * len(foreign)
    assert scored(task.metric(), answers, foreign)["accuracy"] == pytest.approx(100 * 3 / 8)
    with Image.open(io.BytesIO(task.render(foreign, answers))) as sheet:
        assert sheet.getpixel((5, 5)) == (196, 40, 27)
    with refused(InputError, key="--tokenize"):
        metric_of(task, "13a")


def test_baselines_know_the_means_of_classes(tmp_path: Path) -> None:
    rows = images(tmp_path)
    for row in rows:
        Image.new("L", (COLUMNS, ROWS), {"x": 10, "y": 100, "z": 200}[row.values[1]]).save(row.values[0])
    task, _ = made(rows)
    found = task.baselines(rows, Rows.of(rows))
    assert found["nearest mean of a class"]["accuracy"] == 100
    assert found["most frequent label"]["accuracy"] == pytest.approx(100 * 3 / 7)
    assert list(task.baselines(rows, None)) == ["most frequent label"]


# ----------------------------------------------------------------------------------------------- learning


@pytest.mark.parametrize("position", ["learned", "sinusoidal-2d", "rotary-2d"])
def test_it_learns_whether_points_lie_in_one_row_or_in_one_column(tmp_path: Path, position: str) -> None:
    """A bag of patches cannot tell, nor can the means of classes: points are anywhere in both."""
    chance = random.Random(1)
    for number in range(400):
        image = np.full((6, 8), 60, np.uint8)
        label = chance.choice(["row", "column"])
        if label == "row":
            row = chance.randrange(3)
            places = [(row, column) for column in chance.sample(range(4), 2)]
        else:
            column = chance.randrange(4)
            places = [(row, column) for row in chance.sample(range(3), 2)]
        for row, column in places:
            image[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = 250
        image[0, 0] = number % 256  # none is the same as another
        path = tmp_path / "set" / label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    settings = (
        *("model.depth=2", "model.width=32", "model.hidden=64", "model.heads=4"),
        *("train.tokens=416", "train.lr=1e-2", "train.evaluations=1", f"model.stack.position={position}"),
    )
    asked: Any = {"settings": settings, "steps": STEPS, "quiet": True, "threads": 1}
    trained = regard.train("image-classification", tmp_path / "set", tmp_path / "run", **asked)
    result = regard.load(trained.folder).evaluate(split="train", grid=tmp_path / "sheet.png")
    assert result.metrics["accuracy"] > 95
    assert result.baselines["nearest mean of a class"]["accuracy"] < 75
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
