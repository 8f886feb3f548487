"""Questions about short texts, and a tiny model that is prepared for them."""

from __future__ import annotations

from typing import Any

import torch

from regard.data.readers.answers import Answer, answers_as_text
from regard.data.rows import Row
from regard.model.transformer import Transformer
from regard.tasks.question_answering import QuestionAnswering
from regard.training.resolve import Asked, resolve

QUICK = ("model.width=16", "model.hidden=24", "model.depth=1", "model.heads=2", "model.dropout=0")
CONTEXT = "Ada Lovelace wrote notes on the Analytical Engine in 1843. 她写了第一个程序。 Café Zoë."


def row(question: str, context: str, *texts: str) -> Row:
    answers = [Answer(text, context.index(text)) for text in texts]
    return Row((context, question, answers_as_text(answers)), question)


ROWS = [
    row("who wrote notes?", CONTEXT, "Ada Lovelace", "Ada"),
    row("when?", CONTEXT, "1843"),
    row("她写了什么？", CONTEXT, "第一个程序"),
    row("where?", "Zoë sat in the café.", "the café", "café"),
    row("who slept?", "Zoë sat in the café."),
]


def made(rows: list[Row], *settings: str) -> tuple[QuestionAnswering, Transformer]:
    config = resolve(Asked("question-answering", settings=(*QUICK, *settings)))
    task: Any = QuestionAnswering.prepare(config.task, rows)  # type: ignore[arg-type]
    torch.manual_seed(1)
    model: Any = task.configure_model(config.model).build().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return task, model
