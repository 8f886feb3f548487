"""One batch decoded by several threads of a processor, each of which takes its own inputs.

Threads that share every operation of a small step wait for one another longer than they work. Inputs have
nothing to do with each other, so each thread is given some, and decodes them from the encoder to the last
token with operations of its own. That pays only where the work is done outside of Python's lock, which is
so for `native.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Input = TypeVar("Input")
Answer = TypeVar("Answer")

AT_LEAST = 4
"""Inputs that a thread has at least: fewer are as fast together."""


def in_shares(
    decode: Callable[[list[Input]], list[Answer]], inputs: list[Input], shareable: Callable[[], bool]
) -> list[Answer]:
    """What `decode(inputs)` gives, within rounding: by as many calls at once as there are threads, if that
    is of use (`shareable`)."""
    threads = torch.get_num_threads()
    shares = min(threads, len(inputs) // AT_LEAST)
    if shares <= 1 or not shareable():
        return decode(inputs)
    bounds = [len(inputs) * i // shares for i in range(shares + 1)]
    parts = [inputs[start:stop] for start, stop in itertools.pairwise(bounds)]
    with ThreadPoolExecutor(shares, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(itertools.chain.from_iterable(pool.map(decode, parts)))
