"""A part from outside is found wherever a part of this library is; one that keeps silent is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest
import torch
from members import BASE, V, close, ids, lively
from torch import Tensor, nn

import regard
from regard.errors import ConfigError
from regard.insight.recorded import Naming, recorded
from regard.insight.recorder import Recorder
from regard.insight.sums import account
from regard.model.account import Entry, Made, Numbers, vector
from regard.model.account_linear import linear
from regard.model.attention import attend
from regard.model.describe import describe
from regard.model.embed import Tokens
from regard.model.feedforward import FeedForwardLayer
from regard.model.head import HeadPart, Vocabulary
from regard.model.init import Init
from regard.model.mask import MaskRule
from regard.model.norm import NormPart
from regard.model.part import Origin, Origins, Weightless
from regard.model.position import ALiBi, PositionPart, Rotary
from regard.model.score import Products, Score, Softmax
from regard.model.stack import LayerPattern, StackConfig
from regard.model.tap import tap
from regard.model.transformer import ModelConfig, TransformerConfig
from regard.registry import REGISTRIES, members_of
from regard.schema import describe as keys_of
from regard.schema import dump, parse
from tests.shared import refused

T = 7


@dataclass(frozen=True)
class Dilated(regard.MaskRule):
    """Every `step`-th token before, and itself."""

    step: int = 2
    kind: Literal["dilated"] = "dilated"

    def sees(self, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & ((query - key) % self.step == 0)


class Ramp(Weightless, PositionPart):
    def add(self, x: Tensor, at: Any) -> Tensor:
        return x + at.on(x.device).position[..., None] * 0.1


@dataclass(frozen=True)
class Ramped(regard.Position):
    """Order as one number."""

    kind: Literal["ramped"] = "ramped"
    module = Ramp

    def build(self, width: int, heads: int, head_width: int) -> PositionPart:
        return Ramp()


@dataclass(frozen=True)
class Halved(Products, Softmax):
    """Half the dot product."""

    kind: Literal["halved"] = "halved"
    scale = 0.5

    def formulas(self, scale: float) -> tuple[str, str]:
        return f"q kᵀ · {scale:.4g}", "softmax(scores) where the mask allows"


class Centred(Weightless, NormPart):
    bias = None

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(-1, keepdim=True)

    def account(self, numbers: Numbers, made: Made, before: Tensor, place: int, name: str) -> Made:
        return made.then("- mean", made.last - float(before.mean()))

    def pull(self, x: Tensor, g: Tensor) -> Tensor:
        return g - g.mean(-1, keepdim=True)


@dataclass(frozen=True)
class Centring(regard.Norm):
    """The mean taken off."""

    kind: Literal["centring"] = "centring"
    module = Centred

    def build(self, width: int) -> NormPart:
        return Centred()


class OneProduct(FeedForwardLayer):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.product = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return tap(self, "out", self.product(x))

    def initialise(self, init: Init, branches: int | None = None) -> None:
        init.matrix(self.product.weight, branches)

    def origins(self, name: str, x: str) -> Origins:
        return {f"{name}.out": Origin("x W + b", (x,))}

    def account(self, numbers: Numbers, entry: Entry, index: tuple[int, ...]) -> Made:
        x = vector(numbers, "x", entry.sources[0], index[0])
        return linear(numbers, x, f"{entry.name.rpartition('.')[0]}.product", "W", index[1])


@dataclass(frozen=True)
class Straight(regard.FeedForwardPart):
    """One product."""

    kind: Literal["straight"] = "straight"
    module = OneProduct

    def build(self, width: int) -> FeedForwardLayer:
        return OneProduct(width)


class Scalar(HeadPart):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, width))
        self.bias = None

    def forward(self, x: Tensor) -> Tensor:
        return tap(self, "logits", x @ self.weight.T)

    def initialise(self, init: Init, branches: int | None = None) -> None:
        init.matrix(self.weight)

    def flops(self, T: int, S: int) -> int:
        return 2 * T * self.weight.numel()

    def origins(self, x: str) -> Origins:
        return {"head.logits": Origin("x Wᵀ", (x,))}


@dataclass(frozen=True)
class Rating(regard.Head):
    """A number for each vector."""

    kind: Literal["rating"] = "rating"
    module = Scalar

    def build(self, width: int, table: nn.Parameter | None) -> HeadPart:
        return Scalar(width)


FOREIGN = {
    "mask": Dilated,
    "position": Ramped,
    "score": Halved,
    "norm": Centring,
    "feedforward": Straight,
    "head": Rating,
}


@pytest.fixture
def joined() -> Iterator[dict[str, type]]:
    """All of them, registered for one test."""
    # A list, since looking into one may import what makes others.
    kept = {name: dict(registry) for name, registry in list(REGISTRIES.items())}
    yield {field: regard.register(part) for field, part in FOREIGN.items()}
    for name, members in kept.items():
        REGISTRIES[name]._members = members


def config_of(field: str, part: Any) -> TransformerConfig:
    config = TransformerConfig(Tokens(V), BASE)
    if field == "head":
        return replace(config, head=part)
    if field == "score":
        return replace(config, stack=replace(BASE, attention=replace(BASE.attention, score=part)))
    return replace(config, stack=replace(BASE, **{field: part}))


@pytest.mark.parametrize("field", FOREIGN)
def test_a_registered_part_is_parsed_written_listed_built_counted_and_taken_apart(
    field: str, joined: dict[str, type]
) -> None:
    part = joined[field]()
    config = config_of(field, part)
    assert parse(ModelConfig, json.loads(json.dumps(dump(config)))) == config
    assert any(f"'{part.kind}'" in key.type for key in keys_of(TransformerConfig))
    model, given = lively(config.build()), ids(1, T)
    described = describe(model, target=T)
    assert described.uncounted == ()
    assert described.parameters == sum(weight.numel() for weight in model.parameters())
    recorder = Recorder(model)
    with torch.no_grad(), recorder.watching():
        answer = model(given)
    assert torch.equal(answer, model(given))
    naming = Naming(lambda some: [*map(str, some)], lambda some: [*map(str, some)])
    entries = {entry.name: entry for one in recorded(recorder, naming)[0] for entry in one}
    numbers = Numbers(model, entries)
    for name in ("stack.blocks.1.residual", "stack.blocks.0.feedforward.out", "stack.output"):
        made = account(numbers, name, (3, 5))
        assert made.formula
        assert made.total == pytest.approx(made.value, abs=1e-4)


@pytest.mark.parametrize("field", FOREIGN)
def test_cached_is_uncached_with_a_part_from_outside(field: str, joined: dict[str, type]) -> None:
    model, x = lively(config_of(field, joined[field]()).build()), ids(2, T)
    cache = model.cache()
    with torch.no_grad():
        steps = [model(chunk, cache=cache) for chunk in x.split([3, 1, 1, 2], 1)]
        close(torch.cat(steps, 1), model(x))


def test_any_object_that_says_who_sees_whom_is_a_mask_in_attend_as_in_a_stack() -> None:
    class Own:
        def sees(self, query: Tensor, key: Tensor) -> Tensor:
            return (key <= query) & (key % 2 == 0)

    q, k, v = (torch.randn(2, 3, T, 5) for _ in range(3))
    places = torch.arange(T)
    allowed = Own().sees(places[:, None], places[None])
    for explicit in (False, True):
        close(attend(q, k, v, Own(), explicit=explicit), attend(q, k, v, allowed, explicit=explicit))
    stack: Any = replace(BASE, mask=Own())
    model, x = lively(TransformerConfig(Tokens(V), stack).build()), ids(2, T)
    changed = x.clone()
    changed[:, 3] = (changed[:, 3] + 1) % V
    with torch.no_grad():
        assert torch.equal(model(x)[:, 4:], model(changed)[:, 4:])


def test_a_part_that_keeps_silent_is_refused_when_it_is_registered(joined: dict[str, type]) -> None:
    class Silent(HeadPart):
        def initialise(self, init: Init, branches: int | None = None) -> None: ...

    @dataclass(frozen=True)
    class Uncounted(regard.Head):
        kind: Literal["uncounted"] = "uncounted"
        module = Silent

        def build(self, width: int, table: nn.Parameter | None) -> HeadPart:
            return Silent()

    @dataclass(frozen=True)
    class Unknown(regard.Head):
        kind: Literal["unknown"] = "unknown"
        build = Uncounted.build

    @dataclass(frozen=True)
    class Unfilled(Products, Softmax):
        kind: Literal["unfilled"] = "unfilled"
        learned = "gain"

        def formulas(self, scale: float) -> tuple[str, str]:
            return "", ""

    with refused(ConfigError, key="flops, origins"):
        regard.register(Uncounted)
    with refused(ConfigError, key="module", limit="HeadPart"):
        regard.register(Unknown)
    with refused(ConfigError, key="shape, initialise", value="gain"):
        regard.register(Unfilled)
    with refused(ConfigError, limit="MaskRule"):
        regard.register(int)
    assert not {"uncounted", "unknown", "unfilled"} & {*REGISTRIES["heads"], *REGISTRIES["scores"]}


def test_a_weightless_part_with_weights_is_refused() -> None:
    class Lying(Weightless, FeedForwardLayer):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(3))

        def origins(self, name: str, x: str) -> Origins:
            return {}

    with pytest.raises(ValueError, match="gain"):
        Lying().initialise(BASE.norm)  # type: ignore[arg-type]


def test_an_unknown_kind_is_told_all_known_and_that_a_package_may_be_missing() -> None:
    with refused(ConfigError, value="zzzzzz", remedy="package") as caught:
        parse(MaskRule, "zzzzzz")
    assert all(f"'{kind}'" in str(caught.value.limit) for kind in REGISTRIES["masks"])
    with refused(ConfigError, remedy="causal"):
        parse(MaskRule, "causel")


def test_every_built_in_part_says_all_that_is_asked() -> None:
    for base in (MaskRule, Score, regard.Norm, regard.Head, regard.Embed, regard.Position):
        registry = next(one for one in REGISTRIES.values() if one.base is base)
        for member in members_of(base) or ():
            registry._check(member)


def test_an_older_configuration_of_masks_alone_is_the_pattern_that_it_means() -> None:
    old = dump(BASE) | {"masks": ["causal", {"kind": "window", "before": 2}]}
    del old["pattern"]
    new = parse(StackConfig, old)
    assert [layer.position for layer in new.pattern] == [None, None]
    assert [rule.kind for rule in new.rules] == ["causal", "window"]
    assert parse(StackConfig, dump(new)) == new
    with pytest.raises(ConfigError):
        parse(StackConfig, old | {"pattern": [{}]})


def test_blocks_of_a_pattern_rotate_by_their_own_base() -> None:
    pattern = (LayerPattern(), LayerPattern(position=Rotary(base=50.0)))
    config = TransformerConfig(Tokens(V), replace(BASE, pattern=pattern), Vocabulary())
    model, x = lively(config.build()), ids(2, T)
    one = replace(config, stack=replace(BASE, depth=1, position=Rotary(base=50.0)))
    alone = one.build().eval()
    with torch.no_grad():
        h = torch.randn(2, T, BASE.width)
        theirs = {
            name.replace("blocks.1.", "blocks.0."): value
            for name, value in model.stack.state_dict().items()
            if "blocks.0." not in name
        }
        alone.stack.load_state_dict(theirs)
        around = model.stack._surroundings(*[regard.Contiguous(0, T)] * 2, None, h.device)
        around = model.stack._differing(around, *[regard.Contiguous(0, T)] * 2, h.device)[1]
        close(model.stack.blocks[1](h, around), alone.stack(h))
        cache = model.cache()
        close(torch.cat([model(token, cache=cache) for token in x.split(1, 1)], 1), model(x))
    with pytest.raises(ValueError, match="rotate"):
        replace(BASE, pattern=(LayerPattern(position=ALiBi()),)).build()
