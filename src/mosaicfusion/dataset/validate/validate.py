"""Validating a json: the format, its references, boxes and areas against the masks, image files, and the rules of loaders.

The rules: detectron2's LVIS loader takes polygons of 6 or more numbers only, the file from the last two parts of
``coco_url``, and category ids from 1 on; Detic takes ``file_name``, or else ``coco_url`` from its 31st character on, and shortens
names that begin with ``COCO`` to their last 16 characters; LVIS' evaluation needs ``neg_category_ids``,
``not_exhaustive_category_ids`` and ``frequency``. Rules of LVIS alone do not apply to a COCO json.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mosaicfusion.arguments import checked
from mosaicfusion.categories import MAX_ID
from mosaicfusion.dataset.coco import LISTS, DatasetFile, json_of
from mosaicfusion.dataset.image_files import Folders, image_folders
from mosaicfusion.dataset.reader import open_rows
from mosaicfusion.dataset.text import write_text
from mosaicfusion.dataset.validate.annotations import check_annotation
from mosaicfusion.dataset.validate.categories import check_category, check_counts, check_loaders
from mosaicfusion.dataset.validate.context import Context, is_int, is_lvis
from mosaicfusion.dataset.validate.images import check_image, check_negative
from mosaicfusion.dataset.validate.issues import Issues, RowIssues

if TYPE_CHECKING:
    from mosaicfusion.progress import OnProgress


@dataclass(frozen=True)
class Report:
    """The issues of a json, and the number of rows that were checked."""

    issues: Issues
    images: int
    annotations: int
    categories: int


@checked
def validate(
    path: str | Path,
    images: Folders | None = None,
    max_per_kind: int = 5,
    on_progress: OnProgress | None = None,
) -> Report:
    """Check an LVIS or COCO json, and the image files in the folders ``images`` if given; or a run folder with its images.

    ``on_progress``: called with (rows checked, all rows). Raises :class:`MosaicFusionError` only if there is no such json or
    folder.
    """
    source = json_of(path)
    folders = image_folders(images or (source if source.is_dir() else ()))
    return _check(open_rows(source), folders, Issues(max_per_kind), on_progress)


@checked
def fix(path: str | Path, out: str | Path, images: Folders | None = None) -> Counter[str]:
    """Write ``out``, which may be ``path``, with the repairs of all issues that have one; returns their number by field.

    Repaired are, for annotations: ids that are missing or repeated, ``bbox`` and ``area`` that are not the mask's, ``iscrowd``
    that is ``null``, or 1 for all; for images: ``file_name`` and ``coco_url`` from one another, ``./`` and backslashes, a
    missing ``height`` and ``width`` from the file, missing lists of LVIS, and categories in ``neg_category_ids`` that the image
    shows; for categories: ``image_count`` and ``instance_count``. Left out are objects with neither a mask nor a box, and the
    root category of Roboflow. Everything else keeps its bytes.

    Raises :class:`MosaicFusionError` if there is no such json; then ``out`` has not changed.
    """
    file = DatasetFile.open(json_of(path))
    issues = _check(file, image_folders(images or ()), Issues(with_repairs=True), None).issues
    write_text(json_of(out), file.with_lists(**{key: _repaired(file, key, issues) for key in LISTS}))
    done = Counter(name for rows in issues.repairs.values() for values in rows.values() for name in values)
    done.update({remark.kind: remark.count for remark in file.remarks})
    done.update({f"{key} left out": len(indices) for key, indices in issues.removed.items()})
    return +done


def _repaired(file: DatasetFile, key: str, issues: Issues) -> list[bytes]:
    """Rows with their repairs; the others as they are in the file."""
    rows: list[bytes] = list(file.parse(key, list[msgspec.Raw]))
    for index, values in issues.repairs[key].items():
        rows[index] = msgspec.json.encode({**msgspec.json.decode(rows[index]), **values})
    return [row for index, row in enumerate(rows) if index not in issues.removed[key]]


def _check(file: DatasetFile, folders: Sequence[Path], issues: Issues, on_progress: OnProgress | None) -> Report:
    categories, images = (file.parse(key, list[Any]) for key in ("categories", "images"))
    rows = file.parse("annotations", list[msgspec.Raw])
    context = Context(is_lvis(categories, images), folders, 1 + _max_id(rows))
    total = len(images) + len(rows)

    for remark in file.remarks:
        issues.add("warning", remark.kind, "file", f"{remark.text}; --fix writes it so")
    for k, category in enumerate(categories):
        check_category(category, RowIssues(issues, "categories", k), context)
    for k, image in enumerate(images):
        check_image(image, RowIssues(issues, "images", k), context)
        if on_progress and k % 100 == 0:
            on_progress(k, total)
    for k, row in enumerate(rows):  # one by one: of millions of masks, only one is in memory
        _check_annotation(row, RowIssues(issues, "annotations", k), context)
        if on_progress and k % 1000 == 0:
            on_progress(len(images) + k, total)
    _check_crowds(len(rows), issues, context)

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


def _check_annotation(row: msgspec.Raw, issues: RowIssues, context: Context) -> None:
    try:
        value = msgspec.json.decode(row)
    except (msgspec.DecodeError, RecursionError) as error:
        issues.error("schema", f"holds a value that cannot be read ({error}); write valid numbers")
        return
    check_annotation(value, issues, context)


def _check_crowds(rows: int, issues: Issues, context: Context) -> None:
    """Check that not all objects are crowds: CVAT writes masks that way, and training and exports leave crowds out."""
    if rows and context.crowds == rows:
        text = f"all {rows} have iscrowd 1, as CVAT writes masks; training and exports leave crowds out; --fix writes 0"
        issues.add("warning", "all-crowds", "annotations", text)
        for k in range(rows):
            issues.repair("annotations", k, {"iscrowd": 0})


class _AnyId(msgspec.Struct):
    id: Any = None


def _max_id(rows: list[msgspec.Raw]) -> int:
    """The highest id of 64 bits among rows that may be anything; 0 if there is none."""
    decoder, highest = msgspec.json.Decoder(_AnyId), 0
    for row in rows:
        if bytes(memoryview(row)[:1]) == b"{":
            try:
                found = decoder.decode(row).id
            except msgspec.DecodeError:  # a number that no float holds
                continue
            highest = max(highest, found) if is_int(found) and found <= MAX_ID else highest
    return highest
