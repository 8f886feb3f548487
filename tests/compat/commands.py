"""Runs commands of regard one after the other in this one process, each as `python -m regard` would.

python tests/compat/commands.py COMMANDS ANSWERS    two JSON files: lists of arguments; status, output and
                                                    errors of each, in the same order

It knows no module of regard by name, so that it serves every version.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

PLAIN = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "REGARD_KERNELS": "plain"}
"""The environment: one thread and no compiled decoder, so that answers differ as little between processors as
they can. That a compiled one answers the same is another test's."""
PASSING = ("seconds", "bleu_signature", "chrf_signature", "TF-IDF and logistic regression")
"""Keys of answers that say how long it took, or what other packages say."""


def answers(commands: Sequence[Sequence[str]], folder: Path) -> list[dict[str, Any]]:
    """What each command says, run in `folder` by a process of their own."""
    asked, answered = (folder / f"{name}.json" for name in ("commands", "answers"))
    asked.write_text(json.dumps(commands), "utf-8")
    program = [sys.executable, str(Path(__file__).resolve()), str(asked), str(answered)]
    subprocess.run(program, cwd=folder, env={**os.environ, **PLAIN}, check=True)
    found: list[dict[str, Any]] = json.loads(answered.read_text("utf-8"))
    return found


def answer(arguments: Sequence[str]) -> dict[str, Any]:
    """What one command says, run here."""
    sys.argv = ["regard", *arguments]
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            runpy.run_module("regard", run_name="__main__")
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
    return {"status": status, "out": out.getvalue(), "err": err.getvalue()}


def comparable(out: str) -> list[Any]:
    """The lines of JSON that a command said, without what is another each time."""
    return [_lasting(json.loads(line)) for line in out.splitlines()]


def _lasting(value: Any) -> Any:
    if isinstance(value, list):
        return [_lasting(one) for one in value]
    if isinstance(value, dict):
        return {key: _lasting(one) for key, one in value.items() if key not in PASSING}
    return value


def weights_hash(file: Path) -> str:
    """Of the tensors alone: their names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name, value in sorted(load_file(file).items()):
        digest.update(f"{name} {value.dtype} {value.shape}".encode() + value.tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    asked, answered = map(Path, sys.argv[1:])
    every = [answer(arguments) for arguments in json.loads(asked.read_text("utf-8"))]
    answered.write_text(json.dumps(every), "utf-8")
