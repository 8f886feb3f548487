"""What suits a data set that has a name, and a task: data only, overridden by whatever the user says."""

from __future__ import annotations

from dataclasses import dataclass

SHORT = {
    "train.lr": ("train.optimizer.lr",),
    "model.depth": ("model.encoder.depth", "model.decoder.depth", "model.stack.depth"),
    "model.heads": (
        "model.encoder.attention.heads",
        "model.decoder.attention.heads",
        "model.decoder.cross.heads",
        "model.stack.attention.heads",
    ),
    "model.width": ("model.encoder.width", "model.decoder.width", "model.stack.width"),
    "model.hidden": (
        "model.encoder.feedforward.hidden",
        "model.decoder.feedforward.hidden",
        "model.stack.feedforward.hidden",
    ),
    "model.dropout": ("model.encoder.dropout", "model.decoder.dropout", "model.stack.dropout"),
}
"""Short names of the settings that people change most."""


@dataclass(frozen=True)
class Suited:
    """A size and settings."""

    preset: str = "tiny"
    settings: tuple[str, ...] = ()


UNKNOWN_DATA = Suited()

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

# A body that has learned already: small steps, as in BERT (arXiv 1810.04805, appendix A.3), and no momentum
# that makes all directions alike.
FINE_TUNED = (
    "train.optimizer=adamw",
    "train.optimizer.lr=1e-4",
    "train.optimizer.beta2=0.999",
    "train.optimizer.eps=1e-8",
    "train.optimizer.weight_decay=0.01",
    "train.epochs=4",
)

# Digits lie a little turned, shifted and bent; a wrong way round is another digit, so nothing is mirrored.
_DIGITS = (
    "task.augmentation=warp",
    "task.augmentation.bend=0.02",
    "train.evaluations=5",
)

# Two minutes are less than a pass over the text: nothing is memorised, and a large vocabulary would
# take most of the time.
_CODE = ("task.tokenizer=byte-bpe", "task.tokenizer.vocab=2000", "task.context=128", "model.dropout=0")

KNOWN_DATA: dict[tuple[str, str], Suited] = {
    ("translation", "spelling"): Suited("mini", (*_SPELT, *_CHARACTERS)),
    ("translation", "pinyin"): Suited(
        "mini", (*_SPELT, *_RELATIVE, "task.target_tokenizer=words", *_READER, *_RARE)
    ),
    ("text-generation", "stdlib"): Suited("mini", (*_CODE, "train.evaluations=3")),
    ("translation", "dates"): Suited("micro", (*_SPELT, *_CHARACTERS, *_RELATIVE)),
    ("image-classification", "digits"): Suited("mini", _DIGITS),
    ("image-classification", "mnist5k"): Suited("mini", _DIGITS),
    ("image-classification", "mnist"): Suited("tiny", _DIGITS),
}
