"""Checks of annotations. Rows may be anything, since they come from outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mosaicfusion.categories import MAX_ID
from mosaicfusion.dataset.coco import Record
from mosaicfusion.dataset.masks import PolygonMask, RunMask, has_extent, is_blank, parse_mask
from mosaicfusion.dataset.validate.context import Context, check_id, check_whole_numbers, is_area, is_box, is_int
from mosaicfusion.dataset.validate.issues import RowIssues
from mosaicfusion.errors import shown

# Annotations by people agree with their own area and box to the second decimal, except for outlines that cross themselves: their
# areas differ by up to 2 % in LVIS. Boxes of a mask's pixels and of its outline differ by less than a pixel.
AREA_TOLERANCE = 0.05
PIXEL_TOLERANCE = 1.0


def check_annotation(row: Any, issues: RowIssues, context: Context) -> None:
    """Check ids, references, the crowd flag, and the mask with its box and area."""
    if not isinstance(row, dict):
        check_id(row, issues, context.annotation_ids)
        return
    row = check_whole_numbers("annotations", row, issues)
    known_id = is_int(row.get("id")) and row["id"] not in context.annotation_ids and abs(row["id"]) <= MAX_ID
    check_id(row, issues, context.annotation_ids, None if known_id else {"id": context.new_annotation_id()})
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
    hw = context.image_hw[image_id]
    if hw is None or _check_mask(row, hw, issues, context):
        context.crowds += crowd == 1
        context.pairs.add((category_id, image_id))
        context.instances[category_id] += 1


def _check_mask(row: Record, hw: tuple[int, int], issues: RowIssues, context: Context) -> bool:
    """Check the mask, and box and area against it; ``False`` for an object without either, which a repair leaves out."""
    segmentation, box = row.get("segmentation"), row.get("bbox")
    mask: PolygonMask | RunMask | None = None
    fault = ""
    try:
        mask = parse_mask(segmentation, hw)
        if not has_extent(mask):
            mask, fault = None, "covers nothing"
    except ValueError as error:
        fault = str(error)
    if mask is None and not is_box(box) and (fault == "covers nothing" or is_blank(segmentation)):
        issues.error("empty-object", f"has no mask with an area, and bbox is {shown(box)}; --fix leaves it out")
        issues.remove()
        return False
    if mask is None:
        context.blank += is_blank(segmentation)
        issues.error("mask", f"segmentation {fault}; annotate it again or remove the annotation")
    _check_box(row, mask, issues)
    _check_area(row, mask, issues)
    if mask:
        _check_inside(mask.box_xywh, hw, issues)
        context.run_lengths += isinstance(mask, RunMask)
    return True


def _check_box(row: Record, mask: PolygonMask | RunMask | None, issues: RowIssues) -> None:
    box: Any = row.get("bbox")
    if not is_box(box):
        text = f"bbox is {shown(box)}; four numbers with a size above 0 are needed; {_source(mask)}"
        issues.error("bbox", text, {"bbox": mask.box_xywh} if mask else None)
    elif mask and not same_box(box, mask.box_xywh):
        text = f"bbox is {shown(box)}, the mask's {shown(mask.box_xywh)}; --fix writes that"
        issues.error("bbox", text, {"bbox": mask.box_xywh})


def _check_area(row: Record, mask: PolygonMask | RunMask | None, issues: RowIssues) -> None:
    area: Any = row.get("area")
    box: Any = row.get("bbox")
    if not is_area(area):
        issues.error("area", f"area is {shown(area)}; {_source(mask)}", {"area": mask.area} if mask else None)
    elif mask and not has_area(mask, area):
        of_box = ", which is its box's" if is_box(box) and abs(box[2] * box[3] - area) < 1 else ""
        text = f"area is {area:g}{of_box}; the mask has {mask.area:g}; --fix writes that"
        issues.error("area", text, {"area": mask.area})


def _source(mask: PolygonMask | RunMask | None) -> str:
    return "--fix takes the mask's" if mask else "there is no valid mask to take it from"


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
