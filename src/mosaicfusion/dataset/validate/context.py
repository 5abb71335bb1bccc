"""Everything that the checks of single rows need to know of the others, and tests for plain values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mosaicfusion.categories import MAX_ID
from mosaicfusion.dataset.coco import CATEGORY_LISTS, MAX_SIDE_PX, is_synthetic
from mosaicfusion.dataset.mend import mended_values
from mosaicfusion.dataset.validate.issues import RowIssues
from mosaicfusion.errors import shown

MAX_NUMBER = 1e12  # of coordinates and areas; whole numbers from outside may be too large for a float


@dataclass
class Context:
    """Ids and names seen so far, and counts. ``lvis``: True if the set has any of LVIS' own fields.

    ``folders``: those of the images, if files are to be checked. ``next_annotation_id``: for repairs.
    """

    lvis: bool
    folders: Sequence[Path] = ()
    next_annotation_id: int = 1
    category_ids: set[int] = field(default_factory=set)
    category_names: set[str] = field(default_factory=set)
    image_ids: set[int] = field(default_factory=set)
    image_hw: dict[int, tuple[int, int] | None] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    annotation_ids: set[int] = field(default_factory=set)
    pairs: set[tuple[int, int]] = field(default_factory=set)  # category and image of an annotation
    instances: Counter[int] = field(default_factory=Counter)
    run_lengths: int = 0  # masks that are not polygons
    crowds: int = 0
    blank: int = 0  # annotations with a box and no mask

    def counts(self) -> dict[str, Counter[int]]:
        """``image_count`` and ``instance_count`` by category."""
        return {"image_count": Counter(category for category, _ in self.pairs), "instance_count": self.instances}

    def new_annotation_id(self) -> int:
        """An id that no annotation has."""
        self.next_annotation_id += 1
        return self.next_annotation_id - 1


def is_lvis(categories: Sequence[Any], images: Sequence[Any]) -> bool:
    """True if a set has LVIS' own fields. Synthetic images have them also in a COCO set that they were merged into."""
    rows = [image for image in images if isinstance(image, dict)]
    real = [image for image in rows if not is_synthetic(image)] or rows
    lists = any(key in image for image in real for key in CATEGORY_LISTS)
    frequencies = bool(categories) and all(isinstance(c, dict) and "frequency" in c for c in categories)
    return lists or frequencies


def is_int(value: Any) -> bool:
    """True for a whole number, but not for true or false."""
    return type(value) is int


def is_size(hw: Sequence[Any]) -> bool:
    """True for a possible height and width of an image."""
    return all(is_int(side) and 0 < side <= MAX_SIDE_PX for side in hw)


def is_box(value: Any) -> bool:
    """True for [left, top, width, height] with a size above 0."""
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(type(v) in (int, float) and abs(v) < MAX_NUMBER for v in value)
        and min(value[2:]) > 0
    )


def is_area(value: Any) -> bool:
    """True for a number of square pixels."""
    return type(value) in (int, float) and 0 <= value < MAX_NUMBER


def check_whole_numbers(key: str, row: dict[str, Any], issues: RowIssues) -> dict[str, Any]:
    """Check the fields of a row of the list ``key`` that must be whole numbers; the row with its repairs, as readers see it."""
    values = mended_values(key, row)
    if not values:
        return row
    row, before = {**row, **values}, row
    issues.id = row["id"] if is_int(row.get("id")) else None
    for name, value in values.items():
        kind, needed = ("iscrowd", "0 or 1") if name == "iscrowd" else ("whole-number", "a whole number")
        issues.error(kind, f"{name} is {shown(before[name])}; {needed} is needed; --fix writes {value}", {name: value})
    return row


def check_id(row: Any, issues: RowIssues, taken: set[int], repair: dict[str, Any] | None = None) -> bool:
    """Check that a row is an object with an id of its own, and add it to ``taken``; True if it has an id."""
    if not isinstance(row, dict):
        issues.error("schema", f"is {shown(row)}; an object is needed")
        return False
    fix = "; --fix gives a new one" if repair else ""
    if not is_int(row.get("id")):
        issues.error("id", f"id is {shown(row.get('id'))}; a whole number is needed{fix}", repair)
        return False
    if abs(row["id"]) > MAX_ID:
        issues.error("id", f"id {shown(row['id'])} needs more than 64 bits{fix}", repair)
    elif row["id"] in taken:
        issues.error("id", f"id {row['id']} occurred before; ids must be unique{fix}", repair)
    taken.add(row["id"])
    issues.id = row["id"]
    return True
