"""Files that services and tools read: they are what those expect, and say what other files say."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from requirements import EXTRAS, PROJECT, ROOT, pinned

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def targets() -> set[str]:
    """What make can be asked for."""
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read_ends_and_runs_what_there_is(path: Any) -> None:
    content = read(str(path.relative_to(ROOT)))
    events = content[True]  # YAML 1.1 reads `on` as a truth value
    assert events.keys() <= {"push", "pull_request", "workflow_dispatch", "schedule"}
    assert content["permissions"] == {"contents": "read"}
    for name, job in content["jobs"].items():
        assert job["timeout-minutes"] <= 90, name
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"actions/[a-z-]+@(v\d+|[0-9a-f]{40})", step["uses"])
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
            words = step.get("run", "").split()
            if words[:1] == ["make"]:
                assert words[1] in targets()
            files = [word for word in words if word.startswith(("tests/", "docs/")) and word.endswith(".py")]
            assert all((ROOT / file).is_file() for file in files)


def test_every_kind_of_check_is_run_for_every_change() -> None:
    assert {"lint", "python", "lowest", "processors", "plain", "docs"} <= read(".github/workflows/test.yml")[
        "jobs"
    ].keys()


def test_hooks_before_a_commit_are_of_the_version_that_is_pinned() -> None:
    content = read(".pre-commit-config.yaml")
    revisions = {one["repo"].rpartition("/")[2]: one.get("rev") for one in content["repos"]}
    assert revisions["ruff-pre-commit"] == f"v{pinned()['ruff']}"
    assert all(one["hooks"] for one in content["repos"])
    assert re.compile(content["exclude"]).match("tests/compat/v0.1.0/data/pairs.tsv")


def test_actions_are_kept_new() -> None:
    content = read(".github/dependabot.yml")
    assert content["version"] == 2
    assert [one["package-ecosystem"] for one in content["updates"]] == ["github-actions"]


def test_the_citation_has_what_its_form_demands_and_says_what_the_package_says() -> None:
    content = read("CITATION.cff")
    assert content.keys() >= {"cff-version", "message", "title", "authors"}
    assert content["cff-version"] == "1.2.0"
    assert content["type"] == "software"
    assert content["license"] == PROJECT["license"]
    assert [one["name"] for one in content["authors"]] == [one["name"] for one in PROJECT["authors"]]
    assert content["url"] == PROJECT["urls"]["Homepage"]
    assert content["repository-code"] == PROJECT["urls"]["Repository"]
    assert "version" not in content  # it stands in regard/__init__.py alone


def test_the_project_says_where_it_is_and_for_whom() -> None:
    assert {"Homepage", "Documentation", "Repository", "Changelog", "Issues"} <= PROJECT["urls"].keys()
    assert len(PROJECT["keywords"]) == len(set(PROJECT["keywords"])) > 4
    assert PROJECT["classifiers"] == sorted(PROJECT["classifiers"], key=_by_number)
    assert not [line for line in PROJECT["classifiers"] if line.startswith("License ::")]  # said by `license`


def _by_number(line: str) -> tuple[Any, ...]:
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", line))


def test_former_names_of_extras_are_what_they_were_called_later() -> None:
    assert EXTRAS["pictures"] == ["regard[images]"]
    assert EXTRAS["digits"] == ["regard[demo]"]
