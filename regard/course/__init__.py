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
        nothing_to_learn.nothing_to_learn,
        attention_by_hand.attention_by_hand,
        numpy_walk.numpy_walk,
        softmax.dot_product,
        softmax.softmax_overflow,
        softmax.masks,
        scaling.square_root,
        positions.positions,
        heads.multi_head,
        decoder.teacher_forcing,
        decoder.cross_attention,
        blocks.add_and_norm,
        blocks.feed_forward,
        positions.order_matters,
        embedding.one_hot,
        image.image_as_sentence,
        heads.additive,
        recurrent.why_not_recurrent,
    )
}
