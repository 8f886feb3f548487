"""Weights of models that this library does not know are drawn as their own library gives them."""

from __future__ import annotations

import math
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from regard.errors import InputError
from regard.insight.attentions import attentions, attentions_page
from regard.insight.figures import heat, mosaic
from regard.insight.rollout import rollout
from regard.interop.family import FAMILIES as IMPORTED
from tests.shared import refused

transformers = pytest.importorskip("transformers")

V, T, S, DEPTH, HEADS = 31, 7, 5, 3, 2
TOKENS, SOURCE = [f"t{i}" for i in range(T)], [f"s{i}" for i in range(S)]
FAMILIES: dict[str, tuple[str, dict[str, int]]] = {
    "Bloom": ("BloomModel", {"hidden_size": 12, "n_layer": DEPTH, "n_head": HEADS}),
    "GPTNeoX": (
        "GPTNeoXModel",
        {"hidden_size": 16, "num_hidden_layers": DEPTH, "num_attention_heads": HEADS},
    ),
    "OPT": (
        "OPTModel",
        {"hidden_size": 12, "num_hidden_layers": DEPTH, "num_attention_heads": HEADS, "ffn_dim": 17},
    ),
    "Albert": (
        "AlbertModel",
        {"hidden_size": 12, "num_hidden_layers": DEPTH, "num_attention_heads": HEADS},
    ),
    "Phi": ("PhiModel", {"hidden_size": 16, "num_hidden_layers": DEPTH, "num_attention_heads": HEADS}),
    "RoFormer": (
        "RoFormerModel",
        {"hidden_size": 12, "num_hidden_layers": DEPTH, "num_attention_heads": HEADS},
    ),
}
"""Which `regard import` does not take."""


def eager(kind: str, family: str, options: dict[str, Any]) -> Any:
    torch.manual_seed(1)
    config = getattr(transformers, f"{family}Config")(vocab_size=V, **options)
    config._attn_implementation = "eager"
    return getattr(transformers, kind)(config).eval()


def pegasus() -> Any:
    """An encoder-decoder that `regard import` does not take."""
    assert "pegasus" not in IMPORTED
    sides = {f"{side}_{key}": value for side in ("encoder", "decoder")
             for key, value in (("layers", DEPTH), ("attention_heads", HEADS), ("ffn_dim", 17))}  # fmt: skip
    ends = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0, "forced_eos_token_id": None}
    return eager("PegasusForConditionalGeneration", "Pegasus", {"d_model": 12, **sides, **ends})


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_weights_of_other_families_are_what_their_library_gives(family: str) -> None:
    kind, options = FAMILIES[family]
    assert family.lower() not in IMPORTED
    model = eager(kind, family, options)
    given = model(torch.randint(3, V, (2, T)), output_attentions=True)
    trace = attentions(given, TOKENS, row=1)
    assert list(trace.names) == [f"stack.blocks.{i}.attention.weights" for i in range(DEPTH)]
    for want, name in zip(given.attentions, trace.names, strict=True):
        assert torch.equal(trace[name].value, want[1])
        assert trace[name].axes[1].labels == trace[name].axes[2].labels == tuple(TOKENS)
    assert len(heat(trace["stack.blocks.0.attention.weights"]).data) == HEADS


@torch.no_grad()
def test_an_encoder_decoder_has_three_kinds_of_weights() -> None:
    model = pegasus()
    given = model(
        torch.randint(3, V, (1, S)), decoder_input_ids=torch.randint(3, V, (1, T)), output_attentions=True
    )
    trace = attentions(given, TOKENS, SOURCE)
    assert [one.kind for one in trace.passes] == ["encoder", "decoder"]
    places = (("encoder.blocks.{}.attention", "encoder"), ("decoder.blocks.{}.attention", "decoder"),
              ("decoder.blocks.{}.cross", "cross"))  # fmt: skip
    for place, field in places:
        for layer, want in enumerate(given[f"{field}_attentions"]):
            assert torch.equal(trace[f"{place.format(layer)}.weights"].value, want[0])
    cross = trace["decoder.blocks.0.cross.weights"]
    assert [(axis.name, axis.labels) for axis in cross.axes[1:]] == [
        ("query", tuple(TOKENS)),
        ("memory", tuple(SOURCE)),
    ]


