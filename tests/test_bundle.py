"""A bundle that loads is the one that was saved."""

from __future__ import annotations

import os
import shutil
import threading
import time
from dataclasses import replace

import pytest
import torch
from bundles import MODELS, make

from regard.bundle import load, save
from regard.errors import BundleError, StorageError
from regard.weights import read_header
from tests.shared import refused


@pytest.fixture
def folder(tmp_path):
    save(make(), tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("name", MODELS)
def test_a_bundle_survives_saving_and_loading(tmp_path, name):
    saved = make(name)
    save(saved, tmp_path)
    found = load(tmp_path)
    assert replace(found, weights={}) == replace(saved, weights={})
    built = found.build()
    assert not built.training
    state = built.state_dict()
    assert state.keys() == saved.weights.keys()
    assert all(torch.equal(state[key], weight) for key, weight in saved.weights.items())


def test_a_model_from_a_bundle_is_still_tied(tmp_path):
    save(make("three-way"), tmp_path)
    model = load(tmp_path).build()
    assert model.head.weight is model.target.weight is model.source.weight


def test_a_tied_weight_is_stored_once(folder):
    weights = make().weights
    stored = read_header(folder / "model.safetensors")
    assert len(stored) == len({weight.data_ptr() for weight in weights.values()}) < len(weights)


def test_loading_uses_up_no_random_numbers(folder):
    before = torch.random.get_rng_state()
    load(folder).build()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_loaded_bundle_can_be_saved_over_itself(folder):
    save(load(folder), folder)
    assert load(folder).metrics == {"bleu": 41.5}


def test_figures_that_are_not_finite_become_null(tmp_path):
    save(make(metrics={"perplexity": float("inf"), "per": [float("nan"), 1.0]}), tmp_path)
    assert load(tmp_path).metrics == {"perplexity": None, "per": [None, 1.0]}


def test_weights_that_share_memory_without_being_tied_are_stored_whole(tmp_path):
    saved = make("untied")
    flat = torch.cat([weight.flatten() for weight in saved.weights.values()])
    parts = flat.split([weight.numel() for weight in saved.weights.values()])
    views = {
        key: part.view(weight.shape) for (key, weight), part in zip(saved.weights.items(), parts, strict=True)
    }
    save(replace(saved, weights=views), tmp_path)
    assert all(torch.equal(load(tmp_path).weights[key], view) for key, view in views.items())


def test_weights_that_are_not_the_models_are_not_saved(folder):
    good = make()
    name = "target.weight"
    for weights, parts in [
        ({}, {"key": "target.weight", "where": "the bundle"}),
        ({**good.weights, "extra": torch.zeros(1)}, {"key": "extra", "where": "the bundle"}),
        (
            {**good.weights, name: good.weights[name].double()},
            {"key": "target.weight", "value": "F64 [11, 6]", "limit": "F32 [11, 6]", "where": "the bundle"},
        ),
        (
            {**good.weights, name: good.weights[name] + 1},
            {"key": "source.weight", "limit": "target.weight", "where": "the bundle"},
        ),
    ]:
        with refused(BundleError, **parts):
            save(replace(good, weights=weights, metrics={"new": 1}), folder)
        with refused(BundleError, **parts):
            replace(good, weights=weights).build()
    assert load(folder).metrics == {"bleu": 41.5}


def test_no_room_is_said_before_anything_is_written(folder, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with refused(StorageError, value="3.1 kB", limit="10 bytes"):
        save(make(seed=2), folder)
    assert load(folder).training["seed"] == 1


def test_a_disk_that_fills_up_while_writing_keeps_the_old_bundle(folder):
    import resource

    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
    try:
        with pytest.raises(StorageError):
            save(make(seed=2), folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert load(folder).training["seed"] == 1
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == []


def test_every_file_can_be_read_by_whom_the_user_lets(folder):
    (folder / "other").touch()
    modes = {path.stat().st_mode for path in folder.iterdir() if path.is_file()}
    assert len(modes) == 1


def test_a_reader_beside_a_writer_sees_whole_bundles_only(folder):
    stop = threading.Event()
    failures: list[Exception] = []

    def write() -> None:
        seed = 1
        while not stop.is_set():
            seed += 1
            save(make(seed=seed, metrics={"seed": seed}), folder)
            time.sleep(pause)

    save(make(seed=1, metrics={"seed": 1}), folder)
    began = time.monotonic()
    load(folder)
    pause = 5 * (time.monotonic() - began)  # a reader must have a chance, however slow the machine
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(30):
            found = load(folder)
            assert found.metrics["seed"] == found.training["seed"]
    except BundleError as error:
        failures.append(error)
    finally:
        stop.set()
        writer.join()
    assert not failures


def test_a_file_that_is_cut_short_after_it_was_loaded_does_no_harm(folder):
    loaded = load(folder)
    before = {name: weight.clone() for name, weight in loaded.weights.items()}
    os.truncate(folder / "model.safetensors", 100)
    assert all(torch.equal(loaded.weights[name], weight) for name, weight in before.items())
    loaded.build()
