"""What the page of other viewers says can be done, is done by its code."""

from __future__ import annotations

import subprocess
import sys

import pytest
from maker.pages import DOCS, meaning, read

BLOCKS = {
    name: [one for one in read(DOCS / name).pieces if one.kind == "python"]
    for name in ("viewers.md", "viewers.zh.md")
}


@pytest.mark.parametrize("name", BLOCKS)
def test_its_code_runs_and_writes_a_page(name, tmp_path):
    pytest.importorskip("transformers")
    code = "\n".join(block.text for block in BLOCKS[name])
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "stack.blocks.2.attention.weights" in (tmp_path / "bloom.html").read_text("utf-8")


def test_both_languages_share_their_code():
    one, other = ([meaning(block) for block in blocks] for blocks in BLOCKS.values())
    assert one == other != []
