"""What suits a data set that has a name: data only, overridden by whatever the user says. A task names its
own as `known_data`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Suited:
    """A size and settings."""

    preset: str = "tiny"
    settings: tuple[str, ...] = ()


# Short sequences with one right answer: small batches learn faster, and a few passes do not overfit. The peak
# rate is that for five minutes.
_SPELT = (
    "task.tokenizer=characters",
    "model.tying=two-way",
    "model.dropout=0",
    "task.metric=exact",
    "train.tokens=1024",
    "train.schedule.horizon=3000",
    "train.evaluations=5",
)
# A part of a date or a phrase is known by what stands beside it, wherever it stands.
_RELATIVE = ("model.encoder.position=rotary", "model.decoder.position=rotary")
_CHARACTERS = ("task.target_tokenizer=characters", "task.unit=character")

# One syllable a character: what there is to know is on the side that reads, and the two keep step. Without a
# position relative to the source the decoder loses its place where a character is repeated.
_READER = (
    "model.decoder.depth=1",
    "model.decoder.cross_position=true",
    "model.width=160",
    "model.hidden=640",
)

# Most characters come up a handful of times, and their rows of the table learn only then. To move so large a
# table takes as long as a small batch.
_RARE = ("train.optimizer.adam.lr=1e-2", "train.tokens=2048")

# Digits lie a little turned, shifted and bent; a wrong way round is another digit, so nothing is mirrored.
_DIGITS = (
    "task.augmentation=warp",
    "task.augmentation.bend=0.02",
    "train.evaluations=5",
)

# Two minutes are less than a pass over the text: nothing is memorised, and a large vocabulary would
# take most of the time.
_CODE = ("task.tokenizer=byte-bpe", "task.tokenizer.vocab=2000", "task.context=128", "model.dropout=0")

TRANSLATIONS: Mapping[str, Suited] = {
    "spelling": Suited("mini", (*_SPELT, *_CHARACTERS)),
    "pinyin": Suited("mini", (*_SPELT, *_RELATIVE, "task.target_tokenizer=words", *_READER, *_RARE)),
    "dates": Suited("micro", (*_SPELT, *_CHARACTERS, *_RELATIVE)),
}
TEXTS: Mapping[str, Suited] = {"stdlib": Suited("mini", (*_CODE, "train.evaluations=3"))}
IMAGES: Mapping[str, Suited] = {
    "digits": Suited("mini", _DIGITS),
    "mnist5k": Suited("mini", _DIGITS),
    "mnist": Suited("tiny", _DIGITS),
}
