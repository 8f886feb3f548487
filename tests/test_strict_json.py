"""JSON of others is read within limits, and what is written is always JSON."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.errors import ConfigError
from regard.strict_json import CONFIGURATION, Limit, dumps, loads, plain, read_object
from tests.shared import refused

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_written_is_json_that_is_read_back(value):
    def strict(text):
        raise AssertionError(f"{text} is no JSON")

    assert json.loads(dumps(value), parse_constant=strict) == plain(value)
    assert json.loads(dumps(value)) == loads(dumps(value))


@pytest.mark.parametrize(
    ("value", "name"), [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity")]
)
def test_numbers_that_json_does_not_have_are_named(value, name):
    assert json.loads(dumps({"a": [value, 1.5]})) == {"a": [name, 1.5]}


@pytest.mark.parametrize(
    "number", ["1e400", "-1e400", "NaN", "Infinity", "-Infinity", "9" * 101, "-" + "9" * 4299]
)
def test_a_number_that_is_none_is_refused_by_its_path(number):
    with pytest.raises(ValueError, match=r"^model\.layers\.1\.theta is "):
        loads(f'{{"task": 1, "model": {{"layers": [{{}}, {{"theta": {number}}}]}}}}')


def test_a_number_that_a_later_one_replaces_is_no_matter():
    assert loads('{"a": 1e400, "a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    "text",
    [
        "[" * 101 + "]" * 101,
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
    ],
)
def test_what_is_nested_too_deeply_is_refused(text):
    with pytest.raises(ValueError, match="nested too deeply"):
        loads(text)


@pytest.mark.parametrize(
    "text", ["[]" + " " * 100, "[" + "{}," * 30 + "1]", "[" + "1," * 99 + "1]", "{" * 99]
)
def test_a_text_is_measured_before_it_is_read(text, monkeypatch):
    monkeypatch.setattr(json, "loads", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(ValueError, match="to be right"):
        loads(text, Limit(101, 90))
    with pytest.raises(ValueError, match="to be right"):
        loads(text.encode(), Limit(101, 90))


def test_a_file_is_refused_by_its_name(tmp_path):
    path = tmp_path / "config.json"
    for content in (b"[]", b"\xff", b"{", b'{"a": 1e400}', b" " * (CONFIGURATION.bytes + 1)):
        path.write_bytes(content)
        with refused(ConfigError, where="shown.json"):
            read_object(path, ConfigError, tmp_path / "shown.json")
    with refused(ConfigError, value="Is a directory"):
        read_object(tmp_path, ConfigError)
