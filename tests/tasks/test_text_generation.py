"""Text generation: windows, documents that do not leak, what is judged, and what is written."""

from __future__ import annotations

import itertools
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import regard
from regard.data.rows import Row
from regard.data.store import ExampleStore, write_store
from regard.data.tokenizer import train_tokenizer
from regard.data.tokenizer_kinds import SPECS
from regard.errors import BundleError, ConfigError, InputError
from regard.model.mask import Contiguous
from regard.model.transformer import Transformer
from regard.tasks import Decoding, Sampling, writing
from regard.tasks.metric import evaluate
from regard.tasks.parts import side_by_side
from regard.tasks.text_generation import TextGeneration, TextGenerationConfig
from regard.tasks.writing import Output, write
from regard.training.resolve import Asked, resolve
from tests.shared import refused

CONTEXT = 12
SETTINGS = (
    "task.tokenizer=characters",
    f"task.context={CONTEXT}",
    "model.width=24",
    "model.hidden=40",
    "model.depth=2",
    "model.heads=3",
    "model.dropout=0",
)


def documents(count: int, seed: int = 1, longest: int = 30) -> list[Row]:
    chance = random.Random(seed)
    return [
        Row(("".join(chance.choices("abcde ", k=chance.randint(1, longest))),), f"{i}") for i in range(count)
    ]


def lines(text: str) -> list[Row]:
    return [Row((line,), str(number), running=True) for number, line in enumerate(text.splitlines())]


def made(rows: list[Row], *settings: str) -> tuple[TextGeneration, Transformer]:
    config = resolve(Asked("text-generation", settings=(*SETTINGS, *settings)))
    task: Any = TextGeneration.prepare(config.task, rows)  # type: ignore[arg-type]
    torch.manual_seed(1)
    model: Any = task.configure_model(config.model).build().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return task, model


def stored(task: TextGeneration, rows: list[Row], folder: Path) -> ExampleStore:
    return write_store(folder / "ids", (x for x in task.encode(rows) if x), task.fields)


def stream(task: TextGeneration, rows: list[Row]) -> list[int]:
    return [i for ids in task._stream(rows) for i in ids]


# ------------------------------------------------------------------------------------- documents, windows


def test_documents_stand_between_start_and_end_and_a_running_text_is_one() -> None:
    rows = documents(5)
    task, _ = made(rows)
    ids = stream(task, rows)
    assert ids.count(task.tokenizer.bos) == ids.count(task.tokenizer.eos) == 5
    assert task.tokenizer.decode(ids) == "".join(row.values[0] for row in rows)
    text = "ab\n\n cd\ne\n"
    task, _ = made(lines(text))
    ids = stream(task, lines(text))
    assert (ids[0], ids[-1]) == (task.tokenizer.bos, task.tokenizer.eos)
    assert ids.count(task.tokenizer.bos) == 1
    assert task.tokenizer.decode(ids) == text


