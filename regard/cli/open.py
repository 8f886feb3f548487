"""The run that a command names, loaded as its options say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from regard.cli.options import Dtype


def open_run(folder: Path, dtype: Dtype, threads: int | None, device: str | None) -> Any:
    """The run of a folder, loaded. Raises: BundleError, ConfigError, InputError."""
    from regard.run import load
    from regard.threads import use_threads

    use_threads(threads)
    return load(folder, device, dtype.value)
