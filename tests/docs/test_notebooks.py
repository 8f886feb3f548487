"""The notebooks are of the tour's pages, and run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from maker.notebook import notebook, place
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


def ids(page: Page) -> str:
    return page.path.name


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_the_notebook_of_a_page_is_up_to_date(page: Page) -> None:
    assert place(page).read_text("utf-8") == notebook(page), "run `make notebooks`"


@pytest.mark.slow
@pytest.mark.parametrize("page", AS_NOTEBOOKS, ids=ids)
def test_a_notebook_runs(page: Page, tmp_path: Path) -> None:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))  # for `!regard`
    given = os.environ | {"PATH": path, "PYTHONPATH": str(TOUR.parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _EXECUTE, str(place(page))]
    done = subprocess.run(command, cwd=tmp_path, env=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.splitlines()[-1]) == len(page.code)
