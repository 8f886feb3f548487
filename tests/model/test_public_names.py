"""What editors are told about `regard` is what `import regard` gives."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import regard


def test_the_stub_lists_the_lazy_names() -> None:
    stub = ast.parse(Path(regard.__file__).with_suffix(".pyi").read_text("utf-8"))
    imported = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    listed = {
        alias.asname: f"{node.module}.{alias.name}"
        for node in imported
        for alias in node.names
        if alias.asname
    }
    declared = [node.target for node in stub.body if isinstance(node, ast.AnnAssign)]
    listed |= {target.id: f"regard.{target.id}" for target in declared if isinstance(target, ast.Name)}
    assert listed.pop("__version__")
    assert listed == {name: f"{module}.{name}" for name, module in regard._NAMES.items()}


@pytest.mark.parametrize("name", [name for name, home in regard._NAMES.items() if ".model." in home])
def test_a_name_of_the_stack_loads(name: str) -> None:
    assert getattr(regard, name).__module__ == regard._NAMES[name]


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'atend'"):
        _ = regard.atend
