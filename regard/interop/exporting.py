"""From a bundle to a folder that other libraries read.

What was written is read again by the importer before it takes its place: only if that gives the same model
is it kept. So a family need not know by heart what it cannot say.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend
from tokenizers.processors import TemplateProcessing
from torch import Tensor

from regard import bundle as bundles
from regard.bundle import Bundle, weights_of
from regard.data.tokenizer import Tokenizer
from regard.data.tokenizer_given import GivenTokenizer
from regard.errors import CheckpointError
from regard.files import atomic_files, check_space, write_json
from regard.interop.checkpoint import CONFIG, WEIGHTS
from regard.interop.family import Family, Unfit
from regard.interop.importing import FAMILIES, LABELS, read_checkpoint
from regard.interop.looks import PREPROCESSOR
from regard.model.mask import Full
from regard.model.transformer import EncoderDecoderConfig, TransformerConfig
from regard.schema import dump
from regard.strict_json import loads
from regard.weights import write_weights

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
_MARKS = (TOKENIZER_CONFIG, PREPROCESSOR)
"""What a checkpoint has, but a bundle has not."""
_FOUND = ("hidden", "kv_heads", "head_width", "out_bias")
"""What of a model may be left open, and follows from the rest of it."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    folder: Path
    family: str
    architecture: str
    parameters: int


def export_checkpoint(run: str | Path, out: str | Path) -> Exported:
    """Write the bundle in `run` as a checkpoint for Hugging Face's libraries in `out`.

    Raises: BundleError: no bundle. CheckpointError: a model that no family can describe, and why.
    """
    bundle, place = bundles.load(run), Path(out)
    if bundles.is_bundle(place) and not any((place / name).is_file() for name in _MARKS):
        raise CheckpointError(f"{place} holds something already; give another folder")
    reasons: dict[str, list[str]] = {}
    for family, architecture in _candidates(bundle):
        try:
            _write(bundle, place, family, architecture)
        except Unfit as why:
            reasons.setdefault(str(why), []).append(family.name)
            continue
        count = sum(weight.numel() for weight in bundle.weights.values())
        return Exported(place, family.name, architecture, count)
    known = "; ".join(
        f"no {' or '.join(dict.fromkeys(names))}, because {why}" for why, names in reasons.items()
    )
    raise CheckpointError(
        f"{run} cannot be written as a checkpoint: {known or f'no family has the task {bundle.task}'}; what"
        " began with an imported model can"
    )


def _candidates(bundle: Bundle) -> list[tuple[Family, str]]:
    """Families that have the task, the one that it came from first."""
    origin = bundle.data.get("imported")
    origin = origin if isinstance(origin, Mapping) else {}
    found: list[tuple[Family, str]] = []
    for family in FAMILIES.values():
        fit = [name for name, task in family.architectures.items() if task == bundle.task]
        if family.name == origin.get("family") and origin.get("architecture") in fit:
            found.insert(0, (family, str(origin["architecture"])))
        else:
            found += [(family, name) for name in fit]
    return found


def _write(bundle: Bundle, place: Path, family: Family, architecture: str) -> None:
    config: dict[str, Any] = {"architectures": [architecture], "model_type": family.name, "dtype": "float32"}
    ids, texts = _tokenizer(bundle, family)
    config |= ids | family.config(bundle, architecture) | _labels(bundle)
    texts |= family.files(bundle)
    weights = _weights(bundle, family, architecture)
    inner = {name: texts.pop(name) for name in list(texts) if "/" in name}
    check_space(place, sum(weight.nbytes for weight in weights.values()))
    with atomic_files(place, [CONFIG, WEIGHTS, *texts]) as writing:
        write_weights(writing / WEIGHTS, weights, shown=place / WEIGHTS)
        for name, text in texts.items():
            (writing / name).write_text(text, encoding="utf-8", newline="")
        write_json(writing / CONFIG, config)
        with _beside(writing, inner):
            _prove(bundle, writing)
        for name, text in inner.items():
            folder, _, file = name.rpartition("/")
            with atomic_files(place / folder, [file]) as inside:
                (inside / file).write_text(text, encoding="utf-8", newline="")


def _tokenizer(bundle: Bundle, family: Family) -> tuple[dict[str, Any], dict[str, str]]:
    """The ids that the configuration names, and the files, of the bundle's tokenizer if it has one."""
    found = {name: text for name, text in bundle.tokenizers.items() if name.startswith("tokenizer")}
    if not found:
        return {}, {}
    tokenizers = {name: Tokenizer.from_json(text) for name, text in found.items()}
    tokenizer = tokenizers[TOKENIZER]
    if any(_pieces(other) != _pieces(tokenizer) for other in tokenizers.values()):
        raise Unfit("its two sides have vocabularies of their own")
    begins = tokenizer.start if isinstance(bundle.model, EncoderDecoderConfig) else tokenizer.bos
    said = _tokenizer_config(tokenizer, family, begins)
    task = bundle.training.get("task")
    if isinstance(task, dict) and task.get("template") is not None:
        said["chat_template"] = task["template"]
    return _ids(tokenizer, bundle), {
        TOKENIZER: _framing(tokenizer, bundle),
        TOKENIZER_CONFIG: json.dumps(said, ensure_ascii=False, indent=2),
    }


