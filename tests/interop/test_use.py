"""What came in is a bundle like any other: it predicts, is judged and verified, from the command line too."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
import torch

import regard
from regard.cli import main
from regard.errors import CheckpointError, StorageError
from regard.interop import import_checkpoint
from regard.interop.importing import read_checkpoint
from regard.model.head import Vector
from regard.model.transformer import TransformerConfig
from tests.interop.families import checkpoint

USED = {
    "bert": ["w5 [MASK] w9", "[MASK] w6 [MASK] w30"],
    "roberta": ["w5 [MASK] w9", "[MASK] w6"],
    "distilbert classes": ["w5 w9", "w8 w8 w20"],
    "mistral": ["w5 w9", "w8"],
    "t5": ["w5 w9 w21", "w8"],
    "bart": ["w5 w9 w21", "w8"],
}


@pytest.mark.parametrize("name", USED)
def test_a_bundle_that_came_in_is_used_like_any_other(name: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    checkpoint(name, tmp_path / "there")
    made = import_checkpoint(tmp_path / "there", tmp_path / "run")
    assert made.difference is not None
    assert made.difference < 1e-4
    run = regard.load(tmp_path / "run")
    assert run.bundle.task == made.task
    assert len(run.predict(USED[name], max_length=5)) == 2
    assert all(finding.holds for finding in run.verify(USED[name]))
    assert all(finding.holds for finding in run.verify())
    labelled, column = "class" in name, run.task.config.wanted
    rows = [("LABEL_1" if labelled else "w7 w8", "w5 w9 w11"), ("LABEL_0" if labelled else "w9", "w6 w5")]
    (tmp_path / "rows.tsv").write_text(
        ("label\ttext\n" if labelled else "a\tb\n") + "".join(f"{a}\t{b}\n" for a, b in rows), "utf-8"
    )
    (tmp_path / "rows.txt").write_text("w5 w9 w11\nw8 w6 w30 w7\n", "utf-8")
    data = tmp_path / ("rows.tsv" if labelled or len(column) == 2 else "rows.txt")
    figures = run.evaluate(data, "train", baselines=False).metrics
    assert math.isfinite(run.task.merit(figures))


def test_the_commands_say_what_they_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers")
    checkpoint("gpt2", tmp_path / "there")

    def command(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["regard", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out, printed.err

    status, out, _ = command("import", tmp_path / "there", tmp_path / "run")
    assert status == 0
    assert "GPT2LMHeadModel for text-generation" in out
    assert "largest difference from transformers" in out
    status, _, error = command("import", tmp_path / "there", tmp_path / "run")
    assert (status, "--overwrite" in error) == (1, True)
    status, out, _ = command(
        "import", tmp_path / "there", tmp_path / "run", "--overwrite", "--no-compare", "--json"
    )
    assert json.loads(out)["difference"] is None
    status, out, _ = command("export", tmp_path / "run", tmp_path / "back")
    assert (status, "GPT2LMHeadModel" in out) == (0, True)
    assert json.loads((tmp_path / "back" / "config.json").read_text("utf-8"))["model_type"] == "gpt2"
    status, _, error = command("import", tmp_path / "nowhere", tmp_path / "other")
    assert (status, "is not a folder" in error) == (2, True)


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    checkpoint("bert body", tmp_path / "there")
    import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False)
    with pytest.raises(StorageError, match="--overwrite"):
        import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False)


@pytest.mark.parametrize(
    ("mode", "kinds", "want"),
    [
        ("mean_tokens", ("Transformer", "Pooling", "Normalize"), Vector("mean", True)),
        ("cls_token", ("Transformer", "Pooling"), Vector("first", False)),
        ("max_tokens", ("Transformer", "Pooling"), None),
        ("mean_tokens", ("Transformer", "Pooling", "Dense"), None),
    ],
)
def test_a_sentence_encoder_pools_as_its_folder_says(
    mode: str, kinds: tuple[str, ...], want: Vector | None, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    checkpoint("bert body", tmp_path)
    steps = [{"idx": i, "type": f"sentence_transformers.models.{kind}"} for i, kind in enumerate(kinds)]
    (tmp_path / "modules.json").write_text(json.dumps(steps), "utf-8")
    (tmp_path / "1_Pooling").mkdir()
    modes = {f"pooling_mode_{name}": name == mode for name in ("cls_token", "mean_tokens", "max_tokens")}
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(modes), "utf-8")
    if want is None:
        with pytest.raises(CheckpointError, match="can be taken"):
            read_checkpoint(tmp_path)
        return
    plan = read_checkpoint(tmp_path)[3]
    assert isinstance(plan.model, TransformerConfig)
    assert plan.model.head == want


def test_a_token_that_is_never_written_is_not(tmp_path: Path) -> None:
    pytest.importorskip("transformers")

    def loud(model: torch.nn.Module) -> None:
        model.get_buffer("final_logits_bias")[0, 9] = 50.0

    checkpoint("marian", tmp_path / "there", loud)
    path = tmp_path / "there" / "config.json"
    for never, loudest in ((None, True), ([[9]], False)):
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"bad_words_ids": never}), "utf-8")
        import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False, overwrite=True)
        for beam in (1, 3):
            (answer,) = regard.load(tmp_path / "run").predict(["w5 w6"], max_length=6, beam=beam)
            assert ("w9" in answer.split()) == loudest
