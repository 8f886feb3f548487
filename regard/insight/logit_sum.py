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
from regard.model.block import (
    Block,
    PostResidual,
    PreResidual,
    Residual,
    SandwichResidual,
    ScaledResidual,
)
from regard.model.head import ClassHead, SpanHead, TransformLayer, VocabularyHead, pooled
from regard.model.stack import Stack
from regard.model.transformer import EncoderDecoder, Model

Choosing = VocabularyHead | ClassHead | SpanHead
_LEAST = 1e-30  # by what an activation multiplies zero, it is asked here


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
    name = "decoder" if isinstance(model, EncoderDecoder) else "stack"
    stack: Stack = model.decoder if isinstance(model, EncoderDecoder) else model.stack
    head = model.head
    if not isinstance(head, Choosing):
        sentence = "the {key} {value} has no float logits; take a model that chooses, in float32"
        raise InputError(sentence, "head", type(head).__name__)
    sequences = trace.sequences if isinstance(trace, Trace) else (trace,)
    one = next((one for one in sequences if one.kind == name), None)
    if one is None:
        raise InputError("nothing of the {key} was recorded, and so there is no logit", name)
    whole = isinstance(head, ClassHead)
    at = _place(one, place, whole=whole)
    rows = slice(None) if at is None else slice(at, at + 1)
    vectors = _recorded(one, f"{name}.output")[..., rows, :]
    logits = head(vectors[None].to(next(model.parameters()))).float().cpu().flatten()
    names = ("start", "end") if isinstance(head, SpanHead) else _outputs(trace)
    chosen = int(logits.argmax()) if output is None else _number(output, names, len(logits))
    other = None if against is None else _number(against, names, len(logits))
    reading = _Reading(one, rows)
    reading.read(head, name, stack, vectors.double(), chosen, other)
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

    def read(
        self, head: Choosing, name: str, stack: Stack, vectors: Tensor, chosen: int, other: int | None
    ) -> None:
        """`vectors`: (n, D), what the head was given."""
        weight, bias = head.weight, head.bias
        g = _plain(weight[chosen]) - (0 if other is None else _plain(weight[other]))
        if bias is not None:
            self.rest["head.bias"] = float(bias[chosen]) - (0.0 if other is None else float(bias[other]))
        last = f"{name}.blocks.{len(stack.blocks) - 1}.residual"
        g = self._head(head, vectors, g[None])
        g = self._norm(f"{name}.final_norm", stack.final_norm, lambda: self.value(last), g)
        for index in reversed(range(len(stack.blocks))):
            block = stack.blocks[index]
            assert isinstance(block, Block)
            g = self._block(f"{name}.blocks.{index}", block, g)
        if isinstance(stack.entry_projection, nn.Linear):
            shift = _plain(stack.entry_projection.bias)
            self.rest[f"{name}.entry_projection.bias"] = float((g * shift).sum())
            g = g @ _plain(stack.entry_projection.weight)
        g = self._norm(f"{name}.entry_norm", stack.entry_norm, lambda: self.value(f"{name}.placed"), g)
        added = f"{name}.position.added"
        if added in self.one.entries:
            self._add(added, g)
        self._add("target.out" if name == "decoder" else "embed.out", g)

    def _add(self, name: str, g: Tensor) -> None:
        self.rest[name] = float((g * self.value(name)).sum())

    def _head(self, head: Choosing, vectors: Tensor, g: Tensor) -> Tensor:
        """From (1, K) at the last product of a head to (n, D) of the vectors that it was given."""
        if isinstance(head, SpanHead):
            return g
        pooling = head.config.pooling if isinstance(head, ClassHead) else None
        skipped = head.config.skipped if isinstance(head, ClassHead) else 0
        x = vectors if pooling is None else pooled(vectors[None], None, pooling, skipped)
        if isinstance(head.transform, TransformLayer):
            g = self._transform(head.transform, x, g)
        if pooling is None:
            return g
        with torch.enable_grad():  # a mean is linear: its gradient is what each vector counts for
            x = vectors.clone().requires_grad_()
            (found,) = torch.autograd.grad(pooled(x[None], None, pooling, skipped), x, g)
        return found

    def _transform(self, layer: TransformLayer, x: Tensor, g: Tensor) -> Tensor:
        weight, bias = _plain(layer.dense.weight), _plain(layer.dense.bias)
        inner = x @ weight.T + bias
        made = layer.activation(inner)
        g = self._norm("head.transform.norm", layer.norm, lambda: made, g)
        some = torch.where(inner == 0, _LEAST, inner)
        g = g * layer.activation(some) / some
        self.rest["head.transform.dense.bias"] = float((g * bias).sum())
        return g @ weight

    def _block(self, name: str, block: Block, g: Tensor) -> Tensor:
        for part in ("feedforward", "cross", "attention"):
            module, residual = getattr(block, part), getattr(block, f"{part}_residual")
            if module is None:
                continue
            own, g = self._residual(f"{name}.{part}", residual, g)
            if isinstance(module, Attention):
                self._attention(f"{name}.{part}", module, own)
            else:
                self._add(f"{name}.{part}.out", own)
        return g

    def _residual(self, part: str, residual: Residual, g: Tensor) -> tuple[Tensor, Tensor]:
        """The directions for what the part made and for what went past it."""
        name = f"{part}_residual"
        if isinstance(residual, PostResidual):
            g = self._norm(f"{name}.norm", residual.norm, lambda: self.value(f"{name}.sum"), g)
            return g, g
        if isinstance(residual, SandwichResidual):
            made = self._norm(f"{name}.norm_out", residual.norm_out, lambda: self.value(f"{part}.out"), g)
            return made, g
        if isinstance(residual, ScaledResidual):
            return g * _plain(residual.gain), g
        assert isinstance(residual, PreResidual), type(residual)
        return g, g

    def _attention(self, name: str, part: Attention, g: Tensor) -> None:
        if part.out.bias is not None:
            self.rest[f"{name}.out.bias"] = float((g * _plain(part.out.bias)).sum())
        z = self.value(f"{name}.heads")  # (H, n, C)
        if len(z) != part.heads:
            sentence = "only {value} of the {limit} heads of '{key}' were recorded; {remedy}"
            raise InputError(sentence, len(z), part.heads, name, _ALL)
        if not part.out.weight.is_floating_point():
            raise InputError("the sum of a logit needs float weights; load the model in float32")
        along = (g @ _plain(part.out.weight)).unflatten(-1, (part.heads, -1))  # (n, H, C)
        for head, value in reversed(list(enumerate(torch.einsum("nhc,hnc->h", along, z).tolist()))):
            self.heads[Head(name, head)] = value

    def _norm(self, name: str, norm: nn.Module, seen: Callable[[], Tensor], g: Tensor) -> Tensor:
        """From the direction after a norm to that before it; its scale is held at what it was for `seen`."""
        if isinstance(norm, nn.Identity):
            return g
        assert isinstance(norm, nn.LayerNorm | nn.RMSNorm), type(norm)
        x, shift = seen(), getattr(norm, "bias", None)
        if shift is not None:
            self.rest[f"{name}.bias"] = float((g * _plain(shift)).sum())
        centred = x - x.mean(-1, keepdim=True) if isinstance(norm, nn.LayerNorm) else x
        assert norm.eps is not None
        g = g * _plain(norm.weight) * (centred.square().mean(-1, keepdim=True) + norm.eps).rsqrt()
        return g - g.mean(-1, keepdim=True) if isinstance(norm, nn.LayerNorm) else g


_ALL = "trace it without --layers and --heads"


def _plain(weight: Tensor) -> Tensor:
    """On the host, where every device's numbers can be doubles."""
    return weight.detach().cpu().double()


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
