"""Measures of mask quality that need no second model, recorded during generation, and the IoU that they predict.

The prediction is a logistic function of four of the measures; the other two did not improve it. It was fitted on the bundled
model with compositions of known alpha, see ``benchmarks/mask_quality.py``; ``docs/quality.md`` says how well it predicts. For
another model the order of the masks should still hold, but the values need a new fit; the records keep the measures for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mosaicfusion.masks.extract import Extraction
from mosaicfusion.masks.heatmap import heat_map
from mosaicfusion.masks.iou import mask_iou
from mosaicfusion.masks.threshold import binarize

_INTERCEPT = -4.35
_WEIGHTS = {"refinement": 3.43, "separation": 2.9, "edge": 1.66, "touch": -2.11}
MEASURES = tuple(_WEIGHTS)
"""The measures that :func:`predict_iou` needs."""

_COLOUR_LEVELS = 32  # of 256 in a bin of the colour histograms
_RING_PX = 4  # width of the ring around the mask that the edge is compared with


def measure_mask(
    extraction: Extraction,
    image: NDArray[np.uint8],
    half_sums: Mapping[int, np.ndarray[Any, Any]],
    threshold: float | Literal["otsu"] = "otsu",
) -> dict[str, float]:
    """Measures of a kept mask, each in [0, 1], rounded to four digits.

    - ``contrast``: the extraction's score, mean heat inside the mask minus mean heat outside.
    - ``stability``: IoU of the thresholded heat after half of the steps (``half_sums``) and after all; absent if
      ``half_sums`` is empty, for example after a single step.
    - ``refinement``: IoU of the thresholded heat and the refined mask.
    - ``separation``: part of the mask whose colours do not occur outside of it.
    - ``edge``: the image's gradient on the mask's border, divided by the sum of it and the gradient just outside.
    - ``touch``: part of the region's border that lies in the mask.

    image: uint8 RGB (H, W, 3) of the region. extraction: its result, with a mask. threshold: the one used for the extraction.
    """
    mask = extraction.mask
    assert mask is not None
    measures = {"contrast": extraction.score}
    if half_sums:
        measures["stability"] = mask_iou(binarize(heat_map(half_sums, mask.shape), threshold), extraction.coarse)
    measures |= {
        "refinement": mask_iou(extraction.coarse, mask),
        "separation": _separation(image, mask),
        "edge": _edge(image, mask),
        "touch": float(np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean()),
    }
    return {name: round(float(value), 4) for name, value in measures.items()}


def predict_iou(measures: Mapping[str, float]) -> float:
    """Predict the IoU with the exact mask, in [0, 1], from :data:`MEASURES`."""
    logit = _INTERCEPT + sum(weight * measures[name] for name, weight in _WEIGHTS.items())
    return round(float(1 / (1 + np.exp(-logit))), 4)


def _separation(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    red, green, blue = (cv2.split(image // _COLOUR_LEVELS)[k].astype(np.int64) for k in range(3))
    side = 256 // _COLOUR_LEVELS
    colour = (red * side + green) * side + blue  # (H, W)
    inside, outside = (np.bincount(colour[part], minlength=side**3) for part in (mask, ~mask))
    return float(1 - np.minimum(inside, outside).sum() / inside.sum())


def _edge(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    gradient = np.sqrt((cv2.Sobel(lab, cv2.CV_32F, 1, 0) ** 2 + cv2.Sobel(lab, cv2.CV_32F, 0, 1) ** 2).sum(axis=-1))
    pixels = mask.astype(np.uint8)
    wider = cv2.dilate(pixels, np.ones((3, 3), np.uint8))
    border = wider > cv2.erode(pixels, np.ones((3, 3), np.uint8))
    ring = cv2.dilate(pixels, np.ones((2 * _RING_PX + 1,) * 2, np.uint8)) > wider
    if not border.any() or not ring.any():  # the mask fills the region
        return 0.0
    on, beside = float(gradient[border].mean()), float(gradient[ring].mean())
    return on / (on + beside) if on else 0.0
