"""Translation: what a batch is, and that an answer depends on its own input alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import LETTERS, asked
from torch import nn

import regard
from regard.data.readers import open_data
from regard.data.rows import Row, Rows
from regard.data.store import ExampleStore, write_store
from regard.errors import BundleError, ConfigError, InputError
from regard.looking.explorer import Question
from regard.schema import dump
from regard.tasks import Decoding
from regard.tasks.translation import Translation, TranslationConfig
from regard.training.resolve import resolve
from tests.shared import refused

Made = tuple[Translation, nn.Module, ExampleStore]


@pytest.fixture(scope="module")
def made(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The task, a model of random weights whose answers differ, and the training part as ids."""
    config = resolve(asked(pairs))
    rows = open_data(pairs, (None, None)).split("train")
    task = Translation.prepare(config.task, rows)
    torch.manual_seed(3)
    model = task.configure_model(config.model).build().eval()
    for parameter in model.parameters():
        parameter.data.mul_(1.7)  # sharper, so that answers depend on inputs
    examples = (example for example in task.encode(rows) if example)
    path = tmp_path_factory.mktemp("ids") / "tokens"
    return task, model, write_store(path, examples, task.fields)


def words(count: int, seed: int = 1) -> list[str]:
    chance = random.Random(seed)
    return ["".join(chance.choices(LETTERS, k=chance.randint(1, 14))) for _ in range(count)]


# -------------------------------------------------------------------------------------------- batches


def test_the_decoder_is_given_the_target_shifted_by_one(made: Made) -> None:
    task, _, store = made
    rows = np.array([5, 0, 17, 3])
    batch: Any = task.batch(store, rows)
    wanted: Iterator[int] = iter(batch.wanted.tolist())
    for place, row in enumerate(rows.tolist()):
        source, target = (ids.tolist() for ids in store[row].values())
        assert batch.source[place, : len(source)].tolist() == list(source)
        assert int(batch.source_lengths[place]) == len(source)
        assert source[-1] == task.source.eos
        assert (batch.source[place, len(source) :] == task.source.pad).all()
        assert (target[0], target[-1]) == (task.target.bos, task.target.eos)
        given = batch.given[place, : len(target) - 1].tolist()
        assert given == list(target[:-1]), "from the start token on"
        assert [next(wanted) for _ in given] == list(target[1:]), "up to the end token"
    assert next(wanted, None) is None
    assert batch.tokens == sum(len(store[row]["target"]) - 1 for row in rows)


def test_only_real_positions_are_predicted(made: Made) -> None:
    task, _, store = made
    rows = np.arange(9)
    batch: Any = task.batch(store, rows)
    T = batch.given.shape[1]
    expected = [
        place * T + t for place, row in enumerate(rows) for t in range(len(store[int(row)]["target"]) - 1)
    ]
    assert batch.real.tolist() == expected


def test_the_loss_of_a_batch_is_the_sum_over_its_rows(made: Made) -> None:
    """Padding and neighbours add nothing."""
    task, model, store = made
    with torch.no_grad():
        whole = task.loss(model, task.batch(store, np.arange(13)))["loss"].item()
        alone = sum(task.loss(model, task.batch(store, np.array([row])))["loss"].item() for row in range(13))
    assert whole == pytest.approx(alone, rel=1e-5)


def test_pairs_that_are_too_long_are_left_out(pairs: Path) -> None:
    task = Translation.prepare(TranslationConfig(max_length=4, tokenizer=None), Rows.of(rows("abcabc", "d")))
    short = Translation(TranslationConfig(max_length=2), task.source, task.target)
    kept = [example is not None for example in short.encode(rows("ab", "a") + rows("abcdefabcdef", "a"))]
    assert kept == [True, False]


def rows(source: str, target: str) -> list[Row]:
    return [Row((source, target), "here:1")]


# ---------------------------------------------------------------------------------------- predictions


@pytest.mark.parametrize(
    "decoding", [Decoding(), Decoding(beam=3), Decoding(beam=4, n=2, alpha=1.0)], ids=str
)
def test_an_answer_does_not_depend_on_its_neighbours(made: Made, decoding: Decoding) -> None:
    task, model, _ = made
    inputs = [*words(20), "", "a"]
    together = task.predict(model, inputs, decoding)
    alone = [task.predict(model, [text], decoding)[0] for text in inputs]
    assert [p.value.plain() for p in together] == [p.value.plain() for p in alone]
    assert len({p.value.plain() for p in together}) > 10, "or it would prove nothing"
    for one, other in zip(together, alone, strict=True):
        assert [text for text, _ in one.ranked] == [text for text, _ in other.ranked]
        scores = [score for _, score in one.ranked]
        assert scores == pytest.approx([score for _, score in other.ranked], abs=1e-4)


@pytest.mark.parametrize("batch_tokens", [1, 7, 40, 4096])
def test_answers_come_in_the_order_of_their_inputs(made: Made, batch_tokens: int) -> None:
    task, model, _ = made
    inputs = words(17, seed=2)
    expected = {text: task.predict(model, [text], Decoding())[0].value.plain() for text in inputs}
    answers = task.predict(model, inputs, Decoding(batch_tokens=batch_tokens))
    assert [answer.value.plain() for answer in answers] == [expected[text] for text in inputs]
    shuffled = random.Random(1).sample(inputs, len(inputs))
    assert [p.value.plain() for p in task.predict(model, shuffled, Decoding())] == [
        expected[text] for text in shuffled
    ]


