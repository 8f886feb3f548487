"""What earlier versions made does what it did: bundles answer the same, stopped runs go on to the same end.

Each folder `vX.Y.Z` was written by that version (`make.py`), with what it answered. Only the command line
and `regard.load` are used here, so that what is renamed inside the package changes nothing.

Numbers may differ by 1e-5 (of scores near 1): other processors, and other versions of torch, add in another
order. On the machine that made them they are the same to the bit.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import answers, comparable, weights_hash
from moved import Origin, move
from safetensors.numpy import load_file

import regard

HERE = Path(__file__).resolve().parent
VERSIONS = {
    path.name: json.loads((path / "expected.json").read_text("utf-8")) for path in HERE.glob("v*.*.*")
}
BUNDLES = [(version, name) for version, made in VERSIONS.items() for name in made["bundles"]]
RUNS = [(version, name) for version, made in VERSIONS.items() for name in made["runs"]]
EXPORTED = [(version, name) for version, made in VERSIONS.items() for name in made["exported"]]
PAGES = [(version, name) for version, made in VERSIONS.items() for name in made["pages"]]
TOLERANCE = 1e-5
HERE_ONLY = ("--device", "cpu", "--threads", "1")

each_bundle = pytest.mark.parametrize(("version", "name"), BUNDLES)


def trace_of(version: str, name: str) -> list[str]:
    """The command that traces the bundle's first input."""
    first = VERSIONS[version]["bundles"][name][0]["answer"][0]["input"]
    return ["trace", name, first, "--json", f"{name}.trace.json", *HERE_ONLY]


def commands(version: str) -> list[list[str]]:
    """All that one version's folder is asked."""
    made = VERSIONS[version]
    asked = [one["arguments"] for some in made["bundles"].values() for one in some]
    asked += [trace_of(version, name) for name in made["bundles"]]
    asked += [["export", name, f"{name}.html", "--to", "html"] for name in made["pages"]]
    asked += [["export", name, f"{name}.hf", "--to", "hf"] for name in made["exported"]]
    asked += [[*one["arguments"], "--resume"] for one in made["runs"].values()]
    return asked


Answers = dict[tuple[str, ...], dict[str, Any]]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Version → a copy of its folder, whose runs were stopped there."""
    places = {}
    for version, made in VERSIONS.items():
        places[version] = shutil.copytree(HERE / version, tmp_path_factory.mktemp("before") / version)
        for name, run in made["runs"].items():
            move(places[version], name, Origin(**run["origin"]))
    return places


@pytest.fixture(scope="module")
def replies(folders: dict[str, Path]) -> dict[str, Answers]:
    """Version → command → what it answered, from one process a version: loading torch takes longest."""
    found = {}
    for version, folder in folders.items():
        every = commands(version)
        found[version] = dict(zip(map(tuple, every), answers(every, folder), strict=True))
    return found


def agree(now: Any, before: Any) -> None:
    """Everything that was answered before is answered again; more may be."""
    if isinstance(before, dict):
        assert before.keys() <= now.keys()
        for key, value in before.items():
            agree(now[key], value)
    elif isinstance(before, list):
        assert len(now) == len(before)
        for one, other in zip(now, before, strict=True):
            agree(one, other)
    elif isinstance(before, float):
        assert now == pytest.approx(before, rel=TOLERANCE, abs=TOLERANCE)
    else:
        assert now == before


@each_bundle
def test_a_bundle_predicts_and_evaluates_the_same(
    version: str, name: str, replies: dict[str, Answers]
) -> None:
    for one in VERSIONS[version]["bundles"][name]:
        answer = replies[version][tuple(one["arguments"])]
        assert answer["status"] == 0, answer["err"]
        agree(comparable(answer["out"]), one["answer"])


@each_bundle
def test_a_bundle_is_loaded_and_asked_from_python(
    version: str, name: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folders[version])  # images are named from there
    before = VERSIONS[version]["bundles"][name][0]
    length = {"max_length": 8} if "--max-length" in before["arguments"] else {}
    given = [one["input"] for one in before["answer"]]
    values = regard.load(name, device="cpu").predict(given, **length)
    assert [str(one) for one in values] == [one["predictions"][0]["text"] for one in before["answer"]]


@each_bundle
def test_a_bundle_is_traced(
    version: str, name: str, replies: dict[str, Answers], folders: dict[str, Path]
) -> None:
    answer = replies[version][tuple(trace_of(version, name))]
    assert answer["status"] == 0, answer["err"]
    assert json.loads((folders[version] / f"{name}.trace.json").read_text("utf-8"))


@pytest.mark.parametrize(("version", "name"), PAGES)
def test_a_bundle_becomes_a_page(
    version: str, name: str, replies: dict[str, Answers], folders: dict[str, Path]
) -> None:
    answer = replies[version]["export", name, f"{name}.html", "--to", "html"]
    assert answer["status"] == 0, answer["err"]
    assert (folders[version] / f"{name}.html").stat().st_size


@pytest.mark.parametrize(("version", "name"), EXPORTED)
def test_what_was_imported_is_exported_with_the_same_weights(
    version: str, name: str, replies: dict[str, Answers], folders: dict[str, Path]
) -> None:
    answer = replies[version]["export", name, f"{name}.hf", "--to", "hf"]
    assert answer["status"] == 0, answer["err"]
    file = folders[version] / f"{name}.hf" / "model.safetensors"
    assert weights_hash(file) == VERSIONS[version]["exported"][name]


@pytest.mark.parametrize(("version", "name"), RUNS)
def test_a_stopped_run_goes_on_to_the_end_that_it_would_have_had(
    version: str, name: str, replies: dict[str, Answers], folders: dict[str, Path]
) -> None:
    folder = folders[version]
    answer = replies[version][*VERSIONS[version]["runs"][name]["arguments"], "--resume"]
    assert answer["status"] == 0, answer["err"]
    ended = load_file(folder / name / "model.safetensors")
    whole = load_file(folder / "whole" / f"{name}.safetensors")
    assert ended.keys() == whole.keys()
    for key, value in whole.items():
        np.testing.assert_allclose(ended[key], value, rtol=TOLERANCE, atol=TOLERANCE, err_msg=key)
    now, before = (
        json.loads((folder / file).read_text("utf-8"))
        for file in (f"{name}/metrics.json", f"whole/{name}.json")
    )
    agree(now, before | {"seconds": now["seconds"]})
    log = [place / name / part / "log.jsonl" for place, part in ((HERE / version, "training"), (folder, ""))]
    first, all_ = (file.read_text("utf-8") for file in log)
    assert all_.startswith(first), "it began anew"
