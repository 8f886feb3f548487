"""An error is one sentence on one line, whatever it quotes, and keeps its parts.

`golden/errors.txt` lists the sentences of all: `REGARD_GOLDEN=write pytest tests/test_errors.py` writes it.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

import regard
from regard import errors
from regard.errors import ConfigError, DataError, InputError, unknown

ROOT = Path(regard.__file__).parent
GOLDEN = Path(__file__).parent / "golden" / "errors.txt"
KINDS = {name for name in vars(errors) if name.endswith("Error")} - {"NonFiniteOutputError"}
USUAL = {"where", "key", "value", "limit", "remedy"}
SHARED = {"kind", "error"}
"""What shared constructors call the kind of error that they are given."""
COMPUTED = {"schema.py", "interop/keys.py"}
"""Where a sentence is made from that of another error, or ends in a clause that is given."""


def _raised() -> Iterator[tuple[str, ast.Call, ast.expr]]:
    """Of each error that `regard` makes: its file and line, the call, and what is its sentence."""
    for path in sorted(ROOT.rglob("*.py")):
        tree, told = ast.parse(path.read_text("utf-8")), None
        named = {ast.unparse(one.targets[0]): one.value for one in tree.body if isinstance(one, ast.Assign)}
        for node in sorted(ast.walk(tree), key=lambda node: getattr(node, "lineno", 0)):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "sentence":
                told = node.value
            elif isinstance(node, ast.Call) and node.args:
                kind, said = ast.unparse(node.func), node.args[0]
                said = told if told is not None and ast.unparse(said) == "sentence" else said
                said = named.get(ast.unparse(said), said)
                if kind in KINDS or (kind in SHARED and isinstance(said, ast.Constant)):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node, said


def _sentences() -> Iterator[tuple[str, ast.Call, str]]:
    for place, call, said in _raised():
        if isinstance(said, ast.Constant):
            yield place, call, said.value


def _names(sentence: str) -> list[str]:
    return list(dict.fromkeys(name for _, name, _, _ in Formatter().parse(sentence) if name))


@pytest.mark.parametrize(
    ("quoted", "shown"),
    [
        ("a\nb", r"a\nb"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\u202eback", r"\u202eback"),
        ("\udcff", r"\udcff"),
        ("\x00\u2028", r"\x00\u2028"),
        ("思考\u3000é'\\n", "思考\u3000é'\\n"),
    ],
)
def test_what_a_message_quotes_stays_on_its_line(quoted, shown):
    assert str(DataError(f"'{quoted}' is wrong")) == f"'{shown}' is wrong"
    assert str(ConfigError(str(DataError(quoted)))) == shown


def test_what_tells_of_another_error_keeps_its_parts():
    inner = DataError(
        "{where}: {key} is {value}; give {limit}", "a.csv:3", "box", "{3", "4", remedy="or none"
    )
    outer = ConfigError.of(inner, where="a.json")
    assert (outer.where, outer.key, outer.value, outer.limit) == ("a.csv:3", "box", "{3", "4")
    assert (outer.remedy, outer.parts["outer_where"]) == (inner.remedy, "a.json")
    assert str(outer) == f"a.json: {inner}"
    assert str(ConfigError.of(inner)) == str(inner)


def test_what_tells_of_an_error_without_parts_says_the_same():
    plain = DataError("no {thing}; give one")
    assert str(ConfigError.of(plain)) == str(plain)
    assert str(ConfigError.of(plain, where="{a}")) == f"{{a}}: {plain}"
    assert ConfigError.of(plain, where="a").remedy == "give one"
    assert ConfigError.of(ValueError("one\ntwo"), where="a").value == "one"


def test_a_sentence_is_a_literal():
    other = {place.partition(":")[0] for place, _, said in _raised() if not isinstance(said, ast.Constant)}
    assert other <= COMPUTED


def test_a_sentence_names_its_parts_and_nothing_else():
    for place, call, sentence in _sentences():
        if not any(isinstance(part, ast.Starred) for part in call.args):
            assert len(_names(sentence)) == len(call.args) - 1, place


def test_a_sentence_is_one_line_without_a_full_stop():
    for place, _, sentence in _sentences():
        assert sentence.splitlines() == [sentence.strip().rstrip(".")], place


def test_all_sentences_are_those_of_the_list():
    found = {(ast.unparse(call.func), sentence) for _, call, sentence in _sentences()}
    extra = sorted({name for _, sentence in found for name in _names(sentence)} - USUAL)
    lines = [f"Names beside {', '.join(sorted(USUAL))}: {', '.join(extra)}"]
    lines += sorted(f"{'any kind' if kind in SHARED else kind}: {sentence}" for kind, sentence in found)
    if os.environ.get("REGARD_GOLDEN") == "write":
        GOLDEN.write_text("\n".join(lines) + "\n", "utf-8")
    assert lines == GOLDEN.read_text("utf-8").splitlines(), "see the top of this file"


@given(st.lists(st.text(max_size=40), max_size=300), st.text(max_size=100))
def test_however_many_names_there_are_the_sentence_stays_short(names: list[str], name: str) -> None:
    problem = unknown(InputError, "part", name, names)
    assert len(str(problem)) < 1000
    assert problem.value == name
    if len(", ".join(names)) < 400:
        assert problem.limit == ", ".join(names)
