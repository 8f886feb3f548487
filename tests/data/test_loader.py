"""Laws of the processes that decode ahead: they change when something is decoded, never what comes out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from regard.data.field import Field
from regard.data.loader import Loader, Step
from regard.data.store import ExampleStore, write_store
from regard.errors import DataError, RegardError

STEPS = [(epoch, np.array(rows)) for epoch in range(2) for rows in ([3, 1], [0, 2, 4], [5])]


def decode(reference: str, rng: np.random.Generator | None) -> np.ndarray:
    """What a file holds, and noise, as augmentation has it."""
    if reference == "dies":
        os._exit(3)
    if reference.startswith("broken"):
        raise DataError("{where}: {value}; mend it", reference, "not a picture")
    noise = 0 if rng is None else rng.integers(0, 100, 2)
    return np.asarray(Path(reference).stat().st_size + noise + np.zeros(2), dtype=np.uint16)


FIELDS = (Field("pixels", "uint16", (2,), decode=decode), Field.indices("label", 7, ()))


def stored(folder: Path, *broken: str, seed: int = 0) -> ExampleStore:
    files = [folder / f"{number}.bin" for number in range(6 - len(broken))]
    for number, file in enumerate(files):
        file.write_bytes(bytes(100 * number))
    names = [*map(str, files), *broken]
    examples = ((name, number) for number, name in enumerate(names))
    return write_store(folder / f"store{seed}", examples, FIELDS, seed, references=True)


def batches(store: ExampleStore, workers: int, steps: list[Step] = STEPS) -> Iterator[list[int]]:
    with Loader(store, workers) as loader:
        for epoch, rows in loader.ahead(steps):
            yield store.take(rows, "pixels", epoch).tolist()


def test_any_number_of_processes_gives_the_same_to_the_bit(tmp_path: Path) -> None:
    """What is random follows from seed, epoch and example."""
    store = stored(tmp_path)
    alone = list(batches(store, 0))
    assert alone == list(batches(store, 1)) == list(batches(store, 3))
    assert alone == [
        [store.take([row], "pixels", epoch)[0].tolist() for row in rows.tolist()] for epoch, rows in STEPS
    ]
    assert alone != list(batches(stored(tmp_path, seed=1), 0))
    assert alone[:3] != alone[3:]
    assert not store.ready


def test_what_is_kept_decoded_has_nothing_random(tmp_path: Path) -> None:
    stored(tmp_path)
    examples = ((str(tmp_path / f"{number}.bin"), number) for number in range(6))
    store = write_store(tmp_path / "decoded", examples, FIELDS)
    assert store.take([1, 2], "pixels", 5).tolist() == [[100, 100], [200, 200]]
    assert not store.referring


@pytest.mark.parametrize("workers", [0, 1])
def test_what_breaks_after_it_was_encoded_is_named(tmp_path: Path, workers: int) -> None:
    with pytest.raises(DataError) as caught:
        list(batches(stored(tmp_path, "broken.png#17"), workers))
    assert caught.value.where == "broken.png#17"


def test_a_process_that_dies_is_one_sentence_with_the_files_it_was_at(tmp_path: Path) -> None:
    with pytest.raises(RegardError) as caught:
        list(batches(stored(tmp_path, "dies"), 1))
    assert caught.value.where == "dies"
    assert caught.value.remedy


CHILD = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # even where tests run in a shell's background
from pathlib import Path
from tests.data.test_loader import STEPS, Loader, stored

if __name__ == "__main__":
    store = stored(Path(sys.argv[1]))
    with Loader(store, 2) as loader:
        for step in loader.ahead(STEPS):
            store.take(step[1], "pixels", step[0])
            if step is STEPS[0]:
                print(*[process.pid for process in loader._pool._processes.values()], flush=True)
                time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_processes_end_with_the_one_that_began_them(tmp_path: Path, how: signal.Signals) -> None:
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, str(script), str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=root,
        start_new_session=True,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stderr is not None
        workers = [int(pid) for pid in child.stdout.readline().split()]
        assert len(workers) == 2
        if how == signal.SIGINT:
            os.killpg(child.pid, how)  # as a terminal does
        else:
            child.kill()
        said = child.stderr.read()
        child.wait(20)
    assert said.count("Traceback") == (how == signal.SIGINT), "only the one that was interrupted says so"
    until = time.monotonic() + 10
    while alive := [pid for pid in workers if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < until, alive
        time.sleep(0.05)


def test_processes_that_decode_images_load_no_torch() -> None:
    command = "import sys, regard.data.loader, regard.data.image_processor; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
