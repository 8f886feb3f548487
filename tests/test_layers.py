"""The house keeps its rules: who imports whom, what nobody may do, and what `import regard` costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "regard"

# Parts of the house and whom each may import, besides itself. DESIGN.md, section 3.
FOUNDATION = {"errors", "visible"}
COMMON = {
    "errors", "files", "locks", "machine", "registry", "schema", "strict_json", "threads",
    "visible", "weights",
}  # fmt: skip
MAY_IMPORT = {
    "visible": set(),
    "errors": {"visible"},
    "console": FOUNDATION | {"strict_json"},
    "interrupts": set(),
    "locks": FOUNDATION,
    "files": FOUNDATION | {"locks"},
    "machine": set(),
    "threads": FOUNDATION | {"machine"},
    "registry": FOUNDATION,
    "schema": FOUNDATION | {"registry"},
    "strict_json": FOUNDATION,
    "weights": FOUNDATION | {"files", "machine", "strict_json"},
    "values": FOUNDATION | {"registry", "strict_json"},
    "model": FOUNDATION | {"registry"},
    "data": COMMON | {"values"},
    "decode": COMMON | {"model", "console"},
    "insight": COMMON | {"model"},
    "course": COMMON | {"model", "insight"},
    "bundle": COMMON | {"model", "data"},
    "interop": COMMON | {"model", "data", "bundle", "values"},
    "tasks": COMMON | {"model", "data", "decode", "values"},
    # decode: what compiling took is not taken from a budget.
    "training": COMMON | {"model", "data", "tasks", "decode", "bundle", "console"},
    "looking": COMMON | {"model", "data", "tasks", "decode", "insight", "values"},
    "verify": COMMON | {"model", "tasks", "bundle", "insight"},
    "evaluation": COMMON | {"model", "data", "tasks", "values"},
    "run": COMMON
    | {"model", "data", "tasks", "decode", "bundle", "insight", "looking", "values", "verify", "evaluation"},
    "api": COMMON | {"run", "training"},
    # model and decode: `bench` measures bare models, without a task or data. interop: a published figure may
    # start from a published checkpoint, and `regard data` lists those beside the sets. insight: worked
    # examples that need a tokenizer or a training run.
    "recipes": COMMON
    | {
        "api",
        "console",
        "evaluation",
        "run",
        "training",
        "tasks",
        "data",
        "bundle",
        "model",
        "decode",
        "interop",
        "insight",
        "course",
        "values",
    },
    # A run as one page: its task's tokenizers and configuration, the shell of insight's pages.
    "onepage": COMMON | {"run", "tasks", "data", "model", "insight"},
    # looking: what a run's explorer is asked, and answers.
    "serve": COMMON | {"run", "insight", "looking"},
}
MAY_IMPORT["cli"] = set(MAY_IMPORT) | {"cli"}
MAY_IMPORT["__main__"] = {"cli", "console", "interrupts"}

# Other packages that `model` may import: tensors in, tensors out.
MODEL_PACKAGES = {"torch", "regard"} | set(sys.stdlib_module_names)

# What no file may import, and what none may call.
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "compile",
    "os.system",
    "os.popen",
    "torch.load",
    "torch.save",
    "numpy.load",
}
FORBIDDEN_CALLS |= {"np.load", "__import__"}

# Packages that neither `import regard` nor `regard --help` may load.
HEAVY = ["torch", "numpy", "pyarrow", "plotly", "tokenizers", "pydantic", "sacrebleu", "PIL", "sklearn"]

MOST_LINES = 400

FILES = sorted(PACKAGE.rglob("*.py"))
assert FILES, "no file of the package was found: every law below would hold"
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))


def part_of(path: Path) -> str:
    """The part of the house that a file belongs to: `model` or `bundle`; empty for the front door."""
    name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if name == "__init__" else name


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything a file imports, wherever in the file: `regard.model.mask`."""
    package = ("regard", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*above, *([node.module] if node.module else [])))
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            argument = node.args[0]
            if isinstance(argument, ast.Constant):
                yield node.lineno, str(argument.value)


