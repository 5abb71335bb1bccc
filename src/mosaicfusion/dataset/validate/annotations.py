"""Checks of annotations. Rows may be anything, since they come from outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mosaicfusion.dataset.coco import Record
from mosaicfusion.dataset.masks import PolygonMask, RunMask, parse_mask
from mosaicfusion.dataset.validate.context import Context, check_id, is_area, is_box, is_int
from mosaicfusion.dataset.validate.issues import RowIssues
from mosaicfusion.errors import shown

# Annotations by people agree with their own area and box to the second decimal, except for outlines that cross themselves: their
# areas differ by up to 2 % in LVIS. Boxes of a mask's pixels and of its outline differ by less than a pixel.
AREA_TOLERANCE = 0.05
PIXEL_TOLERANCE = 1.0


def check_annotation(row: Any, issues: RowIssues, context: Context) -> None:
    """Check ids, references, the crowd flag, and the mask with its box and area."""
    known_id = isinstance(row, dict) and is_int(row.get("id")) and row["id"] not in context.annotation_ids
    repair = None if known_id or not isinstance(row, dict) else {"id": context.new_annotation_id()}
    check_id(row, issues, context.annotation_ids, repair)
    if not isinstance(row, dict):
        return
    image_id: Any = row.get("image_id")
    category_id: Any = row.get("category_id")
    for key, value, known in (
        ("image_id", image_id, context.image_hw),
        ("category_id", category_id, context.category_ids),
    ):
        if not is_int(value) or value not in known:
            issues.error("reference", f"{key} is {shown(value)}, which is not among the {key[:-3]} ids")
            return
    crowd = row.get("iscrowd", 0)
    if not is_int(crowd) or crowd not in (0, 1):
        issues.error("iscrowd", f"iscrowd is {shown(crowd)}; 0 or 1 is needed")
    context.pairs.add((category_id, image_id))
    context.instances[category_id] += 1
    hw = context.image_hw[image_id]
    if hw is not None:
        _check_mask(row, hw, issues, context)


def _check_mask(row: Record, hw: tuple[int, int], issues: RowIssues, context: Context) -> None:
    try:
        mask = parse_mask(row.get("segmentation"), hw)
        box_xywh = mask.box_xywh
    except ValueError as error:
        issues.error("mask", f"segmentation {error}; annotate it again or remove the annotation")
        mask = None
    box: Any = row.get("bbox")
    area: Any = row.get("area")
    if not is_box(box):
        text = f"bbox is {shown(box)}; four numbers with a size above 0 are needed; --fix takes the mask's"
        issues.error("bbox", text, {"bbox": box_xywh} if mask else None)
    elif mask and not same_box(box, box_xywh):
        text = f"bbox is {shown(box)}, the mask's {shown(box_xywh)}; --fix writes that"
        issues.error("bbox", text, {"bbox": box_xywh})
    if not is_area(area):
        issues.error("area", f"area is {shown(area)}; --fix takes the mask's", {"area": mask.area} if mask else None)
    elif mask and not has_area(mask, area):
        of_box = ", which is its box's" if is_box(box) and abs(box[2] * box[3] - area) < 1 else ""
        text = f"area is {area:g}{of_box}; the mask has {mask.area:g}; --fix writes that"
        issues.error("area", text, {"area": mask.area})
    if mask:
        _check_inside(box_xywh, hw, issues)
        context.run_lengths += isinstance(mask, RunMask)


def _check_inside(box_xywh: Sequence[float], hw: tuple[int, int], issues: RowIssues) -> None:
    left, top, right, bottom = _sides(box_xywh)
    if min(left, top) < -PIXEL_TOLERANCE or right > hw[1] + PIXEL_TOLERANCE or bottom > hw[0] + PIXEL_TOLERANCE:
        text = f"the mask {shown(box_xywh)} extends beyond its image of {hw[1]} x {hw[0]}; cut it off at the edge"
        issues.warning("outside", text)


def has_area(mask: PolygonMask | RunMask, area: float) -> bool:
    """True if ``area`` is that of the pixels (as in synthetic sets) or of the outlines (as in LVIS), within the tolerance."""
    return _near(area, mask.own_area) or _near(area, mask.area)


def same_box(one_xywh: Sequence[float], other_xywh: Sequence[float]) -> bool:
    """True if all four sides agree to a pixel."""
    pairs = zip(_sides(one_xywh), _sides(other_xywh), strict=True)
    return all(abs(one - other) <= PIXEL_TOLERANCE for one, other in pairs)


def _near(area: float, own: float) -> bool:
    return abs(area - own) <= max(2.0, AREA_TOLERANCE * own)


def _sides(box_xywh: Sequence[float]) -> tuple[float, float, float, float]:
    left, top, width, height = box_xywh
    return left, top, left + width, top + height
