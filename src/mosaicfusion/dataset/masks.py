"""The mask of a COCO or LVIS annotation: one rule for validity, one reader for polygons and run lengths.

A valid mask is either a list of polygons, each of three or more corners (six or more numbers, x and y in turn) that stay within
one image size of the image, or run lengths, plain or compressed, of exactly the image's size. Everything else is refused, since
pycocotools would read it as something else or never end.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from mosaicfusion.dataset.coco import Record
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.masks import rle

CROWDS_HINT = "if these crowds are single objects, as CVAT writes masks, `mosaicfusion validate --fix` clears the flag"


@dataclass(frozen=True)
class PolygonMask:
    """One or more polygons on an image of ``hw`` pixels; ``box_xywh`` and ``own_area`` are those of the outlines."""

    parts: list[list[float]]
    hw: tuple[int, int]
    box_xywh: list[float]

    @property
    def own_area(self) -> float:
        """Area inside the outlines, in square pixels, by the shoelace formula: LVIS' own areas."""
        return sum(map(_area_inside, self.parts))

    @property
    def area(self) -> int:
        """Number of pixels; overlapping polygons count once."""
        return int(coco_mask.area(self.run_lengths()))

    def run_lengths(self) -> rle.Rle:
        """Compressed run lengths of the union of the polygons."""
        merged = coco_mask.merge(coco_mask.frPyObjects(self.parts, *self.hw))
        return {"size": list(self.hw), "counts": merged["counts"].decode("ascii")}

    def polygons(self) -> list[list[float]]:
        """The polygons themselves."""
        return self.parts


@dataclass(frozen=True)
class RunMask:
    """Run lengths, column by column, background and mask in turn, that fill an image of ``hw`` pixels."""

    runs: list[int]
    hw: tuple[int, int]
    compressed: rle.Rle | None = None

    @cached_property
    def area(self) -> int:
        """Number of pixels."""
        return sum(self.runs[1::2])

    @property
    def own_area(self) -> float:
        """The same as :attr:`area`."""
        return self.area

    @property
    def box_xywh(self) -> list[float]:
        """The tight box of the pixels; ValueError for a mask without a pixel."""
        ends = np.cumsum(self.runs)
        starts, ends = ends[:-1:2], ends[1::2]  # of the mask's runs
        starts, ends = starts[ends > starts], ends[ends > starts]
        if not len(starts):
            raise ValueError("covers no pixel")
        height = self.hw[0]
        left, right = int(starts[0]) // height, int(ends[-1] - 1) // height
        within = starts // height == (ends - 1) // height  # a run into the next column touches bottom and top
        top = int((starts % height).min()) if within.all() else 0
        bottom = int(((ends - 1) % height).max()) if within.all() else height - 1
        return [float(v) for v in (left, top, right - left + 1, bottom - top + 1)]

    def run_lengths(self) -> rle.Rle:
        """Compressed run lengths."""
        if self.compressed is not None:
            return self.compressed
        column_by_column = np.repeat(np.arange(len(self.runs)) % 2 == 1, self.runs)
        return rle.encode(column_by_column.reshape(self.hw[1], self.hw[0]).T)

    def polygons(self) -> list[list[float]]:
        """Polygons with the same pixels."""
        return rle.polygons(rle.decode(self.run_lengths()))


def parse_mask(segmentation: Any, hw: tuple[int, int]) -> PolygonMask | RunMask:
    """Read a segmentation of an image of ``hw`` pixels; raises ValueError that says why it is not valid."""
    if isinstance(segmentation, dict):
        return _parse_runs(segmentation, hw)
    if isinstance(segmentation, list) and segmentation:
        try:
            return _parse_polygons(segmentation, hw)
        except OverflowError:  # whole numbers that no float holds
            raise ValueError("holds numbers that are too large") from None
    raise ValueError("is empty, or neither a list of polygons nor run lengths")


def has_extent(mask: PolygonMask | RunMask) -> bool:
    """True if a mask is more than a line or a point: outlines of a width and a height, or at least one pixel."""
    return mask.area > 0 if isinstance(mask, RunMask) else min(mask.box_xywh[2:]) > 0


def is_blank(segmentation: Any) -> bool:
    """True for ``null``, ``[]``, ``{}`` and lists of empty polygons: a box without a mask."""
    return segmentation in (None, {}) or (isinstance(segmentation, list) and all(part == [] for part in segmentation))


def read_mask(annotation: Record, hw: tuple[int, int]) -> PolygonMask | RunMask:
    """The mask of an annotation record; raises :class:`MosaicFusionError` that names the annotation if it is not valid."""
    try:
        return parse_mask(annotation.get("segmentation"), hw)
    except ValueError as error:
        raise MosaicFusionError(f"annotation {annotation['id']}: the segmentation {error}") from None


def _parse_runs(segmentation: dict[str, Any], hw: tuple[int, int]) -> RunMask:
    # The size comes first: run lengths of a few bytes can claim gigabytes of pixels.
    if segmentation.get("size") != list(hw):
        raise ValueError(f"has the size {segmentation.get('size')!r:.40}, its image {list(hw)} (height, width)")
    counts = segmentation.get("counts")
    if isinstance(counts, list):
        if not all(type(count) is int and count >= 0 for count in counts) or sum(counts) != hw[0] * hw[1]:
            raise ValueError(f"has counts that do not fill its {hw[0]} x {hw[1]} pixels")
        return RunMask(counts, hw)
    runs = rle.run_lengths(segmentation)
    return RunMask(runs, hw, {"size": list(hw), "counts": counts if isinstance(counts, str) else str(counts)})


def _parse_polygons(polygons: list[Any], hw: tuple[int, int]) -> PolygonMask:
    # In plain Python: a polygon has some twenty corners, and a set may have millions of them.
    for polygon in polygons:
        if not isinstance(polygon, list) or not all(type(v) in (int, float) and v == v for v in polygon):
            raise ValueError(f"holds a polygon that is not a list of numbers: {polygon!r:.60}")
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f"holds a polygon of {len(polygon)} numbers; 6 or more are needed, x and y in turn")
    left, right = min(min(p[0::2]) for p in polygons), max(max(p[0::2]) for p in polygons)
    top, bottom = min(min(p[1::2]) for p in polygons), max(max(p[1::2]) for p in polygons)
    height, width = hw
    if not (-width <= left <= right <= 2 * width and -height <= top <= bottom <= 2 * height):
        raise ValueError(
            f"spans x {left:.6g} to {right:.6g}, y {top:.6g} to {bottom:.6g}, far outside its {width} x {height} image"
        )
    box = [round(float(v), 2) for v in (left, top, right - left, bottom - top)]
    return PolygonMask(polygons, hw, box)


def _area_inside(polygon: list[float]) -> float:
    x, y = polygon[0::2], polygon[1::2]
    crossed = zip(x, y, x[1:] + x[:1], y[1:] + y[:1], strict=True)
    return abs(sum(x0 * y1 - x1 * y0 for x0, y0, x1, y1 in crossed)) / 2
