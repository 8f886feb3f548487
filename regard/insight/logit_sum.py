"""A logit as a sum over the embedding, each head, each feed-forward and each shift: direct logit attribution.

Elhage et al. 2021, 'A Mathematical Framework for Transformer Circuits' (transformer-circuits.pub), section
'Residual stream as a communication channel': all that a stack adds goes through the last norm and the head,
which are linear once the norm's scale is held at what it was. The same holds of norms that stand in the
residual path (PostNorm) or after a part, so that every placement is taken. The sum is the logit, to rounding.

What is gone through is the way back: a logit is what is read from the stack's vectors along a direction, a
row of the head's weights; what is read there along it, is read before a norm along another. What each part
adds is read where it is added.

Differs: of a layer within the head (BERT's, a classifier's) the activation is held too, as what it multiplies
each number by; so that this sum is exact as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from regard.errors import InputError, nearest
from regard.insight.ablation import Head
from regard.insight.trace import Pass, Trace, check_number
from regard.model.attention import Attention
from regard.model.block import Block
from regard.model.norm import NormPart
from regard.model.part import precise
from regard.model.transformer import Model


@dataclass(frozen=True)
class LogitSum:
    """What a logit, or the difference of two, is the sum of."""

    output: str
    """Whose logit."""
    against: str | None
    """Whose logit was taken off it, if any."""
    place: int | None
    """After which of the tokens; None where the head speaks of all of them."""
    token: str
    """That token; empty where there is none."""
    logit: float
    """As the model itself computes it."""
    heads: dict[Head, float]
    """What each head adds."""
    rest: dict[str, float]
    """What everything else does, in the order of the computation: values by the names of a trace
    (`stack.blocks.0.feedforward.out`), shifts by those of the weights (`stack.final_norm.bias`)."""

    @property
    def total(self) -> float:
        """The sum of all parts."""
        return sum(self.heads.values()) + sum(self.rest.values())

    @property
    def difference(self) -> float:
        """How far that is from the logit: by the rounding of the model's own arithmetic."""
        return abs(self.total - self.logit)


@torch.no_grad()
def logit_sum(
    model: Model,
    trace: Trace | Pass,
    output: int | str | None = None,
    against: int | str | None = None,
    place: int | None = None,
) -> LogitSum:
    """What the logit of `output` is the sum of, in a computation that was traced.

    `output`, `against`: a number or a name of what the head chooses among, by default what it finds
    most likely; with `against`, the difference of the two. `place`: after which token, by default the last;
    negative numbers count from the end.

    Raises: InputError for an output or a place that there is not, a layer or a head that was not recorded, or
    a model whose head has no logits or is of 8 bits.
    """
    name, _ = model.writer
    head = model.head
    sequences = trace.sequences if isinstance(trace, Trace) else (trace,)
    one = next((one for one in sequences if one.kind == name), None)
    if one is None:
        raise InputError("nothing of the {key} was recorded, and so there is no logit", name)
    at = _place(one, place, whole=head.pools)
    rows = slice(None) if at is None else slice(at, at + 1)
    vectors = _recorded(one, f"{name}.output")[..., rows, :]
    logits = head(vectors[None].to(next(model.parameters()))).float().cpu().flatten()
    names = head.outputs or _outputs(trace)
    chosen = int(logits.argmax()) if output is None else _number(output, names, len(logits))
    other = None if against is None else _number(against, names, len(logits))
    reading = _Reading(one, rows)
    if not head.logits or not reading.read(model, vectors.double(), chosen, other):
        sentence = "the {key} {value} has no float logits; take a model that chooses, in float32"
        raise InputError(sentence, "head", type(head).__name__)
    return LogitSum(
        output=_called(chosen, names),
        against=None if other is None else _called(other, names),
        place=at,
        token="" if at is None else one.tokens[at],
        logit=float(logits[chosen]) - (0.0 if other is None else float(logits[other])),
        heads=dict(reversed(reading.heads.items())),
        rest=dict(reversed(reading.rest.items())),
    )


