"""Intersection over union, a measure of the agreement of two masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mask_iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """IoU of two masks, bool (H, W) each, in [0, 1]; 1 for two empty masks."""
    union = np.count_nonzero(one | other)
    return float(np.count_nonzero(one & other) / union) if union else 1.0
