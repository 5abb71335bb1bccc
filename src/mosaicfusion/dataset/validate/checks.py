"""What is looked at in each category and annotation of a data set. Rows may be anything: they come from outside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mosaicfusion.categories import FREQUENCIES, normalize_name
from mosaicfusion.dataset.coco import CATEGORY_LISTS, SYNTHETIC
from mosaicfusion.dataset.validate.issues import Issues
from mosaicfusion.dataset.validate.measure import PIXEL_TOLERANCE, measure
from mosaicfusion.errors import shown

MAX_SIDE_PX = 100_000
LARGEST = 1e12  # of coordinates and areas; whole numbers from outside may be too large for a float
COUNTS = ("image_count", "instance_count")


@dataclass
class Seen:
    """What rows refer to and what is counted on the way; ``lvis``: whether the set has any of LVIS' own fields."""

    lvis: bool
    category_ids: set[int] = field(default_factory=set)
    category_names: set[str] = field(default_factory=set)
    image_ids: set[int] = field(default_factory=set)
    image_hw: dict[int, tuple[int, int] | None] = field(default_factory=dict)
    negative: dict[int, set[int]] = field(default_factory=dict)  # by image
    files: set[str] = field(default_factory=set)
    annotation_ids: set[int] = field(default_factory=set)
    pairs: set[tuple[int, int]] = field(default_factory=set)  # category and image of an annotation
    instances: Counter[int] = field(default_factory=Counter)
    run_lengths: int = 0  # masks that are not polygons

    def counts(self) -> dict[str, Counter[int]]:
        """``image_count`` and ``instance_count`` by category."""
        return {"image_count": Counter(category for category, _ in self.pairs), "instance_count": self.instances}


def is_lvis(categories: Sequence[Any], images: Sequence[Any]) -> bool:
    """Whether a set has LVIS' own fields. Drawn images have them also in a COCO set that they were merged into."""
    rows = [image for image in images if isinstance(image, dict)]
    real = [image for image in rows if not str(image.get("coco_url")).startswith(SYNTHETIC)] or rows
    lists = any(key in image for image in real for key in CATEGORY_LISTS)
    frequencies = bool(categories) and all(isinstance(c, dict) and "frequency" in c for c in categories)
    return lists or frequencies


def is_int(value: Any) -> bool:
    """Whether a value is a whole number, and not true or false."""
    return type(value) is int


def is_size(hw: Sequence[Any]) -> bool:
    """Whether height and width are those of an image that could be."""
    return all(is_int(side) and 0 < side <= MAX_SIDE_PX for side in hw)


def is_box(value: Any) -> bool:
    """Whether a value is [left, top, width, height] with a size above 0."""
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(type(v) in (int, float) and abs(v) < LARGEST for v in value)
        and min(value[2:]) > 0
    )


def is_area(value: Any) -> bool:
    """Whether a value is a number of square pixels."""
    return type(value) in (int, float) and 0 <= value < LARGEST


def check_category(row: Any, place: str, seen: Seen, issues: Issues) -> None:
    if not has_id(row, place, seen.category_ids, issues):
        return
    place += f" (id {row['id']})"
    name = row.get("name")
    if not isinstance(name, str) or not name.strip():
        issues.add("error", "name", place, f"name is {shown(name)}; give a text")
    elif normalize_name(name) in seen.category_names:
        issues.add("warning", "name", place, f"name {shown(name)} is there before; rename one")
    else:
        seen.category_names.add(normalize_name(name))
    if seen.lvis and row.get("frequency") not in FREQUENCIES:
        text = f"frequency is {shown(row.get('frequency'))}; LVIS' evaluation needs r, c or f"
        issues.add("error", "frequency", place, text)


def check_counts(row: Any, place: str, counts: dict[str, Counter[int]], seen: Seen, issues: Issues) -> None:
    """Needs all annotations to be seen. A validation set may well have the counts of its training set: a warning."""
    if not isinstance(row, dict) or not is_int(row.get("id")):
        return
    for key in COUNTS:
        if (key in row or seen.lvis) and row.get(key) != counts[key][row["id"]]:
            text = f"{key} is {shown(row.get(key))}, counted {counts[key][row['id']]}; --fix writes that"
            issues.add("warning", "counts", f"{place} (id {row['id']})", text)


