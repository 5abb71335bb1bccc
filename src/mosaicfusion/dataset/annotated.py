"""A COCO or LVIS json, image by image; annotations stay unparsed until their image's turn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec

from mosaicfusion.dataset.coco import AnnotationRef, DatasetFile, path_fault, require_known, require_unique
from mosaicfusion.dataset.validate.checks import MAX_SIDE_PX
from mosaicfusion.errors import MosaicFusionError

Record = dict[str, Any]
Records = Callable[[], Iterator[tuple[Record, list[Record]]]]  # every call starts anew

_Length = Annotated[float, msgspec.Meta(ge=0)]


class ImageFields(msgspec.Struct):
    """What an export needs of an image: an id that can be its name, and its size in pixels."""

    id: Annotated[int, msgspec.Meta(ge=0)]
    width: Annotated[int, msgspec.Meta(gt=0, le=MAX_SIDE_PX)]
    height: Annotated[int, msgspec.Meta(gt=0, le=MAX_SIDE_PX)]
    file_name: str | None = None
    coco_url: str | None = None
    neg_category_ids: list[int] | None = None
    not_exhaustive_category_ids: list[int] | None = None


class AnnotationFields(AnnotationRef, kw_only=True):
    """What an export needs of an annotation; the mask itself is looked at when it is written."""

    bbox: tuple[float, float, _Length, _Length]
    area: _Length
    segmentation: list[Any] | dict[str, Any]
    iscrowd: Annotated[int, msgspec.Meta(ge=0, le=1)] = 0


class CategoryFields(msgspec.Struct):
    """What an export needs of a category; the other fields are LVIS'."""

    id: int
    name: Annotated[str, msgspec.Meta(min_length=1)]


def read_json(path: Path) -> tuple[Record, list[Record], Records]:
    """``info`` and ``licenses``; the categories by id; and the images with their annotations, in the order of the file.

    Takes as much memory as the file has bytes. Raises :class:`MosaicFusionError` for a file that is cut off, ids that are
    not unique or not there, and (later, when an image's turn comes) for records that lack what an export needs.
    """
    file = DatasetFile.open(path)
    images, categories = file.parse("images", list[ImageFields]), file.parse("categories", list[CategoryFields])
    require_unique(path, "images", (image.id for image in images))
    require_unique(path, "categories", (category.id for category in categories))
    require_unique(path, "categories", (category.name for category in categories), "name")
    for image in images:
        if image.file_name and (fault := path_fault(image.file_name)):
            raise MosaicFusionError(f"{path}: image {image.id}: the file_name {image.file_name!r:.100} {fault}")
    image_ids, category_ids = {image.id for image in images}, {category.id for category in categories}

    by_image: dict[int, list[msgspec.Raw]] = defaultdict(list)
    references = file.parse("annotations", list[AnnotationRef])
    for reference, raw in zip(references, file.parse("annotations", list[msgspec.Raw]), strict=True):
        require_known(path, reference, image_ids, category_ids)
        by_image[reference.image_id].append(raw)
    raw_images = file.parse("images", list[msgspec.Raw])

    def records() -> Iterator[tuple[Record, list[Record]]]:
        for image, raw in zip(images, raw_images, strict=True):
            annotations = [_annotation(path, annotation) for annotation in by_image.get(image.id, ())]
            yield msgspec.json.decode(raw), annotations

    head: Record = {"info": {}, "licenses": []}
    head.update({key: file.parse(key, Any) for key in head if key in file.fields})
    return head, sorted(file.parse("categories", list[Record]), key=lambda category: int(category["id"])), records


def _annotation(path: Path, raw: msgspec.Raw) -> Record:
    record: Record = msgspec.json.decode(raw)
    try:
        msgspec.convert(record, AnnotationFields)
    except msgspec.ValidationError as error:
        raise MosaicFusionError(
            f"{path}: annotation {record['id']}: {error}; `mosaicfusion validate` lists all such places"
        ) from None
    return record
