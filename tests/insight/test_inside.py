"""Ways to look inside, each beside a computation of its own."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import regard
from regard.errors import BundleError, InputError
from regard.insight.ablation import Ablation, Head, ablate, heads_of, silencing
from regard.insight.ablation_text import ablation_lines, ablation_object
from regard.insight.attribution import integrated_gradients
from regard.insight.figures import heat, patches_figure, search_tree
from regard.insight.lens import logit_lens
from regard.insight.patching import patch
from regard.insight.playback import losses, replay, snapshots
from regard.insight.recorded import Naming, passes_of
from regard.insight.recorder import Recorder
from regard.insight.rollout import rolled_out, rollout
from regard.insight.trace import Axis, Entry, Grown, Pass, Trace, best_path
from regard.model.attention import AttentionConfig
from regard.model.embed import Tokens
from regard.model.head import Classes
from regard.model.mask import Causal
from regard.model.stack import StackConfig
from regard.model.tap import open_taps
from regard.model.transformer import Transformer, TransformerConfig
from regard.weights import write_weights
from tests.shared import refused
from tests.tiny import asked

V, D, DEPTH, HEADS, T, K = 13, 20, 3, 5, 7, 11
NAMING = Naming(lambda ids: [], lambda ids: [f"t{i}" for i in ids], tuple(map(str, range(K))))


@pytest.fixture
def model() -> Transformer:
    """Of one stack and classes, with weights that matter."""
    torch.manual_seed(1)
    torch.set_num_threads(1)
    stack = StackConfig(D, DEPTH, AttentionConfig(heads=HEADS))
    made = TransformerConfig(Tokens(V), stack, Classes(K)).build()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return made.eval()


def traced(model: Transformer, ids: Tensor) -> Trace:
    recorder = Recorder(model)
    with torch.no_grad(), recorder.watching():
        model(ids)
    passes, search = passes_of(recorder, NAMING)
    return Trace("", "", "", None, (), passes, search, NAMING.outputs)


def test_rollout_adds_up_the_ways_through_all_layers() -> None:
    torch.manual_seed(1)
    layers = [torch.rand(HEADS, T, T).softmax(-1) for _ in range(DEPTH)]
    steps = [[[0.5 * float(w[:, i, j].mean()) + 0.5 * (i == j) for j in range(T)] for i in range(T)]
             for w in layers]  # fmt: skip

    def ways(layer: int, start: int, end: int) -> float:
        """Every way down from `start` in `layer` to the input token `end`, one by one."""
        if layer < 0:
            return float(start == end)
        return sum(steps[layer][start][step] * ways(layer - 1, step, end) for step in range(T))

    found = rollout(layers)
    for i in range(T):
        for j in range(T):
            assert float(found[i, j]) == pytest.approx(ways(DEPTH - 1, i, j), abs=1e-6)
    torch.testing.assert_close(found.sum(-1), torch.ones(T))
    with pytest.raises(InputError):
        rollout([])


def test_a_trace_is_rolled_out_if_all_its_layers_are_there(model: Transformer) -> None:
    trace = traced(model, torch.randint(0, V, (1, T)))
    entry = rolled_out(trace)
    want = rollout([trace[f"stack.blocks.{i}.attention.weights"].value for i in range(DEPTH)])
    assert torch.equal(entry.value, want)
    assert [axis.labels for axis in entry.axes] == [trace.sequences[0].tokens] * 2
    one = trace.passes[0]
    some = {name: x for name, x in one.entries.items() if ".blocks.1." not in name}
    with refused(InputError, key="stack", remedy="--layers"):
        rolled_out(replace(trace, passes=(replace(one, entries=some),)))
    with refused(InputError, key="encoder", remedy="--layers"):
        rolled_out(replace(trace, passes=()))


@torch.no_grad()
def test_the_lens_at_a_layer_is_the_model_that_ends_there(model: Transformer) -> None:
    ids = torch.randint(0, V, (1, T))
    found = logit_lens(model, traced(model, ids))
    assert [axis.name for axis in found.axes] == ["layer", "output"]
    blocks = model.stack.blocks
    for depth in range(1, DEPTH + 1):
        model.stack.blocks = torch.nn.ModuleList(list(blocks)[:depth])
        torch.testing.assert_close(found.value[depth - 1], model(ids)[0])


@torch.no_grad()
def test_a_silenced_head_is_one_whose_columns_of_the_last_matrix_are_zero(model: Transformer) -> None:
    ids = torch.randint(0, V, (3, T))
    whole = model(ids)
    assert len(heads_of(model)) == DEPTH * HEADS
    for head in (Head("stack.blocks.1.attention", 3), Head("stack.blocks.0.attention", 0)):
        with open_taps(model, silencing([head])):
            silent = model(ids)
        out = model.get_submodule(head.attention).out.weight
        kept = out.clone()
        out.view(D, HEADS, -1)[:, head.head] = 0
        torch.testing.assert_close(silent, model(ids))
        out.copy_(kept)
        assert not torch.allclose(silent, whole, atol=1e-3)


@torch.no_grad()
def test_ablation_measures_the_model_without_each_head(model: Transformer) -> None:
    ids = torch.randint(0, V, (3, T))
    told: list[tuple[int, int]] = []
    found = ablate(model, lambda: float(model(ids).sum()), on_progress=lambda *seen: told.append(seen))
    assert found.whole == float(model(ids).sum())
    assert found.without.keys() == set(heads_of(model))
    for head, figure in found.without.items():
        with open_taps(model, silencing([head])):
            assert figure == float(model(ids).sum())
    assert told == [(i, DEPTH * HEADS) for i in range(1, DEPTH * HEADS + 1)]
    assert found.worth()[0][1] == max(found.whole - figure for figure in found.without.values())
    assert replace(found, lower=True).worth()[-1][0] == found.worth()[0][0]
    assert len(ablation_object(found)["heads"]) == DEPTH * HEADS
    assert ablation_object(Ablation("x", math.nan, {}))["whole"] is None
    assert any(f"{found.worth()[0][1]:.3f}" in line for line in ablation_lines(found))


@torch.no_grad()
def test_patching_brings_back_all_where_all_that_differs_is_put_back(model: Transformer) -> None:
    right = torch.randint(0, V, (1, T))
    spoiled = right.clone()
    spoiled[0, 4] = (spoiled[0, 4] + 1) % V
    found = patch(model, lambda: model(right), lambda: model(spoiled), lambda y: y[0, 2])
    assert found.points == tuple(f"stack.blocks.{i}.residual" for i in range(DEPTH))
    assert found.effects.shape == (DEPTH, T)
    whole = patch(model, lambda: model(right), lambda: model(spoiled), lambda y: y[0, 2], "embed.out")
    torch.testing.assert_close(whole.effects[0, 4], torch.tensor(1.0))  # the only token that differs
    torch.testing.assert_close(whole.effects[0, [0, 1, 2, 3, 5, 6]], torch.zeros(T - 1), atol=1e-5, rtol=0)
    # The last layer's vectors go into a mean and a linear head, so that what each brings back adds up.
    assert float(found.effects[-1].sum()) == pytest.approx(1.0, abs=1e-4)


def test_patching_refuses_what_it_cannot_compare(model: Transformer) -> None:
    ids = torch.randint(0, V, (1, T))
    with refused(InputError, value=6, limit=7):
        patch(model, lambda: model(ids), lambda: model(ids[:, 1:]), lambda y: y[0, 0])
    for points in ("nothing", "*.weights"):
        with refused(InputError, key=points):
            patch(model, lambda: model(ids), lambda: model(ids), lambda y: y[0, 0], points)


def test_integrated_gradients_are_the_integral_and_add_up(model: Transformer) -> None:
    pytest.importorskip("captum")
    ids, place, steps = torch.randint(0, V, (1, T)), 6, 200
    found = integrated_gradients(model, ids, lambda y: y[:, place], steps=steps)
    vectors = model.embed(ids).detach()
    total = torch.zeros_like(vectors)
    for step in range(steps):  # the midpoint rule, with the stack and head called by hand
        x = (vectors * (step + 0.5) / steps).requires_grad_()
        logit = model.head(model.stack(x))[0, place]
        total += torch.autograd.grad(logit, x)[0]
    torch.testing.assert_close(found.numbers, (vectors * total / steps)[0], atol=2e-3, rtol=2e-2)
    assert float(found.tokens.sum()) == pytest.approx(found.logit - found.baseline, abs=1e-2)
    assert found.logit == pytest.approx(float(model(ids)[0, place].detach()), abs=1e-5)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.fixture(scope="module")
def run(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with snapshots."""
    out = tmp_path_factory.mktemp("runs") / "run"
    settings = asked(pairs).settings
    regard.train("translation", pairs, out, settings=settings, steps=6, snapshots=3, quiet=True, threads=1)
    return out


