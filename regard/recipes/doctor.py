"""What this machine is and how regard works on it, to be pasted into a report: `regard doctor`.

Every part is found out by itself, and what fails is said in its place: the page is for when something is
broken. Nothing private is in it: no host name, no environment but regard's own, folders from the home on.
"""

from __future__ import annotations

import copy
import json
import os
import platform
import re
import statistics
import textwrap
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import metadata
from typing import Any

from regard import __version__
from regard.decode import fast, kernel_cache
from regard.machine import usable_processors

_WIDTH, _NAME = 80, 27
_SPEED_SECONDS = 0.25
"""Seconds for each speed."""
_FEATURES: tuple[str, ...] = ("sse4.2", "avx", "avx2", "fma", "f16c", "avxvnni", "avx512f", "avx512bw")
_FEATURES += ("avx512vnni", "avx512bf16", "amx-int8", "neon", "dotprod", "i8mm")
"""Those that the kernels of decoding or torch's products can use, in LLVM's names."""
_PACKAGES: tuple[str, ...] = ("torch", "numpy", "numba", "llvmlite", "tokenizers", "safetensors", "pydantic")
_PACKAGES += ("typer", "rich", "jinja2", "sacrebleu")

Value = str | int | float | list[str]
Section = dict[str, Value]
Look = Callable[[], Iterator[tuple[str, Value | Callable[[], Value]]]]
"""What a section is found out by; what may fail by itself is a function."""


def doctor_lines(*, as_json: bool = False, retry: bool = False) -> Iterator[str]:
    """Sections one after the other, as text of 80 columns; or one JSON object.

    `retry`: try the compiled loops once more, where they have failed.
    """
    sections: dict[str, Look] = {
        "Machine": _machine,
        "Versions": _versions,
        "Extras": _extras,
        "torch": _torch,
        "Decoding on a processor": lambda: _kernels(retry),
        "Speed": _speed,
    }
    found: dict[str, Section] = {}
    for title, look in sections.items():
        section = found[title] = _section(look)
        if not as_json:
            yield from _text(title, section)
    if as_json:
        yield json.dumps(found, ensure_ascii=False)


def _section(look: Look) -> Section:
    """A part; what ends it early is its last entry."""
    section: Section = {}
    try:
        for name, value in look():
            section[name] = _without_home(_value(value) if callable(value) else value)
    except Exception as error:  # of whatever is broken here, which is what this page is for
        section["broken"] = _without_home(_sentence(error))
    return section


def _value(find: Callable[[], Value]) -> Value:
    try:
        return find()
    except Exception as error:  # as above, and the next one may be well
        return f"broken: {_sentence(error)}"


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _without_home(value: Value) -> Value:
    if isinstance(value, list):
        return [str(_without_home(each)) for each in value]
    home = os.path.expanduser("~")  # noqa: PTH111  (never fails)
    return value.replace(home, "~") if isinstance(value, str) and len(home) > 1 else value


def _text(title: str, section: Section) -> Iterator[str]:
    yield title
    for name, value in section.items():
        text = f"{value:,.1f}" if isinstance(value, float) else str(value)
        if isinstance(value, list):
            text = ", ".join(value)
        first, rest = f"  {name:{_NAME}} ", " " * (_NAME + 3)
        yield from textwrap.wrap(
            text or "none", _WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
        )
    yield ""


# ------------------------------------------------------------------------------------------ sections


def _machine() -> Iterator[tuple[str, Value]]:
    facts = kernel_cache.processor_facts()
    yield "processor", facts.get("model name") or facts.get("cpu part") or platform.processor() or "unknown"
    yield "architecture", platform.machine()
    yield "features", _reported(facts)
    yield "cores usable", usable_processors()
    yield "system", platform.platform(terse=True)
    yield "python", f"{platform.python_implementation()} {platform.python_version()}"


def _reported(facts: dict[str, str]) -> list[str]:
    """By LLVM's names, which are the system's but for points and bars, and for two on Arm."""
    system = {"neon": "asimd", "dotprod": "asimddp", "amx-int8": "amx_int8", "avxvnni": "avx_vnni"}
    flags = facts.get("flags") or facts.get("features") or ""
    reported = {flag.replace("avx512_", "avx512") for flag in flags.split()}
    return [name for name in _FEATURES if system.get(name, name.replace(".", "_")) in reported]


def _versions() -> Iterator[tuple[str, Value]]:
    yield "regard", __version__
    for name in _PACKAGES:
        yield name, _version(name)


def _version(package: str) -> str:
    return kernel_cache.installed(package) or "missing"


def _extras() -> Iterator[tuple[str, Value]]:
    """Each extra: there, or what is missing and how to get it."""
    described = metadata("regard")
    needed: dict[str, list[str]] = {extra: [] for extra in described.get_all("Provides-Extra") or []}
    for line in described.get_all("Requires-Dist") or []:
        requirement, _, marker = line.partition(";")
        for extra in needed:
            if f"extra == '{extra}'" in marker or f'extra == "{extra}"' in marker:
                needed[extra].append(_package(requirement))
    for extra, packages in needed.items():
        if set(packages) <= {"regard"}:  # another name of extras
            continue
        missing = [name for name in packages if name != "regard" and _version(name) == "missing"]
        remedy = f"missing {', '.join(missing)}: pip install 'regard[{extra}]'"
        yield extra, remedy if missing else "installed"


