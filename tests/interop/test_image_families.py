"""Families that look at images, against the library that they are of; and how images are made ready."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import regard
from regard import bundle as bundles
from regard.data.image_processor import IMAGE_PROCESSOR, ImageProcessor, Shorter, Stretch
from regard.errors import CheckpointError, InputError
from regard.interop import export_checkpoint, import_checkpoint
from regard.interop.importing import read_checkpoint
from regard.model.head import Vector
from regard.schema import parse
from tests.interop.families import CHANNELS, IMAGES, PATCH, SIDE, checkpoint, preprocessor
from tests.shared import refused

pytest.importorskip("transformers")

every = pytest.mark.parametrize("name", IMAGES)
PREPROCESSOR = "preprocessor_config.json"


def images(config: Any, rows: int | None = None) -> Tensor:
    size = config.image_size
    height, width = size if isinstance(size, list | tuple) else (size, size)
    torch.manual_seed(3)
    return torch.randn(2, config.num_channels, rows or height, rows or width)


def theirs(model: Any, given: Tensor) -> Tensor:
    """Logits; of a body, the vector of every patch."""
    said = model(pixel_values=given)
    found: Tensor = said.logits if hasattr(said, "logits") else said.last_hidden_state
    return found


def ours(run: Path, given: Tensor) -> Tensor:
    model: Any = bundles.load(run).build()
    found: Tensor = model.hidden(given) if isinstance(model.config.head, Vector) else model(given)
    return found


def same(got: Tensor, want: Tensor) -> None:
    assert want.std() > 0.05
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)


def say(folder: Path, name: str, **changes: Any) -> Path:
    """Change keys of one of the folder's JSON files; those that are ... are taken away."""
    said = json.loads((folder / name).read_text("utf-8")) | changes
    kept = {key: value for key, value in said.items() if value is not ...}
    (folder / name).write_text(json.dumps(kept), "utf-8")
    return folder


@every
@torch.no_grad()
def test_what_comes_in_computes_the_same_and_goes_out_again(name: str, tmp_path: Path) -> None:
    import transformers

    model = checkpoint(name, tmp_path / "there")
    made = import_checkpoint(tmp_path / "there", tmp_path / "run")
    assert made.difference is not None
    assert made.difference < 1e-4
    given = images(model.config)
    want = theirs(model, given)
    same(ours(tmp_path / "run", given), want)
    exported = export_checkpoint(tmp_path / "run", tmp_path / "back")
    assert exported.architecture == IMAGES[name][0]
    again = getattr(transformers, IMAGES[name][0]).from_pretrained(tmp_path / "back").eval()
    same(theirs(again, given), want)
    import_checkpoint(tmp_path / "back", tmp_path / "again", compare=False)
    first, second = bundles.load(tmp_path / "run"), bundles.load(tmp_path / "again")
    assert first.tokenizers == second.tokenizers
    assert first.model == second.model
    for key, weight in first.weights.items():
        torch.testing.assert_close(second.weights[key], weight, atol=0, rtol=1e-6)


@every
def test_a_table_undoes_itself(name: str, tmp_path: Path) -> None:
    checkpoint(name, tmp_path)
    opened, _, _, plan, _ = read_checkpoint(tmp_path)
    weights = opened.weights()
    given = plan.table.to_theirs(plan.table.to_ours(weights, "here"))
    for key, weight in given.items():
        if not (name == "deit taught" and key.endswith("classifier.bias")):  # of which the mean is kept
            torch.testing.assert_close(weight, weights[key], atol=0, rtol=1e-6)
    left_out = weights.keys() - given.keys()
    assert all(key.startswith(tuple(start for start, _ in plan.table.spare)) for key in left_out)


