"""Anything but a bundle that was saved is refused by name."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from bundles import MODELS, accept, edit, make, refusal, rewrite
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from regard import bundle as module
from regard.bundle import FORMAT, load, save
from regard.errors import BundleError
from regard.model.transformer import ModelConfig
from regard.schema import parse
from regard.weights import read_header, read_weights, write_weights
from tests.shared import refused


@pytest.fixture
def folder(tmp_path):
    save(make(), tmp_path / "run")
    return tmp_path / "run"


def test_a_place_that_is_no_bundle_says_so(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    assert "does not exist" in refusal(tmp_path / "none")
    assert "is a file, not a bundle" in refusal(tmp_path / "file")
    assert "is not a bundle: it has no config.json" in refusal(tmp_path / "empty")
    (tmp_path / "begun" / "training").mkdir(parents=True)
    assert "go on with --resume" in refusal(tmp_path / "begun")


@pytest.mark.parametrize(
    "name", ["model.safetensors", "tokenizer.json", "tokenizer.target.json", "metrics.json"]
)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    assert f"{name} is missing" in refusal(folder)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "tokenizer.json", "tokenizer.target.json", "metrics.json", "config.json"]
)
def test_a_truncated_file_is_named(folder, name):
    content = (folder / name).read_bytes()
    for kept in {0, 1, 7, 8, len(content) // 2, len(content) - 2} - {len(content)}:
        if kept < len(content):
            (folder / name).write_bytes(content[:kept])
            assert name in refusal(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.update(format=FORMAT + 1), "from a newer regard"),
        (lambda data: data.update(format=0), "format is 0; it must be 1"),
        (lambda data: data.update(format="1"), "format must be an integer"),
        (lambda data: data.update(taks="x"), "taks is not a known key; did you mean 'task'?"),
        (lambda data: data.pop("task"), "task is missing"),
        (
            lambda data: data["model"].update(tyin="none"),
            "model.tyin is not a known key; did you mean 'tying'?",
        ),
        (lambda data: data["model"]["encoder"].update(widht=6), "model.encoder.widht is not a known key"),
        (lambda data: data["model"].update(kind="encoder_decoder"), "did you mean 'encoder-decoder'?"),
        (lambda data: data["model"]["encoder"].update(depth=10**12), "depth is 1000000000000"),
        (lambda data: data["model"]["encoder"].update(width=10**12), "width is 1000000000000"),
        (lambda data: data["model"]["target"].update(vocab=10**15), ""),
        (lambda data: data["model"]["encoder"].update(depth=2), "is missing"),
        (lambda data: data["model"]["encoder"].update(depth=0), ""),
        (lambda data: data["model"]["encoder"]["attention"].update(heads=0), ""),
        (lambda data: data["files"].pop("model.safetensors"), "files.model.safetensors is missing"),
        (lambda data: data["files"].update({"../x.json": {"bytes": 1, "sha256": ""}}), "cannot be a file"),
        (lambda data: data["files"]["tokenizer.json"].update(sha256="0"), "tokenizer.json is damaged"),
    ],
)
def test_a_wrong_configuration_is_refused(folder, change, message):
    edit(folder, change)
    assert message in refusal(folder)


def test_a_wrong_weight_is_refused_by_name(folder):
    good = dict(load(folder).weights)
    name = "target.weight"
    for weights, message in [
        ({key: value for key, value in good.items() if key != name}, f"the weight '{name}' is missing"),
        ({**good, "extra": torch.zeros(2)}, "the model has no weight 'extra'"),
        ({**good, name: good[name][:-1]}, f"the weight '{name}' is F32 [10, 6], the model's is F32 [11, 6]"),
        ({**good, name: good[name].half()}, f"the weight '{name}' is F16"),
    ]:
        rewrite(folder, weights)
        assert message in refusal(folder)


def test_a_flipped_bit_is_refused(folder):
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-3] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    assert "model.safetensors is damaged" in refusal(folder)


class Bomb:
    def __reduce__(self) -> Any:
        return os.mkdir, ("exploded",)


def test_a_pickle_is_never_read(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    zipped = io.BytesIO()
    torch.save({"weight": torch.zeros(1), "bomb": Bomb()}, zipped)
    for content in (zipped.getvalue(), pickle.dumps(Bomb())):
        (folder / "model.safetensors").write_bytes(content)
        assert "is a pickle" in refusal(folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "pytorch_model.bin may be a pickle" in refusal(folder)
    assert not (tmp_path / "exploded").exists()


def header(claims: Any, room: int = 16) -> bytes:
    text = json.dumps(claims).encode()
    return struct.pack("<Q", len(text)) + text + bytes(room)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (struct.pack("<Q", 1 << 60) + b"{}", "it claims a header of"),
        (struct.pack("<Q", 2) + b"[]", "not a JSON object"),
        (struct.pack("<Q", 2) + b"{]", "not JSON"),
        (struct.pack("<Q", 50_000) + b"[" * 50_000, "not JSON"),
        (header({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}), "does not fit"),
        (header({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 16]}}), "does not fit"),
        (header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [16, 0]}}), "does not fit"),
        (header({"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}}), "does not say what 'a' is"),
        (
            header({"a": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}),
            "does not say what 'a' is",
        ),
        (header({"a": {"dtype": "F99", "shape": [4], "data_offsets": [0, 16]}}), "does not say what 'a' is"),
        (header({"a": {"dtype": [], "shape": [4], "data_offsets": [0, 16]}}), "does not say what 'a' is"),
        (header({"a": 3}), "does not say what 'a' is"),
    ],
)
def test_a_header_that_lies_is_refused_before_memory_is_taken(folder, content, message):
    (folder / "model.safetensors").write_bytes(content)
    assert message in refusal(folder)
    with pytest.raises(BundleError):
        read_weights(folder / "model.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", sorted(module.weights_of(parse(ModelConfig, MODELS["three-way"]), "x")))
def test_a_weight_that_is_not_finite_is_refused_by_name_when_saved_and_when_loaded(folder, name, value):
    weights = {key: weight.clone() for key, weight in read_weights(folder / "model.safetensors").items()}
    weights[name].view(-1)[-1] = value
    with pytest.raises(BundleError, match=f"'{name}' holds {value}, which is no finite number"):
        save(make(weights=weights), folder)
    rewrite(folder, weights)
    assert f"'{name}' holds {value}" in refusal(folder)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16, torch.complex64])
def test_a_type_that_is_not_supported_is_not_called_damage(tmp_path, dtype):
    path = tmp_path / "weights"
    safetensors.torch.save_file({"a": torch.ones(3).to(dtype)}, path)
    with refused(BundleError, key="a", where="weights"):
        read_header(path)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_every_type_of_number_is_looked_at(tmp_path, dtype):
    path = tmp_path / "weights.safetensors"
    good = {"a": torch.full((257,), torch.finfo(dtype).max, dtype=dtype), "b": torch.ones((), dtype=dtype)}
    write_weights(path, good | {"c": torch.tensor([], dtype=dtype), "d": torch.tensor([True, False])})
    assert read_weights(path)["a"].dtype == dtype
    for value in (float("nan"), float("inf"), -float("inf")):
        for place in (0, 131, 256):
            bad = good["a"].clone()
            bad[place] = value
            write_weights(path, good | {"a": bad})
            with refused(BundleError, key="a", where="weights.safetensors"):
                read_weights(path)


def test_a_size_that_is_not_the_recorded_one_is_seen_before_anything_is_read(folder, monkeypatch):
    monkeypatch.setattr(module, "read_weights", lambda *_: pytest.fail("it was read"))
    for name in ("tokenizer.json", "model.safetensors"):
        copy = folder.with_name(f"copy {name}")
        shutil.copytree(folder, copy)
        os.truncate(copy / name, 50 << 30)
        assert name in refusal(copy)


def test_more_tensors_than_the_machine_has_memory_are_refused_before_any_is_taken(tmp_path, monkeypatch):
    path = tmp_path / "weights.safetensors"
    write_weights(path, {"a": torch.ones(1000)})
    monkeypatch.setattr(os, "sysconf", lambda name: 10)
    monkeypatch.setattr(torch, "empty", lambda *_, **__: pytest.fail("memory was taken"))
    with refused(BundleError, value="4.0 kB", limit="100 bytes", where="weights.safetensors"):
        read_weights(path)


# ------------------------------------------------------------------------------------- fuzz

FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def paths(data: object, here: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where a value stands in a configuration."""
    if not isinstance(data, dict):
        return [here]
    return [here, *(path for key, value in data.items() for path in paths(value, (*here, key)))]


