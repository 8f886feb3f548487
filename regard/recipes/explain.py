"""All worked examples, and what is asked of one: those of `insight/explain`, and those that need more than a
model, such as a tokenizer or a trained run."""

from __future__ import annotations

import json
from dataclasses import dataclass
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

Matrices = tuple[Path | None, Path | None, Path | None, Path | None]


@dataclass(frozen=True)
class Asked:
    """What a user may bring to an example."""

    matrices: Matrices = (None, None, None, None)
    """Files of X, W_Q, W_K and W_V, for attention by hand."""
    text: str | None = None
    """What becomes an input."""
    tokenizer: Path | None = None
    """A run whose tokenizer and table make it one."""
    full: bool = False
    """Whether a training run of minutes is wanted, where an example has one."""


def explained(name: str, asked: Asked = Asked()) -> Worked:
    """Compute an example. Raises: InputError for one that does not exist, or what it does not take."""
    if name not in EXAMPLES:
        raise unknown(InputError, "example", name, EXAMPLES)
    example = EXAMPLES[name]
    if any(asked.matrices):
        if example is not attention_by_hand.EXAMPLE:
            raise _not_taken(name, "--input", "attention-by-hand")
        example = attention_by_hand.example(_given(asked.matrices))
    if asked.text is not None or asked.tokenizer is not None:
        if name != "text-to-input":
            raise _not_taken(name, "--text", "text-to-input")
        example = explain_text.example(asked.text, asked.tokenizer)
    if asked.full:
        if name != "myths":
            raise _not_taken(name, "--run", "myths")
        example = explain_myths.example(full=True)
    return example.worked()


def _not_taken(name: str, option: str, other: str) -> InputError:
    return InputError("'{where}' has no use for {key}; {limit} does", name, option, other)


def _given(paths: Matrices) -> attention_by_hand.Given:
    """Raises: InputError when one is missing, DataError when one is broken."""
    options = ("--input", "--wq", "--wk", "--wv")
    missing = [option for option, path in zip(options, paths, strict=True) if path is None]
    if missing:
        raise InputError("attention needs X, W_Q, W_K and W_V; give {key} too", " and ".join(missing))
    return attention_by_hand.Given(
        *(torch.from_numpy(read_matrix(path)) for path in paths if path is not None)
    )


def example_lines(lang: Lang, *, as_json: bool = False) -> list[str]:
    """Name and purpose of each."""
    if as_json:
        return [
            json.dumps({"name": e.name, "title": {"en": e.title.en, "zh": e.title.zh}}, ensure_ascii=False)
            for e in EXAMPLES.values()
        ]
    width = max(map(len, EXAMPLES))
    return [f"{example.name:{width}}  {example.text.of(lang)}" for example in EXAMPLES.values()]
