"""COCO: ``coco.json`` beside ``images/``.

All fields of LVIS stay, COCO's own are added. ``file_name`` and the end of ``coco_url`` are relative to the folder of the
json; where the source had others, they are kept as ``source_file_name`` and ``source_coco_url``. Masks are bit for bit the
same, as run lengths or as polygons.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from mosaicfusion.dataset.coco import SYNTHETIC, Record
from mosaicfusion.dataset.export.format import ExportOptions, Format
from mosaicfusion.dataset.export.output import OutFolder
from mosaicfusion.dataset.reader import Dataset
from mosaicfusion.dataset.sample import Sample


def write(dataset: Dataset, samples: Iterable[Sample], out: OutFolder, options: ExportOptions) -> list[str]:
    """Write the set; returns notes on what the format could not hold."""
    images, annotations = [], []
    for sample in samples:
        images.append(put_image(sample, out))
        annotations += annotation_rows(sample, options)
    categories = [{"supercategory": "", **category} for category in dataset.categories]
    put_json(out, "coco.json", dataset, images, annotations, categories)
    return []


def annotation_rows(sample: Sample, options: ExportOptions) -> list[Record]:
    """The annotations of an image with all their fields, and masks as the options say."""
    return [
        {
            **annotation.record,
            "iscrowd": int(annotation.is_crowd),
            "segmentation": annotation.segmentation(options.masks),
        }
        for annotation in sample.annotations
    ]


def put_image(sample: Sample, out: OutFolder) -> Record:
    """Copy an image; returns its record with the new names."""
    name = f"images/{sample.name}"
    out.write(name, sample.read())
    names = {"file_name": name, "coco_url": name}
    before = {f"source_{key}": sample.record[key] for key in names if sample.record.get(key)}
    mark = {SYNTHETIC: True} if sample.synthetic else {}
    return {**before, **sample.record, **names, **mark}


def put_json(
    out: OutFolder,
    name: str,
    dataset: Dataset,
    images: list[Record],
    annotations: list[Record],
    categories: list[Record],
) -> None:
    """Write one json of a whole set."""
    data = {**dataset.head, "images": images, "annotations": annotations, "categories": categories}
    out.write(name, msgspec.json.encode(data))


FORMAT = Format(write)
