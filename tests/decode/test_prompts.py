"""What follows prompts = the whole text without a cache, by every way and for every variant."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from regard.decode.choose import prompt_stepper_for, speculative_stepper_for
from regard.decode.native import NativePromptStepper, suits_native
from regard.decode.stepper import KeptPrompt, PromptStepper, Stepper
from regard.model.attention import AttentionConfig
from regard.model.block import PreNorm, SandwichNorm
from regard.model.embed import Tokens, TokenTypes
from regard.model.feedforward import MLP, GatedMLP
from regard.model.head import Transform, Vocabulary
from regard.model.mask import Causal, Full, Window
from regard.model.norm import RMSNorm
from regard.model.position import ALiBi, Learned, NoPosition, Rotary, Sinusoidal
from regard.model.quantize import quantize
from regard.model.stack import StackConfig
from regard.model.tap import open_taps
from regard.model.transformer import Transformer, TransformerConfig

V = 13
PLAIN = StackConfig(20, 2, AttentionConfig(5), MLP(24, activation="gelu"), Causal(), position=Learned(29))
VARIANTS = {
    "learned": PLAIN,
    "sinusoidal": replace(PLAIN, position=Sinusoidal()),
    "none": replace(PLAIN, position=NoPosition(), feedforward=MLP(24)),
    "rotary": replace(PLAIN, position=Rotary(), placement=PreNorm()),
    "half rotary": replace(PLAIN, position=Rotary(100.0, 0.5, True), norm=RMSNorm(), placement=PreNorm()),
    "entry": replace(PLAIN, entry_norm=True),
    "wide heads": replace(PLAIN, attention=AttentionConfig(3, head_width=8, bias=False)),
    "grouped": replace(PLAIN, attention=AttentionConfig(6, kv_heads=2, head_width=4)),
    "gated": replace(PLAIN, feedforward=GatedMLP(17)),
    "alibi": replace(PLAIN, position=ALiBi()),
    "window": replace(PLAIN, mask=Window(3)),
    "sandwich": replace(PLAIN, placement=SandwichNorm()),
}
NATIVE = {"learned", "sinusoidal", "none", "rotary", "half rotary", "entry", "wide heads"}
variants = pytest.mark.parametrize("variant", VARIANTS)

UNEVEN = [[3, 4, 5, 6, 7], [8], [9, 10, 3], [8], [5, 12, 5, 5]]
EVEN = [[3, 4, 5], [6, 7, 8], [3, 4, 5], [1, 2, 9], [4, 4, 4]]
MANY = [[3, 4, 5, 6, 7][: 1 + row % 5] for row in range(11)]


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(1)


def built(variant: str, head: Vocabulary | None = None) -> Transformer:
    model = TransformerConfig(Tokens(V), VARIANTS[variant], head or Vocabulary()).build()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.eval()


@torch.inference_mode()
def anew(model: Transformer, texts: list[list[int]]) -> Tensor:
    """(rows, V): what follows each, computed without a cache."""
    return torch.stack([model(torch.tensor([text]))[0, -1] for text in texts])


def walked(model: Transformer, stepper: Stepper, prompts: list[list[int]], seldom: float = 0.0) -> None:
    """Steps, with rows that change places and rows that end, against the model without a cache.

    `seldom`: how far a tenth of the rows may be off, where sums taken in another order may round another way.
    """
    off, count = 0, 0
    texts = [list(prompt) for prompt in prompts]
    tokens = torch.tensor([text[-1] for text in texts])
    for step in range(6):
        difference = (stepper.step(tokens) - anew(model, texts)).abs().amax(-1)
        off, count = off + int((difference > 2e-5).sum()), count + len(texts)
        assert float(difference.max()) <= (seldom or 2e-5)
        if step in (1, 4):
            rows = torch.randperm(len(texts))[: max(1, len(texts) - 2)]
            stepper.keep(rows, rows)
        else:
            rows = torch.randint(0, len(texts), (len(texts),))
            stepper.reorder(rows)
        tokens = torch.randint(0, V, (len(rows),))
        texts = [[*texts[row], token] for row, token in zip(rows.tolist(), tokens.tolist(), strict=True)]
    assert off <= 0.1 * count


@pytest.mark.parametrize("prompts", [UNEVEN, EVEN, UNEVEN[1:2], EVEN[:1]], ids=["uneven", "even", "1", "3"])
@variants
def test_what_follows_prompts_is_what_follows_the_whole_text(variant: str, prompts: list[list[int]]) -> None:
    model = built(variant)
    for capacity in (1, 40):
        walked(model, PromptStepper(model, prompts, capacity), prompts)
        walked(model, prompt_stepper_for(model, prompts, capacity), prompts)


@pytest.mark.parametrize("right", range(6))
@variants
def test_a_guess_changes_no_logits_however_much_of_it_is_right(variant: str, right: int) -> None:
    model, text = built(variant), [3, 4, 5]
    written = torch.randint(0, V, (6,)).tolist()
    guess = [token if at < right else (token + 1) % V for at, token in enumerate(written[:5])]
    for capacity in (4, 20):
        stepper, ids = speculative_stepper_for(model, text, guess, capacity), list(text)
        for token in written:
            found = stepper.step(torch.tensor(ids[-1:]))
            assert float((found - anew(model, [ids])).abs().max()) <= 2e-5
            ids.append(token)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("variant", sorted(NATIVE))
def test_8_bits_give_the_same_by_every_way_and_with_any_threads(variant: str, threads: int) -> None:
    model: Transformer = quantize(built(variant))  # type: ignore[assignment]
    torch.set_num_threads(threads)
    stepper = prompt_stepper_for(model, MANY, 20)
    assert isinstance(stepper, NativePromptStepper)
    walked(model, stepper, MANY, seldom=0.05)


@variants
def test_the_native_way_takes_what_it_can_and_nothing_else(variant: str) -> None:
    model = built(variant)
    assert suits_native(model) == (variant in NATIVE)
    assert isinstance(prompt_stepper_for(model, UNEVEN, 9), NativePromptStepper) == (variant in NATIVE)
    with torch.no_grad(), open_taps(model, {"*.residual": lambda *_: None}):
        assert not suits_native(model)
    assert not suits_native(model.train())


def test_what_reads_or_writes_otherwise_goes_through_the_modules() -> None:
    stack = replace(PLAIN, mask=Full())
    assert not suits_native(TransformerConfig(Tokens(V, types=TokenTypes(2, 3)), stack).build().eval())
    assert not suits_native(TransformerConfig(Tokens(V), stack).build().eval())
    assert not suits_native(built("learned", Vocabulary(transform=Transform())))
    assert suits_native(built("learned", Vocabulary(tied=False, bias=True)))
    kept = KeptPrompt()
    assert isinstance(prompt_stepper_for(built("learned"), [[3, 4]], 9, kept), PromptStepper)


def test_an_id_outside_of_the_vocabulary_is_refused() -> None:
    with pytest.raises(IndexError):
        prompt_stepper_for(built("learned"), [[3, 4]], 9).step(torch.tensor([V]))
