"""What goes on with a text is the same from the command line, as JSON and from Python."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import regard
from regard.console import write_growing
from regard.tasks import Decoding, Sampling

Cli = Callable[..., Any]
SMALL = ("model.width=16", "model.hidden=24", "model.depth=1", "model.heads=2", "train.evaluations=1")
SETTINGS = (*SMALL, "task.context=16", "task.tokenizer=byte-bpe", "task.tokenizer.vocab=275")
DRAWN = ("--temperature", "1.2", "--seed", 7, "--max-length", 5, "--threads", 1)


@pytest.fixture(scope="module")
def novel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that draws bytes and words."""
    place = tmp_path_factory.mktemp("novel")
    (place / "t.txt").write_text("the cat sat\n\nund öfter 🙂\n" * 300, "utf-8")
    regard.train(
        "text-generation", place / "t.txt", place / "run", settings=SETTINGS, steps=20, quiet=True, threads=1
    )
    return place / "run"


def drawn(number: int = 0, n: int = 1) -> Decoding:
    return Decoding(n=n, max_length=5, sampling=Sampling(1.2, seed=7), number=number)


def test_one_seed_over_a_file_of_any_length_never_repeats(cli: Cli, novel: Path, tmp_path: Path) -> None:
    prompts = ["the cat"] * 1030
    (tmp_path / "same.txt").write_text("".join(f"{prompt}\n" for prompt in prompts), "utf-8")
    out = cli("predict", novel, "--file", tmp_path / "same.txt", "--json", *DRAWN).out
    texts = [json.loads(line)["predictions"][0]["text"] for line in out.splitlines()]
    for period in (512, 1, 2, 256):
        assert sum(one == other for one, other in zip(texts, texts[period:], strict=False)) < 100
    run = regard.load(novel)
    assert [said.value.plain() for _, said in run.stream(prompts, drawn())] == texts
    assert [said.value.plain() for said in run.predictions(prompts[:9], drawn())] == texts[:9]
    for number in (0, 511, 512, 1029):
        assert run.predictions(["the cat"], drawn(number))[0].value.plain() == texts[number]


def test_every_way_to_ask_gives_the_same_draw(cli: Cli, novel: Path) -> None:
    run = regard.load(novel)
    for prompt in ("the cat", "the cat\n\n", " ", "a\u2028b", "öf"):
        text = run.predictions([prompt], drawn())[0].value.plain()
        assert list(run.write(prompt, drawn()))[-1] == text
        assert cli("predict", novel, prompt, *DRAWN).out == f"{text}\n"
        several = json.loads(cli("predict", novel, prompt, "--json", "-n", 3, *DRAWN).out)["predictions"]
        assert several[0]["text"] == text
    typed = cli("predict", novel, *DRAWN, stdin=b"the cat\nthe cat\n\n", typed=True).out
    texts = [said.value.plain() for said in run.predictions(["the cat"] * 2, drawn())]
    assert typed == "".join(f"> {text}\n" for text in texts) + "> "


@pytest.mark.parametrize("temperature", ["0", "1e-300", "1e-38", "1e-6"])
def test_temperatures_down_to_zero_take_the_likeliest(cli: Cli, novel: Path, temperature: str) -> None:
    greedy = cli("predict", novel, "the cat", "a dog", "--max-length", 4, "--threads", 1)
    said = cli(
        "predict",
        novel,
        "the cat",
        "a dog",
        "--max-length",
        4,
        "--threads",
        1,
        "--temperature",
        temperature,
        "--seed",
        1,
    )
    assert (said.status, said.out) == (0, greedy.out)


def test_what_the_model_does_not_see_is_told(cli: Cli, novel: Path) -> None:
    long = "the cat sat " * 30
    said = cli("predict", novel, long, "--max-length", 2, "--threads", 1)
    assert said.status == 0
    assert "of which the model sees the last 16" in said.err
    said = cli("predict", novel, long, "the", "--json", "--max-length", 2, "--threads", 1)
    first, second = map(json.loads, said.out.splitlines())
    assert first["unseen"] > 60
    assert "unseen" not in second
    assert said.err.count("of which the model sees the last 16") == 1


def test_each_character_is_printed_once_and_nothing_is_taken_back(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a decoder takes a line end for part of what is not whole yet."""
    texts = [
        "the cat",
        "the cat\n",
        "the cat\ufffd\ufffd",
        "the cat\n\ufffd",
        "the cat\n🙂",
        "the cat\n🙂 ok\n",
    ]
    for terminal in (False, True):
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdout.isatty", lambda terminal=terminal: terminal)
            write_growing(texts)
        assert capsys.readouterr().out == "the cat\n🙂 ok\n\n"
    write_growing([])
    assert capsys.readouterr().out == "\n"


def test_what_is_written_is_printed_as_it_grows_also_to_a_pipe(
    capsys: pytest.CaptureFixture[str], novel: Path
) -> None:
    printed: list[str] = []

    def growing() -> object:
        for text in regard.load(novel).write("the cat", drawn()):
            printed.append(capsys.readouterr().out)
            yield text

    write_growing(growing())  # type: ignore[arg-type]
    printed.append(capsys.readouterr().out)
    assert "".join(printed) == regard.load(novel).predictions(["the cat"], drawn())[0].value.plain() + "\n"
    assert "\r" not in "".join(printed)
    assert sum(bool(part) for part in printed) > 1


def test_a_pair_whose_cells_hold_tabs_is_verified(cli: Cli, tmp_path: Path) -> None:
    rows = [f"cell A\tcell B {n},another {n % 7},{'yes' if n % 2 else 'no'}\n" for n in range(80)]
    (tmp_path / "p.csv").write_text("text,text2,label\n" + "".join(rows), "utf-8")
    settings = ("task.second=text2", *SMALL)
    regard.train(
        "text-classification",
        tmp_path / "p.csv",
        tmp_path / "run",
        settings=settings,
        steps=2,
        quiet=True,
        threads=1,
    )
    said = cli("verify", tmp_path / "run", "--threads", 1)
    assert (said.status, said.err) == (0, "")


# ------------------------------------------------------------------------------- how a model cuts its prompts


@pytest.mark.parametrize("form", ["txt", "jsonl"])
@pytest.mark.parametrize("kind", ["byte-bpe", "bpe", "unigram"])
def test_a_run_cuts_prompts_as_its_training_cut_documents(form: str, kind: str, tmp_path: Path) -> None:
    text, data = "one\n\ntwo\n  three\n", tmp_path / f"d.{form}"
    documents = "".join(json.dumps({"text": f"{text}{n}"}) + "\n" for n in range(200))
    data.write_text(text * 60 if form == "txt" else documents, "utf-8")
    vocab = 266 if kind == "byte-bpe" else {"txt": 18, "jsonl": 28}[form]
    settings = (*SMALL, "task.context=32", f"task.tokenizer={kind}", f"task.tokenizer.vocab={vocab}")
    regard.train("text-generation", data, tmp_path / "run", settings=settings, steps=2, quiet=True, threads=1)
    run = regard.load(tmp_path / "run")
    task, bos = run.task, run.task.tokenizer.bos  # type: ignore[attr-defined]
    ids = [token for some in task._stream(run.open(data).split("train")) for token in some]  # type: ignore[attr-defined]
    prompt = task.opening(text)[1]  # type: ignore[index]
    assert prompt[0] == bos
    found = sum(ids[place : place + len(prompt) - 1] == prompt[1:] for place in range(len(ids)))
    assert found > 40
    name = tmp_path / "run" / "tokenizer.json"
    assert json.loads(name.read_text("utf-8"))["lines"] is (form == "txt")