def test_the_walk_finds_imports_of_every_form(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    (tmp_path / "model").mkdir()
    path = tmp_path / "model" / "x.py"
    path.write_text(
        "import regard.data.a\nfrom regard import tasks\nfrom ..run import b\nfrom . import mask\n"
        "def f():\n    from regard.training.c import d\n    import_module('regard.serve')\n"
    )
    assert [name for _, name in sorted(imports(path))] == [
        "regard.data.a",
        "regard.tasks",
        "regard.run.b",
        "regard.model.mask",
        "regard.training.c.d",
        "regard.serve",
    ]
    assert part_of(path) == "model"


@each_file
def test_a_part_imports_only_whom_it_may(path):
    part = part_of(path)
    if not part:
        return  # the front door names everything, and loads it when asked
    assert part in MAY_IMPORT, f"{part} is no part of the house; see DESIGN.md, section 3"
    for line, name in imports(path):
        root, *rest = name.split(".")
        target = rest[0] if rest else ""
        if root == "regard" and target != "__version__":
            assert target in MAY_IMPORT[part] | {part}, f"{path}:{line}: {part} must not import {target}"


def test_the_page_and_the_picture_of_the_architecture_say_the_same():
    docs = PACKAGE.parent / "docs"
    rows = re.findall(
        r"^\| `(\w+)` \| .* \| ([^|]*) \|$", (docs / "architecture.md").read_text("utf-8"), re.M
    )
    told = {name: set(re.findall(r"`(\w+)`", may)) for name, may in rows if name != "cli"}
    assert told == {part: MAY_IMPORT[part] & set(told) for part in MAY_IMPORT if part in told}
    small = COMMON | {"console", "interrupts", "__main__", "cli"}
    assert set(told) == set(MAY_IMPORT) - small
    drawn = (docs / "images" / "architecture.svg").read_text("utf-8")
    assert set(re.findall(r">(\w+)</text>", drawn)) == {*told, "cli"}


@each_file
def test_the_model_needs_torch_alone(path):
    if part_of(path) == "model":
        for line, name in imports(path):
            assert name.split(".")[0] in MODEL_PACKAGES, f"{path}:{line}: {name}"


@each_file
def test_nothing_runs_code_from_data_or_a_shell(path):
    for line, name in imports(path):
        assert name.split(".")[0] not in FORBIDDEN_MODULES, f"{path}:{line}: {name}"
        assert name not in FORBIDDEN_CALLS, f"{path}:{line}: {name}"
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in FORBIDDEN_CALLS, f"{path}:{node.lineno}: {called}"
            for keyword in node.keywords:
                if keyword.arg in ("shell", "allow_pickle"):
                    value = ast.unparse(keyword.value)
                    assert value == "False", f"{path}:{node.lineno}: {keyword.arg}={value}"


@each_file
def test_no_error_is_swallowed_whole(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            silent = all(isinstance(step, ast.Pass) for step in node.body)
            assert not (silent and caught in ("Exception", "BaseException", "everything")), (
                f"{path}:{node.lineno}: {caught} is caught and dropped"
            )


def test_files_are_small_enough_to_read_in_one_sitting():
    lengths = {str(path): len(path.read_text("utf-8").splitlines()) for path in FILES}
    long = {path: lines for path, lines in lengths.items() if lines > MOST_LINES}
    assert not long, f"over {MOST_LINES} lines: {long}"


def loaded_by(*arguments: str) -> list[str]:
    """Which of the heavy packages a fresh Python has loaded after this code."""
    report = f"import sys; print([name for name in {HEAVY} if name in sys.modules])"
    code = ";".join((*arguments, report))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = done.stdout.splitlines()[-1]
    return ast.literal_eval(found)


def test_importing_regard_loads_nothing_heavy():
    assert loaded_by("import regard") == []
    assert loaded_by("import regard.errors, regard.files, regard.schema") == []
    assert loaded_by("import regard", "regard.TransformerConfig")[0] == "torch"


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"]])
def test_asking_for_help_loads_nothing_heavy(arguments):
    call = f"import contextlib, sys; sys.argv = {['regard', *arguments]}; from regard.cli.main import main"
    code = f"{call}\nwith contextlib.suppress(SystemExit):\n    main()\nimport sys"
    assert set(loaded_by(f"{code}")) <= {"pydantic"}


def test_the_package_can_be_run():
    done = subprocess.run([sys.executable, "-m", "regard", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "train" in done.stdout


MAY_PRINT = {"training/terminal.py", "decode/probe.py"}
"""Beside the command line and recipes: the reporter that is passed to a run, and a program of its own."""


@each_file
def test_the_library_logs_and_the_command_line_prints(path):
    if (
        part_of(path) not in ("cli", "recipes", "__main__")
        and str(path.relative_to(PACKAGE)) not in MAY_PRINT
    ):
        for line, name in imports(path):
            assert not name.startswith("regard.console"), f"{path}:{line}: log instead"


PRINTERS = {"print", "typer.echo", "click.echo", "sys.stdout.write", "sys.stderr.write"}


@each_file
def test_one_file_prints(path):
    """What others wrote is made visible there, and streams are in whatever state the caller left them."""
    if part_of(path) in ("console", "interrupts", "__main__"):
        return
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in PRINTERS, f"{path}:{node.lineno}"
