"""An error is one sentence on one line, whatever it quotes."""

from __future__ import annotations

import pytest

from regard.errors import ConfigError, DataError


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
