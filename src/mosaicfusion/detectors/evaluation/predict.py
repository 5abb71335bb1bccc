"""A trained detector on single pictures: what it finds, and a picture of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mosaicfusion.detectors.checkpoint import Detector
from mosaicfusion.report.drawing import Instance, readable_scale, render_instances


@dataclass(frozen=True)
class Found:
    """One object. ``box_xyxy``: pixels of the picture; ``mask``: bool (H, W); ``score`` in [0, 1]."""

    category: str
    score: float
    box_xyxy: tuple[float, float, float, float]
    mask: NDArray[np.bool_]


@torch.inference_mode()
def predict(detector: Detector, picture: NDArray[np.uint8], min_score: float = 0.5) -> list[Found]:
    """The objects of one picture, uint8 RGB (H, W, 3), best first."""
    device = next(detector.model.parameters()).device
    pixels = torch.from_numpy(picture.copy()).permute(2, 0, 1).to(device).float() / 255
    with _at_least(min_score, detector.model.roi_heads):
        output = detector.model([pixels])[0]
    kept = torch.where(output["scores"] >= min_score)[0]
    kept = kept[output["scores"][kept].argsort(descending=True, stable=True)]
    names = detector.classes.names
    return [
        Found(
            names[int(output["labels"][k]) - 1],
            float(output["scores"][k]),
            (*output["boxes"][k].tolist(),),
            np.asarray((output["masks"][k, 0] > 0.5).cpu()),
        )
        for k in kept.tolist()
    ]


@contextmanager
def _at_least(score: float, heads: Any) -> Iterator[None]:
    """The heads drop the others before a mask of each is made, in the size of the picture."""
    before = heads.score_thresh
    heads.score_thresh = max(before, math.nextafter(score, 0))  # which heads look for what is above
    try:
        yield
    finally:
        heads.score_thresh = before


def render_detections(picture: NDArray[np.uint8], found: Sequence[Found]) -> NDArray[np.uint8]:
    """Masks, boxes and labels over the picture, enlarged to a size where labels can be read."""
    instances = [
        Instance(_inside(one.box_xyxy, picture.shape), f"{one.category} {one.score:.2f}", one.mask) for one in found
    ]
    return render_instances(picture, instances, readable_scale(picture.shape[:2]))


def _inside(box_xyxy: tuple[float, float, float, float], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Whole pixels of the picture, as left, top, width and height."""
    left, top = (int(max(0, np.floor(side))) for side in box_xyxy[:2])
    right, bottom = min(shape[1], int(np.ceil(box_xyxy[2]))), min(shape[0], int(np.ceil(box_xyxy[3])))
    return left, top, max(1, right - left), max(1, bottom - top)