@pytest.mark.parametrize("size", [1, 5, CONTEXT, CONTEXT + 1, 2 * CONTEXT, 2 * CONTEXT + 1, 100, 301])
def test_every_token_is_in_a_window_and_windows_are_pieces_of_the_text(size: int, tmp_path: Path) -> None:
    rows = [Row(("".join(random.Random(2).choices("abcde", k=size)),), "x")]
    task, _ = made(rows)
    ids = stream(task, rows)
    store = stored(task, rows, tmp_path)
    text = " " + " ".join(map(str, ids)) + " "
    met: set[int] = set()
    for epoch in range(60):
        order = np.random.default_rng(epoch).permutation(len(store))
        batch: Any = task.batch(store, order, epoch)
        assert batch.given.shape[1] <= CONTEXT
        wanted = iter(batch.wanted.tolist())
        for row in range(len(order)):
            real = batch.real[batch.real // batch.given.shape[1] == row] % batch.given.shape[1]
            window = [*batch.given[row, real].tolist()]
            window.append([next(wanted) for _ in real][-1])
            shown = " " + " ".join(map(str, window)) + " "
            assert shown in text
            begin = text.index(shown)
            met |= set(range(text[:begin].count(" "), text[:begin].count(" ") + len(window)))
    assert met == set(range(len(ids)))  # the numbers of different windows may be the same, but not of all


def test_batches_are_those_of_their_rows_alone(tmp_path: Path) -> None:
    rows = documents(50)
    task, _ = made(rows)
    store = stored(task, rows, tmp_path)
    chosen = np.arange(len(store))
    one, other, again = (task.batch(store, chosen, epoch) for epoch in (0, 1, 0))
    assert torch.equal(one.given, again.given)
    assert not torch.equal(one.given, other.given)  # windows begin elsewhere
    assert task.costs(store)[0].max() == CONTEXT


@torch.inference_mode()
def test_packed_documents_are_as_if_alone(tmp_path: Path) -> None:
    rows = documents(40, longest=5)
    task, model = made(rows)
    table, lengths = side_by_side([stream(task, rows)[: CONTEXT + 1]], task.tokenizer.pad)
    batch: Any = task._windows(table, lengths, np.array([0]))
    assert not isinstance(batch.at, Contiguous)
    packed = model(batch.given, batch.at)[0]
    ids = batch.given[0].tolist()
    begins = [place for place, token in enumerate(ids) if token == task.tokenizer.bos]
    assert len(begins) >= 2
    for begin, end in zip(begins, [*begins[1:], len(ids)], strict=True):
        alone = model(torch.tensor([ids[begin:end]]))[0]
        torch.testing.assert_close(packed[begin:end], alone, atol=1e-5, rtol=1e-4)
    asked = {int(place) for place in batch.real}
    assert asked == {place for place in range(CONTEXT) if place + 1 not in begins}


# ------------------------------------------------------------------------------------------------ judging


@pytest.mark.parametrize("stride", [1, 5, CONTEXT])
@pytest.mark.parametrize("kind", ["documents", "lines"])
@torch.inference_mode()
def test_every_token_is_judged_once_with_what_the_stride_leaves_before_it(stride: int, kind: str) -> None:
    rows = documents(12) if kind == "documents" else lines("ab cab\nba\n" * 11)
    task, model = made(rows, f"task.stride={stride}")
    ids, bos = stream(task, rows), task.tokenizer.bos
    total, count = 0.0, 0
    for place in range(1, len(ids)):
        moves = max(0, math.ceil((place - CONTEXT) / stride))
        before = ids[moves * stride : place]
        before = before[max((i for i, token in enumerate(before) if token == bos), default=0) :]
        if ids[place] != bos:
            total -= float(model(torch.tensor([before]))[0, -1].log_softmax(-1)[ids[place]])
            count += 1
    figures = evaluate(task, model, rows, Decoding()).figures
    assert figures["tokens"] == count
    assert figures["nats"] == pytest.approx(total / count, rel=1e-5)
    size = sum(len(row.values[0].encode()) + row.running for row in rows)
    assert figures["bits_per_byte"] == pytest.approx(total / math.log(2) / size, rel=1e-5)
    assert figures["perplexity"] == pytest.approx(math.exp(total / count), rel=1e-4)
    assert task.metric().selection_score(figures) == -figures["nats"]


# ------------------------------------------------------------------------------------------------ writing


def outputs(task: TextGeneration, model: Transformer, texts: list[str], decoding: Decoding) -> list[Output]:
    found = [task._outputs(text, decoding, number)[0] for number, text in enumerate(texts)]
    for _ in write(model, found, decoding, task.config.context):
        pass
    return found


@torch.inference_mode()
def plainly(task: TextGeneration, model: Transformer, text: str, count: int) -> list[int]:
    """The most likely token after all before it, read anew each time; beyond the context, as documented."""
    ids = task._prompt(text)
    begin, start = len(ids), max(0, len(ids) - CONTEXT)
    while len(ids) - begin < count:
        if len(ids) - start > CONTEXT:
            start = len(ids) - CONTEXT // 2
        token = int(model(torch.tensor([ids[start:]]))[0, -1].argmax())
        if token == task.tokenizer.eos:
            break
        ids.append(token)
    return ids[begin:]


def test_what_is_written_is_what_the_plain_model_would_whatever_stands_beside_it() -> None:
    rows = documents(30)
    task, model = made(rows)
    texts = ["abc", "", "d e a", "abcabcabcabcabcabcabc", "b"]
    found = outputs(task, model, texts, Decoding(max_length=9))
    for text, output in zip(texts, found, strict=True):
        (alone,) = outputs(task, model, [text], Decoding(max_length=9))
        assert output.ids[output.begin :] == alone.ids[alone.begin :]
        assert output.score == pytest.approx(alone.score, abs=1e-5)
    for text in texts:
        (output,) = outputs(task, model, [text], Decoding(max_length=3 * CONTEXT))
        assert output.ids[output.begin :] == plainly(task, model, text, 3 * CONTEXT)


def test_it_ends_before_the_first_stop() -> None:
    rows = documents(30)
    task, model = made(rows)
    (whole,) = (p.value.plain() for p in task.predict(model, ["ab"], Decoding(max_length=20)))
    stop = whole[4:6]
    assert len(stop) == 2
    decoding = Decoding(max_length=20, stop=("never", stop))
    assert task.predict(model, ["ab"], decoding)[0].value.plain() == whole[: whole.index(stop)]
    assert list(task.write(model, "ab", decoding))[-1] == whole[: whole.index(stop)]


def test_samples_differ_and_repeat_with_their_seed_in_the_order_in_which_they_are_drawn() -> None:
    task, model = made(documents(30))
    decoding = Decoding(beam=4, n=4, max_length=15, sampling=Sampling(seed=3))
    (first,), (again,) = (task.predict(model, ["ab"], decoding) for _ in range(2))
    assert first == again
    assert len({text for text, _ in first.ranked}) > 1
    assert (first.value, first.score) == first.ranked[0]
    for n in (1, 2, 3):  # with no beam: a sample needs none
        (fewer,) = task.predict(model, ["ab"], Decoding(n=n, max_length=15, sampling=Sampling(seed=3)))
        assert [text for text, _ in fewer.ranked] == [text for text, _ in first.ranked[:n]]


def test_what_is_drawn_for_an_input_follows_from_the_seed_and_its_number_alone() -> None:
    task, model = made(documents(30))
    sampling = Sampling(seed=7)
    texts = ["ab", "ab", "d e", "", "ab", "abcabcabcabcabcabcabc"]
    together = [
        one.value.plain() for one in task.predict(model, texts, Decoding(max_length=12, sampling=sampling))
    ]
    assert len({together[0], together[1], together[4]}) == 3
    for tokens in (1, 6, 40):
        few = Decoding(max_length=12, sampling=sampling, batch_tokens=tokens)
        assert [one.value.plain() for one in task.predict(model, texts, few)] == together
    for number, text in enumerate(texts):
        alone = Decoding(max_length=12, sampling=sampling, number=number)
        assert task.predict(model, [text], alone)[0].value.plain() == together[number]
        assert list(task.write(model, text, alone))[-1] == together[number]
        swapped = task.predict(model, [text, *texts[:3]], alone)
        assert swapped[0].value.plain() == together[number]


@pytest.mark.parametrize("sampling", [None, Sampling(temperature=0)])
def test_several_of_the_one_likeliest_text_are_refused(sampling: Sampling | None) -> None:
    task, model = made(documents(30))
    with refused(InputError, value=2):
        task.predict(model, ["a"], Decoding(beam=2, n=2, sampling=sampling))


def test_memory_bounds_how_many_are_written_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing else depends on it, but that samples differ from one another."""
    task, model = made(documents(30))
    texts = ["ab", "b", "", "abab"]
    greedy = task.predict(model, texts, Decoding(max_length=9))
    together: list[int] = []
    write = writing.write

    def spied(model: Any, outputs: list[Any], *rest: Any, **more: Any) -> Any:
        together.append(len(outputs))
        return write(model, outputs, *rest, **more)

    monkeypatch.setattr(writing, "write", spied)
    few = Decoding(max_length=9, batch_tokens=6)
    for one, other in zip(task.predict(model, texts, few), greedy, strict=True):
        assert one.value.plain() == other.value.plain()
        assert one.score == pytest.approx(other.score, abs=1e-5)
    assert together == [2, 2]
    drawn = Decoding(beam=6, n=6, max_length=9, batch_tokens=6, sampling=Sampling(seed=1))
    assert len({text for text, _ in task.predict(model, ["ab"], drawn)[0].ranked}) > 3


def test_an_input_that_the_model_does_not_see_all_of_is_told(caplog: pytest.LogCaptureFixture) -> None:
    task, model = made(documents(30))
    long = "ab" * CONTEXT
    short, cut, other = task.predict(model, ["ab", long, long], Decoding(max_length=2))
    assert (short.unseen, cut.unseen, other.unseen) == (0, CONTEXT + 1, CONTEXT + 1)
    assert f"has {2 * CONTEXT + 1} tokens, of which the model sees the last {CONTEXT}" in caplog.text
    assert "so it is with 2 of them" in caplog.text
    caplog.clear()
    list(task.write(model, "ab", Decoding(max_length=3)))
    assert not caplog.text
    list(task.write(model, long, Decoding(max_length=3)))
    assert "of which the model sees the last" in caplog.text
    caplog.clear()
    decoding = Decoding(max_length=2 * CONTEXT, begin=(5,) * 2 * CONTEXT)
    assert task.predict(model, ["ab"], decoding)[0].unseen == 0
    assert f"longer than the {CONTEXT} tokens that the model sees at once" in caplog.text


@pytest.mark.parametrize("kind", ["bpe", "unigram", "wordpiece", "words", "byte-bpe"])
def test_a_continuation_keeps_the_space_before_it(kind: str) -> None:
    rows = [Row(("the cat sat on the mat",), str(n)) for n in range(9)]
    config = TextGenerationConfig(tokenizer=SPECS[kind](), context=20)
    task = TextGeneration(
        config, train_tokenizer(config.tokenizer, ["the cat sat on the mat"] * 9, at_most=True)
    )
    model: Any = task.configure_model(resolve(Asked("text-generation", preset="micro")).model).build().eval()
    more = task.tokenizer.encode_document(rows[0].values[0])[2:]
    decoding = Decoding(max_length=len(more), begin=tuple(more))
    prompt = task.tokenizer.decode(task.tokenizer.encode_document(rows[0].values[0])[:2])
    assert task.tokenizer.encode_document(prompt) == task.tokenizer.encode_document(rows[0].values[0])[:2]
    said = task.predict(model, [prompt], decoding)[0].value.plain()
    assert prompt + said == rows[0].values[0]
    assert list(task.write(model, prompt, decoding))[-1] == said
    assert task.decode_ids(more, prompt) == (said, False)


def test_what_may_become_a_stop_waits_before_it_is_shown() -> None:
    """Each text that is shown begins the next, so that nothing is taken back."""
    task, model = made(documents(30))
    (whole,) = (p.value.plain() for p in task.predict(model, ["ab"], Decoding(max_length=20)))
    for stop in (whole[4:7], whole[3:5] + "?", whole[-1] + "?"):
        shown = list(task.write(model, "ab", Decoding(max_length=20, stop=("never", stop))))
        assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(shown))
        assert shown[-1] == whole.partition(stop)[0]
        assert (len(set(shown)) > 3) == (stop not in whole)


# ------------------------------------------------------------------------------------- learning, the bundle


def test_it_learns_a_text_with_a_period_and_goes_on_with_it(tmp_path: Path) -> None:
    """Each letter follows from the two before it, so that a model which sees only one cannot know it."""
    (tmp_path / "t.txt").write_text("aabbab\n" * 3000, "utf-8")
    settings = (
        *SETTINGS,
        "train.lr=5e-3",
        "train.schedule.warmup=20",
        "train.tokens=240",
        "train.evaluations=1",
    )
    trained = regard.train(
        "text-generation",
        tmp_path / "t.txt",
        tmp_path / "run",
        settings=settings,
        steps=250,
        quiet=True,
        threads=1,
    )
    run = regard.load(trained.folder)
    assert run.evaluate().metrics["nats"] < 0.1
    (baseline,) = run.evaluate().baselines.values()
    assert baseline["nats"] < 0.1
    assert baseline["tokens"] == run.evaluate().metrics["tokens"]
    assert [x.plain() for x in run.predict(["aabbab\naabb"], max_length=10)] == ["ab\naabbab\n"]
    assert all(finding.holds for finding in run.verify())


def test_it_is_restored_from_what_a_bundle_holds() -> None:
    task, model = made(documents(30))
    again = TextGeneration.prepare(task.config, None, task.files())
    assert again.predict(model, ["ab"], Decoding()) == task.predict(model, ["ab"], Decoding())
    with refused(BundleError, where="tokenizer.json"):
        TextGeneration.prepare(task.config, None, {})


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        (("task.context=0",), {"key": "context", "value": 0}),
        ((f"task.stride={CONTEXT + 1}",), {"key": "stride", "value": CONTEXT + 1}),
        (("model.stack.mask=full",), {"key": "model.stack.mask", "value": "full"}),
        (("model.embed.vocab=7",), {"key": "model.embed.vocab", "value": 7}),
    ],
)
def test_what_does_not_go_together_is_refused(settings: tuple[str, ...], parts: dict[str, Any]) -> None:
    with refused(ConfigError, **parts):
        made(documents(3), *settings)


def test_a_config_is_a_frozen_value() -> None:
    assert [column.name for column in TextGeneration.columns(TextGenerationConfig(context=3))] == [None]
