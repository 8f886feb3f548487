"""Whatever the streams are and whoever wrote what is printed: no traceback, no silence, no terminal obeys.

A law for every command. `forked_streams.py` runs them.
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from streams import CONTROLS, HOSTILE, SMALL, Place, Told

import regard
from regard.cli.main import app

NAMED = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
SLOW = {
    "demo": "trains for seconds; it prints by the same functions",
    "bench": "measures for a minute",
    "doctor": "measures for seconds; a test of its own says what it holds",
    "look": "serves until it is stopped",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("hostile") / "na\x1b]0;PWNED\x07me\u202e[bold]"
    folder.mkdir()
    data = folder / "da\x1b[31mta.tsv"
    words = ("man", "dog", "cat")
    rows = [f"{words[n % 3]} {words[n % 2]}{n}\t{HOSTILE[n % 3]}\n" for n in range(120)]
    data.write_text("text\tlabel\n" + "".join(rows), "utf-8")
    made = regard.train(
        "text-classification", data, folder / "r\u202eun", settings=SMALL, steps=4, quiet=True, threads=1
    )
    return Place(made.folder, data, folder)


Program = Callable[..., Told]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("streams")
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("forked_streams.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "80", "REGARD_KERNELS": "plain"},
    )
    assert server.stdin is not None
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"

    def run(arguments: list[str], *streams: str, **asked: Any) -> Told:
        files = [os.devnull, str(folder / "out"), str(folder / "err")]
        for name in files[1:]:
            Path(name).write_bytes(b"")
        wanted = [given or file for given, file in zip([*streams, "", "", ""], files, strict=False)]
        server.stdin.write(json.dumps({"arguments": arguments, "streams": wanted, **asked}) + "\n")
        server.stdin.flush()
        status = int(server.stdout.readline())
        out, err = (Path(name).read_bytes() for name in files[1:])
        told = Told(status, out, err)
        assert b"Traceback" not in out + err, told
        assert b"Exception ignored" not in out + err, told
        assert status in (0, 1, 2, 130, 141), told
        return told

    yield run
    server.stdin.close()
    server.wait(30)
    server.stdout.close()


@pytest.fixture(scope="module")
def plain(program: Program, place: Place) -> Callable[[str], Told]:
    """What a command tells when all its streams are sound."""
    return cache(lambda name: program(place.commands()[name]))


Plain = Callable[[str], Told]
CASES = list(Place(Path("r"), Path("d"), Path("o")).commands())
FEW = ("help", "data --json", "predict", "predict one", "trace", "train", "no folder")
each_command = pytest.mark.parametrize("name", CASES)
a_few = pytest.mark.parametrize("name", FEW)


def test_every_command_is_tried() -> None:
    tried = {name.split()[0] for name in CASES}
    assert tried | SLOW.keys() >= NAMED


# -------------------------------------------------------------------------------------- what others wrote


@each_command
def test_what_others_wrote_commands_no_terminal(plain: Plain, name: str) -> None:
    """Only `predict` gives a file what the model wrote, to the character."""
    told = plain(name)
    assert not CONTROLS.search(told.err.decode("utf-8")), told.err
    out = told.out.decode("utf-8")
    if name in ("predict", "predict one", "predict -n"):
        assert any(label in out for label in HOSTILE)
    else:
        assert not CONTROLS.search(out), out


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("explain NAME",)])
def test_a_terminal_gets_nothing_of_theirs_but_letters(program: Program, place: Place, name: str) -> None:
    """But for the moving line of a training, nothing at all; that never hides the cursor."""
    master, slave = pty.openpty()
    said: list[bytes] = []
    reader = threading.Thread(target=drain, args=(master, said))
    reader.start()
    try:
        terminal = os.ttyname(slave)
        told = program(place.commands()[name], "", terminal, terminal)
    finally:
        os.close(slave)
        reader.join(30)
        os.close(master)
    text = b"".join(said).decode("utf-8").replace("\r\n", "\n")
    assert "PWNED\x07" not in text
    assert "\x1b[31mt" not in text
    assert "\u202e" not in text
    assert "\x9b" not in text
    assert "\x1b[?25l" not in text, "the cursor is hidden"
    if name not in ("train", "ablate", "ablate --json", "import"):
        assert not CONTROLS.search(text), text
    if name.startswith(("predict", "evaluate")):
        assert "\\u202e" in text or "\\x1b" in text or "[bold red]fair[/bold red] :warning:" in text
    assert told.status in (0, 2)


def drain(master: int, said: list[bytes]) -> None:
    """Read a terminal until nobody has it open."""
    while True:
        try:
            said.append(os.read(master, 1 << 16))
        except OSError:
            return


def test_markup_in_a_label_is_text_on_the_moving_line() -> None:
    from rich.console import Console

    from regard.training.terminal import TerminalBar

    bar = TerminalBar()
    try:
        with bar._console.capture() as caught:
            for text in (*HOSTILE, "[/]", "[link=http://a]b[/link]", "x" * 300):
                bar.busy(text)
                bar._progress.refresh()
                bar.say(text)
    finally:
        bar.close()
    assert isinstance(bar._console, Console)
    said = caught.get()
    assert "[bold red]fair[/bold red] :warning:\n" in said
    assert "x" * 300 in said
    assert "\x1b]0;" not in said


# ------------------------------------------------------------------------------------------ closed and full


@each_command
@pytest.mark.parametrize("what", ["closed", "/dev/full"])
def test_output_that_cannot_be_written_is_one_sentence(
    program: Program, place: Place, plain: Plain, name: str, what: str
) -> None:
    told = program(place.commands()[name], "", what)
    if plain(name).status == 0:
        assert told.status == 1
        why = "it is closed" if what == "closed" else "the disk is full"
        assert told.sentence.startswith(f"regard: cannot write standard output: {why}")
    else:
        assert told.status == 2


@each_command
def test_a_reader_who_leaves_ends_it_quietly(program: Program, place: Place, plain: Plain, name: str) -> None:
    whole = plain(name)
    told = program(place.commands()[name], "", "gone")
    assert told.status == (141 if whole.status == 0 else 2)
    if whole.status == 0:
        assert b"regard: " not in told.err


@a_few
@pytest.mark.parametrize("what", ["closed", "gone", "/dev/full"])
def test_nobody_who_hears_errors_changes_nothing(
    program: Program, place: Place, plain: Plain, name: str, what: str
) -> None:
    whole = plain(name)
    told = program(place.commands()[name], "", "", what)
    assert told.status == whole.status
    assert len(told.out.splitlines()) == len(whole.out.splitlines())


@each_command
def test_without_standard_input_what_needs_none_works(
    program: Program, place: Place, plain: Plain, name: str
) -> None:
    whole = plain(name)
    told = program(place.commands()[name], "closed")
    assert told.status == whole.status
    assert len(told.out.splitlines()) == len(whole.out.splitlines())


def test_input_that_cannot_be_read_is_one_sentence(program: Program, place: Place) -> None:
    told = program(["predict", str(place.run)], "closed")
    assert (told.status, "cannot read standard input" in told.sentence) == (2, True)
    assert program(["predict", str(place.run)]).status == 0  # of nothing, nothing


def test_with_all_streams_closed_the_status_tells(program: Program, place: Place) -> None:
    closed = ("closed", "closed", "closed")
    assert program(place.commands()["train"], *closed).status == 1
    assert program(place.commands()["no folder"], *closed).status == 2


# ------------------------------------------------------------------------------------------------ encodings


@each_command
@pytest.mark.parametrize("encoding", ["cp1252", "gbk"])
def test_an_encoding_that_lacks_characters_gets_escapes(
    program: Program, place: Place, plain: Plain, name: str, encoding: str
) -> None:
    whole = plain(name)
    told = program(place.commands()[name], encoding=encoding)
    assert told.status == whole.status
    out, want = told.out.decode(encoding), whole.out.decode("utf-8")
    assert len(out.split("\n")) == len(want.split("\n"))
    if "--json" in name:
        for line, plain in zip(out.splitlines(), want.splitlines(), strict=True):
            got, right = json.loads(line), json.loads(plain)
            for found in (got, right):
                found.pop("seconds", None)
            assert got == right
    lacks = any(lacking(character, encoding) for character in want)
    assert (b"lacks characters" in told.err) == lacks


def lacking(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return True
    return False


# ---------------------------------------------------------------------------------- names that are not UTF-8


def test_names_that_are_not_utf_8_are_names(program: Program, place: Place, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system has no such names")
    data = folder / "d.tsv"
    data.write_bytes(place.data.read_bytes())
    train = place.commands()["train"]
    train[2], train[train.index("--out") + 1] = str(data), str(folder / "run")
    assert program(train).status == 0
    run = str(folder / "run")
    for arguments in (
        ["predict", run, "man"],
        ["evaluate", run, str(data), "--limit", "3"],
        ["evaluate", run, str(data), "--limit", "3", "--json"],
        ["trace", run, "man", "--html", str(folder / "t.html"), "--json", str(folder / "t.json")],
        ["verify", run],
        ["export", run, str(folder / "p.html"), "--to", "html"],
    ):
        told = program(arguments)
        assert told.status == 0, told
        assert not CONTROLS.search(told.out.decode("utf-8").replace("\\udce9", "")) or "predict" in arguments
    told = program(["predict", str(folder / "none"), "man"])
    assert (told.status, "caf\\udce9" in told.sentence) == (2, True)
    told = program(["predict", run, os.fsdecode(b"caf\xe9"), "--json"])
    assert told.status in (0, 2)
    assert program(["predict", run, "--file", str(data)], encoding="ascii").status == 0


# ----------------------------------------------------------------------------------------------------- files


WRITERS = {
    "trace --html": (["trace", "{run}", "man", "--html", "{file}"], "</html>"),
    "trace --json": (["trace", "{run}", "man", "--json", "{file}"], "}"),
    "explain --html": (["explain", "masks", "--html", "{file}"], "</html>"),
    "figure --out": (["figure", "{run}", "man", "--of", "gradients", "--out", "{file}"], "</html>"),
    "export": (["export", "{run}", "{file}", "--to", "html"], "</html>"),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("file", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
def test_what_is_written_to_standard_output_is_all_that_is_there(
    program: Program, place: Place, tmp_path: Path, name: str, file: str
) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system has no /proc")
    if file == "link":
        (tmp_path / "link").symlink_to("/dev/stdout")
        file = str(tmp_path / "link")
    words, end = WRITERS[name]
    told = program([word.format(run=place.run, file=file) for word in words])
    assert told.status == 0, told.err
    out = told.out.decode("utf-8")
    assert out.rstrip().endswith(end), out[-99:]
    if end == "}":
        json.loads(out)
    else:
        assert out.count("<html") == 1
        assert out.lstrip().lower().startswith("<!doctype")


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("file", ["{folder}", "{folder}/a/b", "/dev/full", "/proc/nothing"])
def test_a_message_names_the_file_that_was_given(
    program: Program, place: Place, tmp_path: Path, name: str, file: str
) -> None:
    (tmp_path / "a").write_text("a file", "utf-8")
    given = file.format(folder=tmp_path)
    told = program([word.format(run=place.run, file=given) for word in WRITERS[name][0]])
    assert told.status == 1, told
    assert given in told.sentence
    assert ".writing" not in told.sentence
    assert told.out == b""


def test_a_fifo_gets_a_page(program: Program, place: Place, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    page = tmp_path / "page"
    with page.open("wb") as file, subprocess.Popen(["cat", str(fifo)], stdout=file) as reader:
        assert program(["trace", str(place.run), "man", "--html", str(fifo)]).status == 0
        assert reader.wait(timeout=30) == 0
    assert page.read_bytes().rstrip().endswith(b"</html>")
