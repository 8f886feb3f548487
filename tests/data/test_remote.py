"""Laws of downloads, against a real HTTP server on the loopback: whole and verified, or not there at all."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from regard.data import named
from regard.data.named import NAMED, NamedSet
from regard.data.readers import open_data
from regard.data.remote import RemoteFile, cache_folder, fetch
from regard.errors import DataError, DownloadError, InputError, StorageError
from tests.shared import refused

BODY = bytes(range(256)) * 1000


@dataclass
class Home:
    """A server with files, and with the faults that the test asks for."""

    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    tells_length: bool = True
    cut_after: list[int] = field(default_factory=list)
    """Of each coming answer, the bytes after which the connection is closed."""
    status: list[int] = field(default_factory=list)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path, wanted = unquote(request.path), request.headers.get("Range")
        self.asked.append((path, wanted))
        body = self.files.get(path)
        code = self.status.pop(0) if self.status else 200 if body is not None else 404
        if code != 200 or body is None:
            request.send_error(code)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.ranges else 0
        if start and start >= len(body):
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if self.tells_length:
            request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        cut = self.cut_after.pop(0) if self.cut_after else len(body)
        request.wfile.write(body[start : start + cut])


@pytest.fixture
def home() -> Iterator[Home]:
    state = Home()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("REGARD_DATA", "REGARD_MIRROR", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REGARD_CACHE", str(tmp_path / "cache"))


def promised(home: Home, content: bytes = BODY, *, name: str = "/a.bin", **options: object) -> RemoteFile:
    home.files.setdefault(name, content)
    return RemoteFile(home.url + name, hashlib.sha256(content).hexdigest(), **options)  # type: ignore[arg-type]


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file()) if folder.exists() else []


def test_a_file_arrives_whole_and_progress_is_told(home: Home, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    target = fetch(promised(home), tmp_path / "deep" / "a.bin", lambda *numbers: told.append(numbers))
    assert target.read_bytes() == BODY
    assert told[-1] == (len(BODY), len(BODY))
    assert told == sorted(told)
    assert leftovers(tmp_path) == ["a.bin"]


def test_what_is_there_is_not_fetched_again(home: Home, tmp_path: Path) -> None:
    for _ in range(2):
        fetch(promised(home), tmp_path / "a.bin")
    assert len(home.asked) == 1


def test_a_transfer_that_breaks_off_goes_on_from_there(home: Home, tmp_path: Path) -> None:
    home.cut_after = [100_000, 50_000]
    assert fetch(promised(home), tmp_path / "a.bin").read_bytes() == BODY
    assert [wanted for _, wanted in home.asked] == [None, "bytes=100000-", "bytes=150000-"]


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(home: Home, tmp_path: Path) -> None:
    home.cut_after = [10_000] * 4
    with refused(DownloadError, value="the transfer broke off after 40,000 of 256,000 bytes"):
        fetch(promised(home), tmp_path / "a.bin")
    assert leftovers(tmp_path) == ["a.bin.part"]
    assert fetch(promised(home), tmp_path / "a.bin").read_bytes() == BODY
    assert home.asked[-1] == ("/a.bin", "bytes=40000-")


def test_a_server_without_ranges_sends_all_of_it_again(home: Home, tmp_path: Path) -> None:
    home.ranges, home.cut_after = False, [100_000]
    assert fetch(promised(home), tmp_path / "a.bin").read_bytes() == BODY


def test_a_part_that_is_longer_than_the_file_is_thrown_away(home: Home, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(b"x" * (len(BODY) + 5))
    assert fetch(promised(home), tmp_path / "a.bin").read_bytes() == BODY


def test_a_part_that_is_whole_already_is_taken_after_all(home: Home, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(BODY)
    assert fetch(promised(home), tmp_path / "a.bin").read_bytes() == BODY


def test_a_wrong_checksum_leaves_nothing_behind(home: Home, tmp_path: Path) -> None:
    file = promised(home)
    home.files["/a.bin"] = BODY[:-1] + b"!"
    with refused(DownloadError, key="SHA-256"):
        fetch(file, tmp_path / "a.bin")
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("tells_length", [True, False])
def test_a_file_over_its_limit_is_not_stored(home: Home, tmp_path: Path, tells_length: bool) -> None:
    home.tells_length = tells_length
    with refused(DownloadError, limit=1000):
        fetch(promised(home, limit=1000), tmp_path / "a.bin")
    assert leftovers(tmp_path) == []


def test_a_zipped_file_is_stored_unzipped_and_checked_unzipped(home: Home, tmp_path: Path) -> None:
    home.files["/a.bin"] = gzip.compress(BODY)
    assert fetch(promised(home, gunzip=True), tmp_path / "a.bin").read_bytes() == BODY


@pytest.mark.parametrize(
    "sent", [gzip.compress(bytes(10_000_000)), gzip.compress(BODY)[:-9], b"no gzip at all"]
)
def test_a_zip_bomb_or_a_broken_zip_is_not_stored(home: Home, tmp_path: Path, sent: bytes) -> None:
    home.files["/a.bin"] = sent
    with pytest.raises(DownloadError, match=r"unzips to was not stored|not a whole gzip"):
        fetch(promised(home, gunzip=True, limit=1_000_000), tmp_path / "a.bin")
    assert leftovers(tmp_path) == []


def test_a_mirror_stands_before_the_whole_address(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "https://raw.githubusercontent.com/someone/something/main/a.bin"
    home.files[f"/mirror/{address}"] = BODY
    monkeypatch.setenv("REGARD_MIRROR", f"{home.url}/mirror/")
    fetch(RemoteFile(address, hashlib.sha256(BODY).hexdigest()), tmp_path / "a.bin")
    assert home.asked == [(f"/mirror/{address}", None)]
    for nonsense in ("file:///etc", "http://[broken", "no prefix", "http://a b"):
        monkeypatch.setenv("REGARD_MIRROR", nonsense)
        with refused(InputError, key="REGARD_MIRROR"):
            fetch(RemoteFile(address, ""), tmp_path / "b.bin")


def test_a_server_error_is_tried_again_and_a_missing_file_is_not(home: Home, tmp_path: Path) -> None:
    home.status = [503, 500]
    assert fetch(promised(home), tmp_path / "a.bin").read_bytes() == BODY
    home.asked.clear()
    with refused(DownloadError, value="404 Not Found"):
        fetch(RemoteFile(f"{home.url}/missing", ""), tmp_path / "b.bin")
    assert len(home.asked) == 1


def test_nobody_at_home_is_one_sentence(tmp_path: Path) -> None:
    with refused(DownloadError, value="Connection refused"):
        fetch(RemoteFile("http://127.0.0.1:9/x", ""), tmp_path / "x")


def test_a_place_that_cannot_be_written_is_a_storage_error(home: Home, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        fetch(promised(home), tmp_path / "file" / "a.bin")


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("REGARD_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "regard"


# -------------------------------------------------------------------------------------------- named sets


def small_set(home: Home) -> NamedSet:
    table = b"en\tde\na\tA\n"
    files = {f"{split}.tsv": promised(home, table, name=f"/{split}") for split in ("train", "valid", "test")}
    return NamedSet("small", "a set", "3", ("en", "de"), "none", "here", "as published", "c0ffee", files)


def test_a_named_set_is_fetched_once_and_read(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "NAMED", {"small": small_set(home)})
    for _ in range(2):
        data = open_data("small", (None, None))
        assert [row.values for row in data.split("test")] == [("a", "A")]
    assert len(home.asked) == 3
    assert leftovers(cache_folder()) == ["test.tsv", "train.tsv", "valid.tsv"]


def test_the_users_own_folder_comes_before_the_network(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named, "NAMED", {"small": small_set(home)})
    monkeypatch.setenv("REGARD_DATA", str(tmp_path))
    for split in ("train", "valid", "test"):
        (tmp_path / "small").mkdir(exist_ok=True)
        (tmp_path / "small" / f"{split}.tsv").write_text("en\tde\nmine\tMEIN\n")
    assert [row.values for row in open_data("small", (None, None)).split("test")] == [("mine", "MEIN")]
    assert home.asked == []


@pytest.mark.parametrize("name", ["tatoeba-en-zh", "qamr"])
def test_a_set_that_was_split_here_asks_for_the_folder(name: str) -> None:
    with refused(DataError, key="REGARD_DATA"):
        named.find(NAMED[name])


def test_every_address_is_a_public_one_of_a_fixed_commit() -> None:
    for entry in NAMED.values():
        for file in entry.files.values():
            assert file is None or file.url.startswith("https://")
            assert file is None or entry.commit in file.url
            assert file is None or len(file.sha256) == 64


def test_the_sums_are_those_of_the_real_files(real_data: Path) -> None:
    checked = 0
    for entry in NAMED.values():
        for name, file in entry.files.items():
            if file is not None:
                path = real_data / entry.name / name
                zipped = path.with_name(path.name + ".gz")
                content = path.read_bytes() if path.exists() else gzip.decompress(zipped.read_bytes())
                assert hashlib.sha256(content).hexdigest() == file.sha256, path
                checked += 1
    assert checked == 22


def test_a_labelled_text_is_converted_to_a_table(home: Home, tmp_path: Path) -> None:
    theirs = "1 What fowl is it ?\n0 Why Caf\xe9 ?\n".encode("latin-1")
    ours = "label\ttext\nentity\tWhat fowl is it ?\ndescription\tWhy Café ?\n".encode()
    convert = NAMED["trec"].files["test.tsv"].convert  # type: ignore[union-attr]
    home.files["/t"] = theirs
    assert fetch(promised(home, ours, name="/t", convert=convert), tmp_path / "t").read_bytes() == ours
    home.files["/u"] = b"<html>not found</html>\n"
    with refused(DownloadError, value="invalid literal for int() with base 10: '<html>not'"):
        fetch(promised(home, ours, name="/u", convert=convert), tmp_path / "u")


def test_a_wrong_part_is_not_kept_for_ever(home: Home, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(b"x" * 1000)
    with pytest.raises(DownloadError):
        fetch(promised(home), tmp_path / "a.bin")
    assert fetch(promised(home), tmp_path / "a.bin").read_bytes() == BODY
