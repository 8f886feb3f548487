"""Each analysis of each task is what `insight` computes, and follows what is changed."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from regard.insight.ablation import Head
from regard.insight.attribution import integrated_gradients
from regard.insight.changes import Changes
from regard.insight.figures import plot_labels
from regard.insight.lens import logit_lens
from regard.insight.rollout import rolled_out
from regard.looking.analyses import ALL, analyses
from regard.looking.explorer import Question
from regard.looking.scene import Scene, UnansweredError
from regard.model.presets import ENCODER_DECODER, encoder_decoder
from regard.run import Run
from regard.tasks import TASKS
from tests.serve.asking import INPUTS, said, state

every = pytest.mark.parametrize("name", TASKS)
WRITERS = ("translation", "text-generation")
OTHERS = {
    "translation": ("dcab", "abcd", "dcbd", "acba"),
    "text-generation": ("b man", "a men", "a mat", "e man", "a can", "o man"),
    "text-classification": ("bab", "abb", "bba", "bbb"),
    "token-classification": ("b b", "c b", "d b", "a c"),
    "fill-mask": ("b [MASK] is", "o [MASK] is", "a [MASK] as", "i [MASK] is"),
}
"""Some have as many tokens as what is asked first."""


def asked(client: Any, task: str, analysis: str, **more: Any) -> Any:
    changes = {key: more.pop(key) for key in ("heads_off", "shuffle") if key in more}
    return said(client, "/api/analysis", {"state": state(task, **changes), "name": analysis, **more})


def sheet(figure: Any, at: int = 0) -> torch.Tensor:
    return torch.tensor(figure["data"][at]["z"] if isinstance(figure, dict) else figure.data[at].z)


@every
def test_each_task_has_its_analyses_and_each_is_drawn_in_both_languages(name: str, client: Any) -> None:
    pytest.importorskip("captum")
    (model,) = (one for one in client.get("/api/models").json()["models"] if one["name"] == name)
    names = [one["name"] for one in model["analyses"]]
    wanted = {"rollout", "patches" if name.startswith("image") else "neighbours"}
    wanted |= {"lens", "gradients", "sum"} if name != "sentence-similarity" else set()
    wanted |= {"alignment"} if name == "translation" else set()
    assert wanted <= set(names)
    for one in model["analyses"]:
        others = [{"other": other} for other in OTHERS[name]] if one["other"] else [{}]
        for lang in ("en", "zh"):
            found = [asked(client, name, one["name"], lang=lang, **other) for other in others]
            assert all(each["changed"] is None for each in found)
            assert any("data" in each["original"] for each in found), (one["name"], found)
        assert one["title"]["en"] != one["title"]["zh"]
    assert {one.name for one in ALL} >= set(names)


def test_figures_hold_what_the_library_computes(client: Any, runs: dict[str, Run]) -> None:
    pytest.importorskip("captum")
    run, text = runs["translation"], INPUTS["translation"]["text"]
    trace = run.explorer().trace(Question(text, length=7))
    model: Any = run.model
    found = asked(client, "translation", "rollout")["original"]
    assert torch.allclose(sheet(found), rolled_out(trace, "encoder").value, atol=1e-6)
    found = asked(client, "translation", "lens")["original"]
    shares, places = logit_lens(model, trace).value.softmax(-1).max(-1)
    assert torch.allclose(sheet(found), shares, atol=1e-6)
    assert found["data"][0]["text"][-1][0] == trace.outputs[int(places[-1, 0])].translate(
        str.maketrans("<>", "‹›")
    )
    source, target = trace["source_given"].value[None], trace["target_given"].value[None]
    best = int(trace["head.logits"].value[1].argmax())
    want = integrated_gradients(model, (source, target), lambda logits: logits[:, 1, best])
    found = asked(client, "translation", "gradients", number=1)["original"]
    assert torch.allclose(sheet(found)[0], want.tokens, atol=1e-5)
    assert abs(float(want.tokens.sum()) - (want.logit - want.baseline)) < 0.01 * abs(want.logit) + 0.01


@pytest.mark.parametrize("name", [name for name in TASKS if name != "sentence-similarity"])
def test_the_bars_of_a_sum_add_up_to_the_logit_with_and_without_changes(name: str, client: Any) -> None:
    stack = "decoder" if name == "translation" else "stack"
    found = asked(client, name, "sum", heads_off=[[stack, 0, "attention", 0]])
    for side in ("original", "changed"):
        *maps, bars = found[side]["data"]
        *parts, logit = bars["x"]
        assert logit == pytest.approx(sum(parts), abs=1e-4)
        heads = sum(float(torch.tensor(one["z"]).sum()) for one in maps)
        assert any(part == pytest.approx(heads, abs=1e-4) for part in parts)
        assert (sheet(found[side])[0, 0] == 0) == (side == "changed")


def test_a_sum_is_that_of_the_logit_at_stake(client: Any, runs: dict[str, Run]) -> None:
    trace = runs["translation"].explorer().trace(Question(INPUTS["translation"]["text"], length=7))
    found = asked(client, "translation", "sum", number=1)["original"]
    assert found["data"][-1]["x"][-1] == pytest.approx(float(trace["head.logits"].value[1].max()), abs=1e-4)


@pytest.mark.parametrize("tying", ["none", "three-way"])
def test_gradients_of_an_encoder_decoder_ask_about_the_source(tying: Any) -> None:
    """Also where both sides share a table: what passes the tap a second time is the target's."""
    pytest.importorskip("captum")
    torch.manual_seed(1)
    model = encoder_decoder(ENCODER_DECODER["mini"], source_vocab=11, target_vocab=11, tying=tying).build()
    model.eval()
    assert (model.source is model.target) == (tying == "three-way")
    source, target = torch.tensor([[5, 6, 7, 8]]), torch.tensor([[1, 9, 4]])
    found = integrated_gradients(model, (source, target), lambda logits: logits[:, -1, 6])
    assert found.numbers.shape[0] == source.shape[1]
    with torch.no_grad():
        assert found.logit == pytest.approx(float(model(source, target)[0, -1, 6]), abs=1e-4)


