"""Every command as a user runs it: its help, its answers, and that Python gives the same ones."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tiny import options

import regard
from regard.cli.main import app
from regard.data.builtin import BUILTIN
from regard.data.named import NAMED
from regard.interop.public import CHECKPOINTS, imported, local_folder
from regard.recipes.reference import PAGE, configuration_page
from regard.recipes.table import RECIPES
from regard.tasks import TASKS, Decoding
from regard.training.resolve import Asked, resolve
from regard.training.start import Start

REPOSITORY = Path(__file__).resolve().parents[2]
COMMANDS = [
    command.name or str(command.callback.__name__) for command in app.registered_commands if command.callback
]
WORDS = ["abc", "", "fedcba", "b", "faced", "  ", "bad", "zzz"]

Cli = Callable[..., Any]


# ----------------------------------------------------------------------------------------------- help


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_with_an_example(cli: Cli, command: str) -> None:
    answer = cli(command, "--help")
    assert answer.status == 0
    assert answer.err == ""
    text = " ".join(answer.out.split())
    assert f"Usage: regard {command}" in text
    assert re.search(rf"Examples?: regard {command}", text), "no example"


@pytest.mark.parametrize("arguments", [["--help"], []])
def test_the_program_lists_its_commands(cli: Cli, arguments: list[str]) -> None:
    answer = cli(*arguments)
    assert answer.status == 0
    for command in COMMANDS:
        assert re.search(rf"^ +{command} +\S", answer.out, re.MULTILINE)


def test_help_loads_no_torch() -> None:
    commands = [[], *([command] for command in COMMANDS)]
    program = f"""
import sys
from regard.cli.main import app
for command in {commands!r}:
    app([*command, "--help"], standalone_mode=False)
