"""Worked examples: one entry each, in an order that a newcomer can follow.

Each is a file, or a few related ones in a file, with its texts in both languages. What needs a tokenizer or
a trained model is put together in `recipes/explain.py`.
"""

from __future__ import annotations

from regard.course import (
    attention_by_hand,
    blocks,
    decoder,
    embedding,
    heads,
    image,
    nothing_to_learn,
    numpy_walk,
    positions,
    recurrent,
    scaling,
    softmax,
)
from regard.insight.worked import Example

EXAMPLES: dict[str, Example] = {
    example.name: example
    for example in (
        nothing_to_learn.EXAMPLE,
        attention_by_hand.EXAMPLE,
        numpy_walk.EXAMPLE,
        softmax.ANGLES,
        softmax.OVERFLOW,
        softmax.MASKS,
        scaling.EXAMPLE,
        positions.POSITIONS,
        heads.EXAMPLE,
        decoder.TEACHING,
        decoder.CROSS,
        blocks.ADD_AND_NORM,
        blocks.FEED_FORWARD,
        positions.ORDER,
        embedding.EXAMPLE,
        image.EXAMPLE,
        heads.ADDITIVE,
        recurrent.EXAMPLE,
    )
}
