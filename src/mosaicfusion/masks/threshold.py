"""Step 3 of the mask: heat map to binary mask."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.masks._checks import require_heat

_BINS = 256


def otsu_threshold(heat: np.ndarray[Any, Any]) -> float:
    """Otsu's threshold (IEEE SMC 1979) of a heat map, float (H, W) in [0, 1], on 256 bins.

    The value t that maximises the variance between {heat <= t} and {heat > t}; when all values between two modes do so,
    the middle one. A constant map returns its own value, so that nothing lies above it.
    """
    require_heat(heat)
    if heat.min() == heat.max():
        return float(heat.min())
    # Bin k holds (k, k + 1] / 256, so that "heat > edge" and "bin above the edge" are the same pixels.
    bins = np.maximum(np.ceil(heat * np.float32(_BINS)).astype(np.int64) - 1, 0)
    counts = np.bincount(bins.ravel(), minlength=_BINS).astype(np.float64)
    centres = (np.arange(_BINS) + 0.5) / _BINS

    below = np.cumsum(counts)[:-1]  # (255,): pixels at or below the edge k + 1
    above = heat.size - below
    moment = np.cumsum(counts * centres)
    split = (below > 0) & (above > 0)
    if not split.any():  # all values share a bin: any split of it is as good
        return float((heat.min() + heat.max()) / 2)
    mean_below = moment[:-1][split] / below[split]
    mean_above = (moment[-1] - moment[:-1][split]) / above[split]
    between = below[split] * above[split] * (mean_above - mean_below) ** 2
    edges = np.flatnonzero(split)[between >= between.max() * (1 - 1e-12)] + 1
    return float((edges[0] + edges[-1]) / 2 / _BINS)


def binarize(heat: np.ndarray[Any, Any], threshold: float | Literal["otsu"] = "otsu") -> NDArray[np.bool_]:
    """heat: float (H, W) in [0, 1] -> bool (H, W), True strictly above the threshold, a number in (0, 1) or "otsu"."""
    require_heat(heat)
    if threshold == "otsu":
        return np.asarray(heat > otsu_threshold(heat))
    if isinstance(threshold, str) or not 0 < threshold < 1:
        raise ValueError(f'threshold={threshold!r} is not in (0, 1); give a number such as 0.5, or "otsu"')
    return np.asarray(heat > threshold)
