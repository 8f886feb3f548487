"""Runs a page: its blocks in order, in one namespace, in a folder of its own, and keeps what they answer.

As in a notebook, the value of a block's last line is shown. What is kept of a run can be used again while
neither the page's code nor the library has changed. A page runs in a process of its own, in which warnings
are errors: `python -m maker.execute PAGE RECORD`.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock

from maker.pages import DOCS, Page, Piece, commands, read

KEPT = DOCS.parent / "build" / "tour"
"""What is kept of runs."""
_SOURCES = (".py", ".js", ".css", ".html")
_LONGEST = 600  # seconds that a page may take


@dataclass
class Answer:
    """What a block of code answered."""

    text: str = ""
    figure: dict[str, Any] | None = None
    files: dict[str, str] = field(default_factory=dict)
    """Pages that it wrote and that the text speaks of."""
    seconds: float = 0.0


def answers(page: Page, *, again: bool = False) -> list[Answer]:
    """What each block of code answers. `again`: even if it is known already.

    Raises: RuntimeError with what the page said when it failed.
    """
    kept = KEPT / f"{page.name}.{page.lang}.{_fingerprint(page)}.json"
    KEPT.mkdir(parents=True, exist_ok=True)
    with FileLock(KEPT / f"{page.name}.{page.lang}.lock"):  # whoever wants the same page waits for it
        if again or not kept.is_file():
            made = kept.with_suffix(".part")
            _in_process_of_its_own(page, made)
            made.replace(kept)
            for old in KEPT.glob(f"{page.name}.{page.lang}.*.json"):
                if old != kept:
                    old.unlink()
    return [Answer(**one) for one in json.loads(kept.read_text("utf-8"))]


def _fingerprint(page: Page) -> str:
    """Of all that answers depend on."""
    digest = hashlib.blake2b(digest_size=8)
    for name in ("torch", "numpy", "plotly"):
        digest.update(metadata.version(name).encode())
    sources = [path for path in (DOCS.parent / "regard").rglob("*.*") if path.suffix in _SOURCES]
    for path in sorted([*sources, DOCS / "maker" / "execute.py"]):
        digest.update(path.read_bytes())
    for piece in page.pieces:
        if piece.kind in ("python", "console", "file"):
            # Of code not its layout, nor what it says to people alone.
            text = ast.dump(ast.parse(piece.text)) if piece.kind == "python" else piece.text
            digest.update(text.encode())
    return digest.hexdigest()


def _in_process_of_its_own(page: Page, out: Path) -> None:
    path = os.pathsep.join((str(DOCS), str(DOCS.parent), os.environ.get("PYTHONPATH", "")))
    given = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "88", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "maker.execute", str(page.path), str(out)]
    done = subprocess.run(  # of this very Python, on a page of the project
        command, env=given, capture_output=True, text=True, encoding="utf-8", timeout=_LONGEST
    )
    if done.returncode:
        raise RuntimeError(f"{page.path.name} failed:\n{done.stdout}{done.stderr}")


# ------------------------------------------------------------------------------------ in that process


def run(page: Page, folder: Path) -> list[Answer]:
    """Run the blocks in `folder`. Raises whatever they raise, with the line of the page."""
    names: dict[str, Any] = {"__name__": "__main__"}
    found = []
    with contextlib.chdir(folder):
        for block in page.code:
            started = time.perf_counter()
            try:
                answer = _console(block) if block.kind == "console" else _python(block, names, page.path)
            except Exception as problem:
                problem.add_note(f"{page.path}:{block.line}: in this block")
                raise
            for piece in page.after(block):
                if piece.kind == "file":
                    name = piece.text.split(":")[0]
                    answer.files[name] = Path(name).read_text("utf-8")
            answer.seconds = round(time.perf_counter() - started, 2)
            found.append(answer)
    return found


def _python(block: Piece, names: dict[str, Any], path: Path) -> Answer:
    tree = ast.increment_lineno(ast.parse(block.text, str(path)), block.line)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    said, value = io.StringIO(), None
    with contextlib.redirect_stdout(said):
        exec(compile(tree, str(path), "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), str(path), "eval"), names)
        if value is not None and not _is_figure(value):
            print(repr(value))
    figure = json.loads(value.to_json()) if _is_figure(value) else None
    return Answer(_clean(said.getvalue()), figure)


def _is_figure(value: object) -> bool:
    return hasattr(value, "to_plotly_json")


def _console(block: Piece) -> Answer:
    said = []
    for words in commands(block):
        done = subprocess.run(  # the library's own commands, split without a shell
            [sys.executable, "-m", *words], capture_output=True, text=True, encoding="utf-8", check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr}")
        said.append(done.stdout)
    return Answer(_clean("".join(said)))


def _clean(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def main(path: str, out: str) -> None:
    import warnings

    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as folder:
        found = run(read(Path(path)), Path(folder))
    Path(out).write_text(json.dumps([asdict(one) for one in found], ensure_ascii=False), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
