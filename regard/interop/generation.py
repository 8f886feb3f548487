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
    said = checkpoint.json(GENERATION)
    return said[name] if said is not None and name in said else checkpoint.config.get(name)


def generation_options(
    checkpoint: Checkpoint, vocab: int, *, two_stacks: bool, forced_end: int | None = None
) -> dict[str, Any]:
    """What a task that writes is to know of what its outputs must be like: `never`, ids that are not written,
    and `constraints`, as `decode` has them. What is not said is left out. `vocab`: how many ids there are;
    `forced_end`: the id that a family's outputs end with where no file says anything of it.

    Raises: CheckpointError for a rule that cannot be kept, by its name.
    """
    said, name = checkpoint.json(GENERATION), GENERATION
    if said is None:  # a folder without that file says it among everything else
        said, name = {"forced_eos_token_id": forced_end, **checkpoint.config}, CONFIG
    where = f"{checkpoint.folder / name}"
    for key, harmless in _REFUSED.items():
        if said.get(key) not in harmless:
            raise refusal(where, key, said[key], "that is not supported")
    words = _words(said, where, vocab)
    found: dict[str, Any] = {
        "begin_suppress": _ids(said, "begin_suppress_tokens", where, vocab),
        "bad_words": [word for word in words if len(word) > 1],
        "repetition_penalty": _number(said, "repetition_penalty", where),
        "no_repeat_ngram_size": _count(said, "no_repeat_ngram_size", where),
        "min_length": _count(said, "min_length", where),
        "min_new_tokens": _count(said, "min_new_tokens", where),
        "opening": _ids(said, "forced_bos_token_id", where, vocab)[:1],
        "forced_end": bool(_ids(said, "forced_eos_token_id", where, vocab)),
    }
    if found["opening"] and not two_stacks:
        key, why = "forced_bos_token_id", "that is for models that are given one text and write another"
        raise refusal(where, key, said[key], why)
    rules = {key: value for key, value in found.items() if value and (key, value) != _NO_PENALTY}
    never = [*_ids(said, "suppress_tokens", where, vocab), *(word[0] for word in words if len(word) == 1)]
    return ({"never": never} if never else {}) | ({"constraints": rules} if rules else {})


def written_generation(options: Mapping[str, Any], ids: Mapping[str, Any]) -> dict[str, str]:
    """The file that says what outputs must be like, for a task's options; none where they need nothing.
    `ids`: what the configuration names."""
    rules = dict(options.get("constraints") or {})
    if not rules and not options.get("never"):
        return {}
    bad = [*([token] for token in options.get("never") or ()), *map(list, rules.get("bad_words") or ())]
    said = {name: ids[name] for name in ids if name.endswith("_token_id")}
    for key in ("repetition_penalty", "no_repeat_ngram_size", "min_length", "min_new_tokens"):
        if rules.get(key):
            said[key] = rules[key]
    if rules.get("begin_suppress"):
        said["begin_suppress_tokens"] = rules["begin_suppress"]
    if bad:
        said["bad_words_ids"] = bad
    if rules.get("opening"):
        said["forced_bos_token_id"] = rules["opening"][0]
    if rules.get("forced_end"):
        end = ids["eos_token_id"]
        said["forced_eos_token_id"] = end[0] if isinstance(end, list) else end
    return {GENERATION: json.dumps(said, indent=2) + "\n"}


def _ids(said: Mapping[str, Any], key: str, where: str, vocab: int) -> list[int]:
    found = as_ids(said.get(key), vocab)
    if found is None:
        raise refusal(where, key, said[key], "it must be ids below {limit:,}, or null", vocab)
    return found


def _words(said: Mapping[str, Any], where: str, vocab: int) -> list[list[int]]:
    value = said.get("bad_words_ids")
    words = [] if value is None else value
    good = isinstance(words, list) and all(isinstance(word, list) and word for word in words)
    if not good or not all(as_ids(word, vocab) for word in words):
        raise refusal(where, "bad_words_ids", value, "it must be lists of ids below {limit:,}", vocab)
    return [list(word) for word in words]


def _count(said: Mapping[str, Any], key: str, where: str) -> int:
    value = said.get(key)
    if value is not None and (type(value) is not int or not 0 <= value < 1 << 31):
        raise refusal(where, key, value, "it must be an integer, {limit} or more", 0)
    return value or 0


def _number(said: Mapping[str, Any], key: str, where: str) -> float:
    value = said.get(key)
    if value is None:
        return 1.0
    if type(value) not in (int, float) or not math.isfinite(value) or value <= 0:
        raise refusal(where, key, value, "it must be a number above {limit}", 0)
    return float(value)
