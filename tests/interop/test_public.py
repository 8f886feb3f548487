"""Checkpoints that have a name: where they are looked for, what is believed, and what starts from them."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

import regard
from regard import bundle as bundles
from regard.cli.main import main
from regard.data.remote import RemoteFile
from regard.errors import BundleError, CheckpointError, DownloadError
from regard.interop import public
from regard.interop.public import (
    CHECKPOINTS,
    Package,
    PublicCheckpoint,
    find,
    imported,
    local_folder,
    located,
)
from regard.recipes import reproduce
from regard.recipes.table import Recipe
from tests.interop.families import checkpoint
from tests.shared import refused

NAMES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
Captured = pytest.CaptureFixture[str]
FURTHER: dict[str, Any] = {"steps": 2, "quiet": True, "threads": 1}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        return


@pytest.fixture
def home(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder with a tiny checkpoint, and the address at which it is served."""
    pytest.importorskip("transformers")
    folder = tmp_path / "home"
    checkpoint("bert body", folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def entry(home: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PublicCheckpoint:
    """The checkpoint under the name `little`, on a machine that has nothing yet."""
    for name in ("REGARD_DATA", "REGARD_MIRROR", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REGARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    folder, url = home
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in NAMES}
    files = {name: RemoteFile(f"{url}/{name}", sha256) for name, sha256 in sums.items()}
    package = Package("little_weights", "model")
    made = PublicCheckpoint("little", "a little BERT", "8 kB", "MIT", "here", "c0ffee", files, package)
    monkeypatch.setattr(public, "CHECKPOINTS", {"little": made})
    return made


def put(folder: Path, home: tuple[Path, str]) -> Path:
    folder.mkdir(parents=True)
    for name in NAMES:
        (folder / name).write_bytes((home[0] / name).read_bytes())
    return folder


def test_it_is_taken_from_the_nearest_place(
    entry: PublicCheckpoint, home: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of data, then the cache, then an installed package, then its home."""
    assert local_folder(entry) is None
    installed = put(tmp_path / "site" / "little_weights" / "model", home)
    (installed.parent / "__init__.py").write_text("raise SystemExit('it is never run')", "utf-8")
    importlib.invalidate_caches()  # it was just installed
    assert find(entry) == installed
    assert "little_weights" not in sys.modules
    cached = put(tmp_path / "cache" / "data" / "weights" / "little", home)
    assert find(entry) == cached
    own = put(tmp_path / "data" / "weights" / "little", home)
    monkeypatch.setenv("REGARD_DATA", str(tmp_path / "data"))
    assert find(entry) == own
    (own / "tokenizer.json").unlink()
    assert find(entry) == cached, "a folder that holds only a part of it is passed over"


def test_it_is_fetched_once_and_imported_once(
    entry: PublicCheckpoint, home: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    folder = imported(entry, lambda arrived, whole: told.append(arrived))
    assert told
    assert bundles.load(folder).task == "sentence-similarity"

    def never(*arguments: object, **options: object) -> None:
        raise AssertionError("it is in the cache")

    monkeypatch.setattr(public, "fetch", never)
    monkeypatch.setattr(public, "import_checkpoint", never)
    assert imported(entry) == folder
    assert find(entry) == local_folder(entry)


def test_files_that_are_not_the_published_ones_are_refused_by_name(
    entry: PublicCheckpoint, home: tuple[Path, str], tmp_path: Path
) -> None:
    cached = put(tmp_path / "cache" / "data" / "weights" / "little", home)
    (cached / "config.json").write_bytes((cached / "config.json").read_bytes() + b" ")
    with refused(CheckpointError, where="config.json", key="little", remedy="remove "):
        imported(entry)
    broken = replace(entry.files["config.json"], sha256="0" * 64)
    other = replace(entry, name="other", package=None, files={**entry.files, "config.json": broken})
    with pytest.raises(DownloadError, match="not what was promised"):
        imported(other)
    assert not (tmp_path / "cache" / "bundles").exists()


def test_a_name_is_what_is_there_or_else_the_checkpoint(
    entry: PublicCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    assert located("little") == find(entry)
    assert located("elsewhere") == Path("elsewhere")
    monkeypatch.setattr(sys, "argv", ["regard", "import", "little", str(tmp_path / "run"), "--no-compare"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code is None
    assert "BertModel for sentence-similarity" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    (tmp_path / "little").mkdir()
    assert located("little") == Path("little")


def test_a_recipe_trains_what_the_checkpoint_began(
    entry: PublicCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    data = tmp_path / "rows.tsv"
    rows = "".join(f"{'ab'[i % 2]}\tw{5 + i % 30} w6\n" for i in range(90))
    data.write_text(f"label\ttext\n{rows}", "utf-8")
    settings = ("train.lr=1e-30", "task.max_length=40", "train.average=none")
    recipe = Recipe("Letters", str(data), None, "accuracy", 50.0, "chance", settings, epochs=1, split="train")
    recipe = replace(recipe, task="text-classification", init="little")
    monkeypatch.setattr(reproduce, "RECIPES", {"letters": recipe})
    monkeypatch.setattr(reproduce, "CHECKPOINTS", {"little": entry})
    assert "trains 1 epochs from little (MIT)" in reproduce.recipe_lines()[1]
    reproduce.run_recipe("letters", tmp_path / "runs", 1, None, threads=1)
    said = capsys.readouterr().out
    assert re.search(r"accuracy: ours \d+\.\d\d after \d+ s of training, published 50\.00 \(chance\)", said)
    trained = tmp_path / "runs" / "letters-seed1"
    body, run = (bundles.load(folder).weights for folder in (imported(entry), trained))
    shared = [name for name in body if not name.startswith("head.")]
    assert len(shared) > 10
    assert all(torch.equal(body[name], run[name]) for name in shared)
    reproduce.run_recipe("letters", tmp_path / "runs", 1, None, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"name", "seed", "published", "seconds", "metrics"}
    made = (trained / "model.safetensors").stat().st_mtime_ns
    reproduce.run_recipe("letters", tmp_path / "runs", 1, None)
    assert "give --overwrite to train anew" in capsys.readouterr().err
    assert (trained / "model.safetensors").stat().st_mtime_ns == made
    reproduce.run_recipe("letters", tmp_path / "runs", 1, None, overwrite=True, threads=1)
    assert (trained / "model.safetensors").stat().st_mtime_ns > made


def test_a_checkpoint_where_a_bundle_belongs_says_how_to_make_one(
    home: tuple[Path, str], tmp_path: Path
) -> None:
    (tmp_path / "rows.tsv").write_text("label\ttext\na\tw5 w6\nb\tw7 w8\n" * 9, "utf-8")
    remedy = f"regard import {home[0]} RUN"
    with refused(BundleError, where=str(home[0]), remedy=remedy):
        regard.train("text-classification", tmp_path / "rows.tsv", tmp_path / "run", init=home[0], **FURTHER)
    assert not (tmp_path / "run").exists()
    with refused(BundleError, where=str(home[0]), remedy=remedy):
        regard.load(home[0])


def test_every_public_checkpoint_says_where_it_lives_and_what_its_files_are() -> None:
    assert CHECKPOINTS
    for name, entry in CHECKPOINTS.items():
        assert entry.name == name
        assert entry.licence
        assert {"config.json", "model.safetensors"} <= set(entry.files)
        for path, file in entry.files.items():
            assert file.url.startswith("https://")
            assert file.url.endswith(f"/{entry.commit}/{path}")
            assert len(file.sha256) == 64


def test_minilm_in_its_package_is_the_published_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGARD_DATA", str(tmp_path))
    monkeypatch.setenv("REGARD_CACHE", str(tmp_path / "cache"))
    entry = CHECKPOINTS["minilm"]
    folder = local_folder(entry)
    if folder is None:
        pytest.skip("needs tests/interop/weights.txt")
    assert find(entry) == folder
