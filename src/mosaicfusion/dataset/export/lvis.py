"""LVIS v1: ``lvis.json`` beside ``images/``; otherwise the same as :mod:`mosaicfusion.dataset.export.coco`.

LVIS has no crowds: such an annotation is left out, and its category is marked as not exhaustive in that image, which is the
meaning of a crowd. A category without synonyms, definition, synset or frequency gets the same values as in a run.
"""

from __future__ import annotations

from collections.abc import Iterable

from mosaicfusion.dataset.coco import Record
from mosaicfusion.dataset.export.coco import put_image, put_json
from mosaicfusion.dataset.export.format import ExportOptions, Format
from mosaicfusion.dataset.export.output import OutFolder
from mosaicfusion.dataset.lvis import frequency_of
from mosaicfusion.dataset.reader import Dataset
from mosaicfusion.dataset.sample import Sample


def write(dataset: Dataset, samples: Iterable[Sample], out: OutFolder, options: ExportOptions) -> list[str]:
    """Write the set; returns notes on what the format could not hold."""
    images, annotations, crowds = [], [], 0
    for sample in samples:
        crowd_ids = {annotation.category_id for annotation in sample.annotations if annotation.is_crowd}
        image = put_image(sample, out)
        image["neg_category_ids"] = image.get("neg_category_ids") or []
        image["not_exhaustive_category_ids"] = sorted({*(image.get("not_exhaustive_category_ids") or ()), *crowd_ids})
        images.append(image)
        objects = [annotation for annotation in sample.annotations if not annotation.is_crowd]
        crowds += len(sample.annotations) - len(objects)
        annotations += [
            {**annotation.record, "segmentation": annotation.segmentation(options.masks)} for annotation in objects
        ]
    put_json(out, "lvis.json", dataset, images, annotations, [_category(category) for category in dataset.categories])
    return [f"{crowds} crowds left out, their categories marked as not exhaustive"] * bool(crowds)


def _category(category: Record) -> Record:
    defaults = {
        "synonyms": [category["name"]],
        "def": "",
        "synset": "",
        "frequency": frequency_of(category["image_count"]),
    }
    return {**defaults, **category}


FORMAT = Format(write)
