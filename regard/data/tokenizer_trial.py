"""A foreign `tokenizer.json`, tried in a process of its own before it is used here.

Its patterns and replacements are programs of a kind: some take exponential time, some make millions of
characters of one, and what the library does then (abort the process, take all memory) cannot be caught
where it happens. So a child cuts some texts that are made to find that out, within limits that the system
keeps: of processor time, so that a busy machine refuses nothing, and of memory. The texts follow from the
file: long runs of the characters that its own patterns name. Every tokenizer is tried when it is imported;
one that a bundle brings is tried again when it is loaded, if it holds a pattern that nobody knows.

This file is also what the child runs (`python tokenizer_trial.py BYTES SECONDS`, the file on its standard
input), so it imports nothing of ours at its top.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

_MEMORY = 256 << 20  # bytes beyond what an empty child takes, and for each byte of the file:
_MEMORY_EACH = 12
_SECONDS, _BYTES_A_SECOND = 3, 8 << 20  # of processor time
_WALL = 60  # seconds; on a busy machine, and where processor time cannot be limited
_REFUSED = 3  # exit status
_SOUND: set[bytes] = set()
"""Hashes of what was tried in this process and did well."""

_HARMLESS = frozenset((
    *(" {2,}", r"\A | \z"),  # SentencePiece's, as T5, ALBERT and XLM-R have it, and ours
    *(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + digits + r"|"
        r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        for digits in ("{1,3}", "")
    ),  # Llama 3's and GPT-4's, Qwen2's
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",  # GPT-2's
))  # fmt: skip
"""Patterns of published tokenizers, which take time in proportion to the text."""
_PERHAPS_PATTERN = re.compile(r'"Regex"|\\u00[4-7]')
"""The key of every pattern, or a letter of it that was written as a number, as nobody does."""

_RUN = 1000  # characters of a run
_PAIRED = 60  # and of two characters by turns, so many times
_USUAL = "a0 A\n_-.'中éQжωあ한ع"
_MOST_CHARACTERS, _MOST_PAIRED, _MOST_WORDS = 64, 12, 32
_CODED = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|x\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4}))")
"""A character of a pattern by its number."""
_MARKS = re.compile(r"[\\()\[\]{}|*+?.^$]+")
"""What stands between the words of a pattern."""
_MOST_GROWTH = 64  # characters that a normaliser or a decoder may make of one, in the mean over a text
_MOST_DECODED = 1000
_MOST_FRAME = 64  # special tokens around a text


def tried(text: str) -> None:
    """Try a `tokenizer.json`. Raises: TokenizerError when it takes too much, or cannot cut a text."""
    from regard.errors import TokenizerError, why

    raw = text.encode("utf-8")
    if (digest := hashlib.sha256(raw).digest()) in _SOUND:
        return
    limits = (_MEMORY + _MEMORY_EACH * len(raw), _SECONDS + len(raw) // _BYTES_A_SECOND)
    variables = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "MALLOC_ARENA_MAX": "1"}
    variables |= {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}
    try:
        done = subprocess.run(  # noqa: S603  (this interpreter, this file)
            [sys.executable, "-P", __file__, *map(str, limits)],
            input=raw,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # where the library says how it broke
            timeout=_WALL,
            env={**os.environ, **variables},
            check=False,
            start_new_session=True,  # a Ctrl-C is for this process, which then ends that one
        )
    except subprocess.TimeoutExpired as error:
        sentence = "{where} took more than {limit} s for some short texts"
        raise TokenizerError(sentence, "tokenizer.json", _WALL) from error
    except OSError as error:  # no room for another process, or an interpreter that is no file
        sentence = "{where} cannot be tried in a process of its own: {value}"
        raise TokenizerError(sentence, "tokenizer.json", why(error)) from error
    if done.returncode == _REFUSED:
        value = done.stdout.decode("utf-8", "replace").strip()
        raise TokenizerError("{where} {value}", "tokenizer.json", value)
    if done.returncode:
        limit = f"{limits[0] >> 20} MiB or {limits[1]} s"
        sentence = "{where} took over {limit} for some short texts, or broke its library (status {value})"
        raise TokenizerError(sentence, "tokenizer.json", limit, done.returncode)
    _SOUND.add(digest)


def tried_where_unknown(text: str) -> None:
    """Try a `tokenizer.json` that holds a pattern which is none of those known; the others cost a look.

    Raises: TokenizerError, as `tried`.
    """
    if _PERHAPS_PATTERN.search(text) and not _has_only_known(text):
        tried(text)


def _has_only_known(text: str) -> bool:
    """Whether each of its patterns is known, also those of a key that is there twice. What Python cannot read
    is not known: the library reads numbers of thousands of digits."""
    try:
        return _HARMLESS.issuperset(_texts_under(("Regex",), text))
    except (ValueError, RecursionError):
        return False


def _texts_under(keys: tuple[str, ...], text: str | bytes) -> list[str]:
    """The texts that stand under one of the keys anywhere in JSON. Raises: ValueError, RecursionError."""
    found: list[str] = []

    def see(pairs: list[tuple[str, Any]]) -> None:
        found.extend(value for key, value in pairs if key in keys and isinstance(value, str))

    json.loads(text, object_pairs_hook=see)
    return found


# ------------------------------------------------------------------------------------------- the child


class _RefusedError(Exception):
    """Why a tokenizer is not to be used."""


def _limit(memory: int, seconds: int) -> None:
    try:
        import resource
    except ImportError:  # Windows: the parent's clock is all there is
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    try:
        with open("/proc/self/statm") as file:  # noqa: PTH123  (no more imports than needed)
            used = int(file.read().split()[0]) * resource.getpagesize()
    except (OSError, ValueError):  # only Linux counts so
        return
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))


def _try(raw: bytes) -> None:
    import tokenizers

    backend = tokenizers.Tokenizer.from_str(raw.decode("utf-8"))
    backend.no_truncation()
    backend.no_padding()
    for text in _texts(backend):
        if backend.normalizer is not None:
            made = len(backend.normalizer.normalize_str(text))
            if made > _MOST_GROWTH * len(text):
                raise _RefusedError(f"makes {made:,} characters of {len(text):,} before it cuts them")
        bare = backend.encode(text, add_special_tokens=False).ids
        _decode(backend, bare)
        for frame in (backend.encode(text).ids, backend.encode(text, text).ids[len(bare) :]):
            if len(frame) > len(bare) + _MOST_FRAME:
                raise _RefusedError(f"puts {len(frame) - len(bare):,} tokens around a text")
    _decode(backend, list(range(min(_MOST_DECODED, backend.get_vocab_size()))))


def _decode(backend: Any, ids: list[int]) -> None:
    pieces = sum(len(backend.id_to_token(index) or "") for index in ids)
    made = len(backend.decode(ids, skip_special_tokens=False))
    if made > _MOST_GROWTH * (pieces + 1):
        raise _RefusedError(f"makes {made:,} characters of pieces with {pieces:,}")


def _texts(backend: Any) -> Iterator[str]:
    """Texts that find out what a tokenizer cannot bear."""
    yield "a, ɐ 中\n\U0001f600"
    yield "The quick (brown) fox can't jump 32.3 feet, right?  \t\n\n Ünïcödé 你好，世界。 １２３ e\u0301 🏳️‍🌈"
    patterns = list(_patterns(backend))
    coded = (_CODED.sub(_coded, pattern) for pattern in patterns)
    named = dict.fromkeys("".join(coded))
    characters = list(dict.fromkeys([*named, *_USUAL]))[:_MOST_CHARACTERS]
    # What a pattern must have at its end is searched for first, so it stands there, but not in its place.
    end = "!" + "".join(characters)
    for character in characters:
        yield character * _RUN
        yield character * _RUN + end
    for first in characters[:_MOST_PAIRED]:
        for second in characters[:_MOST_PAIRED]:
            yield (first + second)[:_RUN] * _PAIRED + end
    words = list(dict.fromkeys(word for pattern in patterns for word in _MARKS.split(pattern) if word))
    for first, second in itertools.pairwise(["", *words[:_MOST_WORDS]]):
        yield second[:_RUN] * _PAIRED + end
        yield (first + second)[:_RUN] * _PAIRED + end
    for pattern in patterns[:_MOST_CHARACTERS]:
        if pattern:
            yield pattern[:_RUN] * max(1, _RUN // len(pattern))


def _coded(found: re.Match[str]) -> str:
    return chr(min(int(found[found.lastindex or 0], 16), 0xD7FF))


def _patterns(backend: Any) -> Iterator[str]:
    """The texts and patterns that its parts look for."""
    for part in (backend.normalizer, backend.pre_tokenizer, backend.decoder):
        if part is not None:
            yield from _texts_under(("String", "Regex"), part.__getstate__())


def _main() -> int:
    raw = sys.stdin.buffer.read()
    _limit(int(sys.argv[1]), int(sys.argv[2]))
    try:
        _try(raw)
    except _RefusedError as error:
        reason = str(error)
    except MemoryError:
        reason = f"took more than {int(sys.argv[1]) >> 20} MiB for some short texts"
    except BaseException as error:  # what its Rust code cannot bear is no Exception
        reason = f"cannot be used: {str(error).splitlines()[0][:200] if str(error) else type(error).__name__}"
    else:
        return 0
    sys.stdout.buffer.write(reason.encode("utf-8", "replace"))
    return _REFUSED


if __name__ == "__main__":
    sys.exit(_main())
