"""Every part of a model computes on a device what it computes on the processor, and waits for nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from foreign import DEVICE, foreign_device
from members import MASKED, OUTPUTS, PARTS, STEPPED, V, close, encoder_decoder, ids, name, transformer
from torch import Tensor

from regard.decode.choose import prompt_stepper_for, stepper_for
from regard.decode.finite import check_tokens
from regard.decode.sampling import Sampler, Sampling
from regard.decode.search import Limits, beam_search, greedy
from regard.errors import NonFiniteOutputError
from regard.model.block import PreNorm
from regard.model.mask import Causal, Full, Ragged
from regard.model.presets import ENCODER_DECODER, VIT, one_stack, vit
from regard.model.presets import encoder_decoder as pair_of
from regard.model.quantize import _by_floats, int8_product, quantize
from regard.model.transformer import TransformerConfig


def both(make: Callable[[], Any], work: Callable[[Any, torch.device], Any]) -> tuple[Any, Any, int]:
    """What `work` gives with the model on the processor and on the other device, and how often this library
    waited for that."""
    torch.manual_seed(3)
    here = work(make(), torch.device("cpu"))
    torch.manual_seed(3)
    model = make()
    with foreign_device() as waits:
        there = work(model.to("foreign"), DEVICE)
        count = waits.total()
        there = there.cpu() if isinstance(there, Tensor) else there
    return here, there, count


def on(tensor: Tensor, device: torch.device) -> Tensor:
    return tensor.to(device)


SOME = [key for number, key in enumerate(MASKED) if number % 5 == 0 or key.startswith("Causal")]


@pytest.mark.parametrize("part", SOME, ids=str)
def test_a_stack_computes_the_same_on_a_device_and_never_waits(part: str) -> None:
    given, lengths = ids(2, 7), torch.tensor([7, 4])

    def work(model: Any, device: torch.device) -> Tensor:
        at = Ragged.from_lengths(on(lengths, device), 7)
        model.train()
        logits = model(on(given, device), at)
        (logits.square().mean() + model(on(given, device)).mean()).backward()
        return model.embed.weight.grad

    def make() -> Any:
        return transformer(replace(MASKED[part], dropout=0.0))

    here, there, waits = both(make, work)
    close(there, here)
    assert not waits


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_dropout_on_a_device_is_drawn_there(part: str) -> None:
    def work(model: Any, device: torch.device) -> Tensor:
        return model.train()(on(given, device)).mean()

    given = ids(2, 7)
    _, there, waits = both(lambda: transformer(replace(PARTS[part], dropout=0.3)), work)
    assert torch.isfinite(there)
    assert not waits


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_an_encoder_decoder_learns_the_same_on_a_device(smoothing: float) -> None:
    source, target, wanted = ids(3, 5), ids(3, 4), ids(12)

    def work(model: Any, device: torch.device) -> Tensor:
        hidden = model.hidden(on(source, device), on(target, device))
        model.head.loss(hidden.flatten(0, 1), on(wanted, device), smoothing).backward()
        return model.target.weight.grad

    here, there, waits = both(lambda: encoder_decoder(PARTS["grouped"]), work)
    close(there, here)
    assert not waits


@pytest.mark.parametrize("head", OUTPUTS, ids=name)
def test_every_head_reads_a_device(head: Any) -> None:
    given, lengths = ids(2, 7), torch.tensor([7, 4])

    def work(model: Any, device: torch.device) -> Tensor:
        return model(on(given, device), Ragged.from_lengths(on(lengths, device), 7)).detach()

    def make() -> Any:
        config = transformer(PARTS["multi-head"]).config
        return TransformerConfig(config.embed, replace(config.stack, mask=Full()), head).build().eval()

    here, there, waits = both(make, work)
    close(there, here)
    assert not waits


@pytest.mark.parametrize("part", [key for key in STEPPED if key.endswith(("multi-head", "grouped"))], ids=str)
def test_what_goes_on_from_prompts_is_the_same_on_a_device(part: str) -> None:
    prompts = [[1, 2, 3, 4, 5], [6], [7, 8]]

    def work(model: Any, device: torch.device) -> Any:
        stepper = prompt_stepper_for(model, prompts, 12)
        return greedy(stepper, Limits(3, 0, [6, 6, 6]), device)

    here, there, _ = both(lambda: transformer(STEPPED[part]), work)
    assert there == here


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("part", ["multi-head", "grouped", "cross Rotary(base=10000.0)", "ALiBi()"])
def test_a_search_is_the_same_on_a_device_and_waits_once_a_step(width: int, part: str) -> None:
    source, lengths = ids(4, 6), torch.tensor([6, 3, 1, 5])
    stack = PARTS.get(part) or PARTS["multi-head"]

    @torch.inference_mode()
    def work(model: Any, device: torch.device) -> Any:
        at = Ragged.from_lengths(on(lengths, device), 6)
        stepper = stepper_for(model, on(source, device), at, 8)
        limits = Limits(1, 0, [8, 5, 8, 7])
        if width == 1:
            return greedy(stepper, limits, device)
        return [[h.tokens for h in best] for best in beam_search(stepper, limits, device, width=width, n=2)]

    here, there, waits = both(lambda: encoder_decoder(stack), work)
    assert there == here
    assert waits <= (1 if width == 1 else 3) * 8 + 1  # tokens; of beams also totals and parents


@pytest.mark.parametrize("sampling", [Sampling(0.7, 5, 0.9, 0.01, 1.2, 3), Sampling(0.0), Sampling(seed=1)])
def test_a_draw_waits_for_nothing(sampling: Sampling) -> None:
    torch.manual_seed(1)
    with foreign_device() as waits:
        device = DEVICE
        sampler = Sampler(sampling, [[1, 2], [3]], V, device)
        tokens, _ = sampler.draw(torch.randn(2, V, device=device))
        assert not waits
        assert tokens.device == device
        assert all(0 <= token < V for token in tokens.tolist())
        bad = torch.randn(2, V)
        bad[1, 3] = math.nan
        tokens, _ = sampler.draw(bad.to(device))
        assert tokens.tolist()[0] >= 0
        with pytest.raises(NonFiniteOutputError):
            check_tokens(tokens.tolist())


@pytest.mark.parametrize("shape", [(1, 24, 16), (5, 24, 16), (40, 24, 16), (3, 20, 13), (3, 2400, 7)])
def test_int8_products_are_exact_on_every_device(shape: tuple[int, int, int]) -> None:
    rows, width, made = shape
    x = torch.randint(-127, 128, (rows, width), dtype=torch.int8)
    weight = torch.randint(-127, 128, (made, width), dtype=torch.int8)
    want = (x.long() @ weight.long().t()).to(torch.int32)
    assert torch.equal(_by_floats(x, weight), want)
    extreme = torch.full_like(x, 127), torch.full_like(weight, 127)
    assert int(_by_floats(*extreme)[0, 0]) == 127 * 127 * width
    with foreign_device():
        assert torch.equal(int8_product(x.to("foreign"), weight.to("foreign")).cpu(), want)


def test_an_int8_model_is_the_same_on_a_device() -> None:
    given = ids(2, 7)
    work = torch.inference_mode()(lambda model, device: model(on(given, device)))
    here, there, waits = both(lambda: quantize(transformer(PARTS["multi-head"])), work)
    close(there, here)
    assert not waits


# ------------------------------------------------------------------------------------------ presets

PRESETS: dict[str, Any] = {
    f"pair {key}": pair_of(replace(size, encoder_depth=1, decoder_depth=1), source_vocab=V, target_vocab=V)
    for key, size in ENCODER_DECODER.items()
}
PRESETS |= {
    f"{mask.kind} {key}": one_stack(replace(size, encoder_depth=1), vocab=V, mask=mask, placement=PreNorm())
    for key, size in ENCODER_DECODER.items()
    for mask in (Causal(), Full())
}


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_takes_a_step_there(preset: str) -> None:
    with foreign_device() as waits:
        model: Any = PRESETS[preset].build().to("foreign")
        given = [torch.zeros((2, 3), dtype=torch.long, device="foreign")] * (2 if "pair" in preset else 1)
        wanted = torch.zeros(6, dtype=torch.long, device="foreign")
        model.head.loss(model.hidden(*given).flatten(0, 1), wanted, 0.1).backward()
        assert not waits
        torch.optim.AdamW(model.parameters()).step()


@pytest.mark.parametrize("preset", VIT)
def test_every_vision_preset_takes_a_step_there(preset: str) -> None:
    size = VIT[preset]
    config: Any = vit(replace(size, depth=1, patch=size.patch or 16))
    embed = replace(config.embed, channels=3, pixel_rows=64, pixel_columns=64)
    stack = replace(config.stack, position=replace(config.stack.position, length=embed.length))
    config = replace(config, embed=embed, stack=stack, head=replace(config.head, count=3))
    with foreign_device() as waits:
        logits = config.build().to("foreign")(torch.zeros((1, 3, 64, 64), device="foreign"))
        torch.nn.functional.cross_entropy(
            logits, torch.zeros(1, dtype=torch.long, device="foreign")
        ).backward()
        assert not waits


# ------------------------------------------------------------------------ the device that is not there


def test_the_device_that_is_not_there_refuses_what_a_device_would() -> None:
    with foreign_device() as waits:
        x = torch.ones(3, device="foreign")
        with pytest.raises(RuntimeError, match="one device"):
            x + torch.ones(3)
        with pytest.raises(RuntimeError, match="float64"):
            x.double()
        with pytest.raises(RuntimeError, match="pinned"):
            torch.ones(3).to("foreign", non_blocking=True)
        with pytest.raises(TypeError):
            x.numpy()
        assert not waits
        assert (x + 1).tolist() == [2.0] * 3
        assert float(x.sum()) == 3.0
        assert x[x > 0].shape == (3,)
        assert waits.total() == 3
