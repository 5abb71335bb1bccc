"""Predictions of a trained detector on single images, and their rendering."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mosaicfusion.arguments import checked
from mosaicfusion.detectors.checkpoint import Detector, load_detector
from mosaicfusion.files.images import read_rgb
from mosaicfusion.files.remote import as_path
from mosaicfusion.report.overlays import InstanceOverlay, readable_scale, render_instances


@dataclass(frozen=True)
class PredictedObject:
    """One detection. ``box_xyxy``: pixels of the image; ``mask``: bool (H, W); ``score`` in [0, 1]."""

    category: str
    score: float
    box_xyxy: tuple[float, float, float, float]
    mask: NDArray[np.bool_]


@checked
@torch.inference_mode()
def predict(
    detector: Detector | str | Path, image: NDArray[np.uint8] | str | Path, min_score: float = 0.5
) -> list[PredictedObject]:
    """Objects of one image that score at least ``min_score``, best first.

    ``detector``: a loaded one (for many images), or its folder. ``image``: uint8 RGB (H, W, 3), or a file. Raises
    :class:`MosaicFusionError` if one of the two cannot be read.
    """
    detector = detector if isinstance(detector, Detector) else load_detector(detector)
    image = read_rgb(as_path(image)) if isinstance(image, str | Path) else image
    device = next(detector.model.parameters()).device
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1).to(device).float() / 255
    with _score_threshold(min_score, detector.model):
        output = detector.model([pixels])[0]
    kept = torch.where(output["scores"] >= min_score)[0]
    kept = kept[output["scores"][kept].argsort(descending=True, stable=True)]
    names = detector.classes.names
    return [
        PredictedObject(
            names[int(output["labels"][k]) - 1],
            float(output["scores"][k]),
            (*output["boxes"][k].tolist(),),
            np.asarray((output["masks"][k, 0] > 0.5).cpu()),
        )
        for k in kept.tolist()
    ]


@contextmanager
def _score_threshold(min_score: float, model: nn.Module) -> Iterator[None]:
    """Let two-stage detectors drop lower scores early: each mask has the size of the image."""
    heads = getattr(model, "roi_heads", None)
    if heads is None:
        yield
        return
    before = heads.score_thresh
    heads.score_thresh = max(before, math.nextafter(min_score, 0))  # the heads keep scores above it, not at it
    try:
        yield
    finally:
        heads.score_thresh = before


@checked
def render_detections(image: NDArray[np.uint8], objects: Sequence[PredictedObject]) -> NDArray[np.uint8]:
    """Masks, boxes and labels over the image, enlarged until labels are readable."""
    instances = [
        InstanceOverlay(_inside(one.box_xyxy, image.shape), f"{one.category} {one.score:.2f}", one.mask)
        for one in objects
    ]
    return render_instances(image, instances, readable_scale(image.shape[:2]))


def _inside(box_xyxy: tuple[float, float, float, float], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Clip a box to whole pixels of the image; left, top, width and height."""
    left, top = (int(max(0, np.floor(side))) for side in box_xyxy[:2])
    right, bottom = min(shape[1], int(np.ceil(box_xyxy[2]))), min(shape[0], int(np.ceil(box_xyxy[3])))
    return left, top, max(1, right - left), max(1, bottom - top)
