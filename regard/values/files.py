"""Files that values are read from, within bounds, and files inside of texts: `data:` URLs (RFC 2397)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from pathlib import Path

from regard.errors import DataError, cannot_read, reading, too_many_bytes


def check_file(path: Path, most: int) -> None:
    """Raise DataError unless a regular file of at most so many bytes is there."""
    try:
        if not path.is_file():
            what = "is not a regular file" if path.exists() else "does not exist"
            raise DataError("{where} {value}; give the path of a file", path, what)
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        raise cannot_read(DataError, path, error) from error
    if size > most:
        raise too_many_bytes(DataError, path, most, "give a smaller file")


def read_file(path: Path, most: int) -> bytes:
    """A whole regular file of at most so many bytes. Raises: DataError."""
    check_file(path, most)
    with reading(DataError, path), path.open("rb") as file:
        content = file.read(most + 1)  # what grows while it is read is not read on
    if len(content) > most:
        raise too_many_bytes(DataError, path, most, "give a smaller file")
    return content


def data_url(media: str, content: bytes) -> str:
    """A file as a text that `url_content` takes, and browsers show."""
    return f"data:{media};base64,{b64encode(content).decode('ascii')}"


def url_content(url: str, kind: str, most: int) -> bytes:
    """The file in a `data:` URL, of at most so many bytes. Raises: DataError."""
    head, comma, text = url.partition(",")
    beginning = head[:40]
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        raise DataError("'{where}' holds no {key}; give one as {limit}", beginning, kind, "data:…;base64,…")
    if len(text) > most * 4 // 3 + 4:
        raise too_many_bytes(DataError, beginning, most, "give a smaller file")
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise DataError("what follows '{where}' is not {limit}", beginning, "base64") from error
