"""LVIS v1: ``lvis.json`` beside ``images/``, as :mod:`mosaicfusion.dataset.export.coco` otherwise.

LVIS knows no crowds: such an annotation is left out, and its category marked as not exhaustive in that image, which is what
a crowd means. A category without synonyms, definition, synset or frequency gets those that a run's would have.
"""

from __future__ import annotations

from collections.abc import Iterable

from mosaicfusion.dataset import masks
from mosaicfusion.dataset.annotated import Record
from mosaicfusion.dataset.export.coco import put_image, put_json
from mosaicfusion.dataset.export.options import Options
from mosaicfusion.dataset.export.output import OutFolder
from mosaicfusion.dataset.lvis import frequency_of
from mosaicfusion.dataset.reader import Dataset, Sample


def write(dataset: Dataset, samples: Iterable[Sample], out: OutFolder, options: Options) -> list[str]:
    """Write the set; returns what is lost, in words."""
    images, annotations, crowds = [], [], 0
    for sample in samples:
        crowd_ids = {annotation["category_id"] for annotation in sample.annotations if annotation.get("iscrowd")}
        image = put_image(sample, out)
        image["neg_category_ids"] = image.get("neg_category_ids") or []
        image["not_exhaustive_category_ids"] = sorted({*(image.get("not_exhaustive_category_ids") or ()), *crowd_ids})
        images.append(image)
        objects = [annotation for annotation in sample.annotations if not annotation.get("iscrowd")]
        crowds += len(sample.annotations) - len(objects)
        annotations += [
            {**annotation, "segmentation": masks.segmentation(annotation, sample.hw, options.masks)}
            for annotation in objects
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
