"""On processors that this machine is not: all loops compile, by no instruction that they lack, and are right.

`make emulate` tries all of them, `make test` two.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

numba = pytest.importorskip("numba", reason="the extra `fast` is not installed")

import llvmlite.binding  # noqa: E402

x86 = pytest.mark.skipif(
    not llvmlite.binding.get_process_triple().startswith("x86_64"), reason="compiles for x86-64"
)


@dataclass(frozen=True)
class Processor:
    """What LLVM (X86.td) says of a processor, as far as code is made by it."""

    features: str
    family: str
    """The kernels that are best for it."""
    multiply: str | None
    """An instruction that these must use."""


_V1 = "64bit cmov cx8 fxsr mmx sse sse2"
_V2 = f"{_V1} cx16 crc32 popcnt sahf sse3 ssse3 sse4.1 sse4.2"
_HASWELL = f"{_V2} avx avx2 bmi bmi2 f16c fma fsgsbase invpcid lzcnt movbe pclmul rdrnd xsave xsaveopt"
_SKYLAKE = f"{_HASWELL} adx aes clflushopt prfchw rdseed xsavec xsaves"
_SKYLAKE_AVX512 = f"{_SKYLAKE} avx512bw avx512cd avx512dq avx512f avx512vl clwb pku"
_ICELAKE = (
    f"{_SKYLAKE_AVX512} avx512bitalg avx512ifma avx512vbmi avx512vbmi2 avx512vnni avx512vpopcntdq gfni"
    " pconfig rdpid sha vaes vpclmulqdq wbnoinvd"
)

PROCESSORS = {
    "x86-64": Processor(_V1, "portable", None),
    "nehalem": Processor(_V2, "portable", "pmaddwd xmm"),
    "haswell": Processor(_HASWELL, "avx2", "vpmaddwd ymm"),
    "znver3": Processor(
        f"{_HASWELL} adx aes clflushopt clwb clzero mwaitx pku prfchw rdpid rdpru rdseed sha sse4a vaes"
        " vpclmulqdq wbnoinvd xsavec xsaves",
        "avx2",
        "vpmaddwd ymm",
    ),
    "alderlake": Processor(
        f"{_SKYLAKE} avxvnni cldemote clwb gfni hreset kl movdir64b movdiri pconfig pku ptwrite rdpid"
        " serialize sha shstk vaes vpclmulqdq waitpkg widekl",
        "avx-vnni",
        "vpdpbusd ymm",
    ),
    "skylake-avx512": Processor(_SKYLAKE_AVX512, "avx512", "vpmaddwd zmm"),
    "sapphirerapids": Processor(
        f"{_ICELAKE} amx-bf16 amx-int8 amx-tile avx512bf16 avx512fp16 avxvnni cldemote enqcmd movdir64b"
        " movdiri ptwrite serialize shstk tsxldtrk uintr waitpkg",
        "avx512-vnni",
        "vpdpbusd zmm",
    ),
}
QUICK = ("x86-64", "haswell")
"""Those of `make test`."""

FORBIDDEN = {
    # instructions and registers: features of which one is needed
    " zmm": {"avx512f"},
    " ymm": {"avx"},
    "vpdpbusd ymm": {"avxvnni", "avx512vnni"},
    "vpdpbusd zmm": {"avx512vnni"},
    "vpdpwssd": {"avxvnni", "avx512vnni"},
    "vfmadd": {"fma", "avx512f"},
    "vfnmadd": {"fma", "avx512f"},
    "vpmaddwd ymm": {"avx2"},
    "vpmaddwd zmm": {"avx512bw"},
    "vpmovsxbw ymm": {"avx2"},
    "vcvtph2ps": {"f16c", "avx512f"},
    "roundps": {"sse4.1"},
    "pmovsxbw": {"sse4.1"},
    "pmulld": {"sse4.1"},
    "pshufb": {"ssse3"},
}

host = {name for name, has in llvmlite.binding.get_host_cpu_features().items() if has}


def compiled_for(name: str, folder: Path) -> dict[str, Any]:
    """What `compile_for.py` tells, for this processor."""
    features = PROCESSORS[name].features.split()
    runs = set(features) <= host
    environment = os.environ | {
        "NUMBA_CPU_NAME": name,
        "NUMBA_CPU_FEATURES": ",".join(f"+{feature}" for feature in features),
        "REGARD_PROBING": "1",
        "REGARD_KERNELS": "auto",
        "OMP_NUM_THREADS": "1",
    }
    program = [sys.executable, str(Path(__file__).parent / "compile_for.py"), str(folder)]
    done = subprocess.run(
        [*program, *(["run"] if runs else [])],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.fixture(scope="module")
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Of each processor that is asked for, two at a time."""
    names = dict.fromkeys(
        item.callspec.params["name"]
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec") and "name" in item.callspec.params
    )
    folder = tmp_path_factory.mktemp("compiled")
    with ThreadPoolExecutor(2) as pool:
        futures: dict[str, Future[dict[str, Any]]] = {
            name: pool.submit(compiled_for, name, folder / name) for name in names
        }
        yield futures


each = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.emulate) for name in PROCESSORS],
)


@x86
@each
def test_the_best_kernels_are_chosen_and_all_is_right(name: str, told: Any) -> None:
    found = told[name].result()
    assert found["family"] == PROCESSORS[name].family
    assert found["failures"] == []
    assert {"linear", "int8_linear", "blocks", "attend", "continuations"} <= set(found["loops"])


@x86
@each
def test_nothing_is_compiled_to_an_instruction_that_a_processor_lacks(name: str, told: Any) -> None:
    found, processor = told[name].result()["found"], PROCESSORS[name]
    features = set(processor.features.split())
    assert any(" xmm" in instruction for instruction in found)
    for forbidden, needs in FORBIDDEN.items():
        used = [one for one in found if one.startswith(forbidden) or one.endswith(forbidden)]
        assert not used or needs & features, f"{used} need {needs}"
    assert processor.multiply is None or processor.multiply in found


def test_the_processors_that_are_tried_differ_in_what_matters() -> None:
    assert {processor.family for processor in PROCESSORS.values()} == {
        "portable", "avx2", "avx-vnni", "avx512", "avx512-vnni"
    }  # fmt: skip
