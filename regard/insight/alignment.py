"""Which input tokens served each output token: cross-attention as a matrix.

Source: Bahdanau et al., arXiv 1409.0473, section 5.2.1. It knows a model and ids, not texts or files.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from regard.insight.figures import label_axes
from regard.insight.plotting import graph_objects
from regard.insight.trace import check_number
from regard.model.tap import open_taps
from regard.model.transformer import EncoderDecoder

_CELL, _MARGIN = 44, 170  # pixels


@dataclass(frozen=True)
class Alignment:
    """How much of each input token served each output token."""

    inputs: list[str]
    outputs: list[str]
    weights: Tensor
    """(outputs, inputs); each row sums to 1."""

    def figure(self):  # type: ignore[no-untyped-def]
        """A Plotly heat map: outputs downwards, inputs across."""
        go = graph_objects()
        across, down = len(self.inputs), len(self.outputs)
        # Equal letters would share a row; numbers keep them apart, and the labels show what they stand for.
        places = {"x": list(range(across)), "y": list(range(down))}
        heat = go.Heatmap(z=self.weights.tolist(), **places, colorscale="Blues", zmin=0, zmax=1)
        figure = go.Figure(heat)
        label_axes(figure, (("output", self.outputs), ("input", self.inputs)), max(across, down))
        figure.update_xaxes(side="top")
        figure.update_layout(
            width=_MARGIN + _CELL * across,
            height=_MARGIN + _CELL * down,
            template="plotly_white",
            margin={"l": 70, "r": 20, "t": 110, "b": 20},
        )
        return figure


@torch.inference_mode()
def cross_attention(
    model: EncoderDecoder, source: list[int], target: list[int], layer: int | None = None
) -> Tensor:
    """(T, S) weights from each target position to each source position, averaged over the heads of `layer`,
    from 0, or over all layers.

    Raises: InputError for a layer that there is not.
    """
    seen: list[Tensor] = []
    if layer is not None:
        check_number("layer of the decoder", layer, len(model.decoder.blocks))
    which = "*" if layer is None else str(layer)
    device = model.head.weight.device
    with open_taps(model, {f"decoder.blocks.{which}.cross.weights": lambda name, w: seen.append(w)}):
        model(torch.tensor([source], device=device), torch.tensor([target], device=device))
    return torch.cat(seen, dim=1)[0].mean(0).float().cpu()
