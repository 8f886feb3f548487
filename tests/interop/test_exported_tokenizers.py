"""What is exported frames texts and pairs as what was imported: the same ids, the same outputs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from regard.interop import export_checkpoint, import_checkpoint
from tests.interop.families import WORDS, checkpoint

transformers = pytest.importorskip("transformers")
TEXTS = ("w5 w9", "w9 w30 w7 w7", "w17", "w5 strange w6")
PAIRS = (("w5 w9", "w30"), ("w6", "w7 w8 w9"))
LENGTH = 37


def tokenizer_json(folder: Path) -> None:
    """As the reference library saves it, which says more than a role for each token."""
    path = folder / "tokenizer_config.json"
    inputs = ["input_ids", "attention_mask"]
    family = json.loads((folder / "config.json").read_text("utf-8"))["model_type"]
    said = json.loads(path.read_text("utf-8")) | {"model_max_length": LENGTH, "padding_side": "left"}
    said |= {"tokenizer_class": "PreTrainedTokenizerFast"}
    said |= {"model_input_names": inputs} if family == "distilbert" else {}
    path.write_text(json.dumps(said), "utf-8")


def vocab_txt(folder: Path) -> None:
    """BERT's own file, of a tokenizer that has to be converted."""
    (folder / "tokenizer.json").unlink()
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", "utf-8")
    kind = {"bert": "BertTokenizer", "electra": "ElectraTokenizer", "distilbert": "DistilBertTokenizer"}
    family = json.loads((folder / "config.json").read_text("utf-8"))["model_type"]
    said = {"tokenizer_class": kind[family], "do_lower_case": True, "model_max_length": LENGTH}
    (folder / "tokenizer_config.json").write_text(json.dumps(said), "utf-8")


@pytest.mark.parametrize(
    ("name", "form"),
    [
        (name, form)
        for form in (tokenizer_json, vocab_txt)
        for name in ("bert classes", "bert spans", "bert body", "distilbert classes", "Electra MaskedLM")
    ],
    ids=lambda given: given if isinstance(given, str) else given.__name__,
)
@torch.no_grad()
def test_an_export_frames_texts_and_pairs_as_before(
    name: str, form: Callable[[Path], None], tmp_path: Path
) -> None:
    model = checkpoint(name, tmp_path / "there")
    form(tmp_path / "there")
    import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False)
    export_checkpoint(tmp_path / "run", tmp_path / "back")
    again = type(model).from_pretrained(tmp_path / "back").eval()
    before, after = (transformers.AutoTokenizer.from_pretrained(tmp_path / x) for x in ("there", "back"))
    assert after.model_max_length == LENGTH
    assert after.padding_side == before.padding_side
    for given in (*((text,) for text in TEXTS), *PAIRS):
        want, got = before(*given, return_tensors="pt"), after(*given, return_tensors="pt")
        assert {key: value.tolist() for key, value in got.items()} == {
            key: value.tolist() for key, value in want.items()
        }
        first, second = (run(**ids)[0] for run, ids in ((model, want), (again, got)))
        torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["llama", "bart", "t5"])
@torch.no_grad()
def test_an_export_writes_as_before(name: str, tmp_path: Path) -> None:
    model = checkpoint(name, tmp_path / "there")
    tokenizer_json(tmp_path / "there")
    import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False)
    export_checkpoint(tmp_path / "run", tmp_path / "back")
    again = type(model).from_pretrained(tmp_path / "back").eval()
    before, after = (transformers.AutoTokenizer.from_pretrained(tmp_path / x) for x in ("there", "back"))

    def written(model: Any, tokenizer: Any, text: str) -> list[int]:
        ids = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
        return model.generate(**ids, max_new_tokens=7, do_sample=False, use_cache=False)[0].tolist()

    for text in TEXTS:
        assert written(again, after, text) == written(model, before, text)
