"""The pages of the tour and their notebooks, run by processes beside the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from maker.execute import answers
from maker.notebook import place
from maker.pages import TOUR, Page, tour

QUICK = ("attention", "order", "model", "parts")
PAGES = [*tour("en"), *tour("zh")]
AS_NOTEBOOKS = [page for page in PAGES if page.lang == "en" or page.name in QUICK]
"""Both languages share their code; what trains is not done a fourth time."""

_EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
book = nbformat.read(sys.argv[1], 4)
NotebookClient(book, timeout=500, kernel_name="python3").execute()
print(sum(1 for cell in book.cells if cell.get("execution_count")))
"""


class Beside:
    """Begins at once, one after the other, each on one thread, while other tests run."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._begun: dict[tuple[str, Path], Future[Any]] = {}
        for page in PAGES:
            self._begun["page", page.path] = self._pool.submit(answers, page)
        for page in AS_NOTEBOOKS:
            self._begun["notebook", page.path] = self._pool.submit(notebook_run, page)

    def __call__(self, kind: str, page: Page) -> Any:
        """What running a page answered, or how many cells of its notebook were executed."""
        return self._begun[kind, page.path].result()

    def end(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def notebook_run(page: Page) -> int:
    """Execute it; how many of its cells were."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))  # for `!regard`
    given = os.environ | {"PATH": path, "PYTHONPATH": str(TOUR.parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _EXECUTE, str(place(page))]
    with TemporaryDirectory() as folder:
        done = subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout.splitlines()[-1])
