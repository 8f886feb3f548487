"""regard: the whole Transformer family in one small stack.

The public names, loaded when they are first used, so that `import regard` costs nothing.
`__init__.pyi` lists them for editors.
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "api": ("train",),
    "interop.exporting": ("export_checkpoint",),
    "interop.importing": ("import_checkpoint",),
    "model.attention": ("attend",),
    "model.block": ("Placement",),
    "model.describe": ("describe",),
    "model.embed": ("Embed",),
    "model.feedforward": ("FeedForwardPart",),
    "model.head": ("Head",),
    "model.mask": ("Causal", "Contiguous", "Full", "MaskRule", "Prefix", "Ragged", "Window"),
    "model.multihead": ("MultiheadAttention",),
    "model.norm": ("Norm",),
    "model.position_part": ("Position",),
    "model.score": ("Score",),
    "model.transformer": ("EncoderDecoder", "EncoderDecoderConfig", "Transformer", "TransformerConfig"),
    "onepage.page": ("export_page",),
    "registry": ("register",),
    "run": ("Run", "load", "trace"),
}
_NAMES = {name: f"regard.{module}" for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_NAMES)]


def __getattr__(name: str) -> object:
    if name not in _NAMES:
        raise AttributeError(f"module 'regard' has no attribute {name!r}")
    return getattr(import_module(_NAMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})