heavy = {{"torch", "numpy", "pyarrow", "tokenizers", "sacrebleu", "plotly"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_the_help_of_train_names_every_task(cli: Cli) -> None:
    text = " ".join(cli("train", "--help").out.split())
    assert [task for task in TASKS if task not in text] == []


def test_examples_of_the_help_name_options_that_exist(cli: Cli) -> None:
    for command in COMMANDS:
        text = cli(command, "--help").out
        examples = text[text.rindex("Example") :]
        heads = re.findall(r"^ +(?:-\w, )?(--[a-z-]+)(?: / (--[a-z-]+))?", text, re.MULTILINE)
        assert set(re.findall(r"--[a-z-]+", examples)) <= {name for head in heads for name in head}


# ---------------------------------------------------------------------------- train, evaluate, predict


def test_from_a_file_to_answers(cli: Cli, pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs" / "my first"
    trained = cli("train", "translation", pairs, "--out", out, "--steps", 4, *options())
    assert trained.status == 0
    typed = f"'{out}'"  # as a shell takes it
    assert trained.out == f"next: regard predict {typed}, or: regard evaluate {typed} {pairs}\n"
    for said in ("training examples (source → target)", "rows read 600, kept 600", "parameters", "saved in"):
        assert said in trained.err
    evaluated = cli("evaluate", out, pairs, "--split", "valid", "--limit", 5, "--threads", 1)
    assert evaluated.status == 0
    assert "valid: 5 examples" in evaluated.out
    assert "BLEU nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:" in evaluated.out
    predicted = cli("predict", out, "abc", "--threads", 1)
    assert predicted.status == 0
    assert predicted.out.count("\n") == 1
    few = pairs.read_text("utf-8").splitlines()[:4]  # the first names the columns
    other, moved = tmp_path / "other.tsv", tmp_path / "moved" / pairs.name
    moved.parent.mkdir()
    for copy in (other, moved):
        copy.write_text("\n".join(few) + "\n", "utf-8")
    assert "all: 3 examples" in cli("evaluate", out, other, "--threads", 1).out  # it has learned from none
    refused = cli("evaluate", out, moved, "--threads", 1)  # what it has learned from may be in there
    assert refused.status == 2
    assert f"the split 'test' of {moved} is empty; give more rows, or --split train" in refused.err


def test_one_answer_a_line_in_order_from_anywhere_as_from_python(cli: Cli, run: Path, tmp_path: Path) -> None:
    answers = [answer.plain() for answer in regard.load(run).predict(WORDS)]
    expected = "".join(answer + "\n" for answer in answers)
    assert len({answer for answer in answers if answer}) >= 4, "the model has learned to tell words apart"
    file = tmp_path / "in.txt"
    file.write_text("\n".join(WORDS), "utf-8")
    assert cli("predict", run, *WORDS).out == expected
    assert cli("predict", run, "--file", file).out == expected
    assert cli("predict", run, stdin="".join(f"{word}\n" for word in WORDS).encode()).out == expected
    assert cli("predict", run, stdin="\r\n".join(WORDS).encode("utf-8-sig")).out == expected


def test_an_empty_line_gives_an_empty_line_and_no_input_none(cli: Cli, run: Path) -> None:
    assert cli("predict", run, stdin=b"\n\nabc\n").out.splitlines()[:2] == ["", ""]
    assert cli("predict", run, stdin=b"").out == ""
    assert cli("predict", run, stdin=b"").status == 0


def test_json_says_input_text_and_score(cli: Cli, run: Path) -> None:
    lines = cli("predict", run, "--json", *WORDS).out.splitlines()
    answers = [answer.plain() for answer in regard.load(run).predict(WORDS)]
    assert [json.loads(line) for line in lines] == [
        {"input": word, "predictions": [{"text": answer, "score": None}]}
        for word, answer in zip(WORDS, answers, strict=True)
    ]
    line = json.loads(cli("predict", run, "--json", "-n", 3, "abc").out)
    best = regard.load(run).predictions(["abc"], Decoding(beam=3, n=3))[0]
    assert [(found["text"], found["score"]) for found in line["predictions"]] == [
        (value.plain(), pytest.approx(score)) for value, score in best.ranked
    ]
    scores = [found["score"] for found in line["predictions"]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 3


def test_the_n_best_are_shown_with_their_scores(cli: Cli, run: Path) -> None:
    best = cli("predict", run, "-n", 2, "--beam", 4, "abc").out.splitlines()
    assert len(best) == 2
    assert all(re.fullmatch(r"-\d+\.\d{3}\t.*", line) for line in best)


def test_talking_to_it_ends_with_an_empty_line_or_ctrl_d(cli: Cli, run: Path) -> None:
    answer = regard.load(run).predict(["abc"])[0].plain()
    for keys in (b"abc\n\nfed\n", b"abc\n"):
        said = cli("predict", run, stdin=keys, typed=True)
        assert said.status == 0
        assert f"> {answer}\n" in said.out
    said = cli("predict", run, "-n", 2, stdin=b"abc" * 100 + b"\nabc\n\n", typed=True)
    assert "has 300 tokens, this model takes 256" in said.err
    assert len(said.out.splitlines()) >= 2, "what cannot be taken does not end the conversation"


def test_evaluation_as_json(cli: Cli, run: Path, pairs: Path) -> None:
    answer = cli("evaluate", run, "--json", "--beam", 2, "--tokenize", "char")
    assert answer.status == 0
    found = json.loads(answer.out)
    assert set(found) == {"data", "split", "metrics", "baselines", "seconds"}
    assert set(found["metrics"]) == {
        *("bleu", "bleu_signature", "chrf", "chrf_signature"),
        *("exact", "token_error_rate", "token_accuracy", "count"),
    }
    assert Path(found["data"]).name == pairs.name  # of whichever process trained it
    assert (found["split"], found["baselines"]) == ("test", {})
    assert "tok:char" in found["metrics"]["bleu_signature"]
    result = regard.load(run).evaluate(decoding=Decoding(beam=2), tokenize="char")
    assert result.metrics == found["metrics"]


# --------------------------------------------------------------------------------------- verify, lists


def test_verify_proves_the_laws_on_this_model(cli: Cli, run: Path) -> None:
    answer = cli("verify", run)
    assert answer.status == 0
    lines = answer.out.splitlines()
    assert len(lines) >= 5
    assert all(line.startswith("holds ") for line in lines)
    for line in cli("verify", run, "--json", "abc", "fedcab").out.splitlines():
        found = json.loads(line)
        assert set(found) == {"law", "difference", "holds"}
        assert found["holds"] is True


def test_data_lists_every_set_with_its_licence_and_place(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = cli("data").out
    for name, entry in {**BUILTIN, **NAMED}.items():
        assert re.search(rf"^{name} ", text, re.MULTILINE)
        assert entry.licence in text
    assert len(cli("data", "dates").out.splitlines()) >= 10
    common = {"name", "title", "size", "licence", "source", "place"}
    for line in cli("data", "--json").out.splitlines():
        found = json.loads(line)
        assert set(found) == (common if found["name"] in CHECKPOINTS else common | {"columns", "split"})
    for name, checkpoint in CHECKPOINTS.items():
        assert f"licence: {checkpoint.licence}" in cli("data", name).out
        assert f"regard import {name} RUN" in text
    monkeypatch.setenv("REGARD_DATA", str(tmp_path))
    monkeypatch.setenv("REGARD_CACHE", str(tmp_path / "cache"))
    assert "needs $REGARD_DATA" in cli("data", "tatoeba-en-zh").out
    assert "is downloaded when first used" in cli("data", "sst2").out
    (tmp_path / "tatoeba-en-zh").mkdir()
    for split in ("train", "valid", "test"):
        (tmp_path / "tatoeba-en-zh" / f"{split}.tsv").write_text("en\tzh\nhello\t你好\n", "utf-8")
    assert cli("data", "tatoeba-en-zh").out.splitlines()[-1].strip() == "hello  →  你好"


def test_it_says_its_version(cli: Cli) -> None:
    answer = cli("--version")
    assert (answer.status, answer.out) == (0, f"regard {regard.__version__}\n")


def test_reproduce_lists_every_recipe(cli: Cli) -> None:
    answer = cli("reproduce")
    assert answer.status == 0
    for name, recipe in RECIPES.items():
        assert re.search(rf"^{name} +{re.escape(recipe.title)}", answer.out, re.MULTILINE)
    assert "from minilm (Apache-2.0)" in answer.out


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Start]:
    """A public checkpoint that recipes start from, if it can be had without a download."""

    @cache
    def opened(name: str) -> Start:
        if local_folder(CHECKPOINTS[name]) is None:
            pytest.skip("needs tests/interop/weights.txt")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("REGARD_CACHE", str(tmp_path_factory.mktemp("cache")))
            return Start.open(imported(CHECKPOINTS[name]))

    return opened


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_can_be_resolved(name: str, body: Callable[[str], Start]) -> None:
    recipe = RECIPES[name]
    start = None if recipe.init is None else body(recipe.init)
    init = None if start is None else str(start.folder)
    asked = Asked(recipe.task, recipe.data, recipe.preset, settings=recipe.settings, budget=60.0, init=init)
    config = resolve(asked, start)
    assert config.train.budget == 60


# ------------------------------------------------------------------------------------- text generation


def test_from_a_text_to_more_of_it(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("the cat sat on the mat\nund öfter\n" * 300, "utf-8")
    out = tmp_path / "run"
    words = ("--set", "task.context=32", "--set", "model.width=32", "--set", "model.depth=1", "--threads", 1)
    said = cli("train", "text-generation", tmp_path / "t.txt", "--out", out, "--steps", 150, *words)
    assert said.status == 0, said.err
    said = cli("evaluate", out)
    assert re.search(r"nats per token +perplexity +bits per byte\n  this model +\d", said.out), said.out
    options = ("--temperature", "0.5", "--seed", 1, "--max-length", 20)
    one = cli("predict", out, "the cat", *options)
    assert one.status == 0
    assert len(one.out) > 5
    assert one.out == cli("predict", out, "the cat", *options).out
    some = cli("predict", out, "the cat", "--json", "-n", 3, *options)
    found = json.loads(some.out)["predictions"]
    assert len(found) == 3
    assert all(sample["score"] < 0 for sample in found)
    assert cli("verify", out).status == 0
    refused = cli("predict", out, "the", "--top-p", "1.5")
    assert (refused.status, refused.err) == (
        2,
        "regard: top_p is 1.5; it must be more than 0 and at most 1\n",
    )
    assert cli("evaluate", out, "--tokenize", "zh").status == 2
    assert "has no use for --beam" in cli("predict", out, "a", "b", "--beam", 2).err


# ----------------------------------------------------------------------------------------------- demo


def test_the_demo_trains_scores_and_shows(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "spelling"
    answer = cli("demo", "--budget", "3s", "--out", out, "--words", "cat thorough", "--threads", 1)
    assert answer.status == 0
    for said in ("held out", "this model", "exactly right", "cat  →  ", "thorough  →  ", "What to try next"):
        assert said in answer.out
    page = (out / "alignment.html").read_text("utf-8")
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=.https?:", page), "it must work offline"
    assert "Plotly.newPlot" in page


# ------------------------------------------------------------------------------------------ reference


def test_the_page_of_all_keys_is_up_to_date() -> None:
    written = (REPOSITORY / PAGE).read_text("utf-8")
    assert written == configuration_page(), "run `make reference` and commit the page"


def test_every_key_is_explained() -> None:
    rows = [line for line in configuration_page().splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    unexplained = [row for row in rows if row.split(" | ")[-1].strip(" |") == ""]
    assert not unexplained, "\n".join(unexplained)
