"""Checkpoints by their names on the Hugging Face Hub: `hf:owner/name`, or `hf:owner/name@revision`.

The revision becomes a commit before anything is fetched, and of that commit only the files that an import
reads: never a pickle, nor another framework's weights. They are kept in the cache, by commit; what breaks off
goes on where it stopped, and each file is what the Hub says it is (SHA-256 of large ones, git's name of the
others) before it is believed. `HF_ENDPOINT` and the login are huggingface_hub's. This file does not know what
is in the files, but for which shards the weights' index names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError as FetchError

from regard.data.remote import Progress, RemoteFile, cache_folder, fetch
from regard.errors import CheckpointError, DownloadError, InputError, needs, why
from regard.interop.checkpoint import CONFIG, INDEX, PICKLES, WEIGHTS, no_weights
from regard.strict_json import HEADER, read_object

PREFIX = "hf:"
_NAME = re.compile(r"hf:(\w[\w.-]*(?:/\w[\w.-]*)?)(?:@(\w[\w./-]*))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHARD = re.compile(r"[\w-][\w.-]*\.safetensors")
_READ = re.compile(
    r"(?:config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab"
    r"|preprocessor_config|processor_config|modules|sentence_\w+_config|config_sentence_transformers)\.json"
    r"|\d+_\w+/config\.json|(?:vocab|merges|bpe\.codes)\.txt|\w[\w.-]*\.(?:model|spm)|chat_template\.jinja"
)
"""What an import reads beside the weights: configurations, tokenizers, the steps of sentence encoders."""
_MODULE_WEIGHTS = re.compile(r"\d+_\w+/model\.safetensors")
_MOST = 1 << 40
"""Bytes of a file of which the Hub does not say the size."""


@dataclass(frozen=True)
class HubCheckpoint:
    """Where the files are, and what they are."""

    folder: Path
    source: str
    """`hf:owner/name@commit`"""


def is_hub_name(text: str) -> bool:
    """Whether it asks for the Hub."""
    return text.startswith(PREFIX)


def fetched(name: str, progress: Progress | None = None) -> HubCheckpoint:
    """The files of the checkpoint `name`, after a download if need be.

    Raises:
        InputError: it is no such name. DependencyError: huggingface_hub is not installed.
        DownloadError: there is no such model or revision, it is not for this user, or the transfer failed.
        CheckpointError: its weights are not in safetensors.
        StorageError: it cannot be stored.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        sentence = "'{value}' names no model of the Hub; write hf:owner/name or hf:owner/name@revision"
        raise InputError(sentence, name)
    with needs("names of the Hub need the package huggingface_hub", "hub"):
        import huggingface_hub
    home = os.environ.get("HF_ENDPOINT", "").rstrip("/") or None
    with _sentences(name, found[2]):
        api = huggingface_hub.HfApi(endpoint=home)
        about = api.model_info(found[1], revision=found[2], files_metadata=True)
    commit = about.sha or ""
    if not _COMMIT.fullmatch(commit):
        raise DownloadError("{where}: the server does not say which commit that is; try again later", name)
    token = huggingface_hub.get_token() or ""
    files: dict[str, RemoteFile] = {}
    for one in about.siblings or ():
        url = huggingface_hub.hf_hub_url(about.id, one.rfilename, revision=commit, endpoint=home)
        files[one.rfilename] = _promised(one, url, token)
    place = cache_folder() / "hub" / about.id / commit
    _fetch_all(name, files, place, progress)
    return HubCheckpoint(place, f"{PREFIX}{about.id}@{commit}")


def _promised(one: Any, url: str, token: str) -> RemoteFile:
    """A file as the Hub describes it. For a large one `blob_id` is of the note that stands for it in git."""
    sha256 = one.lfs.sha256 if one.lfs else ""
    size = one.size if one.size is not None else _MOST
    return RemoteFile(url, sha256, limit=size, git_blob="" if sha256 else one.blob_id or "", token=token)


def _fetch_all(name: str, files: dict[str, RemoteFile], place: Path, progress: Progress | None) -> None:
    """What an import reads of them, the large ones last."""

    def bring(path: str) -> Path:
        if path not in files:
            raise CheckpointError("{where} has no {key}, and cannot be imported without", name, path)
        if not (files[path].sha256 or files[path].git_blob):
            sentence = "{where}: the server does not say what {key} must be; try again later"
            raise DownloadError(sentence, name, path)
        with _fetching(name, path):
            return fetch(files[path], place / path, progress)

    if WEIGHTS not in files and INDEX not in files:
        pickles = (path for path in files if path.endswith((*PICKLES, ".ot")))
        raise no_weights(name, pickles, "take a revision or a copy of it with safetensors")
    bring(CONFIG)
    for path in files:
        if _READ.fullmatch(path) or (_MODULE_WEIGHTS.fullmatch(path) and "modules.json" in files):
            bring(path)
    if WEIGHTS in files:
        bring(WEIGHTS)
        return
    shards = read_object(bring(INDEX), CheckpointError, limit=HEADER).get("weight_map")
    for shard in sorted({str(value) for value in shards.values()} if isinstance(shards, dict) else ()):
        if not _SHARD.fullmatch(shard):
            sentence = "{where}: {key} names the file '{value}'; it must be a .safetensors file"
            raise CheckpointError(sentence, name, INDEX, shard)
        bring(shard)


@contextmanager
def _sentences(name: str, revision: str | None) -> Iterator[None]:
    """What huggingface_hub raises when it is asked about a model."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise _gated(name) from error
    except errors.RevisionNotFoundError as error:
        sentence = "{where}: there is no revision '{value}'; leave it out for the newest"
        raise DownloadError(sentence, name, revision) from error
    except errors.RepositoryNotFoundError as error:
        sentence = (
            "there is no model {where} on the Hub, or it is private; if it is yours, log in with `hf auth"
            " login`"
        )
        raise DownloadError(sentence, name) from error
    except errors.HfHubHTTPError as error:
        code = getattr(error.response, "status_code", None)
        if code in (401, 403):
            raise _gated(name) from error
        sentence = "cannot ask for {where}: the server answers {value}; try again later"
        raise DownloadError(sentence, name, code) from error
    except (errors.HTTPError, OSError, ValueError) as error:  # whichever library does its talking
        sentence = "cannot ask for {where}: {value}; try again when the Hub can be reached"
        raise DownloadError(sentence, name, why(error)) from error


@contextmanager
def _fetching(name: str, path: str) -> Iterator[None]:
    try:
        yield
    except DownloadError as error:
        cause = error.__cause__
        if isinstance(cause, FetchError):
            if cause.code in (401, 403):
                raise _gated(name) from error
            sentence = "{where}: the server answers {value} to {key}; try again later"
            raise DownloadError(sentence, name, cause.code, path) from error
        if cause is not None:
            sentence = (
                "{where}: the transfer of {key} broke off ({value}); try again, and it goes on from there"
            )
            raise DownloadError(sentence, name, path, cause) from error
        raise


def _gated(name: str) -> DownloadError:
    remedy = "ask there for access, then log in with `hf auth login` or set HF_TOKEN"
    return DownloadError("{where} is only for those whom its owners let in", name, remedy=remedy)
