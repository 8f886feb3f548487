"""The script that is to run on a GPU some day runs now, at toy size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parent.parent.parent / "benchmarks" / "gpu.py"


def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **more}
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def test_without_a_gpu_it_says_so_in_a_sentence() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = run()
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "no CUDA device" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("sections", ["tests", "tiny,base", "gpt2,compiled", "vit,generation"])
def test_every_section_runs(sections: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    done = run("--device", "cpu", "--smoke", "--only", sections, "--out", str(tmp_path), "--seconds", "280")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "gpu.jsonl").read_text("utf-8").splitlines()]
    assert lines[0]["device"] == "cpu"
    for section in sections.split(","):
        mine = [line for line in lines[1:] if line["section"] == section]
        if section == "tests":
            assert mine[0]["status"] in (0, 5), mine  # passed, or all of them left out
            continue
        ours = [line for line in mine if line.get("contender") == "regard"]
        assert {line["precision"] for line in ours} >= {"float32", "bfloat16"}, (mine, done.stderr)
        assert all(line["milliseconds"] > 0 and line["TFLOP/s"] >= 0 for line in ours)
        assert {line["contender"] for line in mine} > {"regard"}
