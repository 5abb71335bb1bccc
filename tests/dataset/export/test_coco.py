"""COCO, read back by pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from support.folders import modification_times

from mosaicfusion.dataset.export import export


def read(path: Path) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


@pytest.mark.parametrize("masks", [None, "rle", "polygon"])
def test_pycocotools_reads_the_same_masks(example: Any, tmp_path: Path, masks: Any) -> None:
    out = tmp_path / "out"
    done = export(example.source, "coco", out, masks=masks, **example.arguments)
    coco = read(out / "coco.json")
    assert {image_id: len(coco.imgToAnns[image_id]) for image_id in coco.imgs} == {
        i: len(m) for i, m in example.masks.items()
    }
    for image_id, image in coco.imgs.items():
        assert (out / image["file_name"]).read_bytes() == example.images[image_id]
        for annotation, mask, category in zip(
            coco.imgToAnns[image_id], example.masks[image_id], example.category_ids[image_id], strict=True
        ):
            assert np.array_equal(coco.annToMask(annotation), mask)
            assert annotation["category_id"] == category
            form = dict if masks == "rle" or annotation["iscrowd"] else list
            assert masks is None or isinstance(annotation["segmentation"], form)
    assert (done.images, done.instances) == (len(example.masks), sum(map(len, example.masks.values())))
    assert done.size == sum(file.stat().st_size for file in out.rglob("[!.]*") if file.is_file())  # without the receipt


def test_nothing_of_the_source_is_lost(coco: Any, tmp_path: Path) -> None:
    export(coco.source, "coco", tmp_path / "out", **coco.arguments)
    before, after = (json.loads(path.read_text()) for path in (coco.source, tmp_path / "out/coco.json"))
    assert (after["info"], after["licenses"]) == (before["info"], before["licenses"])
    by_id = {annotation["id"]: annotation for annotation in after["annotations"]}
    for annotation in before["annotations"]:
        new = by_id[annotation["id"]]
        assert annotation.keys() - new.keys() == set()
        assert {key: new[key] for key in annotation if key != "segmentation"} == {
            key: value for key, value in annotation.items() if key != "segmentation"
        }
    assert by_id[70]["segmentation"] == before["annotations"][0]["segmentation"]
    assert isinstance(by_id[71]["segmentation"]["counts"], str)
    image = after["images"][0]
    assert (image["source_file_name"], image["file_name"], image["date"]) == (
        "a/same.jpg",
        "images/000000000009.jpg",
        "d",
    )
    assert after["categories"] == [
        {"supercategory": "", "id": 1, "name": "person", "image_count": 2, "instance_count": 2},
        {"supercategory": "kitchen", "id": 90, "name": "cup", "image_count": 1, "instance_count": 1},
    ]


def test_image_files_are_named_by_id_and_format(coco: Any, tmp_path: Path) -> None:
    """Two files were called same.jpg, and one of them is a png."""
    export(coco.source, "coco", tmp_path / "out", **coco.arguments)
    names = sorted(path.name for path in (tmp_path / "out/images").iterdir())
    assert names == ["000000000005.png", "000000000006.jpg", "000000000009.jpg"]


def test_the_source_is_not_modified(run: Any, tmp_path: Path) -> None:
    before = modification_times(run.source)
    export(run.source, "coco", tmp_path / "out", policy="not_exhaustive", masks="polygon")
    assert modification_times(run.source) == before
    assert len(json.loads((tmp_path / "out/coco.json").read_text())["images"]) == 3
