"""Exports: run folders and LVIS or COCO jsons in the formats of trainers.

To add a format, write a module like :mod:`.yolo` with a ``FORMAT`` and list its name in :data:`FORMATS`.
"""

from mosaicfusion.dataset.export.export import export
from mosaicfusion.dataset.export.format import FORMATS, Format, load_format
from mosaicfusion.dataset.export.receipt import Exported

__all__ = ["FORMATS", "Exported", "Format", "export", "load_format"]
