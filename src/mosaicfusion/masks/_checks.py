"""Argument checks shared by the mask stages. Each error names the problem, the value and the fix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def require_mask(mask: np.ndarray[Any, Any]) -> None:
    """Raise ValueError unless ``mask`` is bool (H, W) with at least one element."""
    if mask.dtype != np.bool_ or mask.ndim != 2 or mask.size == 0:
        raise ValueError(f"mask is {_describe(mask)}; give a bool array (H, W), such as heat > 0.5")


def require_heat(heat: np.ndarray[Any, Any]) -> None:
    """Raise ValueError unless ``heat`` is float (H, W) in [0, 1]."""
    if heat.ndim != 2 or heat.size == 0 or heat.dtype.kind != "f":
        raise ValueError(f"heat map is {_describe(heat)}; give a float array (H, W)")
    low, high = float(heat.min()), float(heat.max())  # NaN fails the comparison below as well
    if not 0 <= low <= high <= 1:
        raise ValueError(f"heat map spans [{low:g}, {high:g}]; scale it to [0, 1]; heat_map() returns such a map")


def require_image(image: np.ndarray[Any, Any], hw: tuple[int, ...]) -> None:
    """Raise ValueError unless ``image`` is uint8 RGB (H, W, 3) of the size ``hw``."""
    if image.dtype != np.uint8 or image.shape != (*hw, 3):
        raise ValueError(f"image is {_describe(image)}; give uint8 RGB {(*hw, 3)}, the region at the mask's size")


def require_hw(name: str, hw: Sequence[int]) -> None:
    """Raise ValueError unless ``hw`` is two positive whole numbers."""
    if len(hw) != 2 or min(hw) < 1 or any(side != int(side) for side in hw):
        raise ValueError(f"{name}={tuple(hw)} is not a size; give (height, width) in pixels, both at least 1")


def _describe(array: np.ndarray[Any, Any]) -> str:
    return f"{array.dtype} {array.shape}"