def test_nothing_is_answered_by_nothing(made: Made) -> None:
    task, model, _ = made
    assert task.predict(model, [], Decoding()) == []
    for decoding in (Decoding(), Decoding(beam=2, n=2)):
        answers = task.predict(model, ["", "", ""], decoding)
        assert [(p.value.plain(), p.score, len(p.ranked)) for p in answers] == [("", None, 1)] * 3
    assert list(task.write(model, "", Decoding())) == []


@pytest.mark.parametrize("blank", [" ", "  \t", "\n", "\u3000", "\x0c\u2028\x85"])
def test_a_blank_input_is_answered_as_an_empty_one(blank: str, made: Made) -> None:
    task, model, _ = made
    for decoding in (Decoding(), Decoding(beam=2, n=2)):
        answers = task.predict(model, ["ab", blank, "", " ab"], decoding)
        assert [answer.value.plain() for answer in answers[1:3]] == ["", ""]
        assert answers[1] == answers[2]
        assert answers[3] == task.predict(model, [" ab"], decoding)[0]
    assert list(task.write(model, blank, Decoding())) == []
    assert task.opening(blank) == task.opening("")
    assert task.model_inputs(model, ["ab", blank], Decoding()) == task.model_inputs(
        model, ["ab", ""], Decoding()
    )


def test_no_two_of_the_n_best_say_the_same(pairs: Path) -> None:
    """Pieces of bytes and of words say most texts in several ways."""
    rows = open_data(pairs, (None, None)).split("train")
    config = resolve(asked(pairs, "task.tokenizer=byte-bpe", "task.tokenizer.vocab=300"))
    task = Translation.prepare(config.task, rows)
    torch.manual_seed(3)
    model = task.configure_model(config.model).build().eval()
    for decoding in (Decoding(beam=5, n=5), Decoding(beam=8, n=3), Decoding(beam=5, n=5, max_length=2)):
        for answer in task.predict(model, words(20), decoding):
            texts = [text for text, _ in answer.ranked]
            assert len(texts) == len(set(texts))


def test_unknown_script_is_answered_and_what_is_too_long_refused(made: Made) -> None:
    task, model, _ = made
    assert len(task.predict(model, ["猫", "🙂🙂", "\u200b", "a\tb"], Decoding())) == 4
    with refused(InputError, value=257, limit=256):
        task.predict(model, ["a", "a" * 257], Decoding())


def test_answers_end_at_the_length_asked_for(made: Made) -> None:
    task, model, _ = made
    for beam in (1, 3):
        answers = task.predict(model, words(9), Decoding(beam=beam, max_length=2))
        assert max(len(answer.value.plain()) for answer in answers) <= 2


def test_writing_token_by_token_ends_with_the_greedy_answer(made: Made) -> None:
    task, model, _ = made
    for text in words(5):
        shown = list(task.write(model, text, Decoding()))
        answer = task.predict(model, [text], Decoding())[0].value.plain()
        assert (shown[-1] if shown else "") == answer
        assert all(later.startswith(earlier) for earlier, later in pairwise(shown))


# -------------------------------------------------------------------------------------------- the bundle


def test_it_is_restored_from_what_a_bundle_holds(made: Made) -> None:
    task, model, _ = made
    again = Translation.prepare(task.config, None, task.files())
    inputs = words(5)
    assert again.predict(model, inputs, Decoding()) == task.predict(model, inputs, Decoding())
    assert again.configure_model(
        model.config if hasattr(model, "config") else resolve(asked(Path("x"))).model
    )


def test_a_bundle_without_a_tokenizer_is_refused(made: Made) -> None:
    with refused(BundleError, where="tokenizer.json"):
        Translation.prepare(made[0].config, None, {})


def test_one_table_for_two_vocabularies_is_refused(pairs: Path) -> None:
    config = resolve(asked(pairs, "task.target_tokenizer=characters"))
    task = Translation.prepare(config.task, open_data(pairs, (None, None)).split("train"))
    with refused(ConfigError, key="model.tying", value="three-way", limit="two-way"):
        task.configure_model(config.model)
    two = resolve(asked(pairs, "task.target_tokenizer=characters", "model.tying=two-way"))
    fitted = dump(task.configure_model(two.model))
    assert fitted["source"]["vocab"] == task.source.size
    assert fitted["target"]["vocab"] == task.target.size
    assert set(task.files()) == {"tokenizer.json", "tokenizer.target.json"}


def test_an_alignment_is_of_what_was_written_and_agrees_with_the_explorer(
    pairs: Path, tmp_path: Path
) -> None:
    """Of an untrained model, whose answer read anew is other tokens than those that it wrote."""
    folder = regard.train(
        "translation", pairs, tmp_path / "run", settings=asked(pairs).settings, steps=1, quiet=True, threads=1
    ).folder
    run = regard.load(folder)
    for text in ("abc", "dcba", "a"):
        for beam in (1, 3):
            found = run.alignment(text, Decoding(beam=beam))
            explorer = run.explorer()
            answer = explorer.answer(Question(text, beam=beam), None)
            layers = [value for one in answer.passes for name, value in one.entries.items()
                      if name.endswith(".cross.weights")]  # fmt: skip
            want = torch.cat([entry.value for entry in layers]).mean(0)
            torch.testing.assert_close(found.weights, want, atol=1e-5, rtol=1e-4)
            assert found.outputs == run.task.tokens([], answer.written)[1]
            assert found.weights.shape == (len(found.outputs), len(found.inputs))
    with refused(InputError, remedy="give a text"):
        run.alignment("")
