"""Step 3 of the mask: from heat map to binary mask."""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mosaicfusion.masks._checks import require_heat

_BINS = 256


def otsu_threshold(heat: np.ndarray[Any, Any]) -> float:
    """Otsu's threshold (IEEE SMC 1979) of a heat map, float (H, W) in [0, 1], on 256 bins.

    The value t that maximises the variance between {heat <= t} and {heat > t}, in the middle of the empty bins between the two
    sides. A constant map returns its own value, so that nothing lies above it.
    """
    require_heat(heat)
    if heat.min() == heat.max():
        return float(heat.min())
    # Bin k holds (k, k + 1] / 256, so that "heat > (k + 1) / 256" and "bin > k" are the same pixels.
    bins = np.maximum(np.ceil(heat * np.float32(_BINS)) - 1, 0).astype(np.uint8)
    if bins.min() == bins.max():  # any split of a single bin is as good
        return float((heat.min() + heat.max()) / 2)
    split, _ = cv2.threshold(bins, 0, 1, cv2.THRESH_OTSU)  # of any empty bins, OpenCV returns the lowest
    below, above = int(bins[bins <= split].max()), int(bins[bins > split].min())
    return (below + 1 + above) / 2 / _BINS


def binarize(heat: np.ndarray[Any, Any], threshold: float | Literal["otsu"] = "otsu") -> NDArray[np.bool_]:
    """heat: float (H, W) in [0, 1] -> bool (H, W), True strictly above the threshold, a number in (0, 1) or "otsu"."""
    require_heat(heat)
    if threshold == "otsu":
        return np.asarray(heat > otsu_threshold(heat))
    if isinstance(threshold, str) or not 0 < threshold < 1:
        raise ValueError(f'threshold={threshold!r} is not in (0, 1); give a number such as 0.5, or "otsu"')
    return np.asarray(heat > threshold)
