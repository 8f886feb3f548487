"""What a configuration leaves to the class of the library that it is of is what that class has."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import torch

from regard.interop.family import FAMILIES
from regard.interop.importing import read_checkpoint
from regard.interop.keys import activation_name
from tests.interop.families import ALL, checkpoint, randomised, write_files
from tests.interop.test_edges import IDS, REAL, output, theirs, told

pytest.importorskip("transformers")


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_not_stated_is_the_librarys(name: str) -> None:
    import transformers

    config, family = transformers.AutoConfig.for_model(name), FAMILIES[name]
    defaults: dict[str, Any] = dict(family.defaults)
    for stack in getattr(family, "stacks", {"": getattr(family, "stack", None)}).values():
        for path, key in stack.names.items():
            value = attrgetter(path)(stack.base)
            if value is not None:  # else it follows from the rest
                defaults[key] = activation_name(value) if path.endswith("activation") else value
    assert len(defaults) > 5
    assert defaults == {key: getattr(config, key) for key in defaults}


@torch.no_grad()
def test_heads_that_are_not_stated_are_as_many_as_the_librarys(tmp_path: Path) -> None:
    import transformers

    sizes = {"hidden_size": 20, "embedding_size": 20, "num_attention_heads": 4}
    config = transformers.ElectraConfig(**{**ALL["Electra Model"][2], **sizes})
    model = randomised(transformers.ElectraModel(config).eval())
    model.save_pretrained(tmp_path / "there")
    write_files("Electra Model", tmp_path / "there", config)
    got = output(told(tmp_path / "there", num_attention_heads=...), tmp_path / "run")
    torch.testing.assert_close(got, theirs(model, IDS, REAL, IDS), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("first", ["BertForPreTraining", "BertLMHeadModel", "BertForMaskedLM"])
def test_of_several_classes_the_first_that_fits_counts(first: str, tmp_path: Path) -> None:
    checkpoint("bert", tmp_path)
    told(tmp_path, architectures=[first, "BertForMaskedLM"])
    assert read_checkpoint(tmp_path)[2] == (first if first != "BertLMHeadModel" else "BertForMaskedLM")
