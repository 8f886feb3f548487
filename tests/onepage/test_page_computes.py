"""What a page computes is what the library computes: attention weights, logits and answers, for each part of each
union; and text is cut into the same tokens."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import regard.insight.trace
from regard.data.readers.pictures import as_url
from regard.data.tokenizer import BPE, ByteBPE, Characters, Tokenizer, Words, train_tokenizer
from regard.onepage import export_page
from regard.onepage.known import PARTS, TASKS, TOKENIZERS, WORDS
from regard.run import Run
from regard.tasks.task import Decoding
from tests.onepage.made import WORDS as TEXTS
from tests.onepage.made import run_of, task_of

ANSWER = """([about, weights, input, wishes]) => {
  const task = modules.tasks.taskOf(about, modules.weights.unpack(about, weights));
  const found = task.answer(input, wishes), names = task.seen.names;
  return {
    text: found.text, tokens: found.sequences.map(({ tokens }) => tokens),
    logits: found.steps.map(({ logits }) => Array.from(logits)),
    weights: Object.fromEntries(names.map((name) => { const { data, shape } = task.seen.get(name); return [name, [Array.from(data), shape]]; })),
  };
}"""

END = 3
BOTH = ("encoder", "decoder")


def both(*some: str) -> tuple[str, ...]:
    return tuple(f"{side}.{one}" for one in some for side in BOTH)


def sides(*some: str) -> tuple[str, ...]:
    """Of both stacks and both attentions of the decoder."""
    return tuple(f"{side}.{one}" for one in some for side in ("encoder.attention", "decoder.attention", "decoder.cross"))


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
    "relative": (*both("position=relative", "position.buckets=7", "position.max_distance=11"), "decoder.position.bidirectional=false"),
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
    "window": ("encoder.mask=window", "encoder.mask.before=2", "encoder.mask.after=1", "decoder.mask=window", "decoder.mask.before=1"),
}  # fmt: skip
STACKS = {
    "text-generation": {
        "as trained here": (),
        "window": ("stack.mask=window", "stack.mask.before=2"),
        "untied": ("head.tied=false", "head.bias=true", "head.transform.activation=gelu", "head.transform.norm=layer"),
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
        torch.testing.assert_close(torch.tensor(data).view(shape), wanted, atol=1e-5, rtol=0, msg=lambda said, name=name: f"{name}: {said}")
    logits = torch.atleast_2d(trace["head.logits"].value)
    there = torch.tensor(found["logits"])
    left = there.isneginf()  # tokens that are never written
    assert not left[:, torch.arange(there.shape[1]) != END].any()
    torch.testing.assert_close(there[~left], logits[-len(there) :][~left], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("settings", TRANSLATORS.values(), ids=TRANSLATORS)
def test_a_translator_on_a_page_gives_the_weights_logits_and_answer_of_the_library(laboratory, tmp_path, settings):
    run = run_of(task_of("translation", never=(END,)), tmp_path, *settings)  # or it may end at once
    text = "the cat 猫"
    compare(asked(laboratory, run, text, tmp_path, length=5), run.trace(text, Decoding(max_length=5)))


@pytest.mark.parametrize(("task", "settings"), [(task, some) for task, all_ in STACKS.items() for some in all_.values()],
                         ids=[f"{task}: {name}" for task, all_ in STACKS.items() for name in all_])  # fmt: skip
def test_one_stack_on_a_page_gives_the_weights_logits_and_answer_of_the_library(laboratory, tmp_path, task, settings):
    run = run_of(task_of(task), tmp_path, *settings)
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
