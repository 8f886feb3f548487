"""How a checkpoint says that its model writes: `generation_config.json`, or `config.json` where that is not
there.

What changes what is written, whoever asks for it, is imported or refused by name. How tokens are searched
for or drawn (beams, temperature, lengths) is said anew by whoever generates, and is left out. Source:
transformers' `GenerationConfig`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from regard.interop.checkpoint import CONFIG, Checkpoint
from regard.interop.keys import as_ids, refusal

GENERATION = "generation_config.json"
_REFUSED: dict[str, tuple[Any, ...]] = {
    "encoder_no_repeat_ngram_size": (None, 0),
    "encoder_repetition_penalty": (None, 1, 1.0),
    "exponential_decay_length_penalty": (None,),
    "force_words_ids": (None,),
    "forced_decoder_ids": (None, []),
    "guidance_scale": (None, 1, 1.0),
    "sequence_bias": (None, {}),
    "watermarking_config": (None,),
}
"""What would change every output and is not supported, and the values with which it does not."""
_NO_PENALTY = ("repetition_penalty", 1.0)


def stated(checkpoint: Checkpoint, name: str) -> Any:
    """A key of generation: what its own file says, else what the configuration does."""
    settings = checkpoint.json(GENERATION)
    return settings[name] if settings is not None and name in settings else checkpoint.config.get(name)


def generation_options(
    checkpoint: Checkpoint, vocab: int, *, two_stacks: bool, forced_end: int | None = None
) -> dict[str, Any]:
    """What a task that writes is to know of what its outputs must be like: `never`, ids that are not written,
    and `constraints`, as `decode` has them. What is not said is left out. `vocab`: how many ids there are;
    `forced_end`: the id that a family's outputs end with where no file says anything of it.

    Raises: CheckpointError for a rule that cannot be kept, by its name.
    """
    settings, name = checkpoint.json(GENERATION), GENERATION
    if settings is None:  # a folder without that file says it among everything else
        settings, name = {"forced_eos_token_id": forced_end, **checkpoint.config}, CONFIG
    where = f"{checkpoint.folder / name}"
    for key, harmless in _REFUSED.items():
        if settings.get(key) not in harmless:
            raise refusal(where, key, settings[key], "that is not supported")
    words = _words(settings, where, vocab)
    found: dict[str, Any] = {
        "begin_suppress": _ids(settings, "begin_suppress_tokens", where, vocab),
        "bad_words": [word for word in words if len(word) > 1],
        "repetition_penalty": _number(settings, "repetition_penalty", where),
        "no_repeat_ngram_size": _count(settings, "no_repeat_ngram_size", where),
        "min_length": _count(settings, "min_length", where),
        "min_new_tokens": _count(settings, "min_new_tokens", where),
        "opening": _ids(settings, "forced_bos_token_id", where, vocab)[:1],
        "forced_end": bool(_ids(settings, "forced_eos_token_id", where, vocab)),
    }
    if found["opening"] and not two_stacks:
        key, why = "forced_bos_token_id", "that is for models that are given one text and write another"
        raise refusal(where, key, settings[key], why)
    rules = {key: value for key, value in found.items() if value and (key, value) != _NO_PENALTY}
    never = [*_ids(settings, "suppress_tokens", where, vocab), *(word[0] for word in words if len(word) == 1)]
    return ({"never": never} if never else {}) | ({"constraints": rules} if rules else {})


def generation_file(options: Mapping[str, Any], ids: Mapping[str, Any]) -> dict[str, str]:
    """The file that says what outputs must be like, for a task's options; none where they need nothing.
    `ids`: what the configuration names."""
    rules = dict(options.get("constraints") or {})
    if not rules and not options.get("never"):
        return {}
    bad = [*([token] for token in options.get("never") or ()), *map(list, rules.get("bad_words") or ())]
    settings = {name: ids[name] for name in ids if name.endswith("_token_id")}
    for key in ("repetition_penalty", "no_repeat_ngram_size", "min_length", "min_new_tokens"):
        if rules.get(key):
            settings[key] = rules[key]
    if rules.get("begin_suppress"):
        settings["begin_suppress_tokens"] = rules["begin_suppress"]
    if bad:
        settings["bad_words_ids"] = bad
    if rules.get("opening"):
        settings["forced_bos_token_id"] = rules["opening"][0]
    if rules.get("forced_end"):
        end = ids["eos_token_id"]
        settings["forced_eos_token_id"] = end[0] if isinstance(end, list) else end
    return {GENERATION: json.dumps(settings, indent=2) + "\n"}


def _ids(settings: Mapping[str, Any], key: str, where: str, vocab: int) -> list[int]:
    found = as_ids(settings.get(key), vocab)
    if found is None:
        raise refusal(where, key, settings[key], "it must be ids below {limit:,}, or null", vocab)
    return found


def _words(settings: Mapping[str, Any], where: str, vocab: int) -> list[list[int]]:
    value = settings.get("bad_words_ids")
    words = [] if value is None else value
    good = isinstance(words, list) and all(isinstance(word, list) and word for word in words)
    if not good or not all(as_ids(word, vocab) for word in words):
        raise refusal(where, "bad_words_ids", value, "it must be lists of ids below {limit:,}", vocab)
    return [list(word) for word in words]


def _count(settings: Mapping[str, Any], key: str, where: str) -> int:
    value = settings.get(key)
    if value is not None and (type(value) is not int or not 0 <= value < 1 << 31):
        raise refusal(where, key, value, "it must be an integer, {limit} or more", 0)
    return value or 0


def _number(settings: Mapping[str, Any], key: str, where: str) -> float:
    value = settings.get(key)
    if value is None:
        return 1.0
    if type(value) not in (int, float) or not math.isfinite(value) or value <= 0:
        raise refusal(where, key, value, "it must be a number above {limit}", 0)
    return float(value)
