"""The mask of a COCO or LVIS annotation: as pixels, run lengths or polygons."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from mosaicfusion.config import MaskFormat
from mosaicfusion.dataset.annotated import Record
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.masks import rle


def pixels(annotation: Record, hw: tuple[int, int]) -> NDArray[np.bool_]:
    """bool (H, W).

    Like all functions here, raises :class:`MosaicFusionError` for run lengths that do not fill the image and for polygons
    with fewer than three corners or far outside it: pycocotools would read them as something else.
    """
    return rle.decode(run_lengths(annotation, hw))


def run_lengths(annotation: Record, hw: tuple[int, int]) -> rle.Rle:
    """Compressed run lengths; plain ones are compressed, the parts of a polygon united."""
    segmentation = annotation["segmentation"]
    try:
        if isinstance(segmentation, dict):
            return _checked_runs(segmentation, hw)
        merged = coco_mask.merge(coco_mask.frPyObjects(_checked_polygons(segmentation, hw), *hw))
    except ValueError as error:
        raise MosaicFusionError(f"annotation {annotation['id']} has no mask that can be read: {error}") from None
    return {"size": list(hw), "counts": merged["counts"].decode("ascii")}


def polygons(annotation: Record, hw: tuple[int, int]) -> list[list[float]]:
    """Polygons as they are, or polygons that hold the same pixels as the run lengths."""
    segmentation = annotation["segmentation"]
    if isinstance(segmentation, dict):
        return rle.polygons(pixels(annotation, hw))
    try:
        return _checked_polygons(segmentation, hw)
    except ValueError as error:
        raise MosaicFusionError(f"annotation {annotation['id']} has no mask that can be read: {error}") from None


def segmentation(annotation: Record, hw: tuple[int, int], masks: MaskFormat | None) -> Any:
    """As run lengths, as polygons, or (``None``) as it is. A crowd stays run lengths: COCO's rule."""
    if masks is None or annotation.get("iscrowd"):
        masks = "rle" if isinstance(annotation["segmentation"], dict) else "polygon"
    return run_lengths(annotation, hw) if masks == "rle" else polygons(annotation, hw)


def _checked_runs(runs: dict[str, Any], hw: tuple[int, int]) -> rle.Rle:
    counts, size = runs.get("counts"), runs.get("size")
    if size != list(hw):
        raise ValueError(f"run lengths of size {size!r:.40} for an image of {list(hw)}")
    if isinstance(counts, list):
        if any(type(count) is not int or count < 0 for count in counts) or sum(counts) != hw[0] * hw[1]:
            raise ValueError(f"counts that do not fill the image of {list(hw)}")
        column_by_column = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        return rle.encode(column_by_column.reshape(hw[1], hw[0]).T)
    rle.decode(runs)
    return {"size": list(hw), "counts": str(counts)}


def _checked_polygons(parts: list[Any], hw: tuple[int, int]) -> list[list[float]]:
    if not parts:
        raise ValueError("segmentation is empty")
    height, width = hw
    for part in parts:
        try:
            corners = np.array(part, np.float64)
            if corners.ndim != 1:
                raise ValueError
            corners = corners.reshape(-1, 2)
        except (ValueError, TypeError):
            raise ValueError(f"polygon {part!r:.60} is not a list of x, y, x, y, ...") from None
        if len(corners) < 3:  # pycocotools takes four numbers for a box
            raise ValueError(f"polygon {part!r:.60} has fewer than 3 corners")
        if not (np.abs(corners - (width / 2, height / 2)) <= (width, height)).all():
            raise ValueError(f"polygon {part!r:.60} reaches far outside the image of {list(hw)}")
    return parts
