"""What came of any family goes out so that the reference library computes the same through the exported
tokenizer, or of the same image: alone, in pairs, and padded."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from regard.interop import export_checkpoint, import_checkpoint
from regard.interop.family import FAMILIES
from tests.interop.families import ALL, CASES, IMAGES, SIDE, checkpoint, randomised
from tests.interop.tokenizer_folders import FORMS, sentencepiece, write

transformers = pytest.importorskip("transformers")
SINGLE = (("w5 w9",), ("w17",), ("w9 w30 w7 w7",), ("w5 w8 w6",))
PAIRS = (("w5 w9", "w30"), ("w6", "w7 w8 w9"))
LENGTH = 37
EACH = {kind: name for name, (kind, *_) in reversed(CASES.items())}
"""The first case of each class that reads texts."""
WORDS = (("the red cat",), ("Größe, naïve 12,345!",), ("a  dog </s> ran",), ("한국어 日本語",))
WORD_PAIRS = (("the red cat", "a dog"), ("x", "it sits on the house."))


def written(model: Any, ids: Any) -> torch.Tensor:
    """What a model makes of its input, but for padding, of which nothing is read; a decoder is given some
    ids."""
    if model.config.is_encoder_decoder:
        ids = dict(ids) | {"decoder_input_ids": torch.tensor([[5, 9, 11]]).expand(len(ids["input_ids"]), -1)}
        ids.pop("token_type_ids", None)
    found = model(**ids)
    values = found.last_hidden_state if hasattr(found, "last_hidden_state") else found[0]
    of_tokens = not model.config.is_encoder_decoder and "Classification" not in type(model).__name__
    return values[ids["attention_mask"] == 1] if of_tokens else values


def inputs(tokenizer: Any, given: tuple[tuple[str, ...], ...]) -> Any:
    """Texts or pairs in one batch."""
    return tokenizer(*map(list, zip(*given, strict=True)), padding=True, return_tensors="pt")


@torch.no_grad()
def check_round_trip(model: Any, folder: Path, batches: tuple[tuple[tuple[str, ...], ...], ...]) -> None:
    """That the folder's checkpoint, imported and exported, is the same to whoever opens it."""
    import_checkpoint(folder / "there", folder / "run", compare=False)
    export_checkpoint(folder / "run", folder / "back")
    again, loading = type(model).from_pretrained(folder / "back", output_loading_info=True)
    assert loading["missing_keys"] <= {"model.shared.weight"}  # which BART does not read where it is untied
    assert not loading["mismatched_keys"]
    before, after = (transformers.AutoTokenizer.from_pretrained(folder / name) for name in ("there", "back"))
    assert (after.padding_side, after.model_max_length) == (before.padding_side, before.model_max_length)
    for tokenizer in (before, after):
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token  # as one does to pad such inputs
    for given in batches:
        want, got = inputs(before, given), inputs(after, given)
        assert {name: value.tolist() for name, value in got.items()} == {
            name: value.tolist() for name, value in want.items()
        }
        torch.testing.assert_close(written(again.eval(), got), written(model, want), atol=1e-5, rtol=1e-5)


def configured(folder: Path) -> None:
    """As the library saves a tokenizer that has no class of its own, with what is not usual."""
    path = folder / "tokenizer_config.json"
    family = json.loads((folder / "config.json").read_text("utf-8"))["model_type"]
    said = json.loads(path.read_text("utf-8")) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    said |= {"model_max_length": LENGTH, "padding_side": "left"}
    if family not in ("bert", "electra"):
        said["model_input_names"] = ["input_ids", "attention_mask"]
    path.write_text(json.dumps(said), "utf-8")


@pytest.mark.parametrize("kind", EACH)
def test_what_goes_out_computes_the_same_through_its_tokenizer(kind: str, tmp_path: Path) -> None:
    model = checkpoint(EACH[kind], tmp_path / "there")
    configured(tmp_path / "there")
    check_round_trip(model, tmp_path, (SINGLE[:1], SINGLE, PAIRS[:1], PAIRS))


@pytest.mark.parametrize("name", ["llama", "bart", "t5"])
@torch.no_grad()
def test_what_goes_out_writes_the_same(name: str, tmp_path: Path) -> None:
    model = checkpoint(name, tmp_path / "there")
    configured(tmp_path / "there")
    import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False)
    export_checkpoint(tmp_path / "run", tmp_path / "back")
    again = type(model).from_pretrained(tmp_path / "back").eval()
    before, after = (transformers.AutoTokenizer.from_pretrained(tmp_path / x) for x in ("there", "back"))

    def continued(model: Any, tokenizer: Any, text: str) -> list[int]:
        ids = tokenizer(text, return_tensors="pt")
        return model.generate(**ids, max_new_tokens=7, do_sample=False, use_cache=False)[0].tolist()

    for (text,) in SINGLE:
        assert continued(again, after, text) == continued(model, before, text)


def marian() -> dict[str, Any]:
    """Two models with one list of ids."""
    library = pytest.importorskip("sentencepiece")
    models = {side: sentencepiece("unigram", size=size) for side, size in (("source", 300), ("target", 260))}
    pieces: dict[str, None] = {"</s>": None, "<unk>": None}
    for content in models.values():
        processor = library.SentencePieceProcessor(model_proto=content)
        pieces |= {processor.id_to_piece(index): None for index in range(3, processor.get_piece_size())}
    names = [*pieces, "<pad>"]
    return {
        **{f"{side}.spm": content for side, content in models.items()},
        "vocab.json": {name: index for index, name in enumerate(names)},
        "tokenizer_config.json": {"tokenizer_class": "MarianTokenizer"},
    }