def _framing(tokenizer: Tokenizer, bundle: Bundle) -> str:
    """The tokenizer's file, so that it frames texts as the model has learned them. One that came with an
    imported model does so already."""
    text = tokenizer.to_hf()
    if isinstance(tokenizer, GivenTokenizer):
        return text
    model = bundle.model
    writes = isinstance(model, TransformerConfig) and not isinstance(model.stack.mask, Full)
    begin = [] if isinstance(model, EncoderDecoderConfig) else [tokenizer.name(tokenizer.bos)]
    end = [] if writes else [tokenizer.name(tokenizer.eos)]
    between = [tokenizer.name(index) for index in tokenizer.between]
    backend = Backend.from_str(text)
    backend.post_processor = TemplateProcessing(
        single=[*begin, "$A", *end],
        pair=[*begin, "$A", *between, "$B", *end],
        special_tokens=[(tokenizer.name(index), index) for index in (tokenizer.bos, tokenizer.eos)],
    )
    return backend.to_str(pretty=True)


def _weights(bundle: Bundle, family: Family, architecture: str) -> dict[str, Tensor]:
    """Theirs. Raises: Unfit when the family's models have others."""
    ours, table = _once(bundle), family.table(bundle.model, architecture)
    for name in sorted({rule.ours for rule in table.rules} ^ set(ours)):
        raise Unfit(f"it has {'no' if name not in ours else 'the'} weight '{name}'")
    return table.give(ours)


@contextmanager
def _beside(folder: Path, texts: Mapping[str, str]) -> Iterator[None]:
    """Texts in folders inside a folder, for as long as they are looked at."""
    try:
        for name, text in texts.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8", newline="")
        yield
    finally:
        for name in texts:
            shutil.rmtree((folder / name).parent, ignore_errors=True)


def _prove(bundle: Bundle, folder: Path) -> None:
    """Read it again. Raises: Unfit when that gives another model."""
    try:
        *_, plan, _ = read_checkpoint(folder)
    except CheckpointError as error:
        raise Unfit(str(error).replace(f"{folder}/", "").replace(f"{folder}: ", "")) from error
    there, here = dump(plan.model), dump(bundle.model)
    if (path := _first_difference(there, here, "model")) is not None:
        raise Unfit(f"it has no place for {path}")


def _first_difference(there: Any, here: Any, path: str) -> str | None:
    """Where two configurations differ in what is computed; how a model is trained does not count, nor what
    one of them leaves to be found, since the weights have it."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in dict.fromkeys((*here, *there)):
            left = key in _FOUND and None in (there.get(key), here.get(key))
            if key not in ("init", "dropout", "start") and not left:
                found = _first_difference(there.get(key), here.get(key), f"{path}.{key}")
                if found is not None:
                    return found
        return None
    return None if there == here else f"{path} = {json.dumps(here)}"


def _pieces(tokenizer: Tokenizer) -> list[str]:
    return tokenizer.pieces(range(tokenizer.size))


def _once(bundle: Bundle) -> dict[str, Any]:
    """Its weights under the names that a table knows."""
    names = weights_of(bundle.model, "the bundle")
    return {name: bundle.weights[name] for name in names}


def _ids(tokenizer: Tokenizer, bundle: Bundle) -> dict[str, Any]:
    others = sorted(tokenizer.ends - {tokenizer.eos})
    ids: dict[str, Any] = {
        "pad_token_id": tokenizer.pad,
        "bos_token_id": tokenizer.bos,
        "eos_token_id": [tokenizer.eos, *others] if others else tokenizer.eos,
    }
    if isinstance(bundle.model, EncoderDecoderConfig):  # `bos` is what the decoder begins with
        ids |= {"bos_token_id": tokenizer.start, "decoder_start_token_id": tokenizer.bos}
    return ids


def _labels(bundle: Bundle) -> dict[str, Any]:
    if LABELS not in bundle.tokenizers:
        return {}
    names = list(loads(bundle.tokenizers[LABELS]))
    task = bundle.training.get("task")
    several = isinstance(task, Mapping) and task.get("separator") is not None
    return {
        "id2label": {str(index): name for index, name in enumerate(names)},
        "label2id": {name: index for index, name in enumerate(names)},
        "problem_type": f"{'multi' if several else 'single'}_label_classification",
    }


def _tokenizer_config(tokenizer: Tokenizer, family: Family, begins: int | None) -> dict[str, Any]:
    begin, end = family.frame
    roles = {"pad": tokenizer.pad, begin: begins, end: tokenizer.eos, "mask": tokenizer.mask}
    if tokenizer.unk >= 0:
        roles["unk"] = tokenizer.unk
    names = {f"{role}_token": tokenizer.name(index) for role, index in roles.items() if index is not None}
    return {"tokenizer_class": "PreTrainedTokenizerFast", **names}
