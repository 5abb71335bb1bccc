"""Repairs of a data set: what follows from the rest of it is written, nothing is removed, and all else keeps its bytes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
from PIL import Image

from mosaicfusion.dataset.coco import CATEGORY_LISTS, DatasetFile, ImageRef, find_image, path_fault, url_tail
from mosaicfusion.dataset.validate.check_images import needs_file_name
from mosaicfusion.dataset.validate.checks import COUNTS, Seen, is_area, is_box, is_int, is_lvis, is_size
from mosaicfusion.dataset.validate.measure import measure
from mosaicfusion.files.atomic import write_atomic

Row = dict[str, Any]


def fix(path: Path, out: Path, images_root: Path | None = None) -> Counter[str]:
    """Write ``out``, which may be ``path``, with what can be derived; returns how many values of each field were written.

    Annotations: ids that are missing or there before; ``bbox`` and ``area`` that are not the mask's. Images: ``file_name`` and
    ``coco_url`` from one another, a missing ``height`` and ``width`` from the file, missing lists of LVIS, and categories in
    ``neg_category_ids`` that the image shows. Categories: ``image_count`` and ``instance_count``.

    Raises :class:`MosaicFusionError` if there is no such json; ``out`` is then what it was before.
    """
    file = DatasetFile.open(path)
    categories, images = (_objects(file.parse(key, list[Any])) for key in ("categories", "images"))
    seen = Seen(is_lvis(categories, images))
    seen.category_ids = {category["id"] for category in categories if is_int(category.get("id"))}
    repairs: Counter[str] = Counter()

    image_changes = [_image_changes(image, seen.lvis, images_root) for image in images]
    for image, changes in zip(images, image_changes, strict=True):
        hw: Any = tuple({**image, **changes}.get(key) for key in ("height", "width"))
        if is_int(image.get("id")):
            seen.image_hw[image["id"]] = hw if is_size(hw) else None
    rows = file.parse("annotations", list[msgspec.Raw])
    annotations = _fixed_annotations(rows, seen, repairs)
    shown: dict[int, set[int]] = {}
    for category_id, image_id in seen.pairs:
        shown.setdefault(image_id, set()).add(category_id)
    for image, changes in zip(images, image_changes, strict=True):
        changes |= _without_shown(image, shown)
    counts = seen.counts()
    category_changes = [_count_changes(category, counts, seen.lvis) for category in categories]
    data = file.with_lists(
        images=_changed(file.parse("images", list[msgspec.Raw]), images, image_changes, repairs),
        annotations=annotations,
        categories=_changed(file.parse("categories", list[msgspec.Raw]), categories, category_changes, repairs),
    )
    write_atomic(out, data)
    return repairs


def _objects(rows: list[Any]) -> list[Row]:
    """An empty one in the place of what is no object: there is nothing to derive from it."""
    return [row if isinstance(row, dict) else {} for row in rows]


def _changed(raws: list[msgspec.Raw], rows: list[Row], changes: list[Row], repairs: Counter[str]) -> list[bytes]:
    """Rows with their changes, counted; the others as they stand in the file."""
    repairs.update(key for change in changes for key in change)
    triples = zip(raws, rows, changes, strict=True)
    return [msgspec.json.encode({**row, **change}) if change else raw for raw, row, change in triples]


def _image_changes(image: Row, lvis: bool, root: Path | None) -> Row:
    if not image:
        return {}
    changes: Row = {}
    name, url = image.get("file_name"), image.get("coco_url")
    tail = url_tail(url) if isinstance(url, str) else None
    if name is None and tail is not None and path_fault(tail) is None and needs_file_name(str(url), lvis):
        changes["file_name"] = tail
    if lvis and url is None and isinstance(name, str) and "/" in name and path_fault(name) is None:
        changes["coco_url"] = name  # loaders look at its last two parts only, and nobody knows an address
    if lvis:
        changes |= {key: [] for key in CATEGORY_LISTS if image.get(key) is None}
    if root is not None and (image.get("height") is None or image.get("width") is None):
        changes |= _size_changes({**image, **changes}, root)
    return changes


def _size_changes(image: Row, root: Path) -> Row:
    try:
        path = find_image(root, msgspec.convert(image, ImageRef))
        if path is None:
            return {}
        with Image.open(path) as opened:
            size = {"height": opened.height, "width": opened.width}
    except Exception:  # whatever a broken record or file raises: validate tells of it
        return {}
    return {key: value for key, value in size.items() if image.get(key) is None}


def _without_shown(image: Row, shown: dict[int, set[int]]) -> Row:
    """An annotation is proof that its category is there."""
    key = CATEGORY_LISTS[0]
    negative = image.get(key)
    present = shown.get(image["id"], set()) if is_int(image.get("id")) else set()
    if not isinstance(negative, list) or not any(id_ in present for id_ in negative if is_int(id_)):
        return {}
    return {key: [id_ for id_ in negative if not (is_int(id_) and id_ in present)]}


def _count_changes(category: Row, counts: dict[str, Counter[int]], lvis: bool) -> Row:
    if not is_int(category.get("id")):
        return {}
    counted = {key: counts[key][category["id"]] for key in COUNTS if lvis or key in category}
    return {key: count for key, count in counted.items() if category.get(key) != count}


def _fixed_annotations(raws: list[msgspec.Raw], seen: Seen, repairs: Counter[str]) -> list[bytes]:
    """All annotations one by one: of millions of masks, no more than one is in memory."""
    ids = [row["id"] for raw in raws if is_int((row := _object(raw)).get("id"))]
    next_id = 1 + max(ids, default=0)
    fixed: list[bytes] = []
    for raw in raws:
        row = _object(raw)
        changes = _mask_changes(row, seen)
        if row and (not is_int(row.get("id")) or row["id"] in seen.annotation_ids):
            changes["id"] = next_id
            next_id += 1
        seen.annotation_ids.add({**row, **changes}.get("id", 0))
        fixed += _changed([raw], [row], [changes], repairs)
    return fixed


def _object(raw: msgspec.Raw) -> Row:
    row = msgspec.json.decode(raw)
    return row if isinstance(row, dict) else {}


def _mask_changes(row: Row, seen: Seen) -> Row:
    image_id: Any = row.get("image_id")
    category_id: Any = row.get("category_id")
    if not is_int(image_id) or not is_int(category_id):
        return {}
    if image_id not in seen.image_hw or category_id not in seen.category_ids:
        return {}
    seen.pairs.add((category_id, image_id))
    seen.instances[category_id] += 1
    hw = seen.image_hw[image_id]
    if hw is None:
        return {}
    try:
        shape = measure(row.get("segmentation"), hw)
    except ValueError:
        return {}
    changes: Row = {}
    box: Any = row.get("bbox")
    area: Any = row.get("area")
    if not (is_box(box) and shape.has_box(box)):
        changes["bbox"] = shape.box_xywh
    if not (is_area(area) and shape.has_area(area)):
        changes["area"] = shape.area
    return changes
