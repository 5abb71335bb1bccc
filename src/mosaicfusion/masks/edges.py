"""The edge of a mask, where it is least certain which pixels belong to the object."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from mosaicfusion.masks import rle


def edge_band(mask: NDArray[np.bool_], part: float) -> NDArray[np.bool_]:
    """The pixels whose centres are no further from a mask's edge than a part of the object's size, bool (H, W), on both sides.

    ``mask``: bool (H, W), not empty. ``part``: of the square root of its box' area, from 0 on. The border of the image is not
    an edge: the object may go on behind it.
    """
    left, top, width, height = (int(side) for side in rle.box_xywh(mask))
    reach = part * math.sqrt(width * height)
    around = math.ceil(reach) + 1
    window = np.s_[max(0, top - around) : top + height + around, max(0, left - around) : left + width + around]
    inside = mask[window].astype(np.uint8)
    band = np.zeros_like(mask)
    if not inside.all():
        to_other_side = [
            cv2.distanceTransform(side, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for side in (inside, 1 - inside)
        ]
        band[window] = np.maximum(*to_other_side) - 0.5 <= reach  # the edge lies half a pixel before the other side
    return band
