"""FiftyOne: ``labels.json`` beside ``data/``, which it imports as a ``COCODetectionDataset``.

All fields of the annotations, such as ``quality`` and ``score``, become attributes with ``extra_attrs=True``. Tags that are given
there come back with ``mosaicfusion review --from``.
"""

from __future__ import annotations

from collections.abc import Iterable

from mosaicfusion.dataset.export.coco import annotation_rows, put_json
from mosaicfusion.dataset.export.format import ExportOptions, Format
from mosaicfusion.dataset.export.output import OutFolder
from mosaicfusion.dataset.reader import Dataset
from mosaicfusion.dataset.sample import Sample

_HOW = (
    'in Python: fiftyone.Dataset.from_dir("OUT", fiftyone.types.COCODetectionDataset, label_types="segmentations", '
    "extra_attrs=True)"
)


def write(dataset: Dataset, samples: Iterable[Sample], out: OutFolder, options: ExportOptions) -> list[str]:
    """Write the set; returns a note on how it is imported."""
    images, annotations = [], []
    for sample in samples:
        out.write(f"data/{sample.name}", sample.read())
        images.append({**sample.record, "file_name": sample.name})
        annotations += annotation_rows(sample, options)
    put_json(out, "labels.json", dataset, images, annotations, dataset.categories)
    return [_HOW]


FORMAT = Format(write)
