"""Checkpoints of other libraries, in and out: one file a family."""

from __future__ import annotations

from regard.interop.exporting import Exported, export_checkpoint
from regard.interop.importing import Imported, import_checkpoint

__all__ = ["Exported", "Imported", "export_checkpoint", "import_checkpoint"]