@torch.no_grad()
def test_what_generate_gives_step_by_step_is_the_whole() -> None:
    options = {"hidden_size": 12, "n_layer": DEPTH, "n_head": HEADS, "eos_token_id": None, "pad_token_id": 3}
    model = eager("BloomForCausalLM", "Bloom", options)
    ids = torch.randint(4, V, (1, 3))
    made = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=T - 2,
        do_sample=False,
        output_attentions=True,
        return_dict_in_generate=True,
    )
    read = made.sequences[:, :-1]
    want = model(read, output_attentions=True).attentions
    trace = attentions(made, [str(i) for i in read[0].tolist()])
    for layer in range(DEPTH):
        torch.testing.assert_close(trace[f"stack.blocks.{layer}.attention.weights"].value, want[layer][0])


@torch.no_grad()
def test_a_translation_step_by_step_is_the_whole_too() -> None:
    model, ids = pegasus(), torch.randint(3, V, (1, S))
    asked = {"max_new_tokens": T, "min_new_tokens": T, "do_sample": False, "num_beams": 1}
    made = model.generate(ids, output_attentions=True, return_dict_in_generate=True, **asked)
    read = made.sequences[:, :-1]
    want = model(ids, decoder_input_ids=read, output_attentions=True)
    trace = attentions(made, read[0].tolist(), SOURCE)
    for layer in range(DEPTH):
        for part, field in (("attention", "decoder"), ("cross", "cross")):
            found = trace[f"decoder.blocks.{layer}.{part}.weights"]
            torch.testing.assert_close(found.value, want[f"{field}_attentions"][layer][0])
            assert found.axes[1].labels == tuple(map(str, read[0].tolist()))


def weights(*shape: int) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.rand(shape).softmax(-1)


@pytest.mark.parametrize(
    "form", ["tensor", "half", "array", "read-only", "lists", "layers", "arrays", "batches"]
)
def test_weights_without_a_model_are_taken_in_any_form(form: str) -> None:
    whole = weights(DEPTH, HEADS, T, T)
    array = whole.numpy().copy()
    array.flags.writeable = form != "read-only"
    forms = {
        "tensor": whole.requires_grad_(),
        "half": whole.detach().bfloat16(),
        "array": array,
        "read-only": array,
        "lists": whole.tolist(),
        "layers": tuple(whole),
        "arrays": list(array),
        "batches": [layer[None] for layer in whole],
    }
    trace = attentions(forms[form])
    assert trace.sequences[0].tokens == tuple(map(str, range(T)))
    for layer in range(DEPTH):
        found = trace[f"stack.blocks.{layer}.attention.weights"].value
        torch.testing.assert_close(found, whole[layer].detach(), atol=4e-3 if form == "half" else 0, rtol=0)


