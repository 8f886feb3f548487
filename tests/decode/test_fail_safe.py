"""Compiled loops are used only where they were tried and work; whatever goes wrong, decoding goes on."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from trials import Trials

from regard.decode import fast, probe
from regard.errors import ConfigError
from tests.shared import refused

posix = pytest.mark.skipif(os.name == "nt", reason="folders belong to a profile there")


# ------------------------------------------------------------------------------ the other process


WELL = """print('{"ending": "works", "reason": ""}', flush=True)"""
ENDINGS = {
    "works": (WELL, "works", ""),
    "aborts": ("print('LLVM ERROR: cannot split', flush=True); os.abort()", "fails", "SIGABRT: LLVM ERROR"),
    "has no such instruction": ("os.kill(os.getpid(), signal.SIGILL)", "fails", "SIGILL"),
    "reads nowhere": ("os.kill(os.getpid(), signal.SIGSEGV)", "fails", "SIGSEGV"),
    "raises": ("raise ValueError('no such thing')", "fails", "ValueError: no such thing"),
    "ends at once": ("pass", "fails", "status 0"),
    "fails after all": (f"{WELL}; os._exit(3)", "fails", "status 3"),
    "says nonsense": ("print('{' * 9999); print('[]'); print('{\"ending\": 1}')", "fails", "status 0"),
    "hangs": ('print(\'{"doing": "compiling x"}\', flush=True); time.sleep(99)', "fails", "compiling x"),
    "hangs unheard": ("os.close(1); os.close(2); time.sleep(99)", "fails", "hung"),
    "is killed": ("os.kill(os.getpid(), signal.SIGKILL)", "interrupted", "SIGKILL"),
}


@posix
@pytest.mark.parametrize("kind", ENDINGS)
def test_however_the_other_process_ends_this_one_goes_on(kind: str) -> None:
    code, ending, words = ENDINGS[kind]
    imports = "import os, signal, sys, time; "
    outcome = probe.watch([sys.executable, "-c", imports + code], patience=1 if "hangs" in kind else 30)
    assert outcome.ending == ending
    assert words in outcome.reason


def test_what_cannot_be_started_is_no_crash(tmp_path: Path) -> None:
    assert probe.watch([str(tmp_path / "nothing")]).ending == "interrupted"


@pytest.mark.parametrize("executable", ["", "/usr/bin/blender", "/opt/app/regard"])
def test_a_program_that_is_no_python_is_not_started_again(
    executable: str, trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    assert not fast.have_loops()
    assert not trials.folders


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_a_full_disk_says_nothing_about_the_loops(number: int) -> None:
    assert probe._failure(OSError(number, "refused")).ending == "storage"
    assert probe._failure(MemoryError()).ending == "interrupted"
    assert probe._failure(ImportError("broken")).ending == "fails"
    assert probe._failure(SystemError("initialisation of _internal failed")).ending == "fails"


@pytest.mark.parametrize("difference", [0.5, float("nan"), float("inf")])
def test_a_wrong_answer_is_a_failure(
    difference: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba")
    assert fast.have_loops()
    from regard.decode import probe_models

    monkeypatch.setattr(fast, "import_loops", lambda folder: None)
    monkeypatch.setattr(probe_models, "differences", lambda: [("translation", difference, 1e-3)])
    outcome = probe._tried("compile", tmp_path)
    assert outcome.ending == "fails"
    assert "wrong" in outcome.reason
    assert "translation" in outcome.reason


def test_an_unknown_family_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    monkeypatch.setenv("REGARD_KERNELS", "quick")
    monkeypatch.setenv("REGARD_CACHE", str(tmp_path))
    monkeypatch.setattr(fast, "_decision", None)
    with refused(
        ConfigError, key="REGARD_KERNELS", value="quick", limit="auto, plain, avx512-vnni, avx512, avx-vnni,"
    ):
        fast.have_loops()
    assert not list(tmp_path.iterdir()), "nothing is compiled before"


BROKEN = {
    "too new a numpy": "raise ImportError('Numba needs NumPy 2.5 or less. Got NumPy 9.9.')",
    "a broken extension": "raise SystemError('initialization of _internal failed')",
    "an abort": "import os; os.abort()",
}
PROGRAM = """
import logging, torch
logging.basicConfig(format="%(message)s")
from regard.decode.choose import stepper_for
from regard.decode.search import Limits, beam_search, greedy
from regard.model.presets import ENCODER_DECODER, encoder_decoder
model = encoder_decoder(ENCODER_DECODER["micro"], source_vocab=11, target_vocab=11).build().eval()
for search, more in ((greedy, {}), (beam_search, {"width": 2})):
    with torch.inference_mode():
        stepper = stepper_for(model, torch.tensor([[3, 4, 5]]), None, 4)
        print(len(search(stepper, Limits(1, -1, [4]), torch.device("cpu"), **more)))
"""


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_numba_costs_one_line_and_speed(kind: str, tmp_path: Path) -> None:
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba" / "__init__.py").write_text(BROKEN[kind] + "\n", "utf-8")
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    environment = os.environ | {"PYTHONPATH": path, "REGARD_CACHE": str(tmp_path / "cache")}
    for _ in range(2 if kind == "an abort" else 1):  # the second finds the verdict
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["1", "1"]
        (line,) = done.stderr.splitlines()
        assert "regard doctor" in line
    (verdict,) = (tmp_path / "cache" / "kernels").glob("*/verdict.json")
    assert not json.loads(verdict.read_text("utf-8"))["works"]


# --------------------------------------------------------------------------------- how it is used


@pytest.mark.parametrize(("asked", "reason"), [("plain", "plain"), ("avx2", "numba")])
def test_the_environment_decides(
    asked: str, reason: str, trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGARD_KERNELS", asked)
    if asked == "plain":
        assert not fast.have_loops()
        assert reason in fast.decision().reason
    else:
        monkeypatch.setattr(fast.importlib.util, "find_spec", lambda name: None)
        with refused(ConfigError, key="REGARD_KERNELS", value="avx2"):
            fast.have_loops()
    assert not trials.folders


def test_without_numba_nothing_is_said(
    trials: Trials, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fast.importlib.util, "find_spec", lambda name: None)
    assert not fast.have_loops()
    assert not caplog.records
    assert "pip install" in fast.decision().reason


def test_what_compiling_takes_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(fast.time, "monotonic", lambda: now[0])
    before = fast.compiled_seconds()
    with fast.compiling("everything"), fast.compiling("a part"):
        now[0] += 7
    now[0] += 5
    assert fast.compiled_seconds() - before == 7


COMPILED = """
import sys, torch
from regard.decode import fast
assert fast.have_loops(), fast.decision().reason
import numba
assert numba.config.CACHE_DIR == sys.argv[1]  # of others, as before
from numba.core import event
with event.install_recorder("numba:compile") as recorder:
    from regard.decode.probe_models import differences
    for what, difference, allowed in differences():
        assert difference <= allowed, what
print([recorded.data["dispatcher"].py_func.__name__ for _, recorded in recorder.buffer])
"""


def test_nothing_is_compiled_in_the_process_that_decodes(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    assert fast.have_loops()
    elsewhere = str(tmp_path / "others")
    done = subprocess.run(
        [sys.executable, "-c", COMPILED, elsewhere],
        env=os.environ | {"NUMBA_CACHE_DIR": elsewhere},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    assert not Path(elsewhere).exists()