def loads_or_refuses(folder: Path) -> None:
    message = ""
    try:
        load(folder).build()
    except BundleError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 1000


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz") / "run"
    save(make(), folder)
    return folder


@FUZZ
@given(st.data())
def test_any_value_anywhere_in_the_configuration_loads_or_is_refused(victim, data):
    original = (victim / "config.json").read_text()
    config = json.loads(original)
    where = data.draw(st.sampled_from([path for path in paths(config) if path]))
    inner = config
    for key in where[:-1]:
        inner = inner[key]
    action = data.draw(st.sampled_from(["replace", "remove", "add"]))
    if action == "replace":
        inner[where[-1]] = data.draw(VALUES)
    elif action == "remove":
        del inner[where[-1]]
    else:
        inner[data.draw(st.text(max_size=5))] = data.draw(VALUES)
    try:
        (victim / "config.json").write_text(json.dumps(config))
        loads_or_refuses(victim)
    finally:
        (victim / "config.json").write_text(original)


@FUZZ
@example("config.json", 0, b"\xff\xfe", False)
@given(
    st.sampled_from(["config.json", "model.safetensors", "model.safetensors", "metrics.json"]),
    st.integers(0, 6000),
    st.binary(min_size=1, max_size=12),
    st.booleans(),
)
def test_any_bytes_anywhere_in_any_file_load_or_are_refused(victim, name, offset, noise, accepted):
    original = {path.name: path.read_bytes() for path in victim.iterdir()}
    content = original[name]
    offset %= len(content)
    try:
        (victim / name).write_bytes(content[:offset] + noise + content[offset + len(noise) :])
        if accepted and name == "model.safetensors":
            accept(victim)
        loads_or_refuses(victim)
    finally:
        for file, old in original.items():
            (victim / file).write_bytes(old)
