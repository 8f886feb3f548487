"""An older answer is a guess for the next one, and never more than that."""

from __future__ import annotations

import pytest

from regard.insight.ablation import Head
from regard.insight.changes import Changes, Edit
from regard.looking.explorer import Answer, Question
from regard.run import Run
from regard.tasks import text_generation
from regard.tasks.decoding import Decoding

HEAD = Changes(heads_off=frozenset({Head("stack.blocks.1.attention", 0)}))
EDITED = Changes(edits=(Edit("stack.blocks.0.attention.out.weight", (0, 0), 40.0),))
TEXT = "a man"


def said(found: Answer) -> tuple[str, tuple[int, ...], object]:
    return found.prediction.value.plain(), found.written, pytest.approx(found.prediction.score, abs=1e-5)


@pytest.mark.parametrize("changes", [Changes(), HEAD, EDITED, Changes(temperature=3.0)])
@pytest.mark.parametrize("more", ["", "x", "n is"])
def test_what_was_asked_before_changes_no_answer(changes: Changes, more: str, runs: dict[str, Run]) -> None:
    asked, explorer = Question(TEXT + more, length=9, changes=changes), runs["text-generation"].explorer()
    for length in (3, 12):
        explorer.answer(Question(TEXT, length=length))
    want = runs["text-generation"].explorer().answer(asked)
    assert said(explorer.answer(asked)) == said(want)


def test_the_guess_is_what_was_written_after_the_same_text(
    runs: dict[str, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    explorer, guesses = runs["text-generation"].explorer(), []
    real = text_generation.write_all

    def watched(model: object, outputs: object, decoding: Decoding, *others: object) -> None:
        guesses.append(decoding.guess)
        real(model, outputs, decoding, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(text_generation, "write_all", watched)
    first = explorer.answer(Question(TEXT, length=8))
    for changes in (HEAD, EDITED):
        explorer.answer(Question(TEXT, length=8, changes=changes))
    explorer.answer(Question("of", length=8))
    assert guesses[0] == () == guesses[3]
    assert guesses[1] == first.written
    assert guesses[2]
