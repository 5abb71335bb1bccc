"""Parquet as Hugging Face's datasets lays it out, read by pyarrow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.lvis_sets import jpeg, write_json

from mosaicfusion.dataset.export import export
from mosaicfusion.dataset.masks import parse_mask
from mosaicfusion.masks import rle


@pytest.mark.parametrize("masks", [None, "rle", "polygon"])
def test_pyarrow_reads_the_same(example: Any, tmp_path: Path, masks: Any) -> None:
    export(example.source, "hf", tmp_path / "out", masks=masks, **example.arguments)
    rows = {row["image_id"]: row for row in pq.read_table(tmp_path / "out/data").to_pylist()}
    names = [category["name"] for category in json.loads((tmp_path / "out/categories.json").read_text("utf-8"))]
    ids = {
        category["id"]: category["index"]
        for category in json.loads((tmp_path / "out/categories.json").read_text("utf-8"))
    }
    assert rows.keys() == example.masks.keys()
    for image_id, row in rows.items():
        assert row["image"]["bytes"] == example.images[image_id]
        assert Path(row["image"]["path"]).stem == f"{image_id:012d}"
        objects = row["objects"]
        found = [
            rle.decode(parse_mask(value, (row["height"], row["width"])).run_lengths())
            for value in objects["segmentation"]
        ]
        assert len(found) == len(example.masks[image_id])
        assert all(np.array_equal(*pair) for pair in zip(found, example.masks[image_id], strict=True))
        assert objects["category_id"] == example.category_ids[image_id]
        assert objects["category"] == [ids[category_id] for category_id in example.category_ids[image_id]]
        assert {len(values) for values in objects.values()} == {len(found)}
        assert all(0 <= category < len(names) for category in objects["category"])


def test_features_have_types_that_datasets_understands(run: Any, tmp_path: Path) -> None:
    """The library `datasets` builds its columns from these: images that decode, categories that print as names."""
    export(run.source, "hf", tmp_path / "out")
    schema = pq.read_schema(tmp_path / "out/data/train-00000-of-00001.parquet")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == schema.names
    assert features["image"] == {"_type": "Image"}
    assert schema.field("image").type == pa.struct({"bytes": pa.binary(), "path": pa.string()})
    hostile = '../<img src=x onerror=alert(1)>/"a":\n- b # é \u2028 \U0001f600'
    assert features["objects"]["category"] == [{"_type": "ClassLabel", "names": [hostile, "kite", "no"]}]
    assert list(features["objects"]) == [field.name for field in schema.field("objects").type]
    assert features["objects"]["bbox"] == [[{"_type": "Value", "dtype": "float64"}]]
    assert schema.field("objects").type.field("bbox").type == pa.list_(pa.list_(pa.float64()))


def test_rows_are_split_into_shards(coco: Any, tmp_path: Path) -> None:
    export(coco.source, "hf", tmp_path / "out", shard_size=2, **coco.arguments)
    files = sorted((tmp_path / "out/data").iterdir())
    assert [file.name for file in files] == ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    assert [pq.read_table(file)["image_id"].to_pylist() for file in files] == [[9, 5], [6]]


def test_row_groups_are_small(make_run: Any, tmp_path: Path) -> None:
    export(make_run(tmp_path / "run", 230), "hf", tmp_path / "out", shard_size=220)
    files = sorted((tmp_path / "out/data").iterdir())
    sizes = [
        [
            group.num_rows
            for group in map(pq.ParquetFile(file).metadata.row_group, range(pq.ParquetFile(file).num_row_groups))
        ]
        for file in files
    ]
    assert sizes == [[100, 100, 20], [10]]


def test_keypoints_scores_and_the_mark_of_synthetic_images_are_columns(tmp_path: Path) -> None:
    base = {
        "image_id": 1,
        "category_id": 1,
        "bbox": [0, 0, 4, 4],
        "area": 16,
        "segmentation": [[0, 0, 4, 0, 4, 4, 0, 4]],
    }
    objects = [{**base, "id": 1, "keypoints": [1, 2, 2], "num_keypoints": 1}, {**base, "id": 2, "quality": 0.5}]
    image = {"id": 1, "file_name": "a.jpg", "height": 32, "width": 48, "synthetic": True, "license": 3}
    (tmp_path / "a.jpg").write_bytes(jpeg())
    data = {"images": [image], "annotations": objects, "categories": [{"id": 1, "name": "kite"}]}
    done = export(write_json(tmp_path / "set.json", data), "hf", tmp_path / "out")
    (row,) = pq.read_table(tmp_path / "out/data").to_pylist()
    assert row["synthetic"] is True
    assert row["objects"]["keypoints"] == [[1.0, 2.0, 2.0], None]
    assert (row["objects"]["num_keypoints"], row["objects"]["quality"]) == ([1, None], [None, 0.5])
    assert "score" not in row["objects"]
    assert done.notes == ("fields of images left out: license",)


def test_fields_of_lvis_are_columns(run: Any, tmp_path: Path) -> None:
    export(run.source, "hf", tmp_path / "out", policy="not_exhaustive")
    row = pq.read_table(tmp_path / "out/data").to_pylist()[1]
    assert (row["not_exhaustive_category_ids"], row["neg_category_ids"]) == ([3], [])
    assert row["file_name"] == "images/000/000000000001.jpg"
    assert row["objects"]["score"] == [0.5]
