"""Optimizers: each goes downhill, keeps its state exactly, and decays matrices only."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from regard.model.attention import AttentionConfig
from regard.model.position import Learned, RelativeBias
from regard.model.stack import StackConfig
from regard.model.transformer import EncoderDecoder, EncoderDecoderConfig
from regard.registry import members_of
from regard.schema import dump, parse
from regard.training import muon
from regard.training.optim import AdamW, Muon, Optimizer, OptimizerConfig
from regard.training.resolve import Asked, resolve

OPTIMIZERS = [kind() for kind in members_of(OptimizerConfig)]
EVERY = pytest.mark.parametrize("config", OPTIMIZERS, ids=lambda config: config.kind)


class Quadratic(nn.Module):
    """The squared distance from a fixed point, of a matrix and a vector."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.matrix, self.vector = nn.Parameter(torch.randn(5, 7)), nn.Parameter(torch.randn(11))
        self.register_buffer("goal", torch.randn(5, 7))

    def forward(self) -> Tensor:
        return (self.matrix - self.goal).square().sum() + self.vector.square().sum()


def descend(model: nn.Module, optimizer: Optimizer, steps: int) -> list[float]:
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    losses = []
    for _ in range(steps):
        loss = model()
        loss.backward()
        optimizer.step(1.0, scaler)
        optimizer.clear()
        losses.append(loss.item())
    return losses


@EVERY
def test_every_optimizer_goes_downhill(config: OptimizerConfig) -> None:
    model = Quadratic()
    losses = descend(model, Optimizer(model, replace(config, lr=0.05)), 300)
    assert losses[-1] < 0.3 * losses[0]


@EVERY
def test_state_goes_out_and_in_to_the_bit(config: OptimizerConfig) -> None:
    model, twin = Quadratic(), Quadratic()
    optimizer, other = Optimizer(model, config), Optimizer(twin, config)
    descend(model, optimizer, 5)
    twin.load_state_dict(model.state_dict())
    kept = {name: value.clone() for name, value in optimizer.tensors().items()}
    other.restore(kept)
    again = other.tensors()
    assert again.keys() == kept.keys()
    for name, value in kept.items():
        assert again[name].dtype == value.dtype
        assert torch.equal(again[name], value), name
    assert descend(model, optimizer, 5) == descend(twin, other, 5)
    for one, two in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(one, two)


@EVERY
def test_a_factor_multiplies_the_peak_and_is_not_compounded(config: OptimizerConfig) -> None:
    model = Quadratic()
    optimizer = Optimizer(model, config)
    model().backward()
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    for factor in (0.5, 0.5, 0.1):
        optimizer.step(factor, scaler)
        for part, peaks in zip(optimizer.parts, optimizer.peaks, strict=True):
            assert [group["lr"] for group in part.param_groups] == [peak * factor for peak in peaks]


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 9), (12, 12), (12, 20), (12, 24), (12, 100)])
def test_orthogonal_keeps_the_directions_and_evens_out_the_sizes(rows: int, columns: int) -> None:
    torch.manual_seed(1)
    left, _ = torch.linalg.qr(torch.randn(3, rows, rows, dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(3, columns, rows, dtype=torch.float64))
    sizes = torch.logspace(0, -2, rows, dtype=torch.float64)  # the largest is 100 times the smallest
    matrices = (left * sizes @ right.mT).float()
    inner = left.mT @ muon.orthogonal(matrices).double() @ right
    got = inner.diagonal(dim1=1, dim2=2)
    assert got.min() > 0.67
    assert got.max() < 1.33
    assert (inner - torch.diag_embed(got)).abs().max() < 1e-3
    alone = torch.cat([muon.orthogonal(matrix[None]) for matrix in matrices])
    torch.testing.assert_close(alone, muon.orthogonal(matrices), rtol=1e-4, atol=1e-4)


def test_both_ways_to_an_orthogonal_matrix_agree() -> None:
    torch.manual_seed(1)
    x = torch.randn(4, 16, 64)
    x = x / torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
    torch.testing.assert_close(muon._by_square(x), muon._directly(x), rtol=1e-4, atol=1e-4)
    nothing = torch.zeros(1, 3, 9)
    assert torch.equal(muon.orthogonal(nothing), nothing)


def test_muon_treats_standing_and_lying_matrices_alike() -> None:
    torch.manual_seed(1)
    lying, gradient = torch.randn(5, 7), torch.randn(5, 7)
    lying, standing = nn.Parameter(lying), nn.Parameter(lying.T.clone())
    lying.grad, standing.grad = gradient, gradient.T.clone()
    muon.MuonOptimizer([lying, standing], lr=0.1).step()
    torch.testing.assert_close(lying, standing.T)


@pytest.mark.parametrize("config", [AdamW(lr=0.1, weight_decay=0.5), Muon(lr=0.1, weight_decay=0.5)])
@pytest.mark.parametrize("position", [Learned(37), RelativeBias()], ids=lambda position: position.kind)
def test_biases_gains_and_tables_do_not_decay(
    config: OptimizerConfig, position: Learned | RelativeBias
) -> None:
    model = _model(position)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    Optimizer(model, config).step(1.0, torch.amp.GradScaler("cpu", enabled=False))
    for name, parameter in model.named_parameters():
        table = parameter.ndim < 2 or any(part in name for part in ("source", "target", "head", "table"))
        if table:
            assert torch.equal(parameter, before[name]), f"{name} decayed"
        else:
            torch.testing.assert_close(parameter, before[name] * (1 - 0.1 * 0.5), msg=f"{name} did not decay")


def _model(position: Learned | RelativeBias) -> EncoderDecoder:
    defaults = dump(resolve(Asked("translation")).model)
    model = parse(EncoderDecoderConfig, defaults, prefix="model")
    stack = StackConfig(width=20, depth=1, attention=AttentionConfig(heads=5), position=position, cross=None)
    return replace(
        model,
        source=replace(model.source, vocab=13),
        target=replace(model.target, vocab=17),
        tying="none",
        encoder=replace(stack),
        decoder=replace(
            model.decoder, width=20, depth=1, attention=AttentionConfig(heads=5), position=position
        ),
    ).build()
