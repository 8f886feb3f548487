"""Compile every loop for the processor that NUMBA_CPU_NAME and NUMBA_CPU_FEATURES describe; tell about it.

Run by `test_processors.py` in a process of its own: `compile_for.py FOLDER [run]`. With `run` the loops are
tried, too; without it nothing that was compiled is executed.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numba.extending import is_jitted

from regard.decode import fast
from regard.decode.kernels import chosen
from regard.model.quantize import quantize

WORDS = re.compile(r"^\s+(?:\{\w+\}\s*)?([a-z]\w+)[ \t]+([^\n#]*)", re.MULTILINE)


def compile_blocks() -> None:
    """What is compiled when it is first called, for both kinds of weights, without calling it."""
    from regard.decode import native, probe_models
    from regard.decode.engine import Engine
    from regard.decode.linears import Buffer
    from regard.decode.slots import Slots

    real = native.blocks

    class Compiled:
        def compile(self, types: Any) -> Any:
            real.compile(types)
            return lambda *given: None

    native.blocks = Compiled()
    model = probe_models.built(probe_models.PLAIN.build())
    for each in (model, quantize(model)):
        stepper = object.__new__(native.NativeStepper)
        engine = stepper._engine = Engine(each)
        assert engine.packed is not None
        stepper._slots = Slots(*engine.decoder.shape, 2, 3)
        stepper._slots.grow()
        layer = engine.decoder.layers[0]
        stepper._memory = np.zeros((len(engine.decoder.layers), 4, 2 * layer.cross_inner), np.float32)
        stepper._zeros = stepper._owner = np.zeros(2, np.int64)
        stepper._starts = np.array([0, 4])
        stepper._all_at_once(Buffer.of((2, engine.decoder.width)))
    assert len(real.signatures) == 2


def main(folder: str, run: bool) -> None:
    fast.import_loops(Path(folder))  # before anything else imports them and keeps them elsewhere
    from regard.decode import probe_models

    failures = []
    if run:
        failures = [(what, d) for what, d, allowed in probe_models.differences() if not d <= allowed]
    else:
        compile_blocks()
    loops, found = [], set()
    for name, module in list(sys.modules.items()):
        if name.startswith("regard.decode."):
            for loop in vars(module).values():
                if is_jitted(loop) and loop.signatures and loop.__module__ == name:
                    loops.append(loop.__name__)
                    for text in loop.inspect_asm().values():
                        for instruction, operands in WORDS.findall(text):
                            kinds = {kind for kind in ("xmm", "ymm", "zmm") if kind in operands}
                            found |= {f"{instruction} {kind}" for kind in kinds}
    print(json.dumps({"family": chosen().name, "failures": failures, "loops": loops, "found": sorted(found)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:] == ["run"])
