"""Code for processors that this machine does not have: LLVM makes it, with the instructions that are meant.

Kernels of every family for kinds of processors that it is for; and all loops, as numba hands them to LLVM,
for Arm: what LLVM cannot lower there would end the process of whoever has one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from llvmlite import ir

from regard.decode.kernels import FAMILIES
from regard.decode.kernels.tile import strip_function

X86, ARM, MAC = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "arm64-apple-macosx14.0"
PROCESSORS = {
    ("avx512-vnni", X86, "sapphirerapids"): {"vpdpbusd", "%zmm", "vfmadd"},
    ("avx512-vnni", X86, "znver4"): {"vpdpbusd", "%zmm", "vfmadd"},
    ("avx512", X86, "skylake-avx512"): {"vpmaddwd", "%zmm", "vfmadd"},
    ("avx-vnni", X86, "alderlake"): {"{vex}\tvpdpbusd", "%ymm", "vfmadd"},
    ("avx2", X86, "haswell"): {"vpmaddwd", "%ymm", "vfmadd"},
    ("avx2", X86, "znver3"): {"vpmaddwd", "%ymm", "vfmadd"},
    ("neon-dot", ARM, "cortex-a76"): {"sdot", "fmla"},
    ("neon-dot", MAC, "apple-m1"): {"sdot", "fmla"},
    ("neon", ARM, "cortex-a53"): {"smull", "fmla"},
    ("portable", X86, "x86-64"): {"pmaddwd", "mulps"},
    ("portable", X86, "nehalem"): {"pmaddwd", "mulps"},
    ("portable", ARM, "cortex-a53"): {"fmla"},
    ("portable", "riscv64-unknown-linux-gnu", "sifive-u74"): {"fmadd.s"},
    ("portable", "powerpc64le-unknown-linux-gnu", "pwr9"): set(),
}
NEVER = {"znver3": "%zmm", "haswell": "%zmm", "alderlake": "%zmm", "nehalem": "%ymm", "x86-64": "%ymm"}


COMPILE = """
import json, sys
import llvmlite.binding as llvm
triple, cpu, texts = json.load(sys.stdin)
llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=3, reloc="pic")
builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
for text in texts:
    lines = [line for line in text.splitlines() if not line.startswith("target ")]
    header = [f'target datalayout = "{machine.target_data}"', f'target triple = "{triple}"']
    module = llvm.parse_assembly("\\n".join(header + lines))
    module.verify()
    builder.getModulePassManager().run(module, builder)
    assert machine.emit_object(module.clone())
    print(machine.emit_assembly(module))
"""


def compiled(texts: list[str], triple: str, cpu: str) -> str:
    """Assembly; object code is made, too. In a process of its own, which LLVM ends where it cannot go on."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILE],
        input=json.dumps([triple, cpu, texts]),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_every_family_is_compiled_for_some_processor() -> None:
    assert {name for name, _, _ in PROCESSORS} == set(FAMILIES)


@pytest.mark.parametrize(("name", "triple", "cpu"), PROCESSORS, ids=lambda value: str(value))
def test_kernels_have_the_instructions_that_are_meant(name: str, triple: str, cpu: str) -> None:
    family = FAMILIES[name]
    module = ir.Module()
    for multiply, called in ((family.floats, "floats"), (family.bytes, "bytes")):
        strip_function(module, multiply, called).linkage = "external"
    assembly = compiled([str(module)], triple, cpu)
    expected = PROCESSORS[name, triple, cpu]
    assert {word for word in expected if word not in assembly} == set()
    assert NEVER.get(cpu, "no such register") not in assembly
    assert "fmaf" not in assembly  # a fused product where the processor has none is a call for each number


CAPTURE = """
import json, re, sys
from numba.core.codegen import JITCodeLibrary
finalize, texts = JITCodeLibrary._finalize_specific, {}
# Counters of references, which numba has compiled for this processor before it links them.
counters = re.compile(r"^define [^\\n]*void (@NRT_(?:in|de)cref)[^\\n]*{$.*?^}$", re.M | re.S)
def captured(self):
    texts[self.name] = counters.sub(r"declare void \\1(ptr)", str(self._final_module))
    finalize(self)
JITCodeLibrary._finalize_specific = captured
import regard.decode.blocks
json.dump(texts, sys.stdout)
"""


@pytest.fixture(scope="module")
def loops(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What numba hands to LLVM, by name, compiled without any feature of this processor."""
    cache = tmp_path_factory.mktemp("compiled")
    environment = os.environ | {
        "NUMBA_CPU_NAME": "x86-64",
        "NUMBA_CPU_FEATURES": "",
        "NUMBA_CACHE_DIR": str(cache),
        "REGARD_KERNELS": "portable",
    }
    done = subprocess.run(
        [sys.executable, "-c", CAPTURE],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(("triple", "cpu"), [(ARM, "cortex-a76"), (MAC, "apple-m1")])
def test_all_loops_can_be_compiled_for_arm(loops: dict[str, str], triple: str, cpu: str) -> None:
    assert len(loops) >= 10
    assert "ret" in compiled(list(loops.values()), triple, cpu)