def test_an_alignment_is_the_mean_of_all_heads_and_names_what_was_forced(runs: dict[str, Run]) -> None:
    run, text = runs["translation"], INPUTS["translation"]["text"]
    question = Question(text, length=7)
    trace, written = run.explorer().trace(question), run.explorer().answer(question).written
    names = [name for name in trace.names if name.endswith(".cross.weights")]
    found = analyses(run.explorer())["alignment"].draw(Scene(run.explorer(), question), "en")
    mean = torch.stack([trace[name].value for name in names]).mean((0, 1))
    assert torch.allclose(sheet(found), mean, atol=1e-6)
    assert list(found.layout.yaxis.ticktext) == plot_labels([trace.outputs[token] for token in written])
    most_likely = run.explorer().next(Question(text)).passes[-1]["head.probabilities"].value[-1]
    unlikely = int(most_likely.argsort()[-3])
    explorer, question = run.explorer(), Question(text, length=1, begin=(unlikely,))
    drawn = analyses(explorer)["alignment"].draw(Scene(explorer, question), "en")
    first, *_ = drawn.layout.yaxis.ticktext
    assert [first] == plot_labels([explorer.naming.outputs[unlikely]])


def test_patching_the_last_vector_of_the_last_layer_brings_all_back_and_others_there_nothing(
    client: Any, runs: dict[str, Run]
) -> None:
    """In a stack that nobody sees the future in, a logit is made of that vector alone."""
    tried = [
        asked(client, "text-generation", "patching", other=x)["original"] for x in OTHERS["text-generation"]
    ]
    drawn = [one for one in tried if "data" in one]
    assert drawn
    at = asked(client, "text-generation", "lens")["original"]["layout"]["xaxis"]["ticktext"]
    prompt = runs["text-generation"].task.opening(INPUTS["text-generation"]["text"])
    assert prompt is not None
    place = len(prompt[1]) - 1
    for one in drawn:
        effects, tokens = sheet(one), one["layout"]["xaxis"]["ticktext"]
        assert len(tokens) == len(at)
        assert any(" / " in token for token in tokens)
        assert float(effects[-1, place]) == pytest.approx(1, abs=1e-4)
        assert float(effects[-1].abs().sum()) == pytest.approx(1, abs=1e-4)


def test_neighbours_are_the_nearest_and_not_the_token_itself(client: Any) -> None:
    found = asked(client, "text-classification", "neighbours")["original"]
    cosines = sheet(found)
    assert (cosines[:, :-1] >= cosines[:, 1:] - 1e-6).all()
    names = found["layout"]["yaxis"]["ticktext"]
    assert all(name not in line for name, line in zip(names, found["data"][0]["text"], strict=True))


def test_changes_are_drawn_beside_the_original(client: Any) -> None:
    off = [["encoder", 0, "attention", 0]]
    found = asked(client, "translation", "lens", heads_off=off)
    assert not torch.equal(sheet(found["changed"]), sheet(found["original"]))
    plain = asked(client, "translation", "lens")["original"]
    assert plain == found["original"]


def test_what_cannot_be_drawn_says_why_in_both_languages(client: Any, runs: dict[str, Run]) -> None:
    for lang, word in (("en", "second input"), ("zh", "第二个输入")):
        assert word in asked(client, "translation", "patching", lang=lang)["original"]["told"]
    assert "equally many" in asked(client, "translation", "patching", other="a b c d e")["original"]["told"]
    assert asked(client, "translation", "gradients", number=999)["original"]["told"]
    for name in ("alignment", "len", "../x"):
        said(client, "/api/analysis", {"state": state("text-classification"), "name": name}, 400)
    said(client, "/api/analysis", {"state": state("translation"), "name": "lens", "number": -1}, 422)
    empty = Scene(runs["translation"].explorer(), Question(""))
    with pytest.raises(UnansweredError):
        analyses(empty.explorer)["rollout"].draw(empty, "en")


def test_a_head_that_is_off_is_off_in_every_analysis(runs: dict[str, Run]) -> None:
    explorer = runs["text-classification"].explorer()
    heads = frozenset(Head(f"stack.blocks.{layer}.attention", head) for layer in (0, 1) for head in (0, 1))
    scene = Scene(explorer, Question("aab", changes=Changes(heads_off=heads)))
    with torch.no_grad():
        plain = explorer.model(scene.inputs[0])[0]
    assert not torch.allclose(scene.logits, plain)
