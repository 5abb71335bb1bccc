"""LVIS v1: ``lvis.json`` beside ``images/``; otherwise the same as :mod:`mosaicfusion.dataset.export.coco`.

LVIS has no crowds: such an annotation is left out, and its category is marked as not exhaustive in that image, which is the
meaning of a crowd. A category without synonyms, definition, synset or frequency gets the same values as in a run.
"""

from __future__ import annotations

from collections.abc import Iterable

from mosaicfusion.dataset.coco import CATEGORY_LISTS, Record
from mosaicfusion.dataset.export.coco import put_image, put_json
from mosaicfusion.dataset.export.format import ExportOptions, Format
from mosaicfusion.dataset.export.output import OutFolder
from mosaicfusion.dataset.lvis import frequency_of, gap_in_ids
from mosaicfusion.dataset.reader import Dataset
from mosaicfusion.dataset.sample import Sample


def write(dataset: Dataset, samples: Iterable[Sample], out: OutFolder, options: ExportOptions) -> list[str]:
    """Write the set; returns notes on what the format could not hold."""
    images, annotations = [], []
    for sample in samples:
        image = put_image(sample, out)
        for key in CATEGORY_LISTS:
            image[key] = image.get(key) or []
        images.append(image)
        annotations += [
            {**annotation.record, "segmentation": annotation.segmentation(options.masks)}
            for annotation in sample.annotations
        ]
    put_json(out, "lvis.json", dataset, images, annotations, [_category(category) for category in dataset.categories])
    gap = gap_in_ids(dataset.index_of)
    return [gap] if gap else []


def _category(category: Record) -> Record:
    defaults = {
        "synonyms": [category["name"]],
        "def": "",
        "synset": "",
        "frequency": frequency_of(category["image_count"]),
    }
    return {**defaults, **category}


FORMAT = Format(write, crowds=False)