def mpnet() -> dict[str, Any]:
    """BERT's file with the special tokens of RoBERTa, the padding's id among them."""
    pieces = FORMS["vocab.txt"]()["vocab.txt"].split("\n")
    assert pieces[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    named = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>", *pieces[5:]]
    return {
        "vocab.txt": "\n".join(named),
        "tokenizer_config.json": {"tokenizer_class": "MPNetTokenizer"},
    }


def saved() -> dict[str, Any]:
    """Llama's tokenizer as its class writes it, for Mistral, of whose own classes none reads such a model."""
    with tempfile.TemporaryDirectory() as name:
        folder = write(Path(name) / "llama", FORMS["llama, begun"]())
        transformers.LlamaTokenizer.from_pretrained(folder).save_pretrained(Path(name) / "saved")
        return {path.name: path.read_bytes() for path in (Path(name) / "saved").iterdir()}


def of_class(name: str, form: str) -> Callable[[], dict[str, Any]]:
    """The files of a form, of which a family has a class of its own."""
    return lambda: FORMS[form]() | {"tokenizer_config.json": {"tokenizer_class": name}}


_T5 = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
_FAIRSEQ = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
_LLAMA = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None}
_END = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
OWN: dict[str, tuple[str, dict[str, Any], Callable[[], dict[str, Any]]]] = {
    "bert": ("bert classes", {}, FORMS["vocab.txt"]),
    "electra": ("Electra SequenceClassification", {}, of_class("ElectraTokenizer", "vocab.txt")),
    "distilbert": ("distilbert classes", {}, of_class("DistilBertTokenizer", "vocab.txt")),
    "mpnet": ("MPNet SequenceClassification", _FAIRSEQ, mpnet),
    "roberta": ("roberta classes", _FAIRSEQ, FORMS["roberta"]),
    "xlm-roberta": ("XLMRoberta SequenceClassification", _FAIRSEQ, FORMS["xlm-roberta"]),
    "camembert": ("Camembert SequenceClassification", _FAIRSEQ, FORMS["camembert"]),
    "gpt2": ("gpt2", _END, FORMS["gpt2"]),
    "llama": ("llama", _LLAMA, FORMS["llama, begun"]),
    "mistral": ("mistral", _LLAMA, saved),
    "ministral": ("ministral", _LLAMA, saved),
    "qwen2": ("qwen2", _END, FORMS["qwen2"]),
    "qwen3": ("qwen3", _END, FORMS["qwen2"]),
    "t5": ("t5", _T5, FORMS["t5"]),
    "mt5": ("mt5", _T5, FORMS["t5"]),
    "bart": ("bart", _FAIRSEQ | {"decoder_start_token_id": 2}, FORMS["bart"]),
    "marian": ("marian", {"eos_token_id": 0}, marian),
}
"""Of each family of texts: a case, ids, and the files of a tokenizer of its own."""
SIZE = 640


@pytest.mark.filterwarnings("ignore:Recommended")  # what normalises punctuation is left to the user
@pytest.mark.parametrize("family", OWN)
def test_what_goes_out_computes_the_same_where_its_tokenizer_was_converted(
    family: str, tmp_path: Path
) -> None:
    pytest.importorskip("sentencepiece")
    name, ids, files = OWN[family]
    found = files()
    found.pop("config.json", None)
    if family == "marian":
        pad = len(found["vocab.json"]) - 1
        ids = ids | {"pad_token_id": pad, "decoder_start_token_id": pad, "vocab_size": pad + 1}
    kind, config, options = ALL[name]
    torch.manual_seed(3)
    made = getattr(transformers, config)(**(options | {"vocab_size": SIZE} | ids))
    model = randomised(getattr(transformers, kind)(made).eval())
    model.save_pretrained(tmp_path / "there")
    write(tmp_path / "there", found)
    check_round_trip(model, tmp_path, (WORDS[:1], WORDS, WORD_PAIRS[:1], WORD_PAIRS))


@pytest.mark.parametrize("name", IMAGES)
@torch.no_grad()
def test_what_goes_out_computes_the_same_of_a_image(name: str, tmp_path: Path) -> None:
    model = checkpoint(name, tmp_path / "there")
    import_checkpoint(tmp_path / "there", tmp_path / "run", compare=False)
    export_checkpoint(tmp_path / "run", tmp_path / "back")
    again, loading = type(model).from_pretrained(tmp_path / "back", output_loading_info=True)
    again.eval()
    assert not any(loading.values())
    before, after = (
        transformers.AutoImageProcessor.from_pretrained(tmp_path / place) for place in ("there", "back")
    )
    mode = "L" if model.config.num_channels == 1 else "RGB"
    pixels = np.random.default_rng(1).integers(0, 256, (SIDE + 9, SIDE - 4, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    want, got = (processor(images=image, return_tensors="pt") for processor in (before, after))
    torch.testing.assert_close(got["pixel_values"], want["pixel_values"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(again(**got)[0], model(**want)[0], atol=1e-5, rtol=1e-5)


def test_every_family_goes_round() -> None:
    images = {
        name for name, family in FAMILIES.items() if "image-classification" in family.architectures.values()
    }
    assert OWN.keys() == FAMILIES.keys() - images
