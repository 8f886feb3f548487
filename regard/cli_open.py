"""The run that a command names, loaded as its options say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from regard.cli_options import Dtype


def open_run(folder: Path, dtype: Dtype, threads: int | None, device: str | None) -> Any:
    """The run of a folder, loaded. Raises: BundleError, ConfigError, InputError."""
    import torch

    from regard.run import load

    if threads:
        torch.set_num_threads(threads)
    return load(folder, device, dtype.value)
