"""What the READMEs tell a reader to type can be typed, and what they point at is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from regard.cli.main import app

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "README.zh-CN.md")
PAGES = {"README.md": "docs/usage.md", "README.zh-CN.md": "docs/usage.zh.md"}
BLOCK = re.compile(r"^ {4}(regard .*)$", re.MULTILINE)
INLINE = re.compile(r"`(regard [a-z][^`]*)`")


def text_of(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def parsed(line: str) -> str:
    """The command that a line is; it is not run. Raises what the command line says of a wrong one."""
    group: Any = typer.main.get_command(app)
    _, *words = shlex.split(line, comments=True)
    with group.make_context("regard", list(words)) as context:
        if not words or words[0].startswith("-"):
            return ""
        name, command, rest = group.resolve_command(context, words)
        with command.make_context(name, rest, parent=context):
            return str(name)


@pytest.mark.parametrize(
    ("name", "least"), [*((name, 10) for name in PAGES), *((name, 25) for name in PAGES.values())]
)
def test_every_command_of_a_page_can_be_typed_as_it_stands(name: str, least: int) -> None:
    inline = [line for line in INLINE.findall(text_of(name)) if len(line.split()) > 2]
    lines = [*BLOCK.findall(text_of(name)), *inline]
    assert len(lines) > least
    for line in lines:
        assert not re.search(r"\s{2,}[^#\s]", line), f"what follows the command is no comment: {line}"
        if line != "regard --help":
            assert parsed(line), line


def test_the_help_of_every_command_gives_examples_that_can_be_typed() -> None:
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        examples = re.findall(r"regard .*?(?=$|, or: )", command.epilog or "", re.MULTILINE)
        assert examples, name
        for line in examples:
            assert parsed(line) in (name, "predict"), line


def test_both_languages_show_the_same_commands() -> None:
    def commands(name: str) -> list[str]:
        lines = BLOCK.findall(text_of(name))
        return [" ".join(line.split("#")[0].split()[:2]) for line in lines]

    assert commands(READMES[0]) == commands(READMES[1])
    assert commands(PAGES[READMES[0]]) == commands(PAGES[READMES[1]])


@pytest.mark.parametrize("name", READMES)
def test_a_readme_is_read_in_one_go(name: str) -> None:
    assert len(text_of(name).splitlines()) <= 120


@pytest.mark.parametrize("name", [*READMES, "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_what_a_page_points_at_is_there(name: str) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", text_of(name))
    programs = re.findall(r"python (benchmarks/[a-z_]+\.py)", text_of(name))
    missing = [
        place
        for place in (*links, *programs)
        if not place.startswith("https://") and not (ROOT / place).exists()
    ]
    assert not missing
