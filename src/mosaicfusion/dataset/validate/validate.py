"""Validating a json: the format, its references, boxes and areas against the masks, image files, and the rules of loaders.

The rules: detectron2's LVIS loader takes polygons of 6 or more numbers only, the file from the last two parts of
``coco_url``, and category ids from 1 on; Detic takes ``file_name``, or else ``coco_url`` from its 31st character on, and shortens
names that begin with ``COCO`` to their last 16 characters; LVIS' evaluation needs ``neg_category_ids``,
``not_exhaustive_category_ids`` and ``frequency``. Rules of LVIS alone do not apply to a COCO json.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mosaicfusion.dataset.coco import LISTS, DatasetFile
from mosaicfusion.dataset.validate.annotations import check_annotation
from mosaicfusion.dataset.validate.categories import check_category, check_counts, check_loaders
from mosaicfusion.dataset.validate.context import Context, is_int, is_lvis
from mosaicfusion.dataset.validate.images import check_image, check_negative
from mosaicfusion.dataset.validate.issues import Issues, RowIssues
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.atomic import write_atomic

OnRows = Callable[[int, int], None]


@dataclass(frozen=True)
class Report:
    """The issues of a json, and the number of rows that were checked."""

    issues: Issues
    images: int
    annotations: int
    categories: int


def validate(
    path: Path,
    images_root: Path | None = None,
    max_per_kind: int = 5,
    on_progress: OnRows | None = None,
) -> Report:
    """Check an LVIS or COCO json, and with ``images_root`` the headers of its images.

    ``on_progress``: called with (rows checked, all rows). Raises :class:`MosaicFusionError` only if there is no such json.
    """
    return _check(DatasetFile.open(path), images_root, Issues(max_per_kind), on_progress)


def fix(path: Path, out: Path, images_root: Path | None = None) -> Counter[str]:
    """Write ``out``, which may be ``path``, with the repairs of all issues that have one; returns their number by field.

    Nothing is removed, and everything else keeps its bytes. Repaired are, for annotations: ids that are missing or repeated,
    ``bbox`` and ``area`` that are not the mask's; for images: ``file_name`` and ``coco_url`` from one another, a missing
    ``height`` and ``width`` from the file, missing lists of LVIS, and categories in ``neg_category_ids`` that the image shows;
    for categories: ``image_count`` and ``instance_count``.

    Raises :class:`MosaicFusionError` if there is no such json; then ``out`` has not changed.
    """
    file = DatasetFile.open(path)
    issues = _check(file, images_root, Issues(with_repairs=True), None).issues
    write_atomic(out, file.with_lists(**{key: _repaired(file, key, issues) for key in LISTS}))
    return Counter(name for rows in issues.repairs.values() for values in rows.values() for name in values)


def _repaired(file: DatasetFile, key: str, issues: Issues) -> list[bytes]:
    """Rows with their repairs; the others as they are in the file."""
    rows: list[bytes] = list(file.parse(key, list[msgspec.Raw]))
    for index, values in issues.repairs[key].items():
        rows[index] = msgspec.json.encode({**msgspec.json.decode(rows[index]), **values})
    return rows


def _check(file: DatasetFile, root: Path | None, issues: Issues, on_progress: OnRows | None) -> Report:
    if root is not None and not root.is_dir():
        raise MosaicFusionError(f"there is no folder {root}; give --images the folder of the images")
    categories, images = (file.parse(key, list[Any]) for key in ("categories", "images"))
    rows = file.parse("annotations", list[msgspec.Raw])
    context = Context(is_lvis(categories, images), root, 1 + _max_id(rows))
    total = len(images) + len(rows)

    for k, category in enumerate(categories):
        check_category(category, RowIssues(issues, "categories", k), context)
    for k, image in enumerate(images):
        check_image(image, RowIssues(issues, "images", k), context)
        if on_progress and k % 100 == 0:
            on_progress(k, total)
    for k, row in enumerate(rows):  # one by one: of millions of masks, only one is in memory
        check_annotation(msgspec.json.decode(row), RowIssues(issues, "annotations", k), context)
        if on_progress and k % 1000 == 0:
            on_progress(len(images) + k, total)

    shown_categories: dict[int, set[int]] = {}
    for category_id, image_id in context.pairs:
        shown_categories.setdefault(image_id, set()).add(category_id)
    for k, image in enumerate(images):
        check_negative(image, RowIssues(issues, "images", k), shown_categories)
    check_loaders(issues, context)
    counts = context.counts()
    for k, category in enumerate(categories):
        check_counts(category, RowIssues(issues, "categories", k), counts, context.lvis)
    if on_progress:
        on_progress(total, total)
    return Report(issues, len(images), len(rows), len(categories))


class _AnyId(msgspec.Struct):
    id: Any = None


def _max_id(rows: list[msgspec.Raw]) -> int:
    """The highest whole number among the ids of rows that may be anything; 0 if there is none."""
    decoder, highest = msgspec.json.Decoder(_AnyId), 0
    for row in rows:
        if bytes(memoryview(row)[:1]) == b"{":
            found = decoder.decode(row).id
            highest = max(highest, found) if is_int(found) else highest
    return highest
