"""Of a large model a trace holds what was chosen, and while it runs one layer's own values more.

Memory is counted, not measured: the storages that are alive, from the operation that makes them.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from members import PARTS, V, encoder_decoder, ids, lively
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from regard.decode.search import Limits, beam_search
from regard.decode.stepper import EncoderDecoderStepper
from regard.insight.recorder import Choice, Recorder
from regard.model.embed import Tokens
from regard.model.search_events import listen
from regard.model.transformer import Transformer, TransformerConfig

T, SHALLOW, DEEP = 31, 2, 9
ALL, FIRST = Choice(), Choice(layers=frozenset({0}))


class Live(TorchDispatchMode):
    """Bytes of the storages that operations made in here and that are still alive."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        given = {x.untyped_storage()._cdata for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        for x in tree_leaves(made):
            if isinstance(x, Tensor) and x.untyped_storage()._cdata not in given | self._known:
                self._born(x.untyped_storage())
        return made

    def _born(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def stack_of(depth: int) -> Transformer:
    torch.manual_seed(1)
    return lively(TransformerConfig(Tokens(V), replace(PARTS["multi-head"], depth=depth)).build())


@torch.no_grad()
def measured(model: Any, run: Callable[[], Any], choice: Choice) -> tuple[int, int, int]:
    """Bytes alive at most, bytes alive in the end, and bytes of what was kept."""
    recorder = Recorder(model, choice)
    with Live() as live:
        with listen(recorder.on_step), recorder.watching():
            run()
        held = live.now
    kept = [x for forward in recorder.forwards for x in (forward.given, *forward.values.values())]
    return live.peak, held, sum(x.nbytes for x in kept)


def pass_of(depth: int, choice: Choice) -> tuple[int, int, int]:
    model, given = stack_of(depth), ids(1, T)
    return measured(model, lambda: model(given), choice)


def test_what_is_alive_in_the_end_is_what_was_kept() -> None:
    for choice in (
        ALL,
        FIRST,
        Choice(heads=frozenset({1})),
        Choice(layers=frozenset({1}), heads=frozenset()),
    ):
        _, held, kept = pass_of(SHALLOW, choice)
        assert held == kept > 0


def test_the_peak_of_a_chosen_layer_does_not_grow_with_the_depth_of_the_model() -> None:
    shallow, deep = pass_of(SHALLOW, FIRST), pass_of(DEEP, FIRST)
    assert deep == shallow
    layer = (pass_of(DEEP, ALL)[2] - pass_of(SHALLOW, ALL)[2]) // (DEEP - SHALLOW)
    assert pass_of(DEEP, ALL)[0] - pass_of(SHALLOW, ALL)[0] == (DEEP - SHALLOW) * layer  # so it would be seen


def test_the_peak_is_what_was_kept_and_one_layer_s_own_memory() -> None:
    bare = stack_of(DEEP)
    given = ids(1, T)
    nothing, _, _ = measured(bare, lambda: bare(given), Choice(names=frozenset()))
    layer = (pass_of(DEEP, ALL)[2] - pass_of(SHALLOW, ALL)[2]) // (DEEP - SHALLOW)
    for choice in (
        FIRST,
        Choice(heads=frozenset({2})),
        Choice(layers=frozenset({3, 5}), heads=frozenset({0})),
    ):
        peak, _, kept = pass_of(DEEP, choice)
        assert peak <= nothing + kept + layer


def test_steps_that_were_not_chosen_leave_nothing_behind() -> None:
    torch.manual_seed(1)
    model, source = encoder_decoder(PARTS["multi-head"]), ids(1, 7)

    def kept(length: int, choice: Choice) -> int:
        limits = Limits(bos=1, eos=V + 1, limit=[length])  # an end that never comes

        def run() -> Any:
            stepper = EncoderDecoderStepper(model, source, None, length)
            return beam_search(stepper, limits, torch.device("cpu"), width=2)

        return measured(model, run, choice)[2]

    step = Choice(steps=frozenset({2}))
    ids_that_entered = (20 - 5) * 2 * 8  # of both beams, by which steps are counted
    assert kept(20, step) - kept(5, step) == ids_that_entered
    assert kept(20, ALL) > 3 * kept(5, ALL)
