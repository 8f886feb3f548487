"""Settings that suit a data set, where it has a name: data only, overridden by whatever the user says."""

from __future__ import annotations

_SPELT = ("task.tokenizer=characters", "model.tying=two-way", "task.metric=exact")

KNOWN_DATA: dict[str, tuple[str, ...]] = {
    "spelling": (*_SPELT, "task.target_tokenizer=characters", "task.unit=character"),
    "pinyin": (*_SPELT, "task.target_tokenizer=words"),
    "dates": (*_SPELT, "task.target_tokenizer=characters", "task.unit=character"),
}
