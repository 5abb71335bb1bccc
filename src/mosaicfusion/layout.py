"""Mosaic geometry: a canvas cut into rows x columns of regions with jittered split lines and overlap (paper, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.config import LayoutConfig
from mosaicfusion.errors import MosaicFusionError

MIN_REGION_CELLS = 8  # latent cells a side: below, the U-Net's deepest maps have a single cell


@dataclass(frozen=True)
class Region:
    """A rectangle of the canvas, in pixels or, after :meth:`divided_by`, in latent cells; half-open: ``top <= y < bottom``."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    @property
    def box_xywh(self) -> tuple[int, int, int, int]:
        """Left, top, width, height, as in COCO."""
        return self.left, self.top, self.right - self.left, self.bottom - self.top

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the region in an image of shape (H, W, ...)."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def divided_by(self, factor: int) -> Region:
        """The same rectangle in cells of ``factor`` pixels; every side must be a multiple."""
        return Region(*(side // factor for side in (self.top, self.left, self.bottom, self.right)))


@dataclass(frozen=True)
class Canvas:
    """Height and width in pixels, and regions row by row. Regions cover the canvas and overlap at the split lines."""

    hw_px: tuple[int, int]
    regions: tuple[Region, ...]


def check_layout(config: LayoutConfig, factor: int) -> None:
    """Raise :class:`MosaicFusionError` unless every grid divides into latent cells of ``factor`` pixels."""
    for name, value, step in (
        ("region_hw_px", config.region_hw_px, factor),
        # Each region reaches half of the overlap over its split line.
        ("overlap_xy_px", config.overlap_xy_px, 2 * factor),
    ):
        if any(side % step for side in value):
            nearest = tuple(max(round(side / step), int(side > 0)) * step for side in value)
            raise MosaicFusionError(f"{name}={value} must be multiples of {step} for this model; try {nearest}")
    counts = zip(*(map(int, grid.split("x")) for grid in config.grids), strict=True)
    for count, side, overlap in zip(map(max, counts), config.region_hw_px, reversed(config.overlap_xy_px), strict=True):
        smallest = _smallest_side(count, side, overlap, config.centre, factor)
        if smallest < MIN_REGION_CELLS * factor:
            raise MosaicFusionError(
                f"region_hw_px={config.region_hw_px} with centre={config.centre} allows a region of {smallest} px; "
                f"the model needs {MIN_REGION_CELLS * factor}: enlarge the region or move centre to 0.5"
            )
        if count > 1 and overlap > smallest / 2:
            raise MosaicFusionError(
                f"overlap_xy_px={config.overlap_xy_px} is more than half of the smallest region ({smallest} px); lower it"
            )


def make_canvas(config: LayoutConfig, factor: int, rng: np.random.Generator) -> Canvas:
    """Draw a grid and its split lines. All sides are multiples of ``factor``.

    A split line is moved by at most ``(1 - 2 s)`` of a region's side, which for a 2 x 2 canvas puts the mosaic's centre
    into ``[s, 1 - s]`` of the canvas, as in the paper.
    """
    rows, columns = map(int, config.grids[rng.integers(len(config.grids))].split("x"))
    (region_h, region_w), (overlap_x, overlap_y) = config.region_hw_px, config.overlap_xy_px
    spans_y = _spans(rows, region_h, overlap_y, config.centre, factor, rng)
    spans_x = _spans(columns, region_w, overlap_x, config.centre, factor, rng)
    regions = tuple(Region(top, left, bottom, right) for top, bottom in spans_y for left, right in spans_x)
    return Canvas((rows * region_h, columns * region_w), regions)


def _spans(
    count: int, side_px: int, overlap_px: int, centre: float, factor: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    reach = _reach(side_px, centre, factor)
    shifts = rng.integers(-reach, reach, count - 1, endpoint=True) * factor
    splits = [k * side_px + int(shift) for k, shift in enumerate(shifts, start=1)]
    starts = [0, *(split - overlap_px // 2 for split in splits)]
    ends = [*(split + overlap_px // 2 for split in splits), count * side_px]
    return list(zip(starts, ends, strict=True))


def _reach(side_px: int, centre: float, factor: int) -> int:
    """By how many latent cells a split line may move."""
    return int((1 - 2 * centre) * side_px / factor + 1e-9)


def _smallest_side(count: int, side_px: int, overlap_px: int, centre: float, factor: int) -> int:
    """Of the regions that jitter can make: an outer one has one split line, an inner one two."""
    inward = _reach(side_px, centre, factor) * factor - overlap_px // 2  # less than 0: the overlap outweighs the jitter
    return side_px - min(count - 1, 2 if inward > 0 else 1) * inward


def region_weight(region_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Gaussian weight of a region's noise prediction, float32 (h, w), 1 at the centre.

    Variance is 0.01 of the squared side, per axis (paper, section 3.2). Corners far out of the centre keep a tiny positive
    weight, so that a weighted mean is always defined.
    """
    axes = [np.exp(-(((np.arange(side) + 0.5) / side - 0.5) ** 2) / (2 * 0.01)) for side in region_hw]
    return np.asarray(np.outer(*axes), dtype=np.float32)
