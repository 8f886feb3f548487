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

from torch import Tensor

from regard import bundle as bundles
from regard.bundle import Bundle, weights_of
from regard.errors import CheckpointError
from regard.files import atomic_files, check_space, write_json
from regard.interop.checkpoint import CONFIG, WEIGHTS
from regard.interop.family import FAMILIES, Family, Unsupported, Weights, task_options
from regard.interop.generation import generation_file
from regard.interop.image_processors import PREPROCESSOR
from regard.interop.importing import read_checkpoint
from regard.interop.labels import in_units_of_data, label_keys
from regard.interop.origin import load_origin
from regard.interop.tokenizer_files import TOKENIZER_CONFIG, tokenizer_files
from regard.model.head import Classes
from regard.schema import dump
from regard.weights import write_weights

_MARKS = (TOKENIZER_CONFIG, PREPROCESSOR)
"""What a checkpoint has, but a bundle has not."""
_FOUND = ("hidden", "kv_heads", "head_width", "out_bias")
"""What of a model may be left open, and follows from the rest of it."""
_OF_BODY = ("pooler.", "embeddings.")
"""Where weights of a body begin that its bundle only keeps."""


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
    bundle, place = in_units_of_data(bundles.load(run)), Path(out)
    if bundles.is_bundle(place) and not any((place / name).is_file() for name in _MARKS):
        raise CheckpointError("{where} holds something already; give another folder", place)
    reasons: dict[str, list[str]] = {}
    for family, architecture in _candidates(bundle):
        try:
            _write(bundle, place, family, architecture)
        except Unsupported as why:
            reasons.setdefault(str(why), []).append(family.name)
            continue
        return Exported(place, family.name, architecture, bundle.parameters)
    known = "; ".join(
        f"no {' or '.join(dict.fromkeys(names))}, because {why}" for why, names in reasons.items()
    )
    sentence = "{where} cannot be written as a checkpoint: {value}"
    raise CheckpointError(
        sentence, run, known or f"no family has the task {bundle.task}", remedy=_remedy(bundle)
    )


def _remedy(bundle: Bundle) -> str:
    """What would have been right."""
    head = getattr(bundle.model, "head", None)
    if bundle.task == "text-classification" and isinstance(head, Classes) and head.transform is None:
        return (
            "the classes of other libraries read a layer over the first vector: train with"
            " --set model.head.pooling=first --set model.head.transform.activation=tanh"
        )
    return "what began with an imported model can"


def _candidates(bundle: Bundle) -> list[tuple[Family, str]]:
    """Families that have the task, the one that it came from first."""
    origin = _came_as(bundle)
    found: list[tuple[Family, str]] = []
    for family in (kind() for kind in FAMILIES.values()):
        fit = [name for name, task in family.architectures.items() if task == bundle.task]
        if family.name == origin[0] and origin[1] in fit:
            found.insert(0, (family, origin[1]))
        else:
            found += [(family, name) for name in fit]
    return found


def _came_as(bundle: Bundle) -> tuple[str, str]:
    """The family and the class that it was imported as, empty if it was not."""
    origin = bundle.data.get("imported")
    origin = origin if isinstance(origin, Mapping) else {}
    return str(origin.get("family", "")), str(origin.get("architecture", ""))


def _write(bundle: Bundle, place: Path, family: Family, architecture: str) -> None:
    config: dict[str, Any] = {"architectures": [architecture], "model_type": family.name, "dtype": "float32"}
    origin = load_origin(bundle)
    ids, texts = tokenizer_files(bundle, family, origin)
    config |= ids | family.config(bundle, architecture) | label_keys(bundle, origin.names)
    weights = _weights(bundle, family, architecture, config)
    texts |= dict(family.files(bundle))
    texts |= generation_file(task_options(bundle), config)
    if _came_as(bundle) == (family.name, architecture):
        config = dict(origin.config) | config
        for name, weight in origin.weights.items():
            headed = name.startswith(_OF_BODY) and architecture != family.body
            weights.setdefault(f"{family.prefix if headed else ''}{name}", weight)
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


def _weights(
    bundle: Bundle, family: Family, architecture: str, config: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Theirs. Raises: Unsupported when the family's models have others."""
    shapes = weights_of(bundle.model, "the bundle")
    prefix = "" if architecture == family.body else family.prefix
    table = family.table(Weights(bundle.model, shapes, architecture, config, prefix))
    ours = {name: bundle.weights[name] for name in shapes}
    for name in sorted({rule.ours for rule in table.rules} ^ set(ours)):
        raise Unsupported(f"it has {'no' if name not in ours else 'the'} weight '{name}'")
    return table.to_theirs(family.weights(bundle.model, ours))


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
    """Read it again. Raises: Unsupported when that gives another model."""
    try:
        *_, plan, _ = read_checkpoint(folder)
    except CheckpointError as error:
        raise Unsupported(str(error).replace(f"{folder}/", "").replace(f"{folder}: ", "")) from error
    there, here = dump(plan.model), dump(bundle.model)
    if (path := _first_difference(there, here, "model")) is not None:
        raise Unsupported(f"it has no place for {path}")


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
