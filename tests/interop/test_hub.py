"""Names of the Hub, against a server on the loopback that speaks its HTTP API."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import torch

from regard import bundle as bundles
from regard.cli.main import main
from regard.errors import CheckpointError, DependencyError, DownloadError, InputError, RegardError
from regard.interop import hub
from regard.interop.importing import import_checkpoint
from tests.interop.families import checkpoint
from tests.shared import refused

constants = pytest.importorskip("huggingface_hub.constants")

COMMIT, OLDER = "c0ffee" * 6 + "c0ff", "0ddba11" * 5 + "0ddba"
NAME = "hf:owner/tiny-bert"
LARGE = (".safetensors", ".bin", ".onnx")


@dataclass
class Hub:
    """One repository, and the faults that the test asks for."""

    files: dict[str, bytes] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=lambda: {"main": COMMIT, "v1": OLDER, OLDER: OLDER})
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    """By what the path begins with: the status, and the Hub's error code."""
    sent: dict[str, bytes] = field(default_factory=dict)
    """What is sent in place of a file."""
    cut_after: list[int] = field(default_factory=list)
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    """Path, range, who asks."""
    url: str = ""

    def fetched(self) -> list[str]:
        return [path.split("/", 5)[5] for path, _, _ in self.asked if "/resolve/" in path]

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(request.path).path)
        wanted, who = request.headers.get("Range"), request.headers.get("Authorization")
        self.asked.append((path, wanted, who))
        for begin, (status, code) in self.refused.items():
            if path.startswith(begin):
                return self.send(request, status, b"{}", {"X-Error-Code": code} if code else {})
        if path.startswith("/api/models/owner/tiny-bert"):
            query = parse_qs(urlsplit(request.path).query)
            assert query.get("blobs"), "sizes and sums were not asked for"
            revision = path.removeprefix("/api/models/owner/tiny-bert").removeprefix("/revision/") or "main"
            if revision not in self.revisions:
                return self.send(request, 404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            about = {
                "id": "owner/tiny-bert",
                "modelId": "owner/tiny-bert",
                "sha": self.revisions[revision],
                "siblings": [self.sibling(name, content) for name, content in self.files.items()],
            }
            return self.send(request, 200, json.dumps(about).encode())
        _, owner, repository, word, commit, name = path.split("/", 5)
        assert (owner, repository, word) == ("owner", "tiny-bert", "resolve")
        assert commit in self.revisions.values(), "files are asked for by their commit"
        body = self.sent.get(name, self.files[name])
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        headers = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"} if start else {}
        cut = self.cut_after.pop(0) if self.cut_after and name.endswith(LARGE) else len(body)
        self.send(request, 206 if start else 200, body[start:], headers, cut)
        return None

    @staticmethod
    def sibling(name: str, content: bytes) -> dict[str, Any]:
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        found: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": git}
        if name.endswith(LARGE):
            sha256 = hashlib.sha256(content).hexdigest()
            found |= {"lfs": {"sha256": sha256, "size": len(content), "pointerSize": 134}, "blobId": "0" * 40}
        return found

    @staticmethod
    def send(
        request: BaseHTTPRequestHandler,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        cut: int | None = None,
    ) -> None:
        request.send_response(status)
        for key, value in (headers or {}).items():
            request.send_header(key, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[:cut])


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, *arguments: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{listening.server_address[1]}"
        monkeypatch.setenv("HF_ENDPOINT", state.url)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        monkeypatch.setenv("REGARD_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("REGARD_MIRROR", raising=False)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield state
        listening.shutdown()
        thread.join()


@pytest.fixture
def tiny(server: Hub) -> Hub:
    """The server with what an import reads, and with what must never be fetched."""
    server.files = {
        "pytorch_model.bin": b"\x80\x04pickle",
        "config.json": b'{"model_type": "bert"}',
        "onnx/model.onnx": b"onnx",
        "model.safetensors": bytes(range(256)) * 20,
        "tokenizer.json": b'{"model": {}}',
        "tokenizer_config.json": b"{}",
        "README.md": b"# about",
        ".gitattributes": b"*",
        "training_args.bin": b"\x80",
        "tf_model.h5": b"h5",
        "trainer_state.json": b"{}",
        "eval/data.json": b"{}",
    }
    return server


@pytest.fixture
def whole(server: Hub, tmp_path: Path) -> Hub:
    """The server with a model that can be imported; it is in the folder `made`, too."""
    pytest.importorskip("transformers")
    folder = tmp_path / "made"
    checkpoint("bert body", folder)
    server.files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    return server


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> object:
    """The exit status of `regard`."""
    monkeypatch.setattr(sys, "argv", ["regard", *words])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code or 0


# ------------------------------------------------------------------------------------- what is fetched


def test_a_name_becomes_the_same_bundle_as_its_folder(whole: Hub, tmp_path: Path) -> None:
    made = import_checkpoint(NAME, tmp_path / "run", compare=False)
    here = import_checkpoint(tmp_path / "made", tmp_path / "here", compare=False)
    assert made.source == f"{NAME}@{COMMIT}"
    assert here.source is None
    one, other = bundles.load(tmp_path / "run"), bundles.load(tmp_path / "here")
    assert all(torch.equal(weight, other.weights[name]) for name, weight in one.weights.items())
    assert one.data["imported"] == {**other.data["imported"], "source": f"{NAME}@{COMMIT}"}  # type: ignore[dict-item]


def test_only_what_an_import_reads_is_fetched_and_never_a_pickle(tiny: Hub, tmp_path: Path) -> None:
    tiny.files |= {
        "1_Pooling/config.json": b"{}",
        "modules.json": b"[]",
        "1_Pooling/pytorch_model.bin": b"\x80",
    }
    hub.fetched(NAME)
    wanted = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "modules.json"}
    wanted |= {"1_Pooling/config.json"}
    assert set(tiny.fetched()) == wanted
    assert tiny.fetched()[-1] == "model.safetensors", "what may refuse the rest comes first"


def test_a_revision_is_pinned_to_its_commit(tiny: Hub) -> None:
    assert hub.fetched(f"{NAME}@v1").source == f"{NAME}@{OLDER}"
    assert hub.fetched(f"{NAME}@{OLDER}").source == f"{NAME}@{OLDER}"
    assert {path.split("/")[4] for path, _, _ in tiny.asked if "/resolve/" in path} == {OLDER}
    assert hub.fetched(NAME).folder != hub.fetched(f"{NAME}@v1").folder


def test_shards_are_fetched_as_the_index_names_them(tiny: Hub) -> None:
    whole = tiny.files.pop("model.safetensors")
    names = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    tiny.files |= dict.fromkeys(names, whole) | {"model-00003-of-00003.safetensors": whole}
    index = {"weight_map": {"a": names[0], "b": names[1]}}
    tiny.files["model.safetensors.index.json"] = json.dumps(index).encode()
    hub.fetched(NAME)
    assert tiny.fetched()[-2:] == names
    assert "model-00003-of-00003.safetensors" not in tiny.fetched()


@pytest.mark.parametrize("shard", ["../x.safetensors", "/etc/x.safetensors", "a/b.safetensors", "x.bin"])
def test_an_index_cannot_lead_elsewhere(tiny: Hub, shard: str) -> None:
    del tiny.files["model.safetensors"]
    tiny.files["model.safetensors.index.json"] = json.dumps({"weight_map": {"a": shard}}).encode()
    with refused(CheckpointError, key="model.safetensors.index.json", value=shard):
        hub.fetched(NAME)


def test_what_is_there_is_not_fetched_again(tiny: Hub) -> None:
    hub.fetched(NAME)
    count = len(tiny.fetched())
    hub.fetched(NAME)
    assert len(tiny.fetched()) == count


# ------------------------------------------------------------------------------------ faults on the way


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(tiny: Hub) -> None:
    tiny.cut_after = [1000, 500]
    found = hub.fetched(NAME)
    assert (found.folder / "model.safetensors").read_bytes() == tiny.files["model.safetensors"]
    ranges = [wanted for path, wanted, _ in tiny.asked if path.endswith("model.safetensors")]
    assert ranges == [None, "bytes=1000-", "bytes=1500-"]


def test_one_that_was_given_up_goes_on_in_the_next_call(tiny: Hub) -> None:
    tiny.cut_after = [1000, 0, 0, 0]
    with refused(DownloadError, where=NAME, key="model.safetensors", remedy="goes on from there"):
        hub.fetched(NAME)
    before = len(tiny.asked)
    hub.fetched(NAME)
    again = [wanted for path, wanted, _ in tiny.asked[before:] if path.endswith("model.safetensors")]
    assert again == ["bytes=1000-"]


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("change", ["other", "shorter", "longer"])
def test_what_is_not_what_the_hub_says_is_never_stored(tiny: Hub, name: str, change: str) -> None:
    content = tiny.files[name]
    other = bytes([content[0] ^ 1]) + content[1:]
    tiny.sent[name] = {"other": other, "shorter": content[:-1], "longer": content + b" "}[change]
    with pytest.raises(DownloadError, match=r"not what was promised|has over"):
        hub.fetched(NAME)
    del tiny.sent[name]
    assert (hub.fetched(NAME).folder / name).read_bytes() == content


FAULTS: dict[str, tuple[dict[str, tuple[int, str]], str]] = {
    "no model": ({"/api": (404, "RepoNotFound")}, {"remedy": "log in"}),
    "no model, not logged in": ({"/api": (401, "RepoNotFound")}, {"remedy": "log in"}),
    "gated when asked": ({"/api": (403, "GatedRepo")}, {"remedy": "HF_TOKEN"}),
    "gated": ({"/owner": (403, "GatedRepo")}, {"remedy": "HF_TOKEN"}),
    "gated, not logged in": ({"/owner": (401, "GatedRepo")}, {"remedy": "HF_TOKEN"}),
    "forbidden": ({"/api": (403, "")}, {"remedy": "HF_TOKEN"}),
    "broken": ({"/api": (500, "")}, {"value": 500}),
    "a file that is gone": ({"/owner": (404, "EntryNotFound")}, {"value": 404, "key": "config.json"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_refusal_is_one_sentence(
    tiny: Hub,
    fault: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiny.refused, parts = FAULTS[fault]
    with refused(DownloadError, where=NAME, **parts) as caught:
        import_checkpoint(NAME, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert typed(monkeypatch, "import", NAME, str(tmp_path / "run")) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_revision_that_there_is_not_is_named(tiny: Hub) -> None:
    with refused(DownloadError, where=NAME, value="v9"):
        hub.fetched(f"{NAME}@v9")


def test_a_server_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with refused(DownloadError, where=NAME) as caught:
        hub.fetched(NAME)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("removed", "pickled"), [("model.safetensors", "pytorch_model.bin"), ("config.json", None)]
)
def test_a_repository_without_what_is_needed_is_named(tiny: Hub, removed: str, pickled: str | None) -> None:
    del tiny.files[removed], tiny.files["training_args.bin"]
    with refused(CheckpointError, where=NAME, key=removed, value=pickled):
        hub.fetched(NAME)
    assert "pytorch_model.bin" not in tiny.fetched()


@pytest.mark.parametrize("name", ["hf:", "hf:a/b/c", "hf:../x", "hf:a/..", "hf:a/b@", "hf:a b/c", "hf:/b"])
def test_what_is_no_name_is_refused_before_anyone_is_asked(server: Hub, name: str) -> None:
    with refused(InputError, value=name, remedy="write hf:owner/name"):
        hub.fetched(name)
    assert server.asked == []


def test_a_missing_package_is_said_with_the_command_that_installs_it(
    server: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with refused(DependencyError, remedy="pip install 'regard[hub]'"):
        hub.fetched(NAME)


def test_who_asks_is_told_to_the_hub_alone(tiny: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.fetched(NAME)
    assert all(who == "Bearer hf_secret" for _, _, who in tiny.asked)
    tiny.asked.clear()
    monkeypatch.setenv("REGARD_MIRROR", tiny.url)
    with pytest.raises(RegardError):
        hub.fetched(f"{NAME}@v1")
    assert {who for path, _, who in tiny.asked if "/resolve/" in path} == {None}


def test_the_report_says_where_it_came_from(
    whole: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("import", NAME, str(tmp_path / "run"), "--no-compare")
    assert typed(monkeypatch, *command) == 0
    assert f"from {NAME}@{COMMIT}" in " ".join(capsys.readouterr().out.split())
    assert typed(monkeypatch, *command, "--overwrite", "--json") == 0
    assert json.loads(capsys.readouterr().out)["source"] == f"{NAME}@{COMMIT}"
