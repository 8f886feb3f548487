"""Loops that tests import by themselves are those that decoding uses, compiled and tried once."""

from __future__ import annotations

from regard.decode.fast import have_loops

have_loops()
