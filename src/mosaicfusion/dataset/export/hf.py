"""Hugging Face: ``data/train-00000-of-00003.parquet``, ..., which ``datasets.load_dataset("OUT")`` reads with its features.

A row is an image: its bytes, its LVIS fields, and ``objects`` with a list for each field, as in the object detection examples of
transformers. ``objects["category"]`` is the category's index from 0 (a ``ClassLabel``), ``objects["category_id"]`` its id. Masks
are bit for bit the same, all as run lengths (the default) or all as polygons. At most 100 images are in memory.

Fields of scores and keypoints exist where the set has them. Lost: other fields that LVIS does not have.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from mosaicfusion.dataset.coco import SYNTHETIC, Record
from mosaicfusion.dataset.export.format import ExportOptions, Format, left_out_fields
from mosaicfusion.dataset.export.output import OutFolder
from mosaicfusion.dataset.reader import Dataset
from mosaicfusion.dataset.sample import Sample

ROW_GROUP = 100  # images; reading one row reads its group

# A type is its name, [a list of it], or {fields of it}.
_IMAGE = {
    "image_id": "int64",
    "width": "int64",
    "height": "int64",
    "file_name": "string",
    "coco_url": "string",
    SYNTHETIC: "bool",
    "neg_category_ids": ["int64"],
    "not_exhaustive_category_ids": ["int64"],
}
_OBJECTS = {
    "id": ["int64"],
    "category_id": ["int64"],
    "bbox": [["float64"]],
    "area": ["float64"],
    "iscrowd": ["int64"],
}
_IF_PRESENT = {
    "score": ["float64"],
    "quality": ["float64"],
    "keypoints": [["float64"]],
    "num_keypoints": ["int64"],
}
_SEGMENTATION = {"rle": [{"size": ["int64"], "counts": "string"}], "polygon": [[["float64"]]]}


def write(dataset: Dataset, samples: Iterable[Sample], out: OutFolder, options: ExportOptions) -> list[str]:
    """Write the set; returns notes on what the format could not hold."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    form = options.masks or "rle"
    fields = _OBJECTS | {key: kind for key, kind in _IF_PRESENT.items() if key in dataset.counts.annotation_fields}
    schema = _schema(form, fields, [category["name"] for category in dataset.categories])
    index_of = dataset.index_of
    shards = math.ceil(dataset.images / options.shard_size)
    for shard, group in groupby(enumerate(samples), lambda numbered: numbered[0] // options.shard_size):
        name = f"data/train-{shard:05d}-of-{shards:05d}.parquet"
        with out.open(name) as file, pq.ParquetWriter(file, schema) as writer:
            for _, rows in groupby(group, lambda numbered: numbered[0] % options.shard_size // ROW_GROUP):
                table = [_row(sample, form, fields, index_of) for _, sample in rows]
                writer.write_table(pa.Table.from_pylist(table, schema))
    return left_out_fields(dataset, _IMAGE, fields)


def _row(sample: Sample, form: str, fields: Iterable[str], index_of: dict[int, int]) -> Record:
    annotations = sample.annotations
    objects: Record = {key: [annotation.record.get(key) for annotation in annotations] for key in fields}
    objects["iscrowd"] = [int(annotation.is_crowd) for annotation in annotations]
    objects["category"] = [index_of[annotation.category_id] for annotation in annotations]
    objects["segmentation"] = [
        annotation.mask.run_lengths() if form == "rle" else annotation.mask.polygons() for annotation in annotations
    ]
    row = {key: sample.record.get(key) for key in _IMAGE}
    return {
        **row,
        "image": {"bytes": sample.read(), "path": sample.name},
        "image_id": sample.id,
        SYNTHETIC: sample.synthetic,
        "objects": objects,
    }


def _schema(form: str, fields: Record, names: list[str]) -> Any:
    """Arrow's types; those of ``datasets`` are in the metadata, where it expects them."""
    import pyarrow as pa

    objects = {**fields, "segmentation": _SEGMENTATION[form]}
    types = {
        "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        **{key: _arrow(kind) for key, kind in _IMAGE.items()},
        "objects": _arrow({**objects, "category": ["int64"]}),
    }
    labels = [{"_type": "ClassLabel", "names": names}]
    features = {"image": {"_type": "Image"}, **_feature(_IMAGE), "objects": {**_feature(objects), "category": labels}}
    return pa.schema(types, {"huggingface": json.dumps({"info": {"features": features}})})


def _arrow(kind: Any) -> Any:
    import pyarrow as pa

    if isinstance(kind, list):
        return pa.list_(_arrow(kind[0]))
    if isinstance(kind, dict):
        return pa.struct({key: _arrow(inner) for key, inner in kind.items()})
    return pa.type_for_alias(kind)


def _feature(kind: Any) -> Any:
    if isinstance(kind, list):
        return [_feature(kind[0])]
    if isinstance(kind, dict):
        return {key: _feature(inner) for key, inner in kind.items()}
    return {"_type": "Value", "dtype": kind}


FORMAT = Format(write, sharded=True, needs=("pyarrow",))
