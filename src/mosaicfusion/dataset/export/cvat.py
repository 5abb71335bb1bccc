"""CVAT: ``annotations/instances_default.json`` and ``images/default/``, which it imports as "COCO 1.0" when they are zipped.

CVAT keeps categories and masks; other fields of the annotations are left out there. What was changed comes back with
``mosaicfusion review --from``.
"""

from __future__ import annotations

from collections.abc import Iterable

from mosaicfusion.dataset.export.coco import put_json
from mosaicfusion.dataset.export.format import ExportOptions, Format, left_out_fields
from mosaicfusion.dataset.export.output import OutFolder
from mosaicfusion.dataset.reader import Dataset
from mosaicfusion.dataset.sample import Sample


def write(dataset: Dataset, samples: Iterable[Sample], out: OutFolder, options: ExportOptions) -> list[str]:
    """Write the set; returns notes on what the format could not hold."""
    images, annotations = [], []
    for sample in samples:
        out.write(f"images/default/{sample.name}", sample.read())
        height, width = sample.hw
        images.append({"id": sample.id, "file_name": sample.name, "height": height, "width": width})
        annotations += [
            {
                "id": annotation.record["id"],
                "image_id": sample.id,
                "category_id": annotation.category_id,
                "bbox": annotation.record["bbox"],
                "area": annotation.record.get("area", annotation.mask.area),
                "iscrowd": int(annotation.is_crowd),
                "segmentation": annotation.segmentation("polygon"),
            }
            for annotation in sample.annotations
        ]
    categories = [{"id": one["id"], "name": one["name"], "supercategory": ""} for one in dataset.categories]
    put_json(out, "annotations/instances_default.json", dataset, images, annotations, categories)
    return [*left_out_fields(dataset), 'zip the folder, and import it in CVAT as "COCO 1.0"']


FORMAT = Format(write, masks=("polygon",))