class _Reading:
    """Goes back from the head to the embedding. A direction, `g`, is (n, D): of each of the vectors that the
    logit is read from."""

    def __init__(self, one: Pass, rows: slice) -> None:
        self.one, self.rows = one, rows
        self.heads: dict[Head, float] = {}
        self.rest: dict[str, float] = {}

    def value(self, name: str) -> Tensor:
        return _recorded(self.one, name)[..., self.rows, :].double()

    def read(self, model: Model, vectors: Tensor, chosen: int, other: int | None) -> bool:
        """`vectors`: (n, D), what the head was given. Returns whether its logits are such a sum."""
        (name, stack), weight, bias = model.writer, model.head.weight, model.head.bias
        g = precise(weight[chosen]) - (0 if other is None else precise(weight[other]))
        if bias is not None:
            self.add("head.bias", float(bias[chosen]) - (0.0 if other is None else float(bias[other])))
        found = model.head.pull(self, vectors, g[None])
        if found is None:
            return False
        last = f"{name}.blocks.{len(stack.blocks) - 1}.residual"
        g = self.norm(f"{name}.final_norm", stack.final_norm, lambda: self.value(last), found)
        for index in reversed(range(len(stack.blocks))):
            block = stack.blocks[index]
            assert isinstance(block, Block)
            g = self._block(f"{name}.blocks.{index}", block, g)
        if isinstance(stack.entry_projection, nn.Linear):
            shift = precise(stack.entry_projection.bias)
            self.add(f"{name}.entry_projection.bias", float((g * shift).sum()))
            g = g @ precise(stack.entry_projection.weight)
        g = self.norm(f"{name}.entry_norm", stack.entry_norm, lambda: self.value(f"{name}.placed"), g)
        added = f"{name}.position.added"
        if added in self.one.entries:
            self._read(added, g)
        self._read("target.out" if name == "decoder" else "embed.out", g)
        return True

    def add(self, name: str, value: float) -> None:
        self.rest[name] = value

    def _read(self, name: str, g: Tensor) -> None:
        self.add(name, float((g * self.value(name)).sum()))

    def _block(self, name: str, block: Block, g: Tensor) -> Tensor:
        for part, module, residual in reversed([*block.parts]):
            own, g = residual.pull(self, f"{name}.{part}", g)
            if isinstance(module, Attention):
                self._attention(f"{name}.{part}", module, own)
            else:
                self._read(f"{name}.{part}.out", own)
        return g

    def _attention(self, name: str, part: Attention, g: Tensor) -> None:
        if part.out.bias is not None:
            self.add(f"{name}.out.bias", float((g * precise(part.out.bias)).sum()))
        z = self.value(f"{name}.heads")  # (H, n, C)
        if len(z) != part.heads:
            sentence = "only {value} of the {limit} heads of '{key}' were recorded; {remedy}"
            raise InputError(sentence, len(z), part.heads, name, _ALL)
        if not part.out.weight.is_floating_point():
            raise InputError("the sum of a logit needs float weights; load the model in float32")
        along = (g @ precise(part.out.weight)).unflatten(-1, (part.heads, -1))  # (n, H, C)
        for head, value in reversed(list(enumerate(torch.einsum("nhc,hnc->h", along, z).tolist()))):
            self.heads[Head(name, head)] = value

    def norm(self, name: str, norm: nn.Module, seen: Callable[[], Tensor], g: Tensor) -> Tensor:
        """From the direction after a norm to that before it; its scale is held at what it was for `seen`."""
        if not isinstance(norm, NormPart):
            return g
        if norm.bias is not None:
            self.add(f"{name}.bias", float((g * precise(norm.bias)).sum()))
        return norm.pull(seen(), g)


_ALL = "trace it without --layers and --heads"


def _recorded(one: Pass, name: str) -> Tensor:
    if name not in one.entries:
        raise InputError("a logit sums all parts, and '{key}' was not recorded; {remedy}", name, _ALL)
    return one.entries[name].value


def _place(one: Pass, place: int | None, *, whole: bool) -> int | None:
    count = len(one.tokens)
    if whole:
        if place is not None:
            raise InputError("this model's head speaks of the whole input; leave the {key} out", "place")
        return None
    if place is not None and not -count <= place < count:
        raise InputError("there is no {key} {value}; they are 0 to {limit}", "place", place, count - 1)
    return count - 1 if place is None else place % count


def _outputs(trace: Trace | Pass) -> tuple[str, ...]:
    return trace.outputs if isinstance(trace, Trace) else ()


def _number(output: int | str, names: tuple[str, ...], count: int) -> int:
    """Of an output by its name or number."""
    if isinstance(output, str):
        same = [number for number, name in enumerate(names) if name == output]
        if len(same) > 1:
            raise InputError("several {key} are '{value}'; give one of {limit}", "outputs", output, same[:5])
        if not same and not (output.isascii() and output.isdecimal() and len(output) < 10):
            hint = nearest(output, names) or "give a token of this model, or its number"
            raise InputError("there is no {key} '{value}'", "output", output[:40], remedy=hint)
        output = same[0] if same else int(output)
    check_number("output", output, count)
    return output


def _called(number: int, names: tuple[str, ...]) -> str:
    return names[number] if number < len(names) else str(number)
