"""The page on extending is a program that runs, and names every registry there is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


def test_the_code_of_the_page_runs_as_it_stands(tmp_path: Path) -> None:
    program = "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S))
    (tmp_path / "page.py").write_text(program, "utf-8")
    path = {**os.environ, "PYTHONPATH": str(PAGE.parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "page.py"], cwd=tmp_path, env=path, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert "initialise" in done.stdout, "a part that forgets to say how it is initialised is refused"


def test_what_the_page_shows_of_a_file_stands_there() -> None:
    shown = re.findall(r'^```\w+ title="(.+?)"\n(.*?)^```$', PAGE.read_text("utf-8"), re.M | re.S)
    assert len(shown) > 4
    for path, block in shown:
        assert block in (PAGE.parents[1] / path).read_text("utf-8"), path


def test_the_loop_of_ones_own_is_short() -> None:
    block = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)[-1]
    lines = [line for line in block.splitlines() if line and not line.startswith(("from ", "import "))]
    assert len(lines) <= 25
