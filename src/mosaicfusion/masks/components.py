"""Step 5 of the mask: component and area rules decide whether a region shows exactly one object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mosaicfusion.masks._checks import require_mask

Reason = Literal["empty_mask", "too_small", "too_large", "several_components"]


@dataclass(frozen=True)
class Kept:
    """The one component that is left. ``area`` is its part of the region in [0, 1]; ``dropped`` counts the others."""

    mask: NDArray[np.bool_]
    area: float
    dropped: int


@dataclass(frozen=True)
class Rejection:
    """Why a region has no mask, with what was measured.

    - ``empty_mask``: no pixel above the threshold. No values.
    - ``too_small``: every component is below the smallest area allowed.
    - ``too_large``: none is left, and the largest is above the largest area allowed.
    - ``several_components``: more than one is of a proper size.

    ``values``: ``components`` found in all, ``left`` of a proper size, ``largest_area`` as a part of the region.
    """

    reason: Reason
    values: dict[str, float | int] = field(default_factory=dict)


def keep_single_component(
    mask: np.ndarray[Any, Any], min_area: float = 0.05, max_area: float = 0.95
) -> Kept | Rejection:
    """Drop the 4-connected components outside [min_area, max_area]; exactly one must be left.

    mask: bool (H, W). Areas are parts of the region in [0, 1]; both bounds are allowed sizes.
    """
    require_mask(mask)
    if not 0 <= min_area <= max_area <= 1:
        raise ValueError(f"min_area={min_area}, max_area={max_area} must satisfy 0 <= min_area <= max_area <= 1")
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    areas = stats[1:count, cv2.CC_STAT_AREA] / mask.size  # label 0 is the background
    if areas.size == 0:
        return Rejection("empty_mask")
    left = np.flatnonzero((areas >= min_area) & (areas <= max_area))
    if left.size == 1:
        index = int(left[0])
        return Kept(mask=labels == index + 1, area=float(areas[index]), dropped=areas.size - 1)
    largest = float(areas.max())
    values = {"components": int(areas.size), "left": int(left.size), "largest_area": round(largest, 6)}
    if left.size > 1:
        return Rejection("several_components", values)
    return Rejection("too_large" if largest > max_area else "too_small", values)
