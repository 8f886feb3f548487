"""A plain installation, as a stranger makes it: a fresh environment, no extras, and what is promised of it.

python tests/install/plain.py [PIP-OPTION]...    such as -c constraints.txt

Says what torch takes on the disk with all that it asks for, and what regard adds; then trains on a file of
pairs, evaluates and predicts. Fails where one of them does. It needs a package index, and 2 GB for a moment.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAIRS = [f"{a}{b}{c}\t{c}{b}{a}" for a in "abcdef" for b in "abcdef" for c in "abcdef"]


def occupied(folder: Path) -> float:
    """Millions of bytes of the files in it, compiled Python among them."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) / 1e6


def main(options: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        venv.create(place / "venv", with_pip=True)
        commands = place / "venv" / ("Scripts" if sys.platform == "win32" else "bin")

        def run(program: str, *arguments: object) -> None:
            subprocess.run([commands / program, *map(str, arguments)], cwd=place, check=True)

        def install(*what: object) -> float:
            before = occupied(place / "venv")
            run("python", "-m", "pip", "install", "-q", "--disable-pip-version-check", *options, *what)
            return occupied(place / "venv") - before

        torch, numpy, rest = install("torch"), install("numpy"), install(ROOT)
        print(f"torch {torch:.0f} MB, numpy {numpy:.0f} MB, regard and the rest {rest:.0f} MB", flush=True)
        (place / "pairs.tsv").write_text("\n".join(["source\ttarget", *PAIRS]) + "\n", "utf-8")
        run("regard", "train", "translation", "pairs.tsv", "--out", "run", "--preset", "micro", "--steps", 30)
        run("regard", "evaluate", "run")
        run("regard", "predict", "run", "abc", "fed")


if __name__ == "__main__":
    main(sys.argv[1:])
