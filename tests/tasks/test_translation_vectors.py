"""A model may start from pretrained word vectors."""

from __future__ import annotations

from pathlib import Path

import torch

from regard.data.rows import Row, Rows
from regard.data.tokenizer import Words
from regard.model.presets import Size, encoder_decoder
from regard.tasks.translation import Translation, TranslationConfig


def test_the_embedding_gives_the_vectors_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("cat 1 2 3 4 5 6\nemu 0 0 0 0 0 0\n", encoding="utf-8")
    config = TranslationConfig(tokenizer=Words(), source_vectors=str(tmp_path / "v.txt"))
    task = Translation.prepare(config, Rows.of([Row(("cat dog", "chat chien"), "here:1")]))
    model = task.configure_model(encoder_decoder(Size(1, 1, 6, 7, 2, 0.0))).build()
    before = model.source(torch.tensor(task.source.encode("dog")))
    notes = task.initialise(model)
    given = model.source(torch.tensor(task.source.encode("cat")))  # scaling by the width's root included
    torch.testing.assert_close(given, torch.tensor([[1.0, 2, 3, 4, 5, 6]]))
    assert torch.equal(before, model.source(torch.tensor(task.source.encode("dog"))))
    assert notes == [f"1 of {task.source.size} rows of the embedding taken from {tmp_path / 'v.txt'}"]
