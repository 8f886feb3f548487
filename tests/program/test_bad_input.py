"""Whatever is wrong: one sentence, exit status 2 or 1, no traceback, nothing half-written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from answers import one_sentence
from tiny import options

import regard
from regard.errors import InputError
from tests.shared import refused

Cli = Callable[..., Any]

VOCAB = ("--set", "model.source.vocab=5", "--set", "model.target.vocab=5")
"""Found out late, when the tokenizers have been trained."""


def listing(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture
def train(cli: Cli, tmp_path: Path) -> Callable[..., Any]:
    """`regard train translation DATA` into a new folder, which must not be there afterwards."""

    def attempt(data: object, *arguments: object) -> Any:
        out = tmp_path / "parent" / "run"
        answer = cli("train", "translation", data, "--out", out, *options(), *arguments)
        assert not (tmp_path / "parent").exists(), "half a run was left"
        return answer

    return attempt


# ------------------------------------------------------------------------------------- train: the data


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.tsv", None, "there is no file, folder or known data set"),
        ("empty.tsv", b"", "empty.tsv"),
        ("header.tsv", b"source\ttarget\n", "header.tsv"),
        ("one.tsv", b"source\ttarget\na\tb\nc\n", "one.tsv:3"),
        ("utf.tsv", b"source\ttarget\na\tb\n\xff\tc\n", "utf.tsv:3"),
        ("nul.tsv", b"source\ttarget\na\tb\n\0\tc\n", "nul.tsv:3"),
        ("image.png", b"\x89PNG\r\n\x1a\n\0\0\0", "image.png"),
        ("half.jsonl", b'{"source": "a", "target": "b"}\n{"source": "a"', "half.jsonl:2"),
    ],
)
def test_data_that_cannot_be_read(
    train: Callable[..., Any], tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    one_sentence(train(tmp_path / name, "--steps", 2), said)


def test_a_misspelt_built_in_set_is_suggested(train: Callable[..., Any]) -> None:
    one_sentence(train("speling", "--steps", 2), "did you mean 'spelling'?")


@pytest.mark.parametrize(
    "address", ["https://example.com/pairs.tsv", "hf:owner/name", "s3://bucket/pairs.tsv"]
)
def test_an_address_is_said_to_be_none_that_is_fetched(train: Callable[..., Any], address: str) -> None:
    one_sentence(train(address, "--steps", 2), "download it, and give the file")


def test_a_wrong_column_is_named_with_the_nearest(train: Callable[..., Any], pairs: Path) -> None:
    one_sentence(train(pairs, "--steps", 2, "--from", "sorce"), "sorce", "did you mean 'source'?")


def test_an_unreadable_file(train: Callable[..., Any]) -> None:
    one_sentence(train("/proc/self/mem", "--steps", 2))
    one_sentence(train("/dev/null/x.tsv", "--steps", 2))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--budget", "0"), "a budget of '0' leaves no time to train"),
        (("--budget", "soon"), "'soon' is not a duration; write 90s, 10m or 1h30m"),
        (("--steps", "-5"), "steps is -5; it must be more than 0"),
        (("--steps", "0"), "steps is 0"),
        (("--steps", "many"), "--steps"),
        (("--epochs", "nan"), "epochs"),
        (("--seed", "-1"), "seed is -1"),
        (("--snapshots", "-1"), "snapshots is -1"),
        (("--bugdet", "5m"), "No such option: --bugdet (Possible options: --budget"),
        (("--set", "train.lr=fast"), "train.optimizer.lr"),
        (
            ("--set", "train.optimizer.lrr=1"),
            "train.optimizer.lrr is not a known key; did you mean 'train.optimizer.lr'?",
        ),
        (("--set", "task.tokenizer=bpee"), "did you mean 'bpe'?"),
        (("--set", "model.encoder.attention.heads=7"), "7"),
        (("--set", "model.encoder.width=64"), "64"),
        (("--set", "model.source.vocab=5"), "model"),
        (VOCAB, "model.source.vocab: is 5, but the tokenizer has"),
        (("--set", "model.kind=transformer"), "model"),
        (("--set", 'task.tokenizer={"kind":"bpe","vocab":30000}'), "30000"),
        (("--set", "task.source_vectors=no/such.vec"), "no/such.vec"),
        (("--preset", "smal"), "did you mean 'small'?"),
        (("--config", "/no/such.json"), "cannot read /no/such.json"),
        (("--set", "model.width=0"), "model: encoder.width is 0; it must be from 1"),
        (("--set", "model.heads=0"), "heads is 0; it must be from 1"),
        (("--set", f"model.width={10**9}"), "width is 1000000000; it must be from 1"),
        (("--set", f"model.depth={10**9}"), "depth is 1000000000; it must be from 0 to 1,024"),
        (("--set", "model.width=1048576", "--set", "model.hidden=16777216"), "of memory; choose a smaller"),
        (("--set", "model.dropout=1e308"), "dropout is 1e+308; it must be from 0"),
        (("--set", "train.optimizer.lr=1e308"), "lr is 1e+308; it must be more than 0 and at most"),
        (("--seed", "9" * 30), "seed is"),
        (("--threads", str(10**9)), "threads is 1000000000; it must be from 1 to 1,024"),
        (("--threads", "0"), "--threads"),
        (("--device", "gpu"), "device 'gpu' cannot be used here; this machine has cpu"),
        (("--threads", "99999"), "threads is 99999; it must be from 1 to"),
        (("--steps", str(1 << 80)), "it must be more than 0 and at most 9,007,199,254,740,992"),
        (("--set", "model.dropout=1.5"), "dropout is 1.5; it must be from 0"),
        (("--set", "model.decoder.feedforward.dropout=-0.1"), "dropout is -0.1; it must be from 0"),
        (("--set", "model.encoder.norm.eps=-1"), "eps is -1.0; it must be from 0"),
        (("--set", "model.encoder.position.base=0"), "base is 0.0; it must be from 1"),
        (("--set", "model.encoder.depth=-1"), "depth is -1; it must be from 0"),
        (("--device", "meta"), "device 'meta' cannot be used here"),
        (("--device", "cuda:9"), "device 'cuda:9' cannot be used here"),
        (("--on-error", "maybe"), "--on-error"),
        (("--resume",), "holds no training to resume; leave out --resume to start anew"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wishes_that_cannot_be_granted(
    train: Callable[..., Any], pairs: Path, arguments: tuple[str, ...], said: str
) -> None:
    more = () if {"--budget", "--steps", "--epochs"} & {*arguments} else ("--steps", 2)
    one_sentence(train(pairs, *more, *arguments), said)


def test_another_task_is_suggested(cli: Cli, tmp_path: Path, pairs: Path) -> None:
    answer = cli("train", "translaton", pairs, "--out", tmp_path / "run")
    one_sentence(answer, "'translaton'", "did you mean 'translation'?")


# ------------------------------------------------------------------------------------- train: the folder


def test_a_folder_in_use_is_left_alone(cli: Cli, run: Path, pairs: Path, tmp_path: Path) -> None:
    before = listing(run)
    answer = cli("train", "translation", pairs, "--out", run, *options())
    one_sentence(
        answer, "exists already; give --resume to go on, --overwrite to start anew, or another --out"
    )
    (tmp_path / "letter.txt").write_text("dear")
    for more in ((), ("--overwrite",)):
        answer = cli("train", "translation", pairs, "--out", tmp_path, *options(), *more)
        one_sentence(answer, "exists already; give another --out")
    one_sentence(
        cli("train", "translation", pairs, "--out", run, "--resume", "--overwrite"), "give one of them"
    )
    assert listing(run) == before
    assert (tmp_path / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize(
    "name", ["FILE", "FILE/run", "/proc/regard", "/dev/null/run", "/dev/null", "x" * 300]
)
def test_a_place_that_cannot_be_written(cli: Cli, pairs: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("mine")
    out = tmp_path / name.replace("FILE", "file")
    answer = cli("train", "translation", pairs, "--out", out, "--steps", 2, *options())
    one_sentence(answer, str(out), status=answer.status)
    assert answer.status in (1, 2)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_failed_new_run_keeps_the_bundle_that_it_would_have_replaced(
    cli: Cli, run: Path, pairs: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(run, tmp_path / "run")
    before = listing(out)
    answer = cli("train", "translation", pairs, "--out", out, "--overwrite", *options(), "--steps", 2, *VOCAB)
    one_sentence(answer, "model.source.vocab")
    assert listing(out) == before


# ------------------------------------------------------------------------------- predict and evaluate


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--beam", "0", "abc"), "--beam"),
        (("-n", "5", "--beam", "2", "abc"), "n is 5; it must be from 1 to the beam, which is 2"),
        (("-n", "0", "abc"), "-n"),
        (("--beam", str(10**9), "abc"), "beam is 1000000000; it must be from 1 to 1,000"),
        (("-n", "9" * 30, "abc"), "n is 999999999999999999999999999999; it must be from 1 to 1,000"),
        (("--max-length", "9" * 30, "abc"), "max_length is"),
        (("--alpha", "nan", "abc"), "alpha"),
        (("--alpha", "1e308", "abc"), "alpha is 1e+308; it must be from -10 to 10"),
        (("--threads", "9" * 30, "abc"), "it must be from 1 to 1,024"),
        (("--dtype", "float8", "abc"), "float32"),
        (("--threads", "-1", "abc"), "--threads"),
        (("--file", "/no/such.txt"), "cannot read /no/such.txt"),
        (("--file", "/"), "cannot read /"),
        (("--jsn", "abc"), "No such option: --jsn"),
        (("abc" * 100,), "has 300 tokens, this model takes 256"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, tuple) else "",
)
def test_predictions_that_cannot_be_made(cli: Cli, run: Path, arguments: tuple[str, ...], said: str) -> None:
    answer = cli("predict", run, *arguments)
    one_sentence(answer, said)
    assert answer.out == ""


@pytest.mark.parametrize(
    ("stdin", "said"),
    [
        (b"abc\n\xff\xfe\n", "standard input:2"),
        (b"a\0b\n", "standard input:1"),
        (b"abc\n" + b"a" * 500_000, "standard input:2"),
        ("é".encode("utf-16"), "standard input:1"),
    ],
)
def test_standard_input_that_is_no_text(cli: Cli, run: Path, stdin: bytes, said: str) -> None:
    one_sentence(cli("predict", run, stdin=stdin), said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("/no/such.tsv",), "there is no file, folder or known data set"),
        (("--split", "tset"), "only train, valid, test; did you mean 'test'?"),
        (("--tokenize", "13"), "did you mean '13a'?"),
        (("--tokenize", "ja-mecab"), "cannot be used here"),
        (("--limit", "0"), "--limit"),
        (("--limit", "9" * 30), "limit is"),
        (("--show", "-1"), "--show"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_evaluations_that_cannot_be_made(cli: Cli, run: Path, arguments: tuple[str, ...], said: str) -> None:
    one_sentence(cli("evaluate", run, *arguments), said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("data", "speling"), "did you mean 'spelling'?"),
        (("reproduce", "multi30k-ende"), "did you mean 'multi30k-en-de'?"),
        (("demo", "--budget", "0"), "leaves no time to train"),
        (("demo", "--out", "/dev/null/x", "--budget", "5s"), "/dev/null/x"),
        (("trian",), "No such command 'trian'"),
        (("train",), "Missing argument 'TASK'"),
        (("train", "translation"), "Missing argument 'DATA'"),
        (("train", "translation", "dates"), "Missing option '--out'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_other_commands(cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    answer = cli(*arguments)
    one_sentence(answer, said, status=answer.status)
    assert answer.status in (1, 2)


def test_from_python_the_same_errors(run: Path) -> None:
    loaded = regard.load(run)
    with refused(InputError, key="beam", value=0, limit="from 1 to 1,000"):
        loaded.predict(["abc"], beam=0)
    with refused(InputError, key="inputs"):
        loaded.predict("abc")
    with refused(InputError, key="max_length", value=0, limit="from 1 to 10,000,000"):
        loaded.predict(["abc"], max_length=0)
    with refused(InputError, value="float8", limit="float32, bfloat16, float16"):
        regard.load(run, dtype="float8")


# ------------------------------------------------------------------- options that would be ignored


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("predict", "RUN", "abc", "--file", "FILE"), "give one of them"),
        (("predict", "RUN", "--among", "FILE", "--words"), "give one of them"),
        (("predict", "RUN", "abc", "--chat"), "leave out inputs"),
        (("predict", "RUN", "--file", "FILE", "--chat"), "leave out --file"),
        (("predict", "RUN", "--chat", "--json"), "leave out --json"),
        (("explain", "--html", "FILE"), "attention-by-hand"),
        (("explain", "--text", "abc"), "attention-by-hand"),
        (("figure", "RUN", "abc"), "--of"),
        (("figure", "RUN", "--out", "FILE"), "--of"),
        (("figure", "RUN", "abc", "--of", "lens", "--other", "abd"), "--other is for --of patching"),
        (("figure", "RUN", "abc", "--of", "lens", "--number", "0"), "leave it out of lens"),
        (("figure", "RUN", "abc", "--of", "lens", "--part", "x"), "--part is for --of playback"),
        (("figure", "RUN", "abc", "--of", "sum", "--head", "0"), "--head is for --of playback"),
        (("figure", "RUN", "abc", "--of", "lens", "--out", "lens.gif"), "give .html, .png, .svg or .pdf"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_option_that_would_be_ignored_is_refused(
    cli: Cli, run: Path, pairs: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    given = {"RUN": run, "FILE": pairs}
    before = pairs.read_bytes()
    answer = cli(*(given.get(argument, argument) for argument in arguments))
    one_sentence(answer, said)
    assert answer.out == ""
    assert pairs.read_bytes() == before
