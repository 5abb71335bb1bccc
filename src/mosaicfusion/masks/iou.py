"""Intersection over union, the measure of how far two masks agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mask_iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Of two bool (H, W), in [0, 1]; two empty masks agree."""
    union = np.count_nonzero(one | other)
    return float(np.count_nonzero(one & other) / union) if union else 1.0
