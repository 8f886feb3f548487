"""What a model is given becomes vectors: patches are a convolution, and what cannot be read is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from regard.decode.choose import stepper_for
from regard.model.attention import AttentionConfig
from regard.model.describe import describe
from regard.model.embed import PatchEmbedding, Patches, Tokens
from regard.model.head import Classes, Vocabulary
from regard.model.mask import Causal
from regard.model.presets import VIT, vit
from regard.model.stack import StackConfig
from regard.model.tap import open_taps
from regard.model.transformer import EncoderDecoderConfig, Transformer, TransformerConfig

B, C, ROWS, COLUMNS, P, D = 2, 3, 21, 35, 7, 11


def made(**changes: object) -> PatchEmbedding:
    embedding = Patches(C, ROWS, COLUMNS, P, **changes).build(D)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in embedding.parameters():
            parameter.normal_()
    return embedding


@torch.no_grad()
def test_patches_are_a_convolution_whose_stride_is_its_size() -> None:
    images, plain, tokened = torch.randn(B, C, ROWS, COLUMNS), made(class_token=False), made()
    want = F.conv2d(images, plain.weight, plain.bias, stride=P).flatten(2).transpose(1, 2)
    torch.testing.assert_close(plain(images), want, atol=1e-4, rtol=1e-4)
    tokened.load_state_dict(plain.state_dict() | {"first": tokened.first})
    got = tokened(images)
    assert got.shape == (B, 1 + 3 * 5, D)
    torch.testing.assert_close(got[:, 1:], want, atol=1e-4, rtol=1e-4)
    assert torch.equal(got[:, 0], tokened.first.expand(B, -1))


@torch.no_grad()
def test_registers_stand_between_the_class_token_and_the_patches() -> None:
    plain, many = made(class_token=False), made(registers=2)
    assert (plain.first, many.first.shape) == (None, (3, D))
    many.load_state_dict(plain.state_dict() | {"first": many.first})
    images = torch.randn(B, C, ROWS, COLUMNS)
    got = many(images)
    assert got.shape == (B, many.config.length, D)
    assert torch.equal(got[:, :3], many.first.expand(B, -1, -1))
    torch.testing.assert_close(got[:, 3:], plain(images))


def test_a_plan_knows_no_sizes_and_a_size_says_how_many_vectors() -> None:
    assert (Patches().length, Patches().columns) == (0, 0)
    assert (Patches(C, ROWS, COLUMNS, P).length, Patches(C, ROWS, COLUMNS, P).columns) == (16, 5)
    assert Patches(C, ROWS, COLUMNS, P, class_token=False).length == 15


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="patches of 7 pixels do not divide an image of 21 × 36"):
        Patches(C, ROWS, 36, P).build(D)
    with pytest.raises(ValueError, match="images of 3 × 35 × 21 were given to a model of 3 × 21 × 35"):
        made()(torch.zeros(B, C, COLUMNS, ROWS))
    stack = StackConfig(12, 1, AttentionConfig(3))
    for tied in (True, False):
        with pytest.raises(ValueError, match="needs an embedding of tokens; use 'classes'"):
            TransformerConfig(Patches(C, ROWS, COLUMNS, P), stack, Vocabulary(tied)).build()


@torch.no_grad()
def test_an_encoder_of_images_may_have_a_decoder() -> None:
    """A model that describes images needs nothing new."""
    stack = StackConfig(12, 2, AttentionConfig(3), dropout=0.0)
    decoder = replace(stack, mask=Causal(), cross=stack.attention)
    config = EncoderDecoderConfig(Patches(C, ROWS, COLUMNS, P), Tokens(13), stack, decoder, tying="two-way")
    model = config.build().eval()
    images, ids = torch.randn(B, C, ROWS, COLUMNS), torch.randint(0, 13, (B, 5))
    whole = model(images, ids)
    cache, memory = model.cache(), model.encode(images)
    steps = [model.head(model.decode(token, memory, cache=cache)) for token in ids.split(1, 1)]
    assert whole.shape == (B, 5, 13)
    torch.testing.assert_close(torch.cat(steps, 1), whole, atol=1e-5, rtol=1e-4)
    stepper = stepper_for(model, images, None, 5)  # whatever engine reads ids alone steps aside
    with torch.inference_mode():
        for place, token in enumerate(ids.unbind(1)):
            torch.testing.assert_close(stepper.step(token), whole[:, place], atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_images_of_one_size_need_no_mask_and_are_looked_at_as_fused() -> None:
    model = TransformerConfig(
        Patches(C, ROWS, COLUMNS, P), StackConfig(12, 2, AttentionConfig(3)), Classes(5, "first")
    ).build()
    assert isinstance(model, Transformer)
    model.eval()
    images, seen = torch.randn(B, C, ROWS, COLUMNS), []
    plain = model(images)
    with open_taps(model, {"embed.out": lambda name, x: seen.append(x.shape)}):
        assert torch.equal(model(images), plain)
    assert seen == [(B, 16, 12)]


@pytest.mark.parametrize(
    ("name", "millions"), [("vit-ti16", 5.7), ("vit-s16", 22.1), ("vit-b16", 86.6), ("vit-l16", 304.3)]
)
def test_the_papers_vits_have_the_papers_size(name: str, millions: float) -> None:
    # With 1,000 classes and images of 224 pixels; ti and s: arXiv 2012.12877, table 1; b and l: timm.
    plan = vit(VIT[name])
    embed = replace(plan.embed, channels=3, pixel_rows=224, pixel_columns=224)
    stack = replace(plan.stack, position=replace(plan.stack.position, length=embed.length))
    with torch.device("meta"):
        model = replace(plan, embed=embed, stack=stack, head=replace(plan.head, count=1000)).build()
    assert embed.length == 197
    assert describe(model).parameters / 1e6 == pytest.approx(millions, rel=0.005)
