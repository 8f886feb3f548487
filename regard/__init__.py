"""regard: the whole Transformer family in one small stack.

The public names, loaded when they are first used, so that `import regard` costs nothing.
`__init__.pyi` lists them for editors.
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

_NAMES = {
    "Embed": "regard.model.embed",
    "FeedForwardPart": "regard.model.feedforward",
    "Head": "regard.model.head",
    "MaskRule": "regard.model.mask",
    "Norm": "regard.model.norm",
    "Placement": "regard.model.block",
    "Position": "regard.model.position_part",
    "Score": "regard.model.score",
    "register": "regard.registry",
    "Causal": "regard.model.mask",
    "Contiguous": "regard.model.mask",
    "Full": "regard.model.mask",
    "Prefix": "regard.model.mask",
    "Ragged": "regard.model.mask",
    "Window": "regard.model.mask",
    "EncoderDecoder": "regard.model.transformer",
    "EncoderDecoderConfig": "regard.model.transformer",
    "MultiheadAttention": "regard.model.multihead",
    "Run": "regard.run",
    "Transformer": "regard.model.transformer",
    "TransformerConfig": "regard.model.transformer",
    "attend": "regard.model.attention",
    "describe": "regard.model.describe",
    "export_checkpoint": "regard.interop.exporting",
    "export_page": "regard.onepage.page",
    "import_checkpoint": "regard.interop.importing",
    "load": "regard.run",
    "trace": "regard.run",
    "train": "regard.api",
}

__all__ = ["__version__", *sorted(_NAMES)]


def __getattr__(name: str) -> object:
    if name not in _NAMES:
        raise AttributeError(f"module 'regard' has no attribute {name!r}")
    return getattr(import_module(_NAMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})