def check_annotation(row: Any, place: str, seen: Seen, issues: Issues) -> None:
    if not has_id(row, place, seen.annotation_ids, issues, "; --fix gives a new one"):
        return
    place += f" (id {row['id']})"
    image_id: Any = row.get("image_id")
    category_id: Any = row.get("category_id")
    for key, value, known in (("image_id", image_id, seen.image_hw), ("category_id", category_id, seen.category_ids)):
        if not is_int(value) or value not in known:
            issues.add("error", "reference", place, f"{key} is {shown(value)}, which is not among the {key[:-3]} ids")
            return
    crowd = row.get("iscrowd", 0)
    if not is_int(crowd) or crowd not in (0, 1):
        issues.add("error", "iscrowd", place, f"iscrowd is {shown(crowd)}; 0 or 1 is needed")
    seen.pairs.add((category_id, image_id))
    seen.instances[category_id] += 1
    if category_id in seen.negative.get(image_id, ()):
        text = f"category {category_id} is in neg_category_ids of image {image_id}; --fix takes it out there"
        issues.add("error", "lists", place, text)
    hw = seen.image_hw[image_id]
    if hw is not None:
        _check_mask(row, place, hw, seen, issues)


def _check_mask(row: dict[str, Any], place: str, hw: tuple[int, int], seen: Seen, issues: Issues) -> None:
    box: Any = row.get("bbox")
    area: Any = row.get("area")
    if not is_box(box):
        text = f"bbox is {shown(box)}; four numbers with a size above 0 are needed; --fix takes the mask's"
        issues.add("error", "bbox", place, text)
    if not is_area(area):
        issues.add("error", "area", place, f"area is {shown(area)}; --fix takes the mask's")
    try:
        shape = measure(row.get("segmentation"), hw)
    except ValueError as error:
        issues.add("error", "mask", place, f"segmentation {error}; draw it again or remove the annotation")
        return
    if is_box(box) and not shape.has_box(box):
        issues.add(
            "error", "bbox", place, f"bbox is {shown(box)}, the mask's {shown(shape.box_xywh)}; --fix writes that"
        )
    if is_area(area) and not shape.has_area(area):
        of_box = ", which is its box's" if is_box(box) and abs(box[2] * box[3] - area) < 1 else ""
        issues.add("error", "area", place, f"area is {area:g}{of_box}; the mask has {shape.area:g}; --fix writes that")
    left, top, width, height = shape.box_xywh
    if (
        min(left, top) < -PIXEL_TOLERANCE
        or left + width > hw[1] + PIXEL_TOLERANCE
        or top + height > hw[0] + PIXEL_TOLERANCE
    ):
        text = f"the mask {shown(shape.box_xywh)} reaches over its image of {hw[1]} x {hw[0]}; cut it off at the edge"
        issues.add("warning", "outside", place, text)
    seen.run_lengths += isinstance(row["segmentation"], dict)


def check_loaders(seen: Seen, issues: Issues) -> None:
    """What detectron2's LVIS loader would stumble over in the set as a whole; needs all rows to be seen."""
    count = len(seen.category_ids)
    if seen.lvis and seen.category_ids != set(range(1, count + 1)):
        text = (
            f"the ids of {count} categories are not 1 to {count}; detectron2's LVIS loader takes id - 1 for the class"
        )
        issues.add("warning", "category-ids", "categories", text)
    if seen.lvis and seen.run_lengths:
        text = f"{seen.run_lengths} masks are run lengths; detectron2's LVIS loader takes polygons: merge with --masks polygon"
        issues.add("warning", "run-lengths", "annotations", text)


def has_id(row: Any, place: str, taken: set[int], issues: Issues, fix: str = "") -> bool:
    """Whether a row is an object with an id, which is ``taken`` from now on."""
    if not isinstance(row, dict):
        issues.add("error", "schema", place, f"is {shown(row)}; an object is needed")
        return False
    if not is_int(row.get("id")):
        issues.add("error", "id", place, f"id is {shown(row.get('id'))}; a whole number is needed{fix}")
        return False
    if row["id"] in taken:
        issues.add("error", "id", place, f"id {row['id']} is there before; ids must be unique{fix}")
    taken.add(row["id"])
    return True
