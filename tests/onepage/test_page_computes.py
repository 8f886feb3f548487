"""What a page computes is what the library computes: attention weights, logits and answers, for each part of
each union; and text is cut into the same tokens."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import regard.insight.trace
from regard.data.readers.images import as_url
from regard.data.tokenizer import BPE, ByteBPE, Characters, Words, train_tokenizer
from regard.errors import InputError
from regard.insight.script import asset
from regard.model.position import Position
from regard.onepage import export_page
from regard.onepage.known import PARTS, TASKS, TOKENIZERS, WORDS
from regard.onepage.page import HOMES
from regard.registry import members_of
from regard.run import Run
from regard.tasks.decoding import Decoding
from regard.tasks.protocols import FitsOnePage
from regard.tasks.translation import Translation, TranslationConfig
from tests.onepage.made import WORDS as TEXTS
from tests.onepage.made import run_of, task_of

ANSWER = """([about, weights, input, wishes]) => {
  const task = modules.tasks.taskOf(about, modules.weights.unpack(about, weights));
  let found;
  try { found = task.answer(input, wishes); } catch ({ tokens, most }) { return { tokens, most }; }
  const values = task.seen.names.map((name) => {
    const { data, shape } = task.seen.get(name);
    return [name, [Array.from(data), shape]];
  });
  return {
    text: found.text, tokens: found.sequences.map(({ tokens }) => tokens),
    logits: found.steps.map(({ logits }) => Array.from(logits)),
    weights: Object.fromEntries(values),
  };
}"""

END = 3
BOTH = ("encoder", "decoder")
ATTENTIONS = ("encoder.attention", "decoder.attention", "decoder.cross")


def both(*some: str) -> tuple[str, ...]:
    return tuple(f"{side}.{one}" for one in some for side in BOTH)


def sides(*some: str) -> tuple[str, ...]:
    """Of both stacks and both attentions of the decoder."""
    return tuple(
        f"{side}.{one}"
        for one in some
        for side in ("encoder.attention", "decoder.attention", "decoder.cross")
    )


TRANSLATORS = {
    "as trained here": (),
    "post": both("placement=post"),
    "sandwich": both("placement=sandwich"),
    "layer-scale": both("placement=layer-scale"),
    "rms": both("norm=rms"),
    "norm without bias": both("norm.bias=false"),
    "entry norm": both("entry_norm=true"),
    "gated": both("feedforward=gated", "feedforward.hidden=11", "feedforward.activation=gelu-tanh"),
    "gated as wide as usual": both("feedforward=gated", "feedforward.hidden=null"),
    "gelu": both("feedforward.activation=gelu"),
    "silu": both("feedforward.activation=silu"),
    "tanh": both("feedforward.activation=tanh", "feedforward.bias=false"),
    "none": both("position=none"),
    "sinusoidal": both("position.interleaved=false"),
    "an odd width": (*both("width=11"), *sides("head_width=4")),
    "learned": both("position=learned", "position.length=29"),
    "rotary": both("position=rotary"),
    "rotary pairs": both("position=rotary", "position.interleaved=true", "position.fraction=0.5"),
    "alibi": both("position=alibi"),
    "relative": (
        *both("position=relative", "position.buckets=7", "position.max_distance=11"),
        "decoder.position.bidirectional=false",
    ),
    "crossing rotary": ("decoder.position=rotary", "decoder.cross_position=true"),
    "crossing alibi": ("decoder.position=alibi", "decoder.cross_position=true"),
    "crossing relative": ("decoder.position=relative", "decoder.cross_position=true"),
    "grouped": sides("kv_heads=1"),
    "wide heads": sides("head_width=5", "bias=false", "out_bias=true"),
    "normed heads": (*sides("norm=rms"), *both("position=rotary")),
    "layer-normed heads": sides("norm=layer"),
    "additive": sides("score=additive"),
    "scaled": sides("score.scale=1.0"),
    "two-way": ("tying=two-way",),
    "embeddings": ("tying=embeddings", "head_bias=true"),
    "none tied": ("tying=none",),
    "unscaled": ("source.scale=false", "target.scale=false"),
    "window": (*both("mask=window", "mask.before=2"), "encoder.mask.after=1"),
    "narrow entry": (*both("entry_width=5", "entry_norm=true"), "tying=embeddings"),
}  # fmt: skip
STACKS = {
    "text-generation": {
        "as trained here": (),
        "window": ("stack.mask=window", "stack.mask.before=2"),
        "windows in every other block": (
            'stack.masks=[{"kind": "window", "before": 1}, {"kind": "causal"}]', "stack.depth=3",
        ),
        "untied": ("head.tied=false", "head.bias=true"),
        "transformed": ("head.transform.activation=gelu", "head.transform.norm=layer"),
        "learned": ("stack.position=learned", "stack.position.length=31"),
    },
    "text-classification": {
        "as trained here": (),
        "first": ("head.pooling=first", "head.transform.activation=tanh"),
        "first and second": ("head.pooling=first-and-second",),
        "first and mean": ("head.pooling=first-and-mean", "head.transform.norm=rms"),
        "prefix": ("stack.mask=prefix", "stack.mask.length=2"),
    },
    "image-classification": {
        "as trained here": (),
        "no class token": ("embed.class_token=false", "head.pooling=mean"),
        "registers": ("embed.registers=2", "head.pooling=first-and-second"),
        "registers that are skipped": ("embed.registers=2", "head.pooling=first-and-mean", "head.skipped=2"),
        "sinusoidal-2d": ("stack.position=sinusoidal-2d",),
        "rotary-2d": ("stack.position=rotary-2d", "stack.attention.head_width=8"),
    },
}  # fmt: skip


def asked(laboratory: Any, run: Run, given: Any, folder: Path, dtype: str = "float32", **wishes: Any) -> Any:
    """What a page of this run answers."""
    export_page(run, folder / "page.html", dtype=dtype)  # type: ignore[arg-type]
    text = (folder / "page.html").read_text("utf-8")
    about = json.loads(between(text, "about"))
    return laboratory.evaluate(ANSWER, [about, between(text, "weights"), given, wishes])


def between(text: str, name: str) -> str:
    found = re.search(rf'<script type="[a-z/]+" id="{name}">(.*?)</script>', text, re.DOTALL)
    assert found, name
    return found[1]


def compare(found: Any, trace: regard.insight.trace.Trace) -> None:
    assert found["text"] == trace.answer
    names = [name for name in trace.names if name.endswith(".weights")]
    assert sorted(found["weights"]) == sorted(names) != []
    for name in names:
        data, shape = found["weights"][name]
        wanted = trace[name].value
        assert shape == list(wanted.shape), name
        torch.testing.assert_close(
            torch.tensor(data, dtype=torch.float32).view(shape),
            wanted,
            atol=1e-5,
            rtol=0,
            msg=lambda said, name=name: f"{name}: {said}",
        )
    logits = torch.atleast_2d(trace["head.logits"].value)
    there = torch.tensor(found["logits"], dtype=torch.float32)
    left = there.isneginf()  # tokens that are never written
    assert not left[:, torch.arange(there.shape[1]) > END].any()
    torch.testing.assert_close(there[~left], logits[-len(there) :][~left], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("some", TRANSLATORS.values(), ids=TRANSLATORS)
def test_a_translator_on_a_page_gives_the_numbers_and_answer_of_the_library(laboratory, tmp_path, some):
    run = run_of(task_of("translation", never=(END,)), tmp_path, *some)  # or it may end at once
    text = "the cat 猫"
    compare(asked(laboratory, run, text, tmp_path, length=5), run.trace(text, Decoding(max_length=5)))


@pytest.mark.parametrize(("task", "name"), [(task, name) for task, all_ in STACKS.items() for name in all_])
def test_one_stack_on_a_page_gives_the_numbers_and_answer_of_the_library(laboratory, tmp_path, task, name):
    run = run_of(task_of(task), tmp_path, *STACKS[task][name])
    if task == "image-classification":
        pytest.importorskip("PIL")
        pixels = np.random.default_rng(1).integers(0, 256, (6, 9, 1), dtype=np.uint8)
        compare(asked(laboratory, run, pixels[:, :, 0].ravel().tolist(), tmp_path), run.trace(as_url(pixels)))
    elif task == "text-generation":
        text = "a cat\nthe d"
        trace = run.trace(text, Decoding(max_length=7))
        compare(asked(laboratory, run, text, tmp_path, length=7), trace)
    else:
        compare(asked(laboratory, run, "the cat sat", tmp_path), run.trace("the cat sat"))


def test_what_ends_by_itself_ends_on_a_page_too(laboratory, tmp_path):
    for seed in range(3):
        run = run_of(task_of("translation"), tmp_path, seed=seed)
        for text in ("the cat", "猫", "", "a dog ran"):
            found = asked(laboratory, run, text, tmp_path)
            assert found["text"] == run.predict([text])[0].plain()


def test_a_target_with_a_vocabulary_of_its_own_is_written_in_it(laboratory, tmp_path):
    source = train_tokenizer(ByteBPE(vocab=270), TEXTS * 3, at_most=True)
    target = train_tokenizer(Words(), TEXTS * 3)
    task = Translation(TranslationConfig(never=tuple(range(END + 1))), source, target)
    reader = ("tying=two-way", "decoder.depth=1", "decoder.position=rotary", "decoder.cross_position=true")
    run = run_of(task, tmp_path, *reader, "encoder.position=rotary")
    found = asked(laboratory, run, "猫喜欢 the cat", tmp_path, length=5)
    compare(found, run.trace("猫喜欢 the cat", Decoding(max_length=5)))
    assert found["text"].count(" ") == 4


def test_half_precision_gives_the_answer_of_the_rounded_model(laboratory, tmp_path):
    run = run_of(task_of("translation", never=(END,)), tmp_path)
    with torch.no_grad():
        for weight in run.model.parameters():
            weight.copy_(weight.half().float())
    found = asked(laboratory, run, "the cat", tmp_path, "float16", length=5)
    compare(found, run.trace("the cat", Decoding(max_length=5)))


def test_forced_tokens_are_taken_and_gone_on_from(laboratory, tmp_path):
    run = run_of(task_of("translation", never=(END,)), tmp_path)
    ids = run.task.source.encode("dog")
    found = asked(laboratory, run, "the cat", tmp_path, length=6, begin=ids)
    assert found["text"].startswith("dog")
    compare(found, run.trace("the cat", Decoding(max_length=6, begin=tuple(ids))))


def test_a_text_with_several_labels_gets_those_that_are_likelier_than_not(laboratory, tmp_path):
    run = run_of(task_of("text-classification", separator="|"), tmp_path)
    for text in ("the cat", "a dog", "猫"):
        assert asked(laboratory, run, text, tmp_path)["text"] == run.predict([text])[0].plain()


def test_an_input_that_is_too_long_is_refused_on_a_page_as_by_the_library(laboratory, tmp_path):
    run = run_of(task_of("translation", max_length=5), tmp_path)
    assert run.predict(["the c"])
    assert asked(laboratory, run, "the c", tmp_path)["tokens"]
    for text in ("the ca", "a dog ran off"):
        with pytest.raises(InputError):
            run.predict([text])
        assert asked(laboratory, run, text, tmp_path) == {"tokens": len(text), "most": 5}
    run = run_of(
        task_of("text-classification"), tmp_path, "stack.position=learned", "stack.position.length=6"
    )
    assert asked(laboratory, run, "the ", tmp_path)["text"] == run.predict(["the "])[0].plain()
    with pytest.raises(InputError):
        run.predict(["the c"])
    assert asked(laboratory, run, "the c", tmp_path) == {"tokens": 7, "most": 6}


# ---------------------------------------------------------------------- tokens

SPECS = [
    Characters(),
    Characters(nfc=False, lowercase=True),
    Words(),
    Words(lowercase=True, nfc=False),
    BPE(vocab=60),
    BPE(vocab=60, lowercase=True),
    ByteBPE(vocab=300),
    ByteBPE(vocab=260, nfc=True, lowercase=True),
]
CUT = """([given, texts]) => {
  const tokenizer = new modules.tokenizer.Tokenizer(given);
  const cut = (ids) => [ids, tokenizer.decode(ids), ids.map((id) => tokenizer.piece(id))];
  return texts.map((text) => cut(tokenizer.encode(text)));
}"""
# Characters that both sides know: what a newer Unicode adds is a symbol to one and nothing to the other.
KNOWN = st.characters(codec="utf-8", exclude_categories=["Cn", "Co"]).filter(lambda x: known_since_long(x))
FAMILIAR = st.text(
    st.sampled_from("the cat dog 猫鱼—'’-[]=,<pads/>É\u0301ïİΣς\u00a0\u3000\n\t\r\u0085\ufeff▁  ")
)


def known_since_long(character: str) -> bool:
    return unicodedata.ucd_3_2_0.category(character) != "Cn"


@pytest.mark.parametrize("spec", SPECS, ids=str)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(st.one_of(FAMILIAR, st.text(KNOWN)), min_size=1, max_size=12))
def test_texts_are_cut_and_joined_on_a_page_as_by_the_library(laboratory, spec, texts):
    tokenizer = train_tokenizer(spec, TEXTS * 3, at_most=True)
    content = json.loads(tokenizer.to_json())
    for text, (ids, said, pieces) in zip(texts, laboratory.evaluate(CUT, [content, texts]), strict=True):
        wanted = tokenizer.encode(text)
        assert (ids, said, pieces) == (wanted, tokenizer.decode(wanted), tokenizer.pieces(wanted)), text


# ---------------------------------------------------------------------- the tables


def test_the_table_of_parts_says_which_fields_are_computed():
    for part, names in PARTS.items():
        assert {field.name for field in fields(part)} - {"kind"} == set(names.split()), part


def test_every_word_kind_and_task_of_the_table_is_written_in_javascript(laboratory):
    assert set(WORDS["activation"]) == set(laboratory.evaluate("Object.keys(modules.arrays.ACTIVATIONS)"))
    positions = set(laboratory.evaluate("Object.keys(modules.position.POSITIONS)"))
    assert positions == {one.kind for one in PARTS if one in members_of(Position)}
    known = {"dot-product", "additive"} | positions
    for table in ("MASKS", "NORMS", "FEEDFORWARDS", "PLACEMENTS", "EMBEDDINGS", "HEADS", "MODELS"):
        known |= set(laboratory.evaluate(f"Object.keys(modules.model.{table})"))
    assert known == {part.kind for part in PARTS if hasattr(part, "kind")}
    assert set(WORDS["pooling"]) == set(laboratory.evaluate("Object.keys(modules.model.POOLINGS)"))
    for name, one in TASKS.items():
        assert not issubclass(one, FitsOnePage) or name in asset("tasks.js", HOMES)
    for one in TOKENIZERS:
        assert one.kind in asset("tokenizer.js", HOMES)
