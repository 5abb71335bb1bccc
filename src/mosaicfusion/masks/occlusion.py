"""Objects that hide each other: what is seen of each, and whether it is enough."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.masks import rle
from mosaicfusion.masks.rejection import Rejection, RejectionReason


def visible_masks(masks: Sequence[NDArray[np.bool_] | None]) -> list[NDArray[np.bool_] | None]:
    """The visible parts of objects that hide each other, bool (H, W) each, from back to front; ``None`` stays ``None``."""
    visible: list[NDArray[np.bool_] | None] = []
    hidden: NDArray[np.bool_] | None = None  # by all objects further in front
    for mask in reversed(masks):
        visible.append(mask if mask is None or hidden is None else mask & ~hidden)
        if mask is not None:
            hidden = mask if hidden is None else hidden | mask
    return visible[::-1]


def find_hidden(whole: NDArray[np.bool_], visible: NDArray[np.bool_], max_hidden: float) -> Rejection | None:
    """Reject an object of which nothing is seen, or of which more than ``max_hidden``, in [0, 1], is hidden.

    whole, visible: bool (H, W), the mask with what others hide, and without.
    """
    whole_area, area = rle.area(whole), rle.area(visible)
    hidden = 1 - area / whole_area if whole_area else 1.0
    if area and hidden <= max_hidden:
        return None
    return Rejection(RejectionReason.HIDDEN, {"hidden": round(hidden, 3)})
