"""A run that was stopped elsewhere, as that version would have left it here.

A run is resumed only with the very files that it began with, which version 0.1.0 tells by their full names
and times (`fingerprint`). A clone of the repository has neither, so both are written anew into a copy: in
`run.json`, and in what the checkpoint says the run is (`identity`). The formulas are those of that version
and stay as they are, since a later one that computed others would not know its users' runs again. Nothing of
regard is used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Origin:
    """What a run was made of, beside what its folder says."""

    data: str
    """The data, named from the version's folder."""
    columns: Sequence[str]
    model: Mapping[str, Any]
    """The model's whole configuration: the one in the folder lacks what the data decided."""
    init: str | None
    """The bundle that it began from."""


def fingerprint(root: Path, origin: Origin) -> str:
    """What tells the data from others."""
    digest = hashlib.blake2b(repr((tuple(origin.columns), SPLITS)).encode(), digest_size=16)
    path = root / origin.data
    for file in sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]:
        status = file.stat()
        digest.update(repr((str(file.resolve()), status.st_size, status.st_mtime_ns)).encode())
    return digest.hexdigest()


def move(root: Path, name: str, origin: Origin) -> None:
    """Make the stopped run `root/name` one of the data as they are in `root`."""
    folder = root / name / "training"
    run = json.loads((folder / "run.json").read_text("utf-8"))
    file = folder / "checkpoint.safetensors"
    tensors = load_file(file)
    with safe_open(file, "pt") as opened:
        state = json.loads(opened.metadata()["state"])
    assert state["identity"] == _identity(root, run, origin), "this is not how that version tells runs apart"
    run["fingerprint"] = fingerprint(root, origin)
    (folder / "run.json").write_text(json.dumps(run), "utf-8")
    text = json.dumps(state | {"identity": _identity(root, run, origin)})
    digest = hashlib.sha256(text.encode())
    digest.update(_content(tensors))
    save_file(tensors, file, {"state": text, "sha256": digest.hexdigest()})


def _identity(root: Path, run: Mapping[str, Any], origin: Origin) -> str:
    config = run["training"] | {"model": origin.model}
    content = [config, run["fingerprint"], origin.data, run["tokenizers"]]
    if origin.init is not None:
        weights = load_file(root / origin.init / "model.safetensors")
        content.append(hashlib.sha256(_content(weights)).hexdigest())
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _content(tensors: Mapping[str, torch.Tensor]) -> bytes:
    parts: list[bytes] = []
    for name in sorted(tensors):
        value = tensors[name]
        parts.append(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        parts.append(value.reshape(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return b"".join(parts)
