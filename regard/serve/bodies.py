"""A request's body, from bytes to what was asked: strict JSON, within bounds that hold before and while it is
read, so that no body costs much more than an honest one.

Called in a thread: the time that a body takes grows with its size, which is bounded, and not with how many
mistakes are in it.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

BODY = "regard.body"
"""In a request's scope: its bytes."""
LARGEST_BODY = 1_000_000
"""Bytes, besides those of an image."""
LARGEST_IMAGE = 6_000_000
"""Characters of base64."""
MOST_VALUES = 30_000
"""Numbers, texts, lists and objects in one body."""
MOST_KEYS = 64
"""Of one object."""
_IMAGE = re.compile(rb'"data:image\\?/[\w.+-]{1,40};base64,([A-Za-z0-9+=/\\]*)"')

Asked = TypeVar("Asked", bound=BaseModel)


def read_body(kind: type[Asked], body: bytes) -> Asked:
    """What is asked. Raises: HTTPException for what is no JSON, too large, or not of this kind."""
    image = _IMAGE.search(body)
    if len(body) - (len(image[1]) if image else 0) > LARGEST_BODY:
        raise HTTPException(413, f"a request has at most {LARGEST_BODY:,} bytes besides an image")
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_number)
    except RecursionError:
        raise HTTPException(422, "the request is no JSON that can be read: it is nested too deeply") from None
    except ValueError as error:  # half a UTF-8 character and numbers of thousands of digits too
        raise HTTPException(422, f"the request is no JSON: {error}") from error
    _check_size(value)
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(key) for key in first["loc"])
        raise HTTPException(422, f"{where or 'the request'}: {first['msg']}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(pairs) > MOST_KEYS:
        raise HTTPException(422, f"an object of a request has at most {MOST_KEYS} keys, not {len(pairs):,}")
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise HTTPException(422, f"the key '{twice[:40]}' stands twice in one object of the request")
    return made


def _no_number(name: str) -> NoReturn:
    raise HTTPException(422, f"{name} is no number of JSON")


def _check_size(value: Any) -> None:
    """Before each value is looked at by what may find something wrong with each."""
    count, left = 0, [value]
    while left:
        one = left.pop()
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        count += 1
        if count + len(inner) > MOST_VALUES:
            raise HTTPException(422, f"a request has at most {MOST_VALUES:,} values")
        left.extend(inner)
