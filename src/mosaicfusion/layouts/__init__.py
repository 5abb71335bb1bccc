"""Layouts: where the regions of a canvas lie. To add one, write a :class:`Layout` in a file of its own and list it here."""

from mosaicfusion.layouts.base import Layout
from mosaicfusion.layouts.grid import GridLayout
from mosaicfusion.layouts.scene import SceneLayout

LAYOUTS: dict[str, type[Layout]] = {
    "grid": GridLayout,
    "scene": SceneLayout,
}

__all__ = ["LAYOUTS", "GridLayout", "Layout", "SceneLayout"]
