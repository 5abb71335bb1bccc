"""Steps 1 and 2 of the mask (paper, section 3.3): from cross-attention sums to one heat map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mosaicfusion.masks._checks import require_hw

# A range below this is rounding error.
_FLAT = 1e-6


def heat_map(sums: Mapping[int, np.ndarray[Any, Any]], out_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Merge the attention of one object over resolutions into a heat map.

    sums: stride in pixels (8, 16, 32) -> real (h, w), the running sum of the object's cross-attention over heads,
    layers and steps, at any scale; h and w may differ. out_hw: the region in pixels.

    Each resolution is divided by its maximum, so that the number of layers in a sum does not matter, then resized, and all are
    averaged. Returns float32 (H, W) scaled linearly to span [0, 1]; zeros for a flat map. Raises ValueError for an empty
    mapping, a map that is not (h, w), and values that are negative or not finite.
    """
    require_hw("out_hw", out_hw)
    if not sums:
        raise ValueError("sums is empty; record at least one resolution of cross-attention")
    height, width = out_hw
    total = np.zeros(out_hw, np.float32)
    for stride, running_sum in sums.items():
        scaled = _scale_by_maximum(stride, np.asarray(running_sum, np.float32))
        # Bilinear with half-pixel centres; unlike cubic it cannot ring below 0 beside a peak.
        total += cv2.resize(scaled, (width, height), interpolation=cv2.INTER_LINEAR)
    total /= len(sums)
    low, high = total.min(), total.max()
    if high - low < _FLAT:
        return np.zeros(out_hw, np.float32)
    return np.asarray(np.clip((total - low) / (high - low), 0, 1))


def _scale_by_maximum(stride: int, attention: NDArray[np.float32]) -> NDArray[np.float32]:
    if attention.ndim != 2 or attention.size == 0:
        raise ValueError(f"sums[{stride}] has shape {attention.shape}; give one (h, w) map, already summed over layers")
    low, high = float(attention.min()), float(attention.max())
    if not np.isfinite([low, high]).all() or low < 0:
        raise ValueError(f"sums[{stride}] spans [{low:g}, {high:g}]; sums of probabilities are finite and not negative")
    return attention / high if high > 0 else attention
