"""Folders of sentence-transformers: what makes one vector of an encoder's, read and written.

Such a folder is a checkpoint with `modules.json`, which lists steps, and folders for those after the first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from regard.bundle import Bundle
from regard.errors import CheckpointError, damaged
from regard.interop.checkpoint import Checkpoint
from regard.interop.family import Unsupported, task_options
from regard.interop.keys import refusal
from regard.interop.origin import PROMPTS, load_origin
from regard.interop.tokenizer_keys import SENTENCES
from regard.model.head import Pooling, Vector
from regard.model.transformer import TransformerConfig
from regard.strict_json import loads

MODULES, POOLING, LENGTH = "modules.json", "1_Pooling/config.json", SENTENCES
_STEPS = ("Transformer", "Pooling", "Normalize")
_KNOWN = "Transformer, Pooling, and after them perhaps Normalize,"
_MODES: dict[str, Pooling] = {"mean_tokens": "mean", "cls_token": "first"}
_NEW_MODES = {"mean": "mean_tokens", "cls": "cls_token"}
"""The names since version 5.4, and those before."""


def vector_of(checkpoint: Checkpoint) -> Vector:
    """The mean of an encoder's vectors, unless the folder is sentence-transformers' and says otherwise.

    Raises: CheckpointError.
    """
    text, place = checkpoint.text(MODULES), checkpoint.folder / MODULES
    if text is None:
        return Vector("mean", normalised=False)
    steps = _modules(checkpoint, text)
    if tuple(steps) not in (_STEPS[:2], _STEPS):
        sentence = "{where}: its steps are {value}; only {limit} can be imported"
        raise CheckpointError(sentence, place, ", ".join(steps), _KNOWN)
    if steps["Transformer"]:
        raise CheckpointError("{where}: the encoder must be in the folder itself", place)
    normalised = "Normalize" in steps
    _check_use(checkpoint, normalised)
    pooling = f"{steps['Pooling']}/config.json" if steps["Pooling"] else POOLING
    if prompt_of(checkpoint) and (checkpoint.json(pooling) or {}).get("include_prompt") is False:
        why = "here a prompt counts as any text does"
        raise refusal(checkpoint.folder / pooling, "include_prompt", False, why)
    return Vector(_pooling(checkpoint, pooling), normalised)


def prompt_of(checkpoint: Checkpoint) -> str:
    """What stands before every text that the folder's encoder is given. Raises: CheckpointError."""
    settings = checkpoint.json(PROMPTS) or {}
    default, prompts = settings.get("default_prompt_name"), settings.get("prompts")
    if default is None:
        return ""
    prompt = prompts.get(default) if isinstance(default, str) and isinstance(prompts, Mapping) else None
    if not isinstance(prompt, str):
        why = "it must name one of 'prompts', or be null"
        raise refusal(checkpoint.folder / PROMPTS, "default_prompt_name", default, why)
    return prompt


def _modules(checkpoint: Checkpoint, text: str) -> dict[str, str]:
    """The steps by what they are, and the folder of each. What stands before a step's name has changed since
    version 5.4."""
    place = checkpoint.folder / MODULES
    try:
        listed = loads(text)
        names = [entry["type"] for entry in listed]
        kinds = [name.rpartition(".")[2] for name in names]
        paths = [entry.get("path", "") for entry in listed]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged(CheckpointError, place, "it is no list of modules") from error
    for name in names:
        if not name.startswith("sentence_transformers."):
            sentence = "{where}: '{value}' is code that is not here, and is never run"
            raise CheckpointError(sentence, place, name)
    if len(set(kinds)) < len(kinds) or not all(re.fullmatch(r"[\w-]*", str(path)) for path in paths):
        raise CheckpointError("{where}: a step is there twice, or not in the folder", place)
    return dict(zip(kinds, map(str, paths), strict=True))


def _pooling(checkpoint: Checkpoint, file: str) -> Pooling:
    settings = checkpoint.json(file) or {}
    modes = [name.removeprefix("pooling_mode_") for name, on in settings.items() if on is True]
    modes = [name for name in modes if f"pooling_mode_{name}" in settings]
    named = settings.get("pooling_mode")
    if named is not None:
        listed = named if isinstance(named, list) else [named]
        modes += [_NEW_MODES.get(str(name), str(name)) for name in listed]
    found = [_MODES.get(name) for name in dict.fromkeys(modes)]
    if len(found) != 1 or found[0] is None:
        sentence = "{where}: only the mean or the first vector can be taken, not {value}"
        raise CheckpointError(sentence, checkpoint.folder / file, ", ".join(modes) or "nothing")
    return found[0]


def _check_use(checkpoint: Checkpoint, normalised: bool) -> None:
    """Refuse what changes how vectors are compared, by name."""
    settings = checkpoint.json(PROMPTS) or {}
    similarity = settings.get("similarity_fn_name")
    # The product of vectors of length one is their cosine.
    if similarity not in (None, "cosine") and not (similarity == "dot" and normalised):
        why = 'only "cosine", or "dot" after Normalize, can be taken, as texts are compared by a cosine'
        raise refusal(checkpoint.folder / PROMPTS, "similarity_fn_name", similarity, why)


def sentence_files(bundle: Bundle) -> dict[str, str]:
    """What says how a bundle's encoder makes one vector of a text; none for others. Raises: Unsupported."""
    model = bundle.model
    if not isinstance(model, TransformerConfig) or not isinstance(model.head, Vector):
        return {}
    head = model.head
    if head.pooling not in _MODES.values():
        raise Unsupported(f"its vectors are pooled by '{head.pooling}'")
    places = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    steps = [
        {
            "idx": index,
            "name": str(index),
            "path": places[kind],
            "type": f"sentence_transformers.models.{kind}",
        }
        for index, kind in enumerate(_STEPS if head.normalised else _STEPS[:2])
    ]
    pooling: dict[str, Any] = {"word_embedding_dimension": model.stack.width}
    pooling |= {f"pooling_mode_{name}": mode == head.pooling for name, mode in _MODES.items()}
    options = task_options(bundle)
    longest, prompt = options.get("max_length"), options.get("prompt")
    files: dict[str, Any] = {MODULES: steps, POOLING: pooling}
    if settings := _prompts(dict(load_origin(bundle).prompts), prompt if isinstance(prompt, str) else ""):
        files[PROMPTS] = settings
    if type(longest) is int:
        files[LENGTH] = {"max_seq_length": longest, "do_lower_case": False}
    return {name: json.dumps(content, indent=2) + "\n" for name, content in files.items()}


def _prompts(came: dict[str, Any], prompt: str) -> dict[str, Any]:
    """What is said of prompts: as it came, but that every text has this one before it."""
    prompts, default = came.get("prompts"), came.get("default_prompt_name")
    prompts = prompts if isinstance(prompts, dict) else {}
    if prompt != ("" if default is None else prompts.get(default)):
        came |= {"prompts": {**prompts, "default": prompt}, "default_prompt_name": "default"}
    return came
