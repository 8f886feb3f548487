"""All worked examples, and what is asked of one: those of `insight/explain`, and those that need more than a
model, such as a tokenizer or a trained run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from regard.course import EXAMPLES as OF_MODELS
from regard.course import attention_by_hand
from regard.data.matrix import read_matrix
from regard.errors import InputError, unknown
from regard.insight.worked import Example, Lang, Worked
from regard.recipes import explain_myths, explain_text

EXAMPLES: dict[str, Example] = {
    **OF_MODELS,
    **{example.name: example for example in (explain_text.example(), explain_myths.example())},
}
"""In an order that a newcomer can follow."""

MatrixFiles = tuple[Path | None, Path | None, Path | None, Path | None]


@dataclass(frozen=True)
class Inputs:
    """What a user may bring to an example."""

    matrices: MatrixFiles = (None, None, None, None)
    """Files of X, W_Q, W_K and W_V, for attention by hand."""
    text: str | None = None
    """What becomes an input."""
    tokenizer: Path | None = None
    """A run whose tokenizer and table make it one."""
    full: bool = False
    """Whether a training run of minutes is wanted, where an example has one."""


def explained(name: str, inputs: Inputs = Inputs()) -> Worked:
    """Compute an example. Raises: InputError for one that does not exist, or what it does not take."""
    if name not in EXAMPLES:
        raise unknown(InputError, "example", name, EXAMPLES)
    text, matrices = inputs.text is not None or inputs.tokenizer is not None, any(inputs.matrices)
    for present, option, owner in (
        (matrices, "--input", "attention-by-hand"),
        (text, "--text", "text-to-input"),
        (inputs.full, "--run", "myths"),
    ):
        if present and name != owner:
            raise InputError("'{where}' has no use for {key}; {limit} does", name, option, owner)
    if matrices:
        return attention_by_hand.of_matrices(_read_matrices(inputs.matrices)).worked()
    if text:
        return explain_text.example(inputs.text, inputs.tokenizer).worked()
    return (explain_myths.example(full=True) if inputs.full else EXAMPLES[name]).worked()


def _read_matrices(paths: MatrixFiles) -> attention_by_hand.Matrices:
    """Raises: InputError when one is missing, DataError when one is broken."""
    options = ("--input", "--wq", "--wk", "--wv")
    missing = [option for option, path in zip(options, paths, strict=True) if path is None]
    if missing:
        raise InputError("attention needs X, W_Q, W_K and W_V; give {key} too", " and ".join(missing))
    return attention_by_hand.Matrices(*(torch.from_numpy(read_matrix(path)) for path in paths if path))


def example_lines(lang: Lang, *, as_json: bool = False) -> list[str]:
    """Name and purpose of each."""
    if as_json:
        about = [{"name": example.name, "title": asdict(example.title)} for example in EXAMPLES.values()]
        return [json.dumps(one, ensure_ascii=False) for one in about]
    width = max(map(len, EXAMPLES))
    return [f"{example.name:{width}}  {example.text.of(lang)}" for example in EXAMPLES.values()]
