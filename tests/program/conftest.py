"""The command line inside this process, and a small trained run to use it on."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from shared import made_once
from tiny import asked

import regard
from regard.cli.main import main


@dataclass(frozen=True)
class Answer:
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str


class Terminal(io.TextIOWrapper):
    """Somebody types."""

    def isatty(self) -> bool:
        return True


Cli = Callable[..., Answer]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run `regard` with these arguments and this standard input."""

    def run(*arguments: object, stdin: bytes = b"", typed: bool = False) -> Answer:
        monkeypatch.setattr(sys, "argv", ["regard", *map(str, arguments)])
        kind = Terminal if typed else io.TextIOWrapper
        monkeypatch.setattr(sys, "stdin", kind(io.BytesIO(stdin), encoding="utf-8"))
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return Answer(int(end.value.code or 0), said.out, said.err)

    return run


@pytest.fixture(scope="session")
def run(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that has learned a little: half of its answers are right."""

    def make(place: Path) -> None:
        how = {"steps": 200, "quiet": True, "threads": 1}
        regard.train("translation", pairs, place / "run", settings=asked(pairs).settings, **how)  # type: ignore[arg-type]

    return made_once(tmp_path_factory, "learned", make) / "run"