def _package(requirement: str) -> str:
    """The name that a requirement begins with."""
    found = re.match(r"[\w.-]*", requirement.strip())
    return found[0] if found else ""


def _torch() -> Iterator[tuple[str, Value]]:
    import torch

    from regard.model.device import device_names

    yield "vector instructions", torch.backends.cpu.get_cpu_capability()
    parts = {"MKL": torch.backends.mkl, "oneDNN": torch.backends.mkldnn, "OpenMP": torch.backends.openmp}
    yield "libraries", [name for name, part in parts.items() if part.is_available()]
    engines = torch.backends.quantized.supported_engines
    yield "quantized engines", [name for name in engines if name != "none"]
    yield "threads", torch.get_num_threads()
    yield "devices", device_names()


def _kernels(retry: bool) -> Iterator[tuple[str, Value]]:
    yield "REGARD_KERNELS", os.environ.get("REGARD_KERNELS", "") or "auto (not set)"
    numba_variables = sorted(name for name in os.environ if name.startswith("NUMBA_"))
    yield "NUMBA_… variables", numba_variables
    if retry:
        fast.decide_again()
    decision = fast.decision()
    yield "decoding", "compiled loops" if decision.compiled else "plain path (torch)"
    yield "why", decision.reason
    yield "kernels", decision.family
    if decision.folder is not None:
        yield "kept in", str(decision.folder)
        yield "compiled and tried in", f"{decision.seconds:.0f} s, once"


def _speed() -> Iterator[tuple[str, Callable[[], Value]]]:
    """Products in GFLOP/s, two operations for each multiplication, and decoding in tokens a second."""
    import torch

    rows, inner, outputs = 64, 512, 2048
    work = 2e-9 * rows * inner * outputs
    a, b = torch.randn(rows, inner), torch.randn(inner, outputs)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        x, w = a.to(dtype), b.to(dtype)
        yield f"torch {str(dtype)[6:]}, GFLOP/s", partial(_rate, work, partial(torch.mm, x, w))
    levels, weights = (torch.randint(-127, 128, (n, inner), dtype=torch.int8) for n in (rows, outputs))
    yield "torch int8, GFLOP/s", partial(_rate, work, lambda: torch._int_mm(levels, weights.t()))
    if fast.have_loops():
        for name, product in _kernel_products(a, outputs):
            yield f"kernels {name}, GFLOP/s", partial(_rate, work, product)
    yield from _decoding()


def _kernel_products(x: Any, outputs: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """The products of (R, D) float32 rows that decoding makes itself."""
    import torch
    from torch import nn

    from regard.decode.kernels import products
    from regard.decode.linears import bias_of, pack
    from regard.model.quantize import Int8Linear

    linear = nn.Linear(x.shape[1], outputs)
    rows, y = x.numpy(), torch.empty(len(x), outputs).numpy()
    floats, bias = pack(linear), bias_of(linear)
    yield "float32", lambda: products.linear(rows, floats, bias, False, y)
    small = Int8Linear(linear)
    levels, scale = pack(small), small.scale.numpy()
    yield "int8", lambda: products.int8_linear(rows, levels, scale, bias, False, y)


def _decoding() -> Iterator[tuple[str, Callable[[], Value]]]:
    import torch

    from regard.decode.choose import stepper_for
    from regard.decode.lean import LeanStepper
    from regard.decode.search import Limits, greedy
    from regard.model.layout import lay_out
    from regard.model.mask import Contiguous
    from regard.model.presets import ENCODER_DECODER, encoder_decoder
    from regard.model.quantize import quantize

    steps, batch, source = 12, 4, 10
    ids = torch.randint(2000, (batch, source))
    config = encoder_decoder(ENCODER_DECODER["tiny"], source_vocab=2000, target_vocab=2000)
    models: dict[str, Any] = {"float32": config.build()}
    models["int8"] = quantize(copy.deepcopy(models["float32"]))
    for dtype, model in models.items():
        lay_out(model.eval().requires_grad_(False))
        for name, make in (("chosen", stepper_for), ("plain", LeanStepper)):

            @torch.inference_mode()
            def decode(model: Any = model, make: Any = make) -> None:
                stepper = make(model, ids, Contiguous(0, source), steps)
                greedy(stepper, Limits(1, -1, [steps] * batch), torch.device("cpu"))

            yield f"tiny {dtype}, {name}, tok/s", partial(_rate, batch * steps, decode)


def _rate(work: float, call: Callable[[], object]) -> float:
    """Work a second, by the median of as many calls as there is time for."""
    times: list[float] = []
    call()
    while not times or sum(times) < _SPEED_SECONDS:
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return round(work / statistics.median(times), 1)
