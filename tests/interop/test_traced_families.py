"""What a trace holds of an imported checkpoint is what the library that it is of computes on its way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from regard import bundle as bundles
from regard.insight.logit_sum import logit_sum
from regard.insight.recorded import Naming, passes_of
from regard.insight.recorder import Recorder
from regard.insight.trace import Entry
from regard.interop import import_checkpoint
from tests.interop.families import ALL, DEPTH, IMAGES, LONGEST, D, V, checkpoint

T, S, ROWS = 7, 11, 3
NAMING = Naming(lambda ids: [str(i) for i in ids], lambda ids: [str(i) for i in ids])
POST, PRE = ("bert", "bert classes", "roberta", "distilbert", "bart"), ("gpt2", "llama", "qwen3")
EXACT = 1e-5


def traced(model: Any, *given: Tensor) -> list[dict[str, Entry]]:
    """Of each row of each stack: its entries."""
    recorder = Recorder(model)
    with torch.no_grad(), recorder.watching():
        model(*given)
    return [dict(one.entries) for one in passes_of(recorder, NAMING)[0]]


def both(name: str, folder: Path) -> tuple[Any, Any]:
    """The library's model, and ours."""
    theirs = checkpoint(name, folder / "there")
    theirs.set_attn_implementation("eager")  # the other gives no weights
    import_checkpoint(folder / "there", folder / "run", compare=False)
    return theirs, bundles.load(folder / "run").build()


def same(rows: list[dict[str, Entry]], name: str, want: Tensor) -> None:
    """`want`: (ROWS, …)"""
    assert len(rows) == len(want) == ROWS
    for entries, value in zip(rows, want, strict=True):
        torch.testing.assert_close(entries[name].value, value, atol=EXACT, rtol=EXACT)


def stack(rows: list[dict[str, Entry]], stack: str, hidden: Any, weights: Any, depth: int = DEPTH) -> None:
    """Hidden states and weights of one stack; the last of the states is what the stack gives."""
    assert len(hidden) == depth + 1
    assert len(weights) == depth
    same(rows, f"{stack}.input", hidden[0])
    for layer in range(depth):
        last = f"{stack}.output" if layer == depth - 1 else f"{stack}.blocks.{layer}.residual"
        same(rows, last, hidden[layer + 1])
        same(rows, f"{stack}.blocks.{layer}.attention.weights", weights[layer])


@pytest.mark.parametrize("name", [*POST[:-1], *PRE])
def test_hidden_states_and_attentions_of_one_stack(name: str, tmp_path: Path) -> None:
    theirs, ours = both(name, tmp_path)
    torch.manual_seed(3)
    ids = torch.randint(5, V, (ROWS, T))
    with torch.no_grad():
        want = theirs(input_ids=ids, output_hidden_states=True, output_attentions=True)
    rows = traced(ours, ids)
    stack(rows, "stack", want.hidden_states, want.attentions)
    same(rows, "head.logits", want.logits)


@pytest.mark.parametrize("name", ["marian", "bart", "t5", "t5 gated"])
def test_hidden_states_and_attentions_of_an_encoder_decoder(name: str, tmp_path: Path) -> None:
    theirs, ours = both(name, tmp_path)
    torch.manual_seed(3)
    source, target = torch.randint(5, V, (ROWS, S)), torch.randint(5, V, (ROWS, T))
    with torch.no_grad():
        want = theirs(
            input_ids=source, decoder_input_ids=target, output_hidden_states=True, output_attentions=True
        )
    rows = traced(ours, source, target)
    read, written = rows[:ROWS], rows[ROWS:]
    stack(read, "encoder", want.encoder_hidden_states, want.encoder_attentions)
    depth, hidden = len(ours.decoder.blocks), [*want.decoder_hidden_states]
    if name.startswith("t5"):  # what T5 divides by before its head is in the gains of our last norm
        hidden[-1] = hidden[-1] * D**-0.5
    stack(written, "decoder", hidden, want.decoder_attentions, depth)
    assert len(want.cross_attentions) == depth
    for layer, weights in enumerate(want.cross_attentions):
        same(written, f"decoder.blocks.{layer}.cross.weights", weights)
    same(written, "head.logits", want.logits)


@pytest.mark.parametrize("name", IMAGES)
def test_hidden_states_and_attentions_of_images(name: str, tmp_path: Path) -> None:
    theirs, ours = both(name, tmp_path)
    embed = ours.config.embed
    torch.manual_seed(3)
    images = torch.randn(ROWS, embed.channels, embed.pixel_rows, embed.pixel_columns)
    with torch.no_grad():
        want = theirs(images, output_hidden_states=True, output_attentions=True)
    rows = traced(ours, images)
    assert len(want.hidden_states) == DEPTH + 1
    same(rows, "stack.input", want.hidden_states[0])
    for layer in range(DEPTH):
        same(rows, f"stack.blocks.{layer}.attention.weights", want.attentions[layer])
        if layer < DEPTH - 1:
            same(rows, f"stack.blocks.{layer}.residual", want.hidden_states[layer + 1])
    ends = [rows[0][f"stack.{end}"].value for end in (f"blocks.{DEPTH - 1}.residual", "output")]
    last = want.hidden_states[-1][0]  # before or after the last norm, as the library's version has it
    assert any(torch.allclose(end, last, atol=EXACT, rtol=EXACT) for end in ends)


PREDICTING = [name for name in IMAGES if not name.endswith("body")]


@pytest.mark.parametrize("name", [*POST, *PRE, "marian", "t5", "t5 gated", *PREDICTING])
def test_logits_of_the_other_library_are_the_sums_of_our_parts(name: str, tmp_path: Path) -> None:
    theirs, ours = both(name, tmp_path)
    torch.manual_seed(3)
    source, target = torch.randint(5, V, (1, S)), torch.randint(5, V, (1, T))
    given: tuple[Tensor, ...] = (target,)
    with torch.no_grad():
        if name in IMAGES:
            embed = ours.config.embed
            given = (torch.randn(1, embed.channels, embed.pixel_rows, embed.pixel_columns),)
            want = theirs(*given).logits
        elif hasattr(ours, "decoder"):
            given = (source, target)
            want = theirs(input_ids=source, decoder_input_ids=target).logits
        else:
            want = theirs(input_ids=target).logits
        recorder = Recorder(ours)
        with recorder.watching():
            ours(*given)
    last = passes_of(recorder, NAMING)[0][-1]
    for place in (None,) if want.dim() == 2 else (0, T - 1):
        row = want[0] if place is None else want[0, place]
        found = logit_sum(ours, last, 2, against=1, place=place)
        assert found.total == pytest.approx(float(row[2] - row[1]), abs=EXACT)
        assert len(found.heads) >= DEPTH


def test_the_families_are_still_called_so() -> None:
    assert {*POST, *PRE, "marian", "t5", "t5 gated"} <= ALL.keys()
    assert max(T, S) < LONGEST