def test_playback_shows_what_the_model_was(run: Path) -> None:
    loaded, name = regard.load(run), "decoder.blocks.0.cross.weights"
    assert len(snapshots(run)) == 3
    back = loaded.playback("abc", name)
    assert list(back.entries) == list(snapshots(run))
    now = loaded.trace("abc")[name]
    for entry in back.entries.values():
        assert entry.axes == now.axes
        torch.testing.assert_close(entry.value.sum(-1), torch.ones(entry.value.shape[:-1]))
    patterns = [entry.value for entry in back.entries.values()]
    assert not torch.equal(patterns[0], patterns[-1])
    figure = back.figure(head=1)
    assert [frame.name for frame in figure.frames] == [str(step) for step in back.entries]
    assert back.losses == losses(run)
    assert [step for step, _ in back.losses][-1] == 6


def test_playback_refuses_runs_without_snapshots_and_weights_of_others(
    run: Path, model: Transformer, tmp_path: Path
) -> None:
    with refused(InputError, remedy="--snapshots"):
        snapshots(tmp_path)
    with refused(BundleError, where="step-000002"):
        list(replay(model, snapshots(run), lambda: None))
    (tmp_path / "snapshots").mkdir()
    bad = tmp_path / "snapshots" / "step-000003.safetensors"
    bad.write_bytes(b"no weights")
    with pytest.raises(BundleError):
        list(replay(model, snapshots(tmp_path), lambda: None))
    before = {key: x.clone() for key, x in model.state_dict().items()}
    write_weights(bad, {key: x * 0 for key, x in model.named_parameters()})
    answers = [
        float(y.sum()) for _, y in replay(model, snapshots(tmp_path), lambda: model(torch.ones(1, 2).long()))
    ]
    assert answers == [0.0]
    assert all(torch.equal(x, before[key]) for key, x in model.state_dict().items())
    (tmp_path / "log.jsonl").write_text(
        '{"step": 1, "loss": 2.5}\nno\n[]\n{"step": 2}\n{"step":"x","loss":1}\n', "utf-8"
    )
    assert losses(tmp_path) == [(1, 2.5)]


