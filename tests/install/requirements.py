"""What pyproject.toml asks for, and whether a set of packages can give it on another Python.

python tests/install/requirements.py    writes the lowest versions that are promised, as constraints for pip
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = ROOT / "constraints.txt"
_FILE = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = _FILE["project"]
EXTRAS: Mapping[str, list[str]] = PROJECT["optional-dependencies"]
GROUPS: Mapping[str, list[str]] = _FILE["dependency-groups"]
PYTHONS = [
    last
    for line in PROJECT["classifiers"]
    if "." in (last := line.rpartition(" ")[2]) and "Python ::" in line
]
"""The Pythons that are promised, as `3.11`."""

_PATCH = "9"  # a release of each that all packages accept; some refuse the very first of 3.11


@dataclass(frozen=True)
class Package:
    """What a distribution says of itself."""

    version: str
    requires: tuple[str, ...] = ()
    python: str = ""


def requirements(groups: Iterable[str] = ()) -> list[Requirement]:
    """What the package and all of its extras need, and these groups of the developers."""
    lines = [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
    lines += [line for group in groups for line in GROUPS[group]]
    every = {str(one): one for one in map(Requirement, lines) if one.name != PROJECT["name"]}
    return list(every.values())


def full(python: str) -> str:
    """`3.11` → a release of it."""
    return f"{python}.{_PATCH}"


def unmet(wanted: Iterable[Requirement], known: Mapping[str, Package], python: str) -> list[str]:
    """What is missing, too old, too new or refuses that Python, of `wanted` and all that it brings.

    pip evaluates the conditions of requirements for the Python that it runs on, even when it is asked about
    another one; here they are those of `python`.
    """
    problems: dict[str, None] = {}
    queue = [(one, PROJECT["name"]) for one in wanted]
    seen: set[tuple[str, str]] = set()
    while queue:
        one, by = queue.pop()
        name = canonicalize_name(one.name)
        if not _applies(one, python, ""):
            continue
        package = known.get(name)
        if package is None:
            problems[f"{by} needs {one}, which is not there"] = None
            continue
        if not one.specifier.contains(package.version, prereleases=True):
            problems[f"{by} needs {one}, not {package.version}"] = None
        if package.python and not Requirement(f"x{package.python}").specifier.contains(full(python)):
            problems[f"{name} {package.version} wants Python {package.python}"] = None
        for extra in ("", *sorted(one.extras)):
            if (name, extra) not in seen:
                seen.add((name, extra))
                queue += [(below, name) for below in _brought(package, python, extra)]
    return list(problems)


def _brought(package: Package, python: str, extra: str) -> Iterator[Requirement]:
    for below in map(Requirement, package.requires):
        if _applies(below, python, extra):
            below.marker = None  # decided
            yield below


def _applies(one: Requirement, python: str, extra: str) -> bool:
    versions = {"python_version": python, "python_full_version": full(python), "extra": extra}
    return one.marker is None or one.marker.evaluate({**default_environment(), **versions})


def pinned() -> dict[str, str]:
    """Name → version of constraints.txt."""
    lines = CONSTRAINTS.read_text("utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def installed() -> dict[str, Package]:
    """What this environment has, at the version of constraints.txt; of the rest, only that version."""
    found = {name: Package(version) for name, version in pinned().items()}
    for one in metadata.distributions():
        name = canonicalize_name(one.metadata["Name"])
        if name in found and one.version.partition("+")[0] == found[name].version:
            asks = one.metadata.get("Requires-Python") or ""
            found[name] = Package(found[name].version, tuple(one.requires or ()), asks)
    return found


def lowest(wanted: Iterable[Requirement]) -> dict[str, str]:
    """Name → the lowest version that is promised of each."""
    found: dict[str, str] = {}
    for one in wanted:
        bounds = [part.version for part in one.specifier if part.operator == ">="]
        assert len(bounds) == 1, f"{one} must promise one lowest version"
        name = canonicalize_name(one.name)
        found[name] = max(found.get(name, "0"), bounds[0], key=Version)
    return found


if __name__ == "__main__":
    print("\n".join(f"{name}=={version}" for name, version in sorted(lowest(requirements()).items())))
