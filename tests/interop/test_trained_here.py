"""Models that were trained here, from random weights, as the reference library reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import regard
from regard.errors import CheckpointError
from regard.interop import export_checkpoint, import_checkpoint
from tests.shared import refused

pytest.importorskip("transformers")

PLAIN = ("model.embed.scale=false", "model.dropout=0", "train.lr=1e-2", "train.evaluations=1")
LLAMA = ("model.stack.feedforward=gated", "model.stack.norm=rms", "model.stack.attention.bias=false")
GPT2 = ("model.stack.position=learned", "model.stack.position.length=32")
BERT = (*GPT2, "model.stack.placement=post", "model.stack.entry_norm=true", "model.stack.norm.eps=1e-12")
CLASSES = ("task.max_length=32", "model.head.pooling=first", 'model.head.transform={"activation": "relu"}')
SENTENCE = "the cat saw a red dog."


def trained(task: str, text: str, folder: Path, *settings: str) -> Path:
    data = folder / ("t.txt" if task == "text-generation" else "t.tsv")
    data.write_text(text, "utf-8")
    options: dict[str, Any] = {"preset": "micro", "steps": 20, "quiet": True, "threads": 1}
    made = regard.train(task, data, folder / "run", settings=(*PLAIN, *settings), **options)
    export_checkpoint(made.folder, folder / "there")
    return made.folder


@pytest.mark.parametrize("tokenizer", ["byte-bpe", "characters"])
@pytest.mark.parametrize("settings", [GPT2, LLAMA], ids=["gpt2", "llama"])
def test_a_text_goes_on_in_the_same_way(settings: tuple[str, ...], tokenizer: str, tmp_path: Path) -> None:
    """The exported tokenizer begins a text as the model has learned it."""
    import transformers

    text = f"{SENTENCE}\n" * 300
    cut = ("task.tokenizer.vocab=270",) if tokenizer == "byte-bpe" else ()
    settings = (*settings, "task.context=32", f"task.tokenizer={tokenizer}", *cut)
    run = regard.load(trained("text-generation", text, tmp_path, *settings))
    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path / "there")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "there").eval()
    given = tokens(SENTENCE[:9], return_tensors="pt")
    written = model.generate(**given, max_new_tokens=9, do_sample=False)[0, given["input_ids"].shape[1] :]
    ours = run.predict([SENTENCE[:9]], max_length=9)[0].plain()
    assert tokens.decode(written, skip_special_tokens=True, clean_up_tokenization_spaces=False) == ours
    import_checkpoint(tmp_path / "there", tmp_path / "again", compare=False)
    assert regard.load(tmp_path / "again").predict([SENTENCE[:9]], max_length=9)[0].plain() == ours


def test_a_pair_is_framed_and_classified_in_the_same_way(tmp_path: Path) -> None:
    import transformers

    rows = "".join(
        f"{a} {b}\t{b} {a}\t{'even' if (a + b) % 2 == 0 else 'odd'}\n" for a in range(9) for b in range(9)
    )
    settings = (*BERT, *CLASSES, "task.source=a", "task.second=b", "task.tokenizer=words")
    run = regard.load(trained("text-classification", f"a\tb\tlabel\n{rows}", tmp_path, *settings))
    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path / "there")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "there").eval()
    given = tokens("1 2", "2 1", return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        shares = model(**given).logits.softmax(-1)[0].tolist()
    (ours,) = run.predictions(["1 2\t2 1"], regard.tasks.Decoding(beam=2, n=2))
    theirs = {model.config.id2label[place]: share for place, share in enumerate(shares)}
    assert {label.plain(): share for label, share in ours.ranked} == pytest.approx(theirs, abs=1e-5)


def test_classes_over_a_mean_are_refused_with_what_goes_out(tmp_path: Path) -> None:
    rows = "".join(f"{a} {a}\t{'even' if a % 2 == 0 else 'odd'}\n" for a in range(99))
    with refused(CheckpointError, remedy="--set model.head.pooling=first --set model.head.transform"):
        trained("text-classification", f"text\tlabel\n{rows}", tmp_path, *BERT, "task.tokenizer=words")


def test_what_no_family_can_say_is_refused_once_a_reason(tmp_path: Path) -> None:
    with refused(
        CheckpointError, value="no llama or mistral or ", remedy="what began with an imported model can"
    ) as e:
        trained("text-generation", f"{SENTENCE}\n" * 300, tmp_path, "task.context=32")
    assert str(e.value).count("gated and rms") == 1


@pytest.mark.parametrize("number", ["plain", "sigmoid"])
def test_a_number_is_exported_in_the_unit_of_the_data(number: str, tmp_path: Path) -> None:
    import transformers

    rows = "".join(
        f"{a} {b}\t{b} {a}\t{(a + b) / 16 if number == 'sigmoid' else 500 + 20 * (a - b)}\n"
        for a in range(9)
        for b in range(9)
    )
    settings = (*BERT, *CLASSES, "task.source=a", "task.second=b", "task.tokenizer=words")
    settings = (*settings, f"task.number={number}", "task.target=score")
    run = regard.load(trained("text-classification", f"a\tb\tscore\n{rows}", tmp_path, *settings))
    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path / "there")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "there").eval()
    assert model.config.id2label == {0: "score"}
    assert model.config.problem_type == ("regression" if number == "plain" else None)
    given = tokens("1 2", "2 1", return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        logit = model(**given).logits[0, 0]
    theirs = float(logit if number == "plain" else logit.sigmoid())
    import_checkpoint(tmp_path / "there", tmp_path / "again", compare=False)
    for one in (run, regard.load(tmp_path / "again")):
        (ours,) = one.predict(["1 2\t2 1"])
        assert ours.number == pytest.approx(theirs, rel=1e-5, abs=1e-4)
