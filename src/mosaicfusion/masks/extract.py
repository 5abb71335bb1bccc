"""All mask steps of the paper (section 3.3) for one region, from attention to mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.config import MaskConfig
from mosaicfusion.masks._checks import require_image
from mosaicfusion.masks.bilateral import PAPER, refine_mask
from mosaicfusion.masks.components import keep_single_component
from mosaicfusion.masks.heatmap import heat_map
from mosaicfusion.masks.rejection import Rejection
from mosaicfusion.masks.threshold import binarize


@dataclass(frozen=True)
class Extraction:
    """The result of one region.

    mask: bool (H, W), or None if there is a ``rejection``; exactly one of the two is None.
    heat: float32 (H, W) in [0, 1].
    coarse: bool (H, W), the thresholded heat, before refinement and component rules.
    score: in [0, 1], the mean heat inside the mask minus the mean heat outside; 0 without a mask. It is 1 if all attention lies
    on the mask, and lower if it is scattered or the refined mask moved away from it.
    """

    mask: NDArray[np.bool_] | None
    rejection: Rejection | None
    heat: NDArray[np.float32]
    coarse: NDArray[np.bool_]
    score: float


def extract_mask(
    sums: Mapping[int, np.ndarray[Any, Any]],
    image: np.ndarray[Any, Any],
    config: MaskConfig = PAPER,
) -> Extraction:
    """Extract the instance mask of one region, or the reason of its rejection.

    sums: stride in pixels -> (h, w), see :func:`mosaicfusion.masks.heatmap.heat_map`. image: uint8 RGB (H, W, 3), the
    region. Raises ValueError for malformed arguments only; a poor region is a rejection.
    """
    require_image(image, image.shape[:2])
    heat = heat_map(sums, image.shape[:2])
    coarse = binarize(heat, config.threshold)
    mask = refine_mask(coarse, image, config) if config.refine else coarse
    outcome = keep_single_component(mask, config.min_area, config.max_area)
    if isinstance(outcome, Rejection):
        return Extraction(mask=None, rejection=outcome, heat=heat, coarse=coarse, score=0.0)
    score = _contrast(heat, outcome.mask)
    return Extraction(mask=outcome.mask, rejection=None, heat=heat, coarse=coarse, score=score)


def _contrast(heat: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    outside = float(heat[~mask].mean()) if not mask.all() else 0.0
    return float(np.clip(float(heat[mask].mean()) - outside, 0, 1))
