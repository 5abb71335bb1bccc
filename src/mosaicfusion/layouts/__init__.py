"""Layouts: where the regions of a canvas lie. To add one, write a :class:`Layout` in a file of its own and list it here."""

from mosaicfusion.layouts.base import Layout
from mosaicfusion.layouts.grid import GridLayout

LAYOUTS: dict[str, type[Layout]] = {
    "grid": GridLayout,
}

__all__ = ["LAYOUTS", "GridLayout", "Layout"]
