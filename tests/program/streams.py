"""Every command on a model whose labels, folders and files were named by somebody hostile."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

HOSTILE = ("go\x1b]0;PWNED\x07od", "b\u202ead\x9b31m", "[bold red]fair[/bold red] :warning:")
"""Labels: a title for the terminal's window, another direction, and what rich takes for markup."""
CONTROLS = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
SMALL = ("model.width=16", "model.hidden=24", "model.depth=1", "model.heads=2", "train.evaluations=1")


@dataclass(frozen=True)
class Place:
    """A model of hostile labels in a folder of a hostile name."""

    run: Path
    data: Path
    out: Path

    def commands(self) -> dict[str, list[str]]:
        """Every command, and the ways to print that it has."""
        run, data, one = str(self.run), str(self.data), ["--threads", "1"]
        settings = [word for setting in SMALL for word in ("--set", setting)]
        train = ["train", "text-classification", data, "--steps", "2", "--out", self.fresh("run"), *settings]
        return {
            "help": ["--help"],
            "version": ["--version"],
            "data": ["data"],
            "data --json": ["data", "--json"],
            "reproduce": ["reproduce"],
            "explain": ["explain"],
            "explain NAME": ["explain", "text-to-input", "--text", "love"],
            "explain --json": ["explain", "masks", "--json"],
            "train": [*train, *one],
            "evaluate": ["evaluate", run, data, "--limit", "9", *one],
            "evaluate --json": ["evaluate", run, data, "--limit", "9", "--json", *one],
            "predict": ["predict", run, "man", "dog \x1b[31m\u202e", *one],
            "predict -n": ["predict", run, "man", "-n", "3", *one],
            "predict one": ["predict", run, "man", *one],
            "predict --json": ["predict", run, "man", "dog \x1b[31m\u202e", "-n", "2", "--json", *one],
            "verify": ["verify", run, "man", *one],
            "trace": ["trace", run, "man \x1b[31m\u202e", *one],
            "trace --logit": ["trace", run, "man", "--logit", HOSTILE[0], *one],
            "figure": ["figure", run, *one],
            "figure --of": ["figure", run, "man", "--of", "gradients", "--out", self.fresh("f.html"), *one],
            "ablate": ["ablate", run, data, "--limit", "9", *one],
            "ablate --json": ["ablate", run, data, "--limit", "9", "--json", *one],
            "export": ["export", run, self.fresh("page.html"), "--to", "html"],
            "import": ["import", self.fresh("none"), self.fresh("imported")],
            "no folder": ["predict", self.fresh("no\x1b[31m"), "x"],
            "no option": ["predict", run, "--no\x1b[31m"],
            "no value": ["predict", run, "x", "--dtype", "a\x1b[31m\u202e"],
            "no command": ["b\x1b[31m\u202e"],
        }

    def fresh(self, name: str) -> str:
        return str(self.out / f"{time.monotonic_ns()}\x1b[31m\u202e{name}")


@dataclass(frozen=True)
class Told:
    status: int
    out: bytes
    err: bytes

    @property
    def sentence(self) -> str:
        """The error, which is the last line and the only one of its kind."""
        lines = self.err.decode("utf-8").splitlines()
        assert [line for line in lines if line.startswith("regard: ")] == lines[-1:], self.err
        return lines[-1]
