"""What people call the values of a model."""

from __future__ import annotations

from regard.insight import names


def test_names_are_places() -> None:
    assert names.place_of("decoder.blocks.3.cross.scores") == names.Place("decoder", 3, "cross", "scores")
    assert names.place_of("stack.blocks.0.residual") == names.Place("stack", 0, "block", "residual")
    assert names.place_of("source_given") == names.Place(None, None, "embed", "given")
    assert names.place_of("head.transform.out") == names.Place(None, None, "head", "transform")
