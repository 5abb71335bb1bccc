"""Area and box of a segmentation in any of COCO's forms, to hold an annotation's own against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from mosaicfusion.masks.rle import run_lengths

# What people drew agrees with its own area and box to the second decimal, but for outlines that cross themselves: their areas
# differ by up to 2 % in LVIS. Boxes of a mask's pixels and of its outline differ by less than a pixel.
AREA_TOLERANCE = 0.05
PIXEL_TOLERANCE = 1.0


@dataclass(frozen=True)
class Shape:
    """What a segmentation covers: its box in pixels, and its area in pixels or, for polygons, inside the outlines.

    Drawn masks have their pixels as the area, and LVIS has what is inside the outlines.
    """

    box_xywh: list[float]
    own_area: float
    outlines: list[list[float]] | None = None
    hw: tuple[int, int] = (0, 0)

    @cached_property
    def area(self) -> int:
        """The number of pixels, as the annotation should have it; overlapping polygons count once."""
        if self.outlines is None:
            return int(self.own_area)
        return int(coco_mask.area(coco_mask.merge(coco_mask.frPyObjects(self.outlines, *self.hw))))

    def has_area(self, area: float) -> bool:
        """Whether ``area`` is either of the areas, as near as those who made it could know."""
        return _near(area, self.own_area) or _near(area, self.area)

    def has_box(self, box_xywh: Sequence[float]) -> bool:
        """Whether all four sides are those of the mask, to a pixel."""
        pairs = zip(_sides(box_xywh), _sides(self.box_xywh), strict=True)
        return all(abs(side - own) <= PIXEL_TOLERANCE for side, own in pairs)


def measure(segmentation: Any, hw: tuple[int, int]) -> Shape:
    """Area and box of polygons, compressed or plain run lengths on an image of ``hw`` pixels.

    Raises ValueError that says what is wrong with a segmentation that loaders would not read.
    """
    if isinstance(segmentation, dict):
        return _measure_runs(segmentation, hw)
    if isinstance(segmentation, list) and segmentation:
        try:
            return _measure_polygons(segmentation, hw)
        except OverflowError:
            raise ValueError("holds numbers that are too large") from None
    raise ValueError("is empty, or neither a list of polygons nor run lengths")


def _measure_runs(rle: dict[str, Any], hw: tuple[int, int]) -> Shape:
    if rle.get("size") != list(hw):
        raise ValueError(f"has the size {rle.get('size')!r:.40}, its image {list(hw)} (height, width)")
    runs = _plain_runs(rle["counts"], hw) if isinstance(rle.get("counts"), list) else run_lengths(rle)
    ends = np.cumsum(runs)
    starts, ends = ends[:-1:2], ends[1::2]  # of the mask's runs
    starts, ends = starts[ends > starts], ends[ends > starts]
    if not len(starts):
        raise ValueError("covers no pixel")
    height = hw[0]
    left, right = int(starts[0]) // height, int(ends[-1] - 1) // height
    within = starts // height == (ends - 1) // height  # a run that goes on in the next column touches bottom and top
    top = int((starts % height).min()) if within.all() else 0
    bottom = int(((ends - 1) % height).max()) if within.all() else height - 1
    box = [float(v) for v in (left, top, right - left + 1, bottom - top + 1)]
    return Shape(box, int((ends - starts).sum()))


def _plain_runs(counts: list[Any], hw: tuple[int, int]) -> list[int]:
    if not all(type(count) is int and count >= 0 for count in counts) or sum(counts) != hw[0] * hw[1]:
        raise ValueError(f"has counts that do not fill its {hw[0]} x {hw[1]} pixels")
    return counts


def _measure_polygons(polygons: list[Any], hw: tuple[int, int]) -> Shape:
    # In plain Python: a polygon has some twenty corners, and a set may have millions.
    for polygon in polygons:
        if not isinstance(polygon, list) or not all(type(v) in (int, float) for v in polygon):
            raise ValueError("holds a polygon that is not a list of numbers")
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f"holds a polygon of {len(polygon)} numbers; loaders need 6 or more, x and y by turns")
    left, right = min(min(p[0::2]) for p in polygons), max(max(p[0::2]) for p in polygons)
    top, bottom = min(min(p[1::2]) for p in polygons), max(max(p[1::2]) for p in polygons)
    height, width = hw
    if not (
        -width <= left <= right <= 2 * width and -height <= top <= bottom <= 2 * height
    ):  # or rasterizing may not end
        raise ValueError(
            f"spans x {left:g} to {right:g}, y {top:g} to {bottom:g}, far from its {width} x {height} image"
        )
    box = [round(float(v), 2) for v in (left, top, right - left, bottom - top)]
    return Shape(box, sum(map(_area_inside, polygons)), polygons, hw)


def _area_inside(polygon: list[float]) -> float:
    """The shoelace formula."""
    x, y = polygon[0::2], polygon[1::2]
    crossed = zip(x, y, x[1:] + x[:1], y[1:] + y[:1], strict=True)
    return abs(sum(x0 * y1 - x1 * y0 for x0, y0, x1, y1 in crossed)) / 2


def _near(area: float, own: float) -> bool:
    return abs(area - own) <= max(2.0, AREA_TOLERANCE * own)


def _sides(box_xywh: Sequence[float]) -> tuple[float, ...]:
    left, top, width, height = box_xywh
    return left, top, left + width, top + height
