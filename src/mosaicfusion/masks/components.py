"""Step 5 of the mask: component and area rules, by which a region must show exactly one object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mosaicfusion.masks._checks import require_mask
from mosaicfusion.masks.rejection import Rejection, RejectionReason


@dataclass(frozen=True)
class Kept:
    """The only component of an allowed size, bool (H, W), and its part of the region in [0, 1]; ``dropped`` counts the others."""

    mask: NDArray[np.bool_]
    area: float
    dropped: int


def keep_single_component(
    mask: np.ndarray[Any, Any], min_area: float = 0.05, max_area: float = 0.95
) -> Kept | Rejection:
    """Drop the 4-connected components outside [min_area, max_area]; exactly one must be left.

    mask: bool (H, W). Areas are parts of the region in [0, 1]; both bounds are allowed sizes. The rejection is ``EMPTY_MASK``
    for a mask without pixels, ``SEVERAL_COMPONENTS`` if more than one has an allowed size, and if none has, ``TOO_LARGE`` or
    ``TOO_SMALL`` by the largest. Raises ValueError for another shape or dtype.
    """
    require_mask(mask)
    if not 0 <= min_area <= max_area <= 1:
        raise ValueError(f"min_area={min_area}, max_area={max_area} must satisfy 0 <= min_area <= max_area <= 1")
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    areas = stats[1:count, cv2.CC_STAT_AREA] / mask.size  # label 0 is the background
    if areas.size == 0:
        return Rejection(RejectionReason.EMPTY_MASK)
    left = np.flatnonzero((areas >= min_area) & (areas <= max_area))
    if left.size == 1:
        index = int(left[0])
        return Kept(mask=labels == index + 1, area=float(areas[index]), dropped=areas.size - 1)
    largest = float(areas.max())
    values = {"components": int(areas.size), "left": int(left.size), "largest_area": round(largest, 6)}
    if left.size > 1:
        return Rejection(RejectionReason.SEVERAL_COMPONENTS, values)
    return Rejection(RejectionReason.TOO_LARGE if largest > max_area else RejectionReason.TOO_SMALL, values)
