"""Every family and option against the library that it is of: what comes in, goes out, and is written."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

import regard
from regard import bundle as bundles
from regard.interop import export_checkpoint, import_checkpoint
from regard.interop.family import FAMILIES
from regard.interop.importing import read_checkpoint
from regard.interop.mapping import Table
from regard.interop.origin import ORIGIN
from regard.model.head import Vector
from regard.model.mask import Ragged
from regard.model.transformer import EncoderDecoder
from tests.interop.families import ALL, BOS, CASES, EOS, PAD, V, checkpoint

LENGTHS = (13, 7, 11)
COUNTING = ("roberta", "xlm-roberta", "camembert", "mpnet", "distilbert")
every = pytest.mark.parametrize("name", CASES)
written = pytest.mark.parametrize(
    "name",
    [
        name
        for name, (kind, *_) in CASES.items()
        if kind.endswith(("LMHeadModel", "CausalLM", "ConditionalGeneration", "MTModel"))
    ],
)


@dataclass(frozen=True)
class Made:
    """A case: the library's model, its folder, and what came in. Nothing of it is changed."""

    model: Any
    there: Path
    run: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """Each case, made once."""

    @functools.cache
    def make(name: str) -> Made:
        folder = tmp_path_factory.mktemp("case")
        model = checkpoint(name, folder / "there")
        import_checkpoint(folder / "there", folder / "run", compare=False)
        return Made(model, folder / "there", folder / "run")

    return make


def batch(side: Literal["left", "right"], model: Any) -> tuple[Tensor, Tensor]:
    """Ids and what is real of them; none of the real ones is special."""
    torch.manual_seed(3)
    longest = max(LENGTHS)
    ids, real = torch.randint(5, V, (len(LENGTHS), longest)), torch.zeros(len(LENGTHS), longest).long()
    for row, length in enumerate(LENGTHS):
        real[row, longest - length if side == "left" else 0 :][:length] = 1
    return ids.masked_fill(real == 0, padding(model)), real


def padding(model: Any) -> int:
    """What RoBERTa takes for padding and counts positions from; MPNet's is 1, whatever it is told."""
    return model.config.pad_token_id if "roberta" in model.config.model_type else 1


def theirs(model: Any, ids: Tensor, real: Tensor, target: Tensor) -> Tensor:
    """What the library makes of them."""
    if model.config.is_encoder_decoder:
        return model(input_ids=ids, attention_mask=real, decoder_input_ids=target).logits
    options = {}
    if model.config.model_type not in COUNTING:  # which have no such argument, or count
        options["position_ids"] = (real.cumsum(1) - 1).clamp_min(0)
    found = model(input_ids=ids, attention_mask=real, **options)
    if type(model).__name__ == "BertForPreTraining":
        return found.prediction_logits
    if hasattr(found, "start_logits"):
        return torch.stack((found.start_logits, found.end_logits), -1)
    return found.last_hidden_state if hasattr(found, "last_hidden_state") else found.logits


def ours(folder: Path, ids: Tensor, real: Tensor, target: Tensor, side: Literal["left", "right"]) -> Tensor:
    model: Any = bundles.load(folder).build()
    at = Ragged.from_lengths(real.sum(1), ids.shape[1], side)
    if isinstance(model, EncoderDecoder):
        return model(ids, target, at)
    return model.hidden(ids, at) if isinstance(model.config.head, Vector) else model(ids, at)


def same(got: Tensor, want: Tensor, real: Tensor) -> None:
    assert want.std() > 0.05
    if want.shape[:2] == real.shape:
        got, want = got[real == 1], want[real == 1]
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)


@every
@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_what_comes_in_computes_the_same(
    name: str, side: Literal["left", "right"], made: Callable[[str], Made]
) -> None:
    classifies = "SequenceClassification" in CASES[name][0]
    if side == "left" and (name.startswith(("distilbert", "marian", "bart")) or classifies):
        pytest.skip("the library itself takes padding on the left for the beginning of the text")
    model = made(name).model
    ids, real = batch(side, model)
    target = torch.randint(5, V, (len(LENGTHS), 5))
    got = ours(made(name).run, ids, real, target, side)
    seen = torch.ones_like(target) if model.config.is_encoder_decoder else real
    same(got, theirs(model, ids, real, target), seen)


