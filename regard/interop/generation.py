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
from regard.interop.keys import Keys, as_ids

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
_NAMES = {
    **{name: name for name in ("repetition_penalty", "no_repeat_ngram_size", "min_length", "min_new_tokens")},
    "begin_suppress": "begin_suppress_tokens",
}
"""Keys that stand in the file as they are in a task's options, by their names there."""
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
    keys = Keys(settings, checkpoint.folder / name, vocab)
    for key, harmless in _REFUSED.items():
        if settings.get(key) not in harmless:
            raise keys.refuse(key, "that is not supported")
    words = _words(keys, vocab)
    found: dict[str, Any] = {
        "begin_suppress": list(keys.ids("begin_suppress_tokens", vocab)),
        "bad_words": [word for word in words if len(word) > 1],
        "repetition_penalty": _penalty(keys),
        "no_repeat_ngram_size": keys.whole("no_repeat_ngram_size", 0),
        "min_length": keys.whole("min_length", 0),
        "min_new_tokens": keys.whole("min_new_tokens", 0),
        "opening": list(keys.ids("forced_bos_token_id", vocab)[:1]),
        "forced_end": bool(keys.ids("forced_eos_token_id", vocab)),
    }
    if found["opening"] and not two_stacks:
        why = "that is for models that are given one text and write another"
        raise keys.refuse("forced_bos_token_id", why)
    rules = {key: value for key, value in found.items() if value and (key, value) != _NO_PENALTY}
    never = [*keys.ids("suppress_tokens", vocab), *(word[0] for word in words if len(word) == 1)]
    return ({"never": never} if never else {}) | ({"constraints": rules} if rules else {})


def generation_file(options: Mapping[str, Any], ids: Mapping[str, Any]) -> dict[str, str]:
    """The file that says what outputs must be like, for a task's options; none where they need nothing.
    `ids`: what the configuration names."""
    rules = dict(options.get("constraints") or {})
    if not rules and not options.get("never"):
        return {}
    bad = [*([token] for token in options.get("never") or ()), *map(list, rules.get("bad_words") or ())]
    settings = {name: ids[name] for name in ids if name.endswith("_token_id")}
    settings |= {key: rules[name] for name, key in _NAMES.items() if rules.get(name)}
    if bad:
        settings["bad_words_ids"] = bad
    if rules.get("opening"):
        settings["forced_bos_token_id"] = rules["opening"][0]
    if rules.get("forced_end"):
        end = ids["eos_token_id"]
        settings["forced_eos_token_id"] = end[0] if isinstance(end, list) else end
    return {GENERATION: json.dumps(settings, indent=2) + "\n"}


def _words(keys: Keys, vocab: int) -> list[list[int]]:
    value = keys.any("bad_words_ids")
    words = [] if value is None else value
    good = isinstance(words, list) and all(isinstance(word, list) and word for word in words)
    if not good or not all(as_ids(word, vocab) for word in words):
        raise keys.refuse("bad_words_ids", "it must be lists of ids below {limit:,}", vocab)
    return [list(word) for word in words]


def _penalty(keys: Keys) -> float:
    value = keys.any("repetition_penalty")
    if value is None:
        return 1.0
    if type(value) not in (int, float) or not math.isfinite(value) or value <= 0:
        raise keys.refuse("repetition_penalty", "it must be a number above {limit}", 0)
    return float(value)
