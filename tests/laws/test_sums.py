"""Every number is the sum that it is said to come from: of every part, with changes and without."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from members import (
    BASE,
    DEPTH,
    EMBEDS,
    HEADS,
    OUTPUTS,
    PARTS,
    V,
    close,
    embedded,
    encoder_decoder,
    ids,
    lively,
    transformer,
)
from members import name as named
from torch import Tensor

from regard.errors import InputError
from regard.insight.ablation import Head
from regard.insight.changes import NONE, Changes, Edit, Shuffle, Tied, variant
from regard.insight.derived import NEEDS, recorded_for, with_derived
from regard.insight.recorded import Naming, passes_of
from regard.insight.recorder import Choice, Recorder
from regard.insight.sums import account
from regard.insight.trace import Entry
from regard.model import account as accounts
from regard.model.account import Account, Numbers
from regard.model.embed import Patches, Tokens, TokenTypes
from regard.model.head import Transform, Vector, Vocabulary
from regard.model.mask import Full
from regard.model.norm import LayerNorm
from regard.model.position import Learned, Sinusoidal2D
from regard.model.quantize import quantize
from regard.model.stack import StackConfig
from regard.model.tap import open_taps
from regard.model.transformer import Model, TransformerConfig
from tests.shared import refused

T, S = 5, 7
NAMING = Naming(lambda some: [f"s{i}" for i in some], lambda some: [f"t{i}" for i in some])
ALL = Choice()
LOOKED_UP = ("given", "source_given", "target_given", "mask", "bias", "memory_bias", "added")
CHANGES = Changes(
    heads_off=frozenset({Head("stack.blocks.0.attention", 1), Head("decoder.blocks.1.cross", 2)}),
    temperature=2.0,
    shuffle=Shuffle(3),
)

parts = pytest.mark.parametrize("stack", PARTS.values(), ids=PARTS.keys())


def entries(
    model: Model, given: list[Tensor], changes: Changes = NONE, choice: Choice = ALL
) -> dict[str, Entry]:
    recorder = Recorder(model, choice)
    with torch.no_grad(), recorder.watching(changes.taps()):
        model(*given)
    passes, _ = passes_of(recorder, NAMING)
    return {name: entry for one in passes for name, entry in with_derived(model, one).entries.items()}


def adds_up(numbers: Numbers, every: int = 4) -> dict[str, list[Account]]:
    """Some places of all entries."""
    chance, found = random.Random(1), dict[str, list[Account]]()
    weights = dict(numbers.model.named_parameters(remove_duplicate=False)) | dict(
        numbers.model.named_buffers()
    )
    for name, entry in numbers.entries.items():
        for _ in range(every):
            index = tuple(chance.randrange(size) for size in entry.value.shape)
            made = account(numbers, name, index)
            assert made.value == pytest.approx(float(entry.value[index]), nan_ok=True)
            assert (
                made.sum == pytest.approx(math.fsum(term.value for term in made.terms), abs=1e-9)
                or not made.terms
            )
            exact = any(factor.rounded for term in made.terms for factor in term.factors)
            largest = 0.0 if exact else max((abs(term.value) for term in made.terms), default=0.0)
            assert made.total == pytest.approx(made.value, abs=2e-5 * (1 + largest), rel=1e-4), (name, index)
            if name.rpartition(".")[2] not in LOOKED_UP:
                assert made.terms, name
            for term in made.terms:
                for factor in term.factors:
                    checked(numbers, weights, factor)
            found.setdefault(name.rpartition(".")[2], []).append(made)
    return found


def checked(numbers: Numbers, weights: Mapping[str, Tensor], factor: accounts.Factor) -> None:
    """A factor is the very number that it points to, or stands for it."""
    if factor.rounded:
        assert factor.value in range(-127, 128)
    elif factor.part is not None:
        assert float(numbers.entries[factor.part].value[factor.index]) == pytest.approx(
            factor.value, nan_ok=True
        )
    if factor.weight is not None:
        assert float(weights[factor.weight][factor.index].detach()) == factor.value


@parts
def test_every_number_of_every_part_is_its_sum(stack: StackConfig) -> None:
    alone, pair = transformer(stack), encoder_decoder(stack)
    for model, given in ((alone, [ids(1, T)]), (pair, [ids(1, S), ids(1, T)])):
        found = adds_up(Numbers(model, entries(model, given)))
        for point in (
            "q",
            "k",
            "v",
            "scores",
            "weights",
            "heads",
            "out",
            "sum",
            "normed",
            "logits",
            "probabilities",
        ):
            assert found[point], point


@parts
def test_it_is_so_with_heads_off_a_temperature_and_other_positions(stack: StackConfig) -> None:
    alone, pair = transformer(stack), encoder_decoder(stack)
    for model, given in ((alone, [ids(1, T)]), (pair, [ids(1, S), ids(1, T)])):
        other = variant(model, CHANGES, Tied.found(model))
        off = {(head.attention, head.head) for head in CHANGES.heads_off}
        found = adds_up(Numbers(other, entries(other, given, CHANGES), CHANGES.temperature, off), every=7)
        assert any("temperature" in stage.op for made in found["logits"] for stage in made.stages)


@parts
def test_every_number_of_an_int8_model_is_its_sum_of_whole_numbers(stack: StackConfig) -> None:
    """Exact in the integers, and so as near the recorded one as two roundings of a float32."""
    alone, pair = quantize(transformer(stack)), quantize(encoder_decoder(stack))
    for model, given in ((alone, [ids(1, T)]), (pair, [ids(1, S), ids(1, T)])):
        numbers = Numbers(model, entries(model, given))
        found = adds_up(numbers)
        for made in found["logits"] + found["up"]:
            assert all(factor.value == int(factor.value) for term in made.terms for factor in term.factors)
            assert made.sum == int(made.sum)
            assert made.total == pytest.approx(
                made.value, rel=1e-6, abs=1e-9 if len(made.stages) == 2 else 1e-5
            )


def test_a_transformed_int8_head_is_its_sum() -> None:
    head = Vocabulary(bias=True, transform=Transform("gelu", LayerNorm()))
    model = quantize(lively(TransformerConfig(Tokens(V), BASE, head).build()))
    assert adds_up(Numbers(model, entries(model, [ids(1, T)])), every=9)["logits"]


@pytest.mark.parametrize("head", OUTPUTS, ids=map(named, OUTPUTS))
def test_every_head_is_its_sum(head) -> None:
    stack = replace(BASE, mask=Full())
    for types in (None, TokenTypes(2, separator=1)):
        model = lively(TransformerConfig(Tokens(V, types=types), stack, head).build())
        changed = NONE if isinstance(head, Vector) else Changes(temperature=0.5)
        given = [torch.tensor([[4, 1, 7, 3, 1]])]
        for changes in (NONE, changed):
            adds_up(Numbers(model, entries(model, given, changes), changes.temperature))


@pytest.mark.parametrize("embed", EMBEDS, ids=map(named, EMBEDS))
def test_every_embedding_is_its_sum(embed) -> None:
    model, given = embedded(embed)
    adds_up(Numbers(model, entries(model, [given[:1]])), every=8)


@pytest.mark.parametrize("position", [Learned(8), Sinusoidal2D(columns=3, leading=2)], ids=str)
def test_patches_of_a_image_are_their_sums(position) -> None:
    embed = Patches(3, 4, 6, 2, registers=1)
    stack = replace(BASE, mask=Full(), position=position, norm=LayerNorm(bias=False))
    model = lively(TransformerConfig(embed, stack, OUTPUTS[2]).build())
    adds_up(Numbers(model, entries(model, [torch.randn(1, 3, 4, 6)])), every=12)


def test_values_between_taps_are_the_library_s_own() -> None:
    model, given = transformer(PARTS["grouped"]), [ids(1, T)]
    whole = entries(model, given)
    place = "stack.blocks.1.attention."
    q, k, scores, mask = (whole[place + point].value for point in ("q", "k", "scores", "mask"))
    products, masked = whole[place + "products"].value, whole[place + "masked"].value
    assert torch.allclose(products[4], q[4] @ k[1].T, atol=1e-5)  # 3 heads share a group
    assert torch.allclose(products * 4**-0.5, scores, atol=1e-6)
    assert torch.equal(masked.isneginf(), ~mask.expand_as(masked))
    assert torch.equal(masked.softmax(-1), whole[place + "weights"].value)
    names = list(whole)
    order = [
        names.index(place + point)
        for point in ("v", "products", "scores", "mask", "masked", "weights", "heads")
    ]
    assert order == sorted(order)
    some = entries(model, given, choice=Choice(heads=frozenset({2, 4})))
    close(some[place + "products"].value, products[[2, 4]])  # a product of fewer matrices is another one


def test_only_the_names_that_are_asked_for_are_recorded() -> None:
    model, given = encoder_decoder(PARTS["multi-head"]), [ids(1, S), ids(1, T)]
    whole = entries(model, given)
    for name in (
        "decoder.blocks.1.cross.masked",
        "encoder.blocks.0.attention.k",
        "target.out",
        "head.probabilities",
    ):
        some = entries(model, given, choice=Choice(names=frozenset(recorded_for(name))))
        assert name in some
        assert set(some) <= {name, *recorded_for(name), *LOOKED_UP, "source.out"} | {
            f"{name.rpartition('.')[0]}.{point}" for point in NEEDS
        }
        assert torch.equal(some[name].value, whole[name].value)


def test_many_terms_are_shortened_without_a_change_of_their_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "MOST_TERMS", 6)
    model = transformer(PARTS["multi-head"])
    numbers = Numbers(model, entries(model, [ids(1, T)]))
    made = account(numbers, "head.logits", (2, 3))
    assert len(made.terms) == 6
    assert made.terms[-1].label.startswith("…")
    assert math.fsum(term.value for term in made.terms) == pytest.approx(made.value, abs=1e-5)


def test_a_sum_over_heads_that_were_not_recorded_is_refused() -> None:
    model = transformer(PARTS["multi-head"])
    numbers = Numbers(model, entries(model, [ids(1, T)], choice=Choice(heads=frozenset({1, 3}))))
    assert account(numbers, "stack.blocks.1.attention.heads", (1, 2, 3)).terms
    with refused(InputError, limit=5):
        account(numbers, "stack.blocks.1.attention.out", (2, 3))


def test_a_number_that_is_not_there_is_refused() -> None:
    model = transformer(PARTS["multi-head"])
    numbers = Numbers(model, entries(model, [ids(1, T)]))
    for index in ((0, 0), (0, 0, 99), (0, 0, -1)):
        with pytest.raises(InputError, match="shape"):
            account(numbers, "stack.blocks.0.attention.q", index)
    with refused(InputError, key="stack.blocks.9.attention.q"):
        account(numbers, "stack.blocks.9.attention.q", (0, 0, 0))


# ---------------------------------------------------------------------- changes


@parts
@torch.no_grad()
def test_exchanged_positions_are_exchanged_tokens(stack: StackConfig) -> None:
    """Where all see all: what token i computes at position o is what it computes standing there."""
    model, given, shuffle = transformer(replace(stack, mask=Full())), ids(1, T), Shuffle(3)
    order = shuffle.order(T)
    assert order != list(range(T))
    told = variant(model, Changes(shuffle=shuffle), Tied())(given)
    moved = given.clone()
    moved[:, order] = given
    torch.testing.assert_close(told, model(moved)[:, order], atol=2e-5, rtol=1e-4)
    assert torch.equal(model(given), model(given.clone()))


@torch.no_grad()
def test_positions_after_those_that_are_read_stay_and_so_do_a_image_s_class_tokens() -> None:
    assert Shuffle(5, 2).order(7)[:2] == [0, 1]
    assert sorted(Shuffle(5, 2).order(7)) == list(range(7))
    assert Shuffle(5, 2).order(1) == [0]
    model, given = transformer(BASE), ids(1, T)
    told = variant(model, Changes(shuffle=Shuffle(3)), Tied(), 3)
    cache, plain = told.cache(), told(given)
    step = torch.cat([told(given[:, at : at + 1], cache=cache) for at in range(T)], 1)
    torch.testing.assert_close(step, plain, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_a_variant_shares_all_but_what_is_edited_and_leaves_the_model_as_it_was() -> None:
    model = encoder_decoder(PARTS["multi-head"])
    before = {name: x.clone() for name, x in model.state_dict().items()}
    edits = (
        Edit("decoder.blocks.1.cross.out.weight", (3, 5), 7.0),
        Edit("encoder.blocks.0.feedforward.up.bias", (2,), -1.0),
    )
    other = variant(model, Changes(edits=edits), Tied.found(model))
    given = (ids(1, S), ids(1, T))
    assert {name for name, x in other.state_dict().items() if not torch.equal(x, before[name])} == {
        e.weight for e in edits
    }
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())
    mine = dict(model.named_parameters())
    for name, parameter in other.named_parameters():
        assert (parameter.data_ptr() == mine[name].data_ptr()) == (name not in {e.weight for e in edits})
    made = other(*given)
    for edit in edits:
        mine[edit.weight][edit.index] = edit.value
    torch.testing.assert_close(made, model(*given))


@torch.no_grad()
def test_an_edit_of_a_weight_that_has_two_places_is_made_in_both() -> None:
    from regard.model.layout import lay_out

    plain = transformer(PARTS["multi-head"])
    tied = Tied.found(plain)
    assert tied.of("head.weight") == ["embed.weight", "head.weight"]
    model = lay_out(plain)
    for name in ("head.weight", "embed.weight"):
        other = variant(model, Changes(edits=(Edit(name, (4, 3), 5.0),)), tied)
        assert float(other.embed.weight[4, 3]) == float(other.head.weight[4, 3]) == 5.0
        assert float(model.head.weight[4, 3]) != 5.0
    assert variant(model, Changes(temperature=2.0), tied) is model


@parts
@torch.no_grad()
def test_heads_taken_out_of_the_weights_are_heads_that_taps_silence(stack: StackConfig) -> None:
    model, given = encoder_decoder(stack), (ids(1, S), ids(1, T))
    heads = frozenset({Head("decoder.blocks.1.cross", 2), Head("decoder.blocks.0.attention", 0)})
    changes = Changes(heads_off=heads)
    with open_taps(model, changes.taps()):
        want = model(*given)
    assert not torch.allclose(want, model(*given), atol=1e-3)
    assert variant(model, changes, Tied()) is model
    silent = variant(model, changes, Tied(), silent=True)
    torch.testing.assert_close(silent(*given), want, atol=2e-5, rtol=1e-4)


def test_changes_of_what_there_is_not_are_refused() -> None:
    model = transformer(PARTS["multi-head"])
    for changes in (
        Changes(heads_off=frozenset({Head("stack.blocks.0.attention", 5)})),
        Changes(heads_off=frozenset({Head("stack.blocks.9.attention", 0)})),
        Changes(edits=(Edit("no.weight", (0,), 1.0),)),
        Changes(edits=(Edit("head.weight", (0,), 1.0),)),
        Changes(edits=(Edit("head.weight", (V, 0), 1.0),)),
    ):
        with pytest.raises(InputError):
            changes.check(model)
    for wrong in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(InputError):
            Changes(temperature=wrong)
    with pytest.raises(InputError):
        Edit("x", (0,), math.nan)
    vectors = lively(TransformerConfig(Tokens(V), replace(BASE, mask=Full()), Vector()).build())
    with refused(InputError, key="temperature"):
        Changes(temperature=2.0).check(vectors)
    assert DEPTH == 2
    assert HEADS
    assert Vocabulary().tied