def test_figures_hold_the_numbers(model: Transformer) -> None:
    trace = traced(model, torch.randint(0, V, (1, T)))
    weights = trace["stack.blocks.1.attention.weights"]
    figure = heat(weights)
    assert len(figure.data) == HEADS
    torch.testing.assert_close(torch.tensor(figure.data[3].z), weights.value[3])
    with refused(InputError, key="head.logits", value=1):
        heat(trace["head.logits"])
    names = ("[CLS]", *(f"{row},{column}" for row in range(2) for column in range(3)))
    axes = (Axis("head", ("1", "4")), Axis("query", names), Axis("key", names))
    entries = [
        Entry("given", torch.rand(3, 4, 6), tuple(map(Axis, ("colour", "row", "column")))),
        Entry("stack.blocks.0.attention.weights", torch.rand(2, 7, 7), axes),
    ]
    one = Pass("stack", 1, 0, 0, names, {entry.name: entry for entry in entries})
    image = replace(trace, passes=(one,))
    maps = patches_figure(image, 0)
    assert [len(piece.z) for piece in maps.data] == [4, 2, 2]
    torch.testing.assert_close(torch.tensor(maps.data[2].z), entries[1].value[1, 0, 1:].view(2, 3))
    assert [note.text for note in maps.layout.annotations] == ["image", "head 1", "head 4"]
    with refused(InputError, key="vector", value=7, limit=6):
        patches_figure(image, 0, query=7)
    search = [
        Grown((0, 0), (0, 0), ("a", "b"), (1, 2), (-1.0, -2.0), (-1.0, -2.0), (False, False)),
        Grown((1, 0), (1, 0), ("<", "d"), (3, 4), (-2.5, -3.0), (-0.9, -1.5), (True, True)),
    ]
    assert best_path(search) == (1, 0)
    tree = search_tree(search, best_path(search), "zh")
    assert list(tree.data[1].x) == [0, 1, None, 1, 2, None]
    assert list(tree.data[1].y) == [0, 1, None, 1, 0, None]
    assert tree.data[2].text == ("a", "b", "‹", "d")


def test_a_mask_of_the_model_is_the_mask_of_its_trace(model: Transformer) -> None:
    config = replace(model.config, stack=replace(model.config.stack, mask=Causal()))
    trace = traced(config.build().eval(), torch.randint(0, V, (1, T)))
    mask: Tensor = trace["stack.blocks.0.attention.mask"].value
    assert torch.equal(mask, torch.ones(T, T).tril().bool())