@torch.no_grad()
def test_dinov2_stretches_its_positions_to_what_the_preprocessor_makes(tmp_path: Path) -> None:
    model = checkpoint("dinov2", tmp_path / "there")
    side = 3 * PATCH
    say(tmp_path / "there", PREPROCESSOR, size={"height": side, "width": side})
    made = import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False)
    assert any(f"stretched from {SIDE} × {SIDE} pixels to {side} × {side}" in note for note in made.notes)
    given = images(model.config, side)
    same(bundles.load(tmp_path / "run").build()(given), model(pixel_values=given).logits)
    exported = export_checkpoint(tmp_path / "run", tmp_path / "back").folder
    assert json.loads((exported / "config.json").read_text("utf-8"))["image_size"] == side


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("vit", {"image_size": 36}, "image_size"),
        ("vit", {"image_size": [35]}, "image_size"),
        ("vit", {"image_size": 28}, "image_size"),
        ("vit", {"image_size": 7 * 10**6}, "image_size"),
        ("vit", {"patch_size": [7, 5]}, "patch_size"),
        ("vit", {"patch_size": 5}, "embeddings"),
        ("vit", {"num_channels": 2}, "num_channels"),
        ("vit", {"num_channels": 1}, "image_mean"),
        ("vit", {"problem_type": "regression"}, "problem_type"),
        ("registers", {"num_register_tokens": 65}, "num_register_tokens"),
        ("vit", {"num_register_tokens": 4}, "num_register_tokens"),
        ("vit", {"hidden_act": "xielu"}, "hidden_act"),
        ("vit", {"num_attention_heads": 4}, "hidden_size"),
        ("dinov2", {"model_type": "dinov3_vit"}, "model_type"),
        ("dinov2", {"mlp_ratio": 3}, "mlp.fc1"),
        ("dinov2", {"image_size": [35, 28]}, "image_size"),
        ("dinov2", {"use_swiglu_ffn": True}, "mlp.weights_in"),
        ("deit", {"architectures": ["DeiTForMaskedImageModeling"]}, "architectures"),
    ],
    ids=lambda value: str(value),
)
def test_a_key_is_honoured_or_refused_by_name(
    name: str, changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    checkpoint(name, tmp_path)
    with refused(CheckpointError, key=said):
        read_checkpoint(say(tmp_path, "config.json", **changes))


@pytest.mark.parametrize("named", ["ViTImageProcessor", "ViTImageProcessorFast", "ViTFeatureExtractor", ...])
def test_what_a_preprocessor_does_not_say_is_what_its_class_does(named: Any, tmp_path: Path) -> None:
    checkpoint("vit", tmp_path)
    silent = dict.fromkeys(("resample", "image_mean", "image_std", "do_resize", "do_rescale"), ...)
    say(tmp_path, PREPROCESSOR, **silent, image_processor_type=named)
    processor = json.loads(read_checkpoint(tmp_path)[3].files["image_processor.json"])
    assert processor["mean"] == processor["deviation"] == [0.5] * 3
    assert processor["resize"]["filter"] == "bilinear"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": {"shortest_edge": SIDE}}, "size"),
        ({"size": {"height": 28, "width": 28}}, "image_size"),
        ({"size": {"longest_edge": 30}}, "size"),
        ({"size": 10**9}, "size"),
        ({"resample": 7}, "resample"),
        ({"resample": "sharp"}, "resample"),
        ({"rescale_factor": "1/255"}, "rescale_factor"),
        ({"image_mean": [0.5]}, "image_mean"),
        ({"image_mean": [0.5, 0.5, 2.0]}, "mean"),
        ({"image_std": [0.5, 0.5, 0.0]}, "deviation"),
        ({"do_pad": True}, "do_pad"),
        ({"do_center_crop": True, "crop_size": {"height": 70, "width": 70}}, "crop_size"),
        ({"do_flip": True}, "do_flip"),
    ],
    ids=lambda value: str(value),
)
def test_a_preprocessors_key_is_honoured_or_refused_by_name(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    checkpoint("vit", tmp_path)
    with refused(CheckpointError, key=said):
        read_checkpoint(say(tmp_path, PREPROCESSOR, **changes))
    (tmp_path / PREPROCESSOR).unlink()
    with refused(CheckpointError, where=PREPROCESSOR):
        read_checkpoint(tmp_path)


LOOKS: dict[str, tuple[str, dict[str, Any]]] = {
    "stretched": ("ViTImageProcessorPil", {}),
    "cropped": (
        "DeiTImageProcessorPil",
        {
            "size": {"height": SIDE + 6, "width": SIDE + 6},
            "resample": 3,
            "do_center_crop": True,
            "crop_size": {"height": SIDE, "width": SIDE},
        },
    ),
    "the shorter side": (
        "BitImageProcessorPil",
        {
            "size": {"shortest_edge": SIDE + 4},
            "resample": 3,
            "do_center_crop": True,
            "crop_size": {"height": SIDE, "width": SIDE},
        },
    ),
    "not rescaled": ("ViTImageProcessorPil", {"do_rescale": False, "image_mean": [90.0, 100.0, 110.0],
                                              "image_std": [50.0, 60.0, 70.0]}),
    "not centred": ("ViTImageProcessorPil", {"do_normalize": False}),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOKS)
@pytest.mark.parametrize("shape", [(61, 45), (40, 90)])
def test_images_are_made_as_the_library_makes_them(name: str, shape: tuple[int, int], tmp_path: Path) -> None:
    import transformers

    kind, changes = LOOKS[name]
    model = checkpoint("vit", tmp_path / "there")
    said = preprocessor(model.config, **changes)
    (tmp_path / "there" / PREPROCESSOR).write_text(json.dumps(said), "utf-8")
    import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False)
    path = tmp_path / "image.png"
    chance = np.random.default_rng(1)
    coarse = chance.integers(0, 256, (9, 7, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(shape[::-1], Image.Resampling.BICUBIC).save(path)
    run: Any = regard.load(tmp_path / "run")
    given = run.task._given(run.model, [str(path)])
    processor = getattr(transformers, kind)(**{k: v for k, v in said.items() if k != "image_processor_type"})
    want = processor(images=Image.open(path), return_tensors="pt")["pixel_values"]
    assert given.shape == want.shape == (1, CHANNELS, SIDE, SIDE)
    torch.testing.assert_close(given, want.to(torch.float32), atol=1e-4, rtol=1e-4)
    exported = export_checkpoint(tmp_path / "run", tmp_path / "back").folder
    import_checkpoint(exported, tmp_path / "again", compare=False)
    first, second = (
        parse(
            ImageProcessor,
            json.loads(bundles.load(tmp_path / run).tokenizers[IMAGE_PROCESSOR]),
            IMAGE_PROCESSOR,
        )
        for run in ("run", "again")
    )
    assert (first.resize, first.crop) == (second.resize, second.crop)
    assert np.allclose(first.mean, second.mean)
    assert np.allclose(first.deviation, second.deviation)


@pytest.mark.parametrize("problem", ["multi_label_classification", "regression", None])
@torch.no_grad()
def test_a_image_has_several_labels_or_a_number_as_the_checkpoint_says(
    problem: str | None, tmp_path: Path
) -> None:
    case = "vit" if problem == "multi_label_classification" else "vit of one output"
    model = checkpoint(case, tmp_path / "there")
    say(tmp_path / "there", "config.json", problem_type=problem)
    import_checkpoint(tmp_path / "there", tmp_path / "run")
    exported = export_checkpoint(tmp_path / "run", tmp_path / "back").folder
    assert json.loads((exported / "config.json").read_text("utf-8")).get("problem_type") == problem
    import_checkpoint(exported, tmp_path / "again")
    data = write_shades(tmp_path / "data")
    paths = [str(data / "dark" / "0.png"), str(data / "bright" / "1.png")]
    for folder in ("run", "again"):
        run: Any = regard.load(tmp_path / folder)
        logits = theirs(model, run.task._given(run.model, paths))
        found = run.predictions(paths)
        if problem == "multi_label_classification":
            names = list(model.config.id2label.values())
            want = [[name for name, x in zip(names, row, strict=True) if x >= 0] for row in logits.tolist()]
            assert [list(one.value.answer) for one in found] == want
        else:
            want = logits[:, 0] if problem else logits[:, 0].sigmoid()
            torch.testing.assert_close(torch.tensor([one.score for one in found]), want, atol=1e-4, rtol=1e-4)


def test_a_size_is_that_of_the_shape() -> None:
    assert Shorter(10).size(20, 35) == (10, 17)
    assert Shorter(10).size(35, 20) == (17, 10)
    assert Stretch(3, 4).size(20, 35) == (3, 4)


def write_shades(folder: Path) -> Path:
    """Dark and bright images of several sizes."""
    chance = np.random.default_rng(1)
    for number in range(24):
        label, least = (("dark", 0), ("bright", 156))[number % 2]
        path = folder / label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (40 + number, 50, 3)
        Image.fromarray(chance.integers(least, least + 100, shape, dtype=np.uint8)).save(path)
    return folder


@pytest.mark.parametrize("name", ["vit", "deit taught", "dinov2", "vit body", "dinov2 body"])
def test_another_training_begins_with_its_body_and_its_look(name: str, tmp_path: Path) -> None:
    checkpoint(name, tmp_path / "there")
    import_checkpoint(tmp_path / "there", tmp_path / "base", compare=False)
    data = write_shades(tmp_path / "data")
    options: dict[str, Any] = {"steps": 30, "quiet": True, "threads": 1, "settings": ("train.lr=1e-2",)}
    made = regard.train("image-classification", data, tmp_path / "run", init=tmp_path / "base", **options)
    run = regard.load(made.folder)
    base = bundles.load(tmp_path / "base")
    assert run.bundle.tokenizers[IMAGE_PROCESSOR] == base.tokenizers[IMAGE_PROCESSOR]
    assert run.bundle.model.stack == base.model.stack  # type: ignore[union-attr]
    paths = [str(data / "dark" / "0.png"), str(data / "bright" / "1.png")]
    assert [x.plain() for x in run.predict(paths)] == ["dark", "bright"]
    exported = export_checkpoint(made.folder, tmp_path / "back")
    assert exported.architecture == IMAGES[name][0] or exported.family == name.split()[0]


@torch.no_grad()
@pytest.mark.parametrize("name", ["vit body", "deit body", "dinov2 body"])
def test_a_body_without_classes_gives_vectors_and_refuses_labels(name: str, tmp_path: Path) -> None:
    """Of the first place, and of DINOv2 the mean of the patches beside it."""
    model = checkpoint(name, tmp_path / "there")
    made = import_checkpoint(tmp_path / "there", tmp_path / "run")
    assert any("it knows no labels yet" in note for note in made.notes)
    data = write_shades(tmp_path / "data")
    paths = [str(data / "dark" / "0.png"), str(data / "bright" / "1.png")]
    run: Any = regard.load(tmp_path / "run")
    hidden = theirs(model, run.task._given(run.model, paths))
    want = hidden[:, 0]
    if name.startswith("dinov2"):
        want = torch.cat([want, hidden[:, 1:].mean(1)], 1)
    got = torch.stack([torch.from_numpy(vector.numbers) for vector in run.predict(paths)])
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)
    (found,) = run.neighbours(paths[:1], paths, 2)
    assert found.ranked[0] == (paths[0], pytest.approx(1, abs=1e-5))
    assert all(finding.holds for finding in run.verify(paths))
    with refused(InputError, where="image-classification", key="labels"):
        run.evaluate(data)


@every
def test_it_is_verified_without_a_image(name: str, tmp_path: Path) -> None:
    checkpoint(name, tmp_path / "there")
    import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False)
    findings = regard.load(tmp_path / "run").verify()
    assert findings
    assert all(finding.holds for finding in findings)
