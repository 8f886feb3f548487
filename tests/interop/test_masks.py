"""A text with masks is cut for an imported model as the reference library cuts it for the same checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import regard
from regard.interop import import_checkpoint
from regard.tasks.fill_mask import HIDDEN
from tests.interop.families import ALL
from tests.interop.test_round_trips import OWN, SIZE
from tests.interop.tokenizer_folders import write

transformers = pytest.importorskip("transformers")
pytest.importorskip("sentencepiece")
KINDS = {
    "bert": "Bert",
    "distilbert": "DistilBert",
    "electra": "Electra",
    "mpnet": "MPNet",
    "roberta": "Roberta",
    "xlm-roberta": "XLMRoberta",
    "camembert": "Camembert",
}
TEXTS = ["a {} b", "{} a", "a {}", "x {}, y", "the{}of", "  two  {}  spaces ", "a\n{}\tb", "a  {}{} {}", "{}"]
TEXTS += ["a\u00a0{} b", "the red cat {}\u3000{}."]
TAKES = {"content": "<mask>", "lstrip": True, "normalized": False, "rstrip": False, "single_word": False}
KEYS = "tokenizer_config.json", "special_tokens_map.json"
SAID: dict[str, tuple[str, dict[str, Any]]] = {
    "its name": (KEYS[0], {"mask_token": "<mask>"}),
    "what it takes": (KEYS[0], {"mask_token": {"__type": "AddedToken", **TAKES}}),
    "what it takes, apart": (KEYS[1], {"mask_token": TAKES}),
    "what it takes, by its id": (KEYS[0], {"added_tokens_decoder": {"4": TAKES | {"special": True}}}),
}


def check_masks(family: str, files: dict[str, Any], folder: Path, saved: bool = False) -> None:
    name, ids, _ = OWN[family]
    _, config, options = ALL[name]
    options = {key: value for key, value in options.items() if key != "num_labels"}
    made = getattr(transformers, config)(**(options | {"vocab_size": SIZE} | ids))
    there = folder / "there"
    getattr(transformers, f"{KINDS[family]}ForMaskedLM")(made).save_pretrained(there)
    write(there, {name: content for name, content in files.items() if name != "config.json"})
    theirs = transformers.AutoTokenizer.from_pretrained(there)
    if saved:
        theirs.save_pretrained(there)
        theirs = transformers.AutoTokenizer.from_pretrained(there)
    import_checkpoint(there, folder / "run", compare=False)
    task: Any = regard.load(folder / "run").task
    for text in TEXTS:
        want = theirs(text.replace("{}", theirs.mask_token))["input_ids"]
        assert task._ids(text.replace("{}", HIDDEN)) == want, (text, theirs.convert_ids_to_tokens(want))


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("family", KINDS)
def test_a_mask_stands_where_the_family_has_it(family: str, saved: bool, tmp_path: Path) -> None:
    check_masks(family, OWN[family][2](), tmp_path, saved)


@pytest.mark.parametrize("what", SAID)
def test_a_mask_takes_the_space_before_it_where_a_file_says_so(what: str, tmp_path: Path) -> None:
    files = OWN["roberta"][2]()
    place, keys = SAID[what]
    files[place] = files.get(place, {}) | keys
    if "added_tokens_decoder" in keys:
        (described,) = keys["added_tokens_decoder"].values()
        files[place]["added_tokens_decoder"] = {str(files["vocab.json"]["<mask>"]): described}
    check_masks("roberta", files, tmp_path)
