"""The background of canvases: windows in which nothing is annotated, and what CLIP finds there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.categories import Category
from mosaicfusion.masks import rle
from mosaicfusion.run.records import CanvasRecord
from mosaicfusion.run.semantics import BackgroundSemantics, Finding

PROBABILITIES = (0.5, 0.8, 0.9, 0.95)
"""Thresholds at which findings are counted, to choose one."""

Window = tuple[int, int, int, int]  # left, top, width, height

_MAX_COVERED = 0.1  # of a window, by annotated objects: less than anything is recognised by


def background_windows(record: CanvasRecord) -> list[Window]:
    """Windows of a canvas, of which objects cover less than a tenth: as large as its smallest region, half a side apart.

    The canvas of a mosaic is full of objects and has none. Of an object without a mask the whole region counts: its category is
    listed as not exhaustive in any case.
    """
    width, height = min((region.region_xywh[2:] for region in record.regions), key=lambda sides: sides[0] * sides[1])
    sums = np.pad(_covered(record).cumsum(0).cumsum(1), ((1, 0), (1, 0)))  # an integral image
    top, left = _starts(record.hw_px[0], height), _starts(record.hw_px[1], width)
    low, right = top + height, left + width
    area = sums[np.ix_(low, right)] - sums[np.ix_(top, right)] - sums[np.ix_(low, left)] + sums[np.ix_(top, left)]
    rows, columns = np.nonzero(area < _MAX_COVERED * width * height)
    return [(int(left[x]), int(top[y]), width, height) for y, x in zip(rows, columns, strict=True)]


def _covered(record: CanvasRecord) -> NDArray[np.int64]:
    """1 where a canvas has an annotated object, or the region of one without a mask, else 0: (H, W)."""
    covered = np.zeros(record.hw_px, np.bool_)
    for region in record.regions:
        mask = region.amodal_segmentation or region.segmentation
        if region.kept and mask is not None:
            covered |= rle.decode(mask)
        else:
            left, top, width, height = region.region_xywh
            covered[top : top + height, left : left + width] = True
    return covered.astype(np.int64)


def _starts(length: int, side: int) -> NDArray[np.int64]:
    """Evenly spaced, at most half a side apart, from 0 to ``length - side``."""
    steps = -(-2 * (length - side) // side)
    return np.linspace(0, length - side, steps + 1).round().astype(np.int64)


def find_categories(
    windows: Sequence[Window], probability: NDArray[np.float32], own: Sequence[Category]
) -> tuple[Finding, ...]:
    """The categories of a run that are the most probable ones of a window, each with its best window, the most probable first.

    ``probability``: (windows, vocabulary) in [0, 1], where the vocabulary begins with ``own``, the categories of the run.
    """
    best: dict[int, int] = {}
    for number, top in enumerate(probability.argmax(axis=1).tolist()):
        if top < len(own) and (top not in best or probability[number, top] > probability[best[top], top]):
            best[top] = number
    found = [
        Finding(own[top].id, own[top].name, round(float(probability[number, top]), 4), windows[number])
        for top, number in best.items()
    ]
    return tuple(sorted(found, key=lambda finding: (-finding.probability, finding.category_id)))


def count_canvases(background: Iterable[BackgroundSemantics]) -> dict[float, int]:
    """The number of canvases with a finding of at least each of PROBABILITIES."""
    best = [max(finding.probability for finding in line.found) for line in background if line.found]
    return {threshold: sum(probability >= threshold for probability in best) for threshold in PROBABILITIES}
