"""A prediction on processors that this machine is not: an emulated one without AVX, and one with AVX2 only.

qemu runs every instruction of the program, and one that the processor does not have ends it.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

QEMU = "qemu-x86_64"
INPUTS = ("abc", "fedcba", "faced", "b")
PROCESSORS: Mapping[str, Mapping[str, bool]] = {
    "Nehalem": {"sse4.2": True, "avx": False, "fma": False},
    "Haswell": {"avx2": True, "fma": True, "avx512f": False, "avxvnni": False},
}
"""By the names of qemu: what each has, and has not, by those of LLVM."""

# What a program starts runs on the real processor, unless it is started through the emulator, too.
_PROGRAM = "import sys; sys.executable = sys.argv.pop(1); from regard.cli.main import main; main()"
_ASKED = (
    "import json, llvmlite.binding as llvm; from numba.core.codegen import get_host_cpu_features\n"
    "from regard.decode.kernel_cache import key\n"
    "print(json.dumps([llvm.get_host_cpu_name(), get_host_cpu_features(), key()]))"
)
"""Its name and features, and the key by which it looks for what is compiled."""


class Outcome(NamedTuple):
    """What the same prediction gives on the real processor, compiled for the other one, and on that one."""

    features: str
    native: list[dict[str, Any]]
    emulated: list[dict[str, Any]]


def told(command: list[str], **variables: str) -> str:
    environment = {**os.environ, **variables, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    answer = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert answer.returncode == 0, answer.stderr[-2000:]
    return answer.stdout


def predicted(python: str, run: Path, **variables: str) -> list[dict[str, Any]]:
    how = ("--beam", "2", "--threads", "1", "--json")
    lines = told([python, "-c", _PROGRAM, python, "predict", str(run), *INPUTS, *how], **variables)
    return [json.loads(line) for line in lines.splitlines()]


def outcome(processor: str, run: Path, folder: Path) -> Outcome:
    python = folder / f"python-{processor}"
    python.write_text(
        f'#!/bin/sh\nexec {QEMU} -cpu {processor} {shlex.quote(sys.executable)} "$@"\n', "utf-8"
    )
    python.chmod(0o755)
    name, features, key = json.loads(told([str(python), "-c", _ASKED]))
    # Compiled here for there, and kept on disk: the emulator would take minutes to compile.
    cache = folder / f"cache-{processor}"
    there = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features}
    native = predicted(sys.executable, run, REGARD_CACHE=str(cache), **there)
    (kept,) = (cache / "kernels").iterdir()
    kept.rename(kept.with_name(key))
    return Outcome(features, native, predicted(str(python), run, REGARD_CACHE=str(cache)))


@pytest.fixture(scope="module")
def outcomes(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Of each processor, two at a time."""
    if os.environ.get("CI"):
        assert shutil.which(QEMU), "CI needs the emulator: apt-get install qemu-user"
    if shutil.which(QEMU) is None:
        pytest.skip(f"there is no {QEMU}")
    pytest.importorskip("numba", reason="the extra `fast` is not installed")
    folder = tmp_path_factory.mktemp("emulated")
    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(outcome, name, run, folder) for name in PROCESSORS}


@pytest.mark.slow
@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_prediction_is_the_same_on_a_processor_with_fewer_instructions(
    outcomes: Mapping[str, Future[Outcome]], run: Path, processor: str
) -> None:
    found = outcomes[processor].result()
    features = found.features.split(",")
    assert all(("+" if has else "-") + name in features for name, has in PROCESSORS[processor].items())
    for one, other in zip(found.native, found.emulated, strict=True):
        assert [x["text"] for x in one["predictions"]] == [x["text"] for x in other["predictions"]]
        scores = [[x["score"] for x in each["predictions"]] for each in (one, other)]
        assert scores[0] == pytest.approx(scores[1], rel=1e-3, abs=1e-4)
    assert [one["input"] for one in found.emulated] == list(INPUTS)
