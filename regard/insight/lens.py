"""The logit lens: what each layer's vectors would predict, were they the last.

nostalgebraist 2020, 'interpreting GPT: the logit lens'; Belrose et al., arXiv 2303.08112, section 2: the
residual stream of every layer goes through the last norm and the head. Any head is taken, not only one over a
vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from regard.errors import InputError
from regard.insight.trace import Axis, Entry, Pass, Trace
from regard.model.transformer import Model


@torch.no_grad()
def lens(model: Model, residuals: Tensor) -> Tensor:
    """(L, T, D) residual streams of the stack that writes → (L, T, V) logits, or (L, K) of a head that
    speaks of the whole sequence."""
    _, stack = model.writer
    weight = next(model.parameters())
    return model.head(stack.final_norm(residuals.to(weight))).float().cpu()


def logit_lens(model: Model, trace: Trace | Pass) -> Entry:
    """`lens` of what was traced: logits by layer. Raises: InputError where no layer was recorded."""
    stack, _ = model.writer
    sequences = trace.sequences if isinstance(trace, Trace) else (trace,)
    one = next((one for one in sequences if one.kind == stack), None)
    names = [] if one is None else [name for name in one.entries if name.endswith(".residual")]
    names = [name for name in names if name.startswith(f"{stack}.blocks.")]
    if one is None or not names:
        raise InputError("no layer was recorded, and so there is nothing to look at")
    logits = lens(model, torch.stack([one[name].value for name in names]))
    layers = Axis("layer", tuple(name.split(".")[2] for name in names))
    tokens = () if logits.dim() == 2 else (Axis("query", one.tokens),)
    outputs = trace.outputs if isinstance(trace, Trace) else ()
    axes = (layers, *tokens, Axis("output", outputs))
    return Entry("lens.logits", logits, axes, "head(norm(residual))", tuple(names))
