"""Instances whose pixels are nearly the same: of a run and its export, or of two runs with the same seed."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_SIDE = 8
_GREY = 124
_NEARLY = 3.0  # of 255: a JPEG of quality 75 changes at most 2; two objects of the bundled model differ by 4 or more


def fingerprint(pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Mean colours of 8 x 8 cells of an instance's box, grey outside of its mask: float32 (192,) in [0, 255].

    pixels: uint8 RGB (h, w, 3); mask: bool (h, w).
    """
    alone = np.where(mask[..., None], pixels, np.uint8(_GREY)).astype(np.float32)
    return np.asarray(cv2.resize(alone, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).ravel(), np.float32)


def distinct(fingerprints: NDArray[np.float32]) -> list[int]:
    """The rows, of (N, 192), that differ from all rows chosen before them, in order."""
    chosen: list[int] = []
    for row, values in enumerate(fingerprints):
        if not chosen or np.abs(fingerprints[chosen] - values).mean(axis=1).min() > _NEARLY:
            chosen.append(row)
    return chosen
