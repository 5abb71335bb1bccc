"""LVIS json from canvas records, in a form that the known loaders read.

One image and one annotation of the result::

    {"id": 124, "file_name": "images/000/000000000123.jpg", "coco_url": "mosaicfusion://run/images/000/000000000123.jpg",
     "width": 256, "height": 256, "neg_category_ids": [], "not_exhaustive_category_ids": []}
    {"id": 1, "image_id": 124, "category_id": 45, "bbox": [12, 20, 96, 80], "area": 5210, "iscrowd": 0,
     "segmentation": {"size": [256, 256], "counts": "..."}, "score": 0.61, "quality": 0.93}
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from tempfile import TemporaryFile
from typing import IO, Any

from mosaicfusion.categories import Category, Frequency
from mosaicfusion.config import MaskFormat, Policy
from mosaicfusion.masks import rle
from mosaicfusion.run.records import CanvasRecord, RegionRecord


def is_used(record: CanvasRecord, policy: Policy) -> bool:
    """Whether a canvas gets into the data set: with ``drop`` if no region was rejected, else if one was kept."""
    kept = [region.kept for region in record.regions]
    return all(kept) if policy == "drop" else any(kept)


def compile_lvis(
    records: Iterable[CanvasRecord],
    categories: Sequence[Category],
    policy: Policy = "drop",
    masks: MaskFormat = "rle",
) -> dict[str, Any]:
    """An LVIS v1 data set; ids, areas and counts are computed.

    ``policy``: ``drop`` leaves out a canvas with a rejected region (the paper's rule); ``not_exhaustive`` keeps it and lists
    the region's category in ``not_exhaustive_category_ids``, so that federated losses and LVIS evaluation ignore it there.
    ``masks``: detectron2's LVIS loader reads polygons only; both hold the same pixels.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image, objects in lvis_entries(records, policy, masks):
        images.append(image)
        annotations += objects
    by_image = Counter(id_ for id_, _ in {(entry["category_id"], entry["image_id"]) for entry in annotations})
    by_instance = Counter(entry["category_id"] for entry in annotations)
    lists = {"images": images, "annotations": annotations}
    return {**lvis_head(), **lists, "categories": category_records(categories, by_image, by_instance)}


def lvis_entries(
    records: Iterable[CanvasRecord], policy: Policy = "drop", masks: MaskFormat = "rle"
) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The image and the annotations of each canvas that is used, as :func:`compile_lvis` has them."""
    count = 0
    for record in records:
        if not is_used(record, policy):
            continue
        kept = [region for region in record.regions if region.kept]
        yield (
            _image(record),
            [_annotation(region, record.index, count + k, masks) for k, region in enumerate(kept, start=1)],
        )
        count += len(kept)


def write_lvis(
    file: IO[bytes],
    records: Iterable[CanvasRecord],
    categories: Sequence[Category],
    policy: Policy = "drop",
    masks: MaskFormat = "rle",
) -> None:
    """Write the bytes of :func:`compile_lvis`; memory does not grow with the records, which are read once."""
    by_image: Counter[int] = Counter()
    by_instance: Counter[int] = Counter()
    head = to_bytes(lvis_head())
    with TemporaryFile() as annotations:
        file.write(head[:-1] + b',"images":[')
        comma = b""
        for image, objects in lvis_entries(records, policy, masks):
            file.write(comma + to_bytes(image))
            comma = b","
            for entry in objects:
                annotations.write((b"," if by_instance else b"") + to_bytes(entry))
                by_instance[entry["category_id"]] += 1
            by_image.update({entry["category_id"] for entry in objects})
        file.write(b'],"annotations":[')
        annotations.seek(0)
        shutil.copyfileobj(annotations, file, 2**20)
    file.write(b'],"categories":' + to_bytes(category_records(categories, by_image, by_instance)) + b"}")


def lvis_head() -> dict[str, Any]:
    """The lists ``info`` and ``licenses`` of a drawn data set."""
    description = "Drawn by mosaicfusion; masks from cross-attention (arXiv 2309.13042)"
    return {"info": {"description": description, "version": "1.0"}, "licenses": []}


def _image(record: CanvasRecord) -> dict[str, Any]:
    height, width = record.hw_px
    return {
        "id": record.index + 1,  # ids start at 1: some loaders take 0 for "none"
        "file_name": record.file_name,
        # Loaders of LVIS take folder and file from the last two parts of this address.
        "coco_url": f"mosaicfusion://run/{record.file_name}",
        "width": width,
        "height": height,
        "neg_category_ids": [],
        "not_exhaustive_category_ids": sorted({r.category_id for r in record.regions if not r.kept}),
    }


def _annotation(region: RegionRecord, index: int, id_: int, masks: MaskFormat) -> dict[str, Any]:
    return {
        "id": id_,
        "image_id": index + 1,
        "category_id": region.category_id,
        "bbox": list(region.box_xywh or ()),
        "area": region.area,
        "iscrowd": 0,
        "segmentation": _segmentation(region.segmentation, masks),
        "score": region.score,
        **({} if region.quality is None else {"quality": region.quality}),
    }


def to_bytes(data: Any) -> bytes:
    """JSON; equal data gives equal bytes."""
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()


def _segmentation(segmentation: dict[str, Any] | None, masks: MaskFormat) -> Any:
    assert segmentation is not None
    return segmentation if masks == "rle" else rle.polygons(rle.decode(segmentation))


def category_records(
    categories: Sequence[Category], images: Counter[int], instances: Counter[int]
) -> list[dict[str, Any]]:
    """The list ``categories`` of an LVIS json, by id; ``images`` and ``instances`` count by category id."""
    return [
        {
            "id": category.id,
            "name": category.name,
            "synonyms": list(category.synonyms) or [category.name],
            "def": category.definition,
            "synset": category.synset or "",
            "frequency": category.frequency or frequency_of(images[category.id]),
            "image_count": images[category.id],
            "instance_count": instances[category.id],
        }
        for category in sorted(categories, key=lambda category: category.id)
    ]


def frequency_of(image_count: int) -> Frequency:
    """LVIS' rule for sets that come with no frequencies: up to 10 images rare, up to 100 common."""
    return "r" if image_count <= 10 else "c" if image_count <= 100 else "f"
