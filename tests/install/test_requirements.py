"""Whoever has a Python that is promised can install all of it: what is asked for, and what that brings."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from requirements import (
    CONSTRAINTS,
    EXTRAS,
    GROUPS,
    PROJECT,
    PYTHONS,
    ROOT,
    Package,
    full,
    installed,
    lowest,
    pinned,
    requirements,
    unmet,
)

import regard
from regard.data.builtin import BUILTIN, installing

INSTALLED_GROUPS = ["dev", "docs", "browser", "peers"]
"""Of `make setup`; the others need packages that do not fit the CPU build of torch."""

each_python = pytest.mark.parametrize("python", PYTHONS)


def test_the_pythons_that_are_promised_begin_with_the_lowest_and_have_no_gap() -> None:
    minors = [int(python.partition(".")[2]) for python in PYTHONS]
    assert minors == list(range(minors[0], minors[-1] + 1))
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    assert len(PYTHONS) >= 4


def test_the_public_workflow_runs_every_python_that_is_promised() -> None:
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8")
    listed = re.findall(r"^ +python: (\[.*\])$", workflow, re.MULTILINE)
    assert [json.loads(line) for line in listed] == [PYTHONS]


@each_python
def test_what_is_pinned_gives_each_python_all_that_is_asked_for(python: str) -> None:
    assert unmet(requirements(INSTALLED_GROUPS), installed(), python) == []


def test_what_a_package_brings_or_refuses_on_another_python_is_seen() -> None:
    known = {
        "a": Package("2.0", ("b>=3; python_version >= '3.13'", "c; extra == 'more'", "d<2")),
        "b": Package("2.5"),
        "d": Package("1.9", (), "<3.13"),
    }
    asked = [Requirement("a[more]>=1")]
    assert unmet([Requirement("a")], known, "3.12") == []
    assert unmet(asked, known, "3.12") == ["a needs c, which is not there"]
    assert sorted(unmet(asked, known, "3.13")) == [
        "a needs b>=3, not 2.5",
        "a needs c, which is not there",
        "d 1.9 wants Python <3.13",
    ]
    assert unmet([Requirement("a<2")], known, "3.12") == ["regard needs a<2, not 2.0"]


def test_every_requirement_promises_one_lowest_version_and_no_highest() -> None:
    every = requirements(GROUPS)
    assert lowest(every)
    assert all(len(one.specifier) == 1 for one in every)


def test_the_core_brings_nothing_that_refuses_a_newer_python_or_has_no_licence() -> None:
    core = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    assert len(core) == 9
    assert not {"misaki", "addict"} & {*core, *pinned(), *(one.name for one in requirements(GROUPS))}


def test_the_extra_all_is_all_of_them() -> None:
    aliases = {name for name, lines in EXTRAS.items() if lines[0].startswith("regard[")}
    (everything,) = map(Requirement, EXTRAS["all"])
    assert everything.extras == EXTRAS.keys() - aliases


def test_the_version_stands_in_one_place() -> None:
    assert "version" not in PROJECT
    assert PROJECT["dynamic"] == ["version"]
    assert regard.__version__


def test_what_brings_a_built_in_set_is_in_the_extra_or_comes_alone_by_its_hash() -> None:
    extra = {Requirement(line).name for line in EXTRAS["demo"]}
    brought = {entry.package for entry in BUILTIN.values()} - {None}
    assert brought - extra == {"misaki"}
    words = shlex.split(installing("misaki"))
    assert {"--no-deps", "--ignore-requires-python", "--require-hashes"} <= set(words)
    lines = [line for line in Path(words[-1]).read_text("utf-8").splitlines() if not line.startswith("#")]
    assert len(lines) == 1
    assert lines[0].startswith("misaki==")
    assert "--hash=sha256:" in lines[0]


# ------------------------------------------------------------------------------ with the package index


def pip_says(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def needs_index(answer: subprocess.CompletedProcess[str]) -> None:
    """Without a network nothing can be asked; continuous integration has one."""
    lost = ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError", "connection error")
    if answer.returncode and any(word in answer.stderr for word in lost) and not os.environ.get("CI"):
        pytest.skip("the package index cannot be reached")
    assert answer.returncode == 0, answer.stderr


@pytest.fixture(scope="module")
def resolved(tmp_path_factory: pytest.TempPathFactory) -> Iterable[Mapping[str, Future[Package]]]:
    """pip's resolver on each Python, all at once; it reads what packages say, and fetches none."""
    folder = tmp_path_factory.mktemp("resolved")
    (folder / "asked.txt").write_text("\n".join(map(str, requirements())), "utf-8")

    def resolve(python: str) -> subprocess.CompletedProcess[str]:
        how = ["--dry-run", "--ignore-installed", "--only-binary=:all:", "--target", str(folder / "none")]
        which = ["--python-version", full(python), "-c", str(CONSTRAINTS), "-r", str(folder / "asked.txt")]
        return pip_says(*how, *which, "--report", str(folder / f"{python}.json"))

    with ThreadPoolExecutor() as pool:
        yield folder, {python: pool.submit(resolve, python) for python in PYTHONS}


@pytest.mark.slow
@each_python
def test_pips_resolver_finds_every_extra_ready_made_for_each_python(resolved, python: str) -> None:
    folder, answers = resolved
    needs_index(answers[python].result())
    report = json.loads((folder / f"{python}.json").read_text("utf-8"))
    found = {
        canonicalize_name(one["name"]): Package(
            one["version"], tuple(one.get("requires_dist", ())), one.get("requires_python", "")
        )
        for one in (entry["metadata"] for entry in report["install"])
    }
    assert unmet(requirements(), found, python) == []


@pytest.mark.slow
def test_the_command_that_a_missing_lexicon_names_brings_it_and_nothing_else(tmp_path: Path) -> None:
    words = shlex.split(installing("misaki"))
    assert words[:2] == ["pip", "install"]
    needs_index(pip_says("--target", str(tmp_path), *words[2:]))
    assert (tmp_path / "misaki" / "data" / "us_gold.json").is_file()
    assert {path.name.partition("-")[0] for path in tmp_path.iterdir()} == {"misaki"}