def test_heads_and_layers_may_differ_and_one_layer_is_enough() -> None:
    one = attentions(weights(HEADS, T, T), TOKENS)
    assert one.names == ("stack.blocks.0.attention.weights",)
    uneven = attentions([weights(2, T, T), weights(3, T, T)])
    assert [len(uneven[name].value) for name in uneven.names] == [2, 3]
    cross = attentions({"cross_attentions": weights(1, HEADS, T, S)}, TOKENS, SOURCE)
    assert cross.names == ("stack.blocks.0.cross.weights",)
    assert rollout([uneven[name].value for name in uneven.names]).shape == (T, T)


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (None, {"key": "attention weights"}),
        ("weights", {"key": "attentions", "value": None}),
        ({"logits": 1}, {"key": "attention weights"}),
        (SimpleNamespace(attentions=None), {"key": "attention weights"}),
        (SimpleNamespace(attentions=()), {"key": "attention weights"}),
        (SimpleNamespace(attentions=(None, None)), {"key": "attentions", "remedy": "eager"}),
        ({"attentions": [[]]}, {"key": "attention weights"}),
        (torch.tensor(0.5), {"limit": "(layers, heads, tokens, tokens)"}),
        (weights(T, T), {"limit": "(layers, heads, tokens, tokens)"}),
        (weights(1, 1, 1, HEADS, T, T), {"limit": "(layers, heads, tokens, tokens)"}),
        ([weights(T, T)], {"limit": "(heads, tokens, tokens)"}),
        (torch.zeros(1, HEADS, 0, 0), {"limit": "(heads, tokens, tokens)"}),
        ([[1.0, 2.0], [3.0]], {"key": "attentions", "value": None}),
        (weights(1, HEADS, T, S), {"value": S, "limit": T, "remedy": "cross_attentions"}),
        ([weights(HEADS, T, T), weights(HEADS, S, S)], {"key": 1, "value": (S, S), "limit": (T, T)}),
        (weights(1, HEADS, T, T) - 1, {"limit": "between 0 and 1"}),
        (weights(1, HEADS, T, T) * 9, {"limit": "between 0 and 1"}),
        (weights(1, HEADS, T, T) * math.nan, {"limit": "between 0 and 1"}),
        (weights(DEPTH, 1, HEADS, T, T), {"value": 3, "limit": 1}),
    ],
)
def test_what_are_not_weights_is_refused(given: Any, parts: dict[str, Any]) -> None:
    with refused(InputError, **parts):
        attentions(given, row=3)


def test_tokens_that_do_not_fit_are_refused() -> None:
    with refused(InputError, key="stack", value=5, limit=7):
        attentions(weights(DEPTH, HEADS, T, T), SOURCE)
    with refused(InputError, key="stack", value=7, limit=5):
        attentions({"cross_attentions": weights(DEPTH, HEADS, T, S)}, TOKENS, TOKENS)


def test_a_mosaic_holds_every_weight_of_every_head() -> None:
    layers = [weights(2, T, T), weights(3, T, T)]
    trace = attentions(layers, ["<s>", *TOKENS[1:]])
    (heatmap,) = mosaic([trace[name] for name in trace.names]).data
    z = np.array(heatmap.z, dtype=float)
    gap = z.shape[0] // 2 - T
    for layer, value in enumerate(layers):
        for head, want in enumerate(value):
            top, left = layer * (T + gap), head * (T + gap)
            np.testing.assert_allclose(z[top : top + T, left : left + T], want.numpy(), atol=1e-5)
            assert heatmap.text[top + 2][left + 1] == "t2 → t1"
    assert np.isfinite(z).sum() == 5 * T * T
    assert heatmap.text[0][1] == "‹s› → t1"
    long = attentions(weights(1, HEADS, 150, 150))["stack.blocks.0.attention.weights"]
    (small,) = mosaic([long]).data
    assert small.text is None
    assert max(x for line in small.z for x in line if x is not None) == pytest.approx(
        float(long.value.max()), abs=1e-5
    )
    assert len(small.z) < 50
    with refused(InputError, key="mosaic", value=[]):
        mosaic([])


def test_a_page_needs_no_network_and_no_name_becomes_markup() -> None:
    given = {"encoder_attentions": weights(2, HEADS, S, S), "decoder_attentions": weights(2, HEADS, T, T),
             "cross_attentions": weights(2, HEADS, T, S)}  # fmt: skip
    page = attentions_page(attentions(given, ["</script><b>", *TOKENS[1:]], SOURCE), "zh")
    own = re.sub(r"<script[^>]*>.*?</script>", "", page, flags=re.S)
    assert not re.search(r"(?:src|href)\s*=", own)
    assert "<b>" not in own
    assert own.count('class="drawing"') == 3
    assert "所有的头：编码器" in own
    assert page.count("</body>") == 1
