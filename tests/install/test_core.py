"""The core does its work without any optional package, and says of each that is missing how to install it."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from requirements import EXTRAS, PROJECT, installed, unmet
from tiny import options, write_pairs

from regard.data.builtin import BUILTIN, installing

_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

# Finds the modules of the core and no other, as if the rest were not installed.
_HIDE = """
import sys
from importlib.machinery import PathFinder
from importlib import metadata
hidden, packages = set({hidden!r}), set({packages!r})

class Core:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.partition(".")[0] in hidden else PathFinder.find_spec(name, path, target)

    @staticmethod
    def find_distributions(context):
        known = PathFinder.find_distributions(context)
        return [one for one in known if one.metadata["Name"].lower() not in packages]

sys.meta_path[:] = [one for one in sys.meta_path if one is not PathFinder] + [Core]
from regard.cli.main import main
"""


def hidden() -> tuple[list[str], list[str]]:
    """The modules, and the distributions, that the core does not bring."""
    core: set[str] = set()
    everything = installed()

    def add(name: str) -> None:
        if name not in core:
            core.add(name)
            for line in everything[name].requires if name in everything else ():
                below = Requirement(line)
                if below.marker is None or below.marker.evaluate({"extra": ""}):
                    add(canonicalize_name(below.name))

    for line in PROJECT["dependencies"]:
        add(canonicalize_name(Requirement(line).name))
    by_module = {
        module: {canonicalize_name(name) for name in names}
        for module, names in metadata.packages_distributions().items()
    }
    modules = [module for module, names in by_module.items() if not names & {*core, PROJECT["name"]}]
    packages = {name for names in by_module.values() for name in names} - core
    return sorted(modules), sorted(packages)


@pytest.fixture(scope="module")
def core():
    modules, packages = hidden()
    assert {"plotly", "pyarrow", "numba", "PIL", "sklearn", "pypinyin", "babel"} <= set(modules)
    start = _HIDE.format(hidden=modules, packages=packages)

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        program = f"{start}\nsys.argv = ['regard', *{[*map(str, arguments)]!r}]\nmain()"
        command = [sys.executable, "-W", "error", "-c", program]
        return subprocess.run(command, capture_output=True, text=True, timeout=200)

    return run


@pytest.fixture(scope="module")
def bundle(core, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("core")
    pairs = write_pairs(folder / "pairs.tsv")
    answer = core("train", "translation", pairs, "--out", folder / "run", "--steps", "20", *options())
    assert answer.returncode == 0, answer.stderr
    return folder / "run"


def test_the_core_trains_evaluates_predicts_traces_and_exports(core, bundle: Path) -> None:
    answer = core("predict", bundle, "abc", "--json", "--threads", "1")
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["input"] == "abc"
    assert json.loads((bundle / "metrics.json").read_text("utf-8"))
    for command in (["evaluate", bundle], ["trace", bundle, "abc"], ["data"]):
        answer = core(*command)
        assert answer.returncode == 0, answer.stderr
    page = bundle.with_name("page.html")
    for command in (["export", bundle, page, "--to", "html"], ["trace", bundle, "abc", "--html", page]):
        page.unlink(missing_ok=True)
        answer = core(*command)
        assert answer.returncode == 0, answer.stderr
        assert page.is_file()


@pytest.mark.parametrize(
    ("command", "package", "extra"),
    [
        (["figure", "RUN", "abc", "--of", "alignment", "--out", "OUT.html"], "plotly", "figures"),
        (["demo", "--out", "OUT"], "plotly", "figures"),
        (["train", "translation", "OUT.parquet", "--out", "OUT"], "pyarrow", "parquet"),
        (["look", "RUN", "--no-open"], "fastapi, uvicorn and plotly", "serve"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_is_missing_is_one_sentence_with_the_command(
    core, bundle: Path, tmp_path: Path, command: list[str], package: str, extra: str
) -> None:
    (tmp_path / "OUT.parquet").write_bytes(b"PAR1")
    places = {"RUN": str(bundle), "OUT": str(tmp_path / "OUT")}
    words = [word.replace("RUN", places["RUN"]).replace("OUT", places["OUT"]) for word in command]
    answer = core(*words)
    assert answer.returncode == 2, answer.stderr
    assert package in answer.stderr
    assert f": pip install 'regard[{extra}]'" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert extra in EXTRAS


@pytest.mark.parametrize("name", [name for name, entry in BUILTIN.items() if entry.package])
def test_a_built_in_set_that_is_not_there_is_one_sentence_with_the_command(core, name: str) -> None:
    answer = core("data", name)
    package = str(BUILTIN[name].package)
    assert answer.returncode == 2, answer.stderr
    assert answer.stderr.strip().endswith(f"'{name}' needs the package {package}: {installing(package)}")


def test_what_the_core_asks_for_is_enough_for_it() -> None:
    assert unmet(map(Requirement, PROJECT["dependencies"]), installed(), _PYTHON) == []
