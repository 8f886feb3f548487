"""Fetching one file from its public home: verified, resumable, bounded, and in place only when it is whole.

What has arrived so far waits in `<target>.part`; a transfer that breaks off goes on from there by an HTTP
range, within the call and in the next one. The file takes its place only after its SHA-256 was found right.
This file does not know data sets. The standard library's urllib does the talking and heeds proxy variables.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from regard.errors import DownloadError, InputError, damaged, too_many_bytes, why, writing
from regard.files import atomic_file

__all__ = ["Progress", "RemoteFile", "cache_folder", "fetch"]

Progress = Callable[[int, int | None], None]
"""Called with the bytes that have arrived, and the integer if the server tells."""

MIRROR = "REGARD_MIRROR"
CACHE = "REGARD_CACHE"

_ROOM = f"free some space or set {CACHE}"
_CHUNK = 1 << 16
_TIMEOUT_SECONDS = 30.0
_ATTEMPTS = 4  # each goes on where the last one broke off
_PAUSE_SECONDS = 0.1  # before the second; twice as long before each later one


@dataclass(frozen=True)
class RemoteFile:
    """A file at its public home, and what its bytes must be once it is stored."""

    url: str
    sha256: str
    """Of the stored file: after unzipping and conversion. Empty where only `git_blob` is known."""
    limit: int = 64 << 20
    """The most bytes that are taken, both of what is sent and of what is stored."""
    gunzip: bool = False
    convert: Callable[[bytes], bytes] | None = None
    """Applied to the (unzipped) bytes before they are stored, for small files in another form."""
    git_blob: str = ""
    """What git calls the file as it is sent: the SHA-1 of its size and content."""
    token: str = field(default="", repr=False)
    """Who asks, for the home alone: neither a mirror nor whom the home sends us on to is told."""


def cache_folder() -> Path:
    """Where downloads are kept: `$REGARD_CACHE`, else `$XDG_CACHE_HOME/regard`, else `~/.cache/regard`."""
    if own := os.environ.get(CACHE):
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "regard"


def fetch(file: RemoteFile, target: Path, progress: Progress | None = None) -> Path:
    """Bring `file` to `target`, unless it is there already, and return `target`.

    With the environment variable REGARD_MIRROR set, its value is put before the whole URL, as public
    mirrors want it: `https://mirror.example/https://raw.githubusercontent.com/…`.

    Raises:
        DownloadError: it cannot be fetched, is larger than it may be, or is not what was promised.
        StorageError: it cannot be stored.
    """
    if target.exists():
        return target
    url = _mirrored(file.url)
    part = target.with_name(target.name + ".part")
    with writing(part, _ROOM):
        part.parent.mkdir(parents=True, exist_ok=True)
    _receive(url, part, file.limit, progress, file.token if url == file.url else "")
    _put_in_place(file, url, part, target)
    return target


def _mirrored(url: str) -> str:
    mirror = os.environ.get(MIRROR)
    if mirror:
        url = f"{mirror.rstrip('/')}/{url}"
    try:
        understood = urlsplit(url).scheme in ("http", "https")
    except ValueError:  # a broken IPv6 address
        understood = False
    if not understood or any(character.isspace() for character in url):
        sentence = "cannot fetch {where!r}; set {key} to a prefix such as https://mirror.example"
        raise InputError(sentence, url, MIRROR)
    return url


def _receive(url: str, part: Path, limit: int, progress: Progress | None, token: str) -> None:
    """Bring all bytes of `url` into `part`, trying again where a transfer breaks off."""
    for attempt in range(1, _ATTEMPTS + 1):
        before = _size(part)
        if attempt > 1:
            time.sleep(_PAUSE_SECONDS * 2 ** (attempt - 2))
        try:
            _receive_once(url, part, limit, progress, token)
            return
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416 and before:  # nothing from there on: what we hold is not a part of this file
                part.unlink()
            elif error.code < 500 or attempt == _ATTEMPTS:
                sentence = "cannot fetch {where}: the server answers {value}"
                raise DownloadError(sentence, url, f"{error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            if attempt == _ATTEMPTS:
                sentence = (
                    "cannot fetch {where}: {value}; try again, and it will go on from {size:,} bytes, or set"
                    " REGARD_DATA to a folder that holds the data"
                )
                raise DownloadError(sentence, url, why(error), _size(part)) from error
    sentence = "cannot fetch {where}: the server does not know where the file ends; try again later"
    raise DownloadError(sentence, url)


def _receive_once(url: str, part: Path, limit: int, progress: Progress | None, token: str) -> None:
    held = _size(part)
    request = urllib.request.Request(url, headers={"User-Agent": "regard"})  # noqa: S310  (see _mirrored)
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    if held:
        request.add_header("Range", f"bytes={held}-")
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
        resumed = answer.status == 206 and _range_start(answer) == held
        if answer.status == 206 and not resumed:
            raise http.client.HTTPException("the server sent another part than was asked for")
        held = held if resumed else 0
        length = answer.headers.get("Content-Length")
        total = held + int(length) if length and length.isdecimal() else None
        _check_limit(url, part, total or 0, limit)
        with writing(part, _ROOM):
            out = part.open("ab" if resumed else "wb")
        with out:
            while chunk := answer.read(_CHUNK):
                held += len(chunk)
                _check_limit(url, part, held, limit)
                with writing(part, _ROOM):
                    out.write(chunk)
                    out.flush()
                if progress is not None:
                    progress(held, total)
    if total is not None and held < total:  # http.client ends a short body without a word
        raise ConnectionError(f"the transfer broke off after {held:,} of {total:,} bytes")


def _range_start(answer: http.client.HTTPResponse) -> int | None:
    """The first byte that a partial answer holds: from `Content-Range: bytes 17-99/100`."""
    text = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0].strip()
    return int(text) if text.isdecimal() else None


def _check_limit(url: str, part: Path, size: int, limit: int) -> None:
    if size > limit:
        part.unlink(missing_ok=True)
        raise too_many_bytes(DownloadError, url, limit, "it was not stored")


def _put_in_place(file: RemoteFile, url: str, part: Path, target: Path) -> None:
    """Unzip, convert and verify `part`, and let it become `target`; a wrong one is removed."""
    digest = hashlib.sha256()
    git = hashlib.sha1(b"blob %d\0" % _size(part), usedforsecurity=False)
    try:
        with atomic_file(target) as out:
            for chunk in _content(file, part):
                digest.update(chunk)
                git.update(chunk)
                out.write(chunk)
            kind, found, promised = ("SHA-256", digest, file.sha256)
            if not file.sha256:
                kind, found, promised = ("git's SHA-1", git, file.git_blob)
            if found.hexdigest() != promised:
                sentence = (
                    "{where} is not what was promised: its {key} is {value} and should be {limit}; it was"
                    " not stored, so try again or another mirror"
                )
                raise DownloadError(sentence, url, kind, found.hexdigest(), promised)
    except DownloadError:
        part.unlink(missing_ok=True)
        raise
    part.unlink(missing_ok=True)


def _content(file: RemoteFile, part: Path) -> Iterator[bytes]:
    """The bytes to be stored. Raises DownloadError when they are too many or cannot be unzipped."""
    with part.open("rb") as raw:
        stream: BinaryIO | gzip.GzipFile = gzip.GzipFile(fileobj=raw) if file.gunzip else raw
        chunks = _bounded(stream, file)
        if file.convert is None:
            yield from chunks
            return
        try:
            yield file.convert(b"".join(chunks))
        except (ValueError, IndexError) as error:
            sentence = "{where} is not in the form that was promised ({value})"
            raise DownloadError(sentence, file.url, error) from error


def _bounded(stream: BinaryIO | gzip.GzipFile, file: RemoteFile) -> Iterator[bytes]:
    size = 0
    try:
        while chunk := stream.read(_CHUNK):
            size += len(chunk)
            if size > file.limit:
                raise too_many_bytes(DownloadError, file.url, file.limit, "what it unzips to was not stored")
            yield chunk
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise damaged(
            DownloadError, file.url, f"it is not a whole gzip file ({error})", "try another mirror"
        ) from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
