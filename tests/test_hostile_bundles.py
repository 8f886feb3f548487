"""A hostile bundle takes no more than a bounded time and memory, and is refused with the name of the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from regard.bundle import CONFIG, METRICS, WEIGHTS
from tests.bounded import took
from tests.hostile import JSON_TEXTS, TENSORS, Write

HARMLESS = ("30 MB of one text", "a long key")
"""What may be large and still mean nothing, beside a key that nobody asks for."""


def _copy(run: Path, folder: Path) -> Path:
    shutil.copytree(run, folder)
    return folder


def _recorded(folder: Path) -> None:
    """Let `config.json` say of small files what they are now."""
    from hashlib import sha256

    path = folder / CONFIG
    config = json.loads(path.read_text("utf-8"))
    for name, about in config["files"].items():
        about["bytes"] = (folder / name).stat().st_size
        if about["bytes"] < 1 << 28:
            about["sha256"] = sha256((folder / name).read_bytes()).hexdigest()
    path.write_text(json.dumps(config), "utf-8")


def _cases(run: Path, place: Path) -> list[tuple[str, str, Path]]:
    """File, what is wrong with it, folder."""
    found = []

    def add(name: str, what: str, write: Write, after: Callable[[Path], None] | None = None) -> None:
        folder = _copy(run, place / f"{len(found)}")
        write(folder / name)
        if after is not None:
            after(folder)
        found.append((name, what, folder))

    for name in sorted(path.name for path in run.iterdir() if path.suffix == ".json"):
        for what, write in JSON_TEXTS.items():
            add(name, what, write)
            if name not in (CONFIG, METRICS):
                add(name, f"{what}, recorded", write, _recorded)
    for what, write in TENSORS.items():
        add(WEIGHTS, what, write)
        add(WEIGHTS, f"{what}, recorded", write, _recorded)
    return found


@pytest.mark.slow
def test_every_file_of_a_bundle_is_measured_before_it_is_believed(labelled_run: Path) -> None:
    with TemporaryDirectory() as place:  # hundreds of megabytes, which nobody wants to keep
        cases = _cases(labelled_run, Path(place))
        results = took("load", labelled_run, [folder for *_, folder in cases])
    for (name, what, _), said in zip(cases, results, strict=True):
        said.check()
        if not what.startswith(HARMLESS):
            assert said.error == "BundleError", (name, what, said)
            named = (name, name.removesuffix(".json"), CONFIG)
            assert any(word in said.message for word in named), (name, what, said)