@every
@torch.no_grad()
def test_what_goes_out_computes_the_same_and_comes_in_again(
    name: str, made: Callable[[str], Made], tmp_path: Path
) -> None:
    import transformers

    model = made(name).model
    export_checkpoint(made(name).run, tmp_path / "back")
    again = getattr(transformers, CASES[name][0]).from_pretrained(tmp_path / "back").eval()
    ids, real = batch("right", model)
    target = torch.randint(5, V, (len(LENGTHS), 5))
    seen = torch.ones_like(target) if model.config.is_encoder_decoder else real
    same(theirs(again, ids, real, target), theirs(model, ids, real, target), seen)
    import_checkpoint(tmp_path / "back", tmp_path / "again", compare=False)
    first, second = bundles.load(made(name).run), bundles.load(tmp_path / "again")
    same_files = (dict(bundle.tokenizers) for bundle in (first, second))
    one, other = ({name: text for name, text in files.items() if name != ORIGIN} for files in same_files)
    assert one == other
    for key, weight in first.weights.items():
        torch.testing.assert_close(second.weights[key], weight, atol=0, rtol=1e-6)


@every
def test_a_table_undoes_itself(name: str, made: Callable[[str], Made]) -> None:
    opened, _, _, plan, _ = read_checkpoint(made(name).there)
    table: Table = plan.table
    weights = opened.weights()
    given = table.to_theirs(table.to_ours(weights, "here"))
    for key, weight in given.items():
        skipped = 2 if "embed_positions" in key or "position_embeddings" in key else 0
        skipped = skipped and padding(made(name).model) + 1
        rows = len(weight) - skipped
        torch.testing.assert_close(weight[-rows:], weights[key][-rows:], atol=0, rtol=1e-6)
    left_out = weights.keys() - given.keys() - table.copies.keys()
    assert all(key.startswith(tuple(start for start, _ in table.spare)) for key in left_out)


@torch.no_grad()
def livelier(model: Any) -> None:
    """So that what was read outweighs the last token, which would otherwise be repeated for ever."""
    for key, parameter in model.named_parameters():
        if parameter.ndim == 2 and not any(part in key for part in ("shared", "emb", "wte", "wpe")):
            parameter.mul_(4)
        if key.endswith("bias"):
            parameter.zero_()
    for key, buffer in model.named_buffers():
        if key == "final_logits_bias":
            buffer.mul_(0.1)


@written
@torch.no_grad()
def test_greedy_writing_is_the_same_token_for_token(name: str, tmp_path: Path) -> None:
    model = checkpoint(name, tmp_path / "there", livelier)
    import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False)
    run = regard.load(tmp_path / "run")
    two_sided = model.config.is_encoder_decoder
    texts = ["w5 w9 w11 w30", "w8 w8 w6 w21 w33 w7 w12", "w17"]
    new = 12
    answers = [answer.plain() for answer in run.predict(texts, max_length=new)]
    seen: set[int] = set()
    for text, answer in zip(texts, answers, strict=True):
        words = [int(word[1:]) for word in text.split()]
        begin = [] if two_sided and model.config.model_type != "bart" else [BOS]
        ids = [*begin, *words, *([EOS] if two_sided else [])]
        want = model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids)).long(),
            max_new_tokens=new,
            do_sample=False,
            num_beams=1,
            eos_token_id=EOS,
            pad_token_id=PAD,
            use_cache=False,  # ours has one
        )[0].tolist()
        want = want[1 if two_sided else len(ids) :]
        want = want[: want.index(EOS)] if EOS in want else want
        tokenizer = run.task.target if two_sided else run.task.tokenizer  # type: ignore[attr-defined]
        before = [] if two_sided else words  # a continuation keeps the space that it begins with
        assert answer == tokenizer.decode([*before, *want])[len(tokenizer.decode(before)) :]
        seen.update(want)
    assert len(seen) > 1


def test_every_family_is_tried() -> None:
    tried = {kind for kind, *_ in ALL.values()}
    assert tried == {kind for family in FAMILIES.values() for kind in family.architectures}
