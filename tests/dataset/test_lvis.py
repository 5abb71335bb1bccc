"""LVIS json from hand-made records: every value, and the rules of the loaders that read it."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.lvis_dicts import compile_lvis

from mosaicfusion.categories import Category
from mosaicfusion.config import MaskFormat, Policy
from mosaicfusion.dataset.lvis import is_used, to_bytes, write_lvis
from mosaicfusion.masks import rle
from mosaicfusion.run.records import CanvasRecord, RegionRecord

KITE = Category(7, "kite", ("kite", "box_kite"), "it flies on a string", "c", "kite.n.03")
DRUM = Category(3, "drum_(musical_instrument)")
BLOCK = np.zeros((8, 16), dtype=bool)
BLOCK[2:6, 3:5] = True  # top 2, left 3, height 4, width 2


def kept(category: Category, mask: np.ndarray[Any, Any] = BLOCK) -> RegionRecord:
    return RegionRecord(
        category_id=category.id,
        category=category.name,
        prompt=f"a {category.display_name}",
        region_xywh=(0, 0, 8, 8),
        score=0.25,
        area=rle.area(mask),
        box_xywh=rle.box_xywh(mask),
        segmentation=dict(rle.encode(mask)),
    )


def rejected(category: Category) -> RegionRecord:
    return RegionRecord(category.id, category.name, "", (8, 0, 8, 8), reason="area", values={"area": 0.01})


def canvas(index: int, *regions: RegionRecord) -> CanvasRecord:
    return CanvasRecord(index, (8, 16), 1, f"images/000/{index:012d}.jpg", regions)


RECORDS = [
    canvas(0, kept(KITE), kept(DRUM, ~BLOCK)),
    canvas(1, kept(KITE), rejected(DRUM)),
    canvas(2, rejected(KITE), rejected(DRUM)),
    canvas(5, kept(KITE), kept(KITE, BLOCK[::-1])),
    CanvasRecord(6, (8, 16), 1, None, (RegionRecord(7, "kite", "", (0, 0, 8, 8), reason="nan_latents"),)),
]


def test_every_value_of_the_json() -> None:
    data = compile_lvis(RECORDS[:1], [KITE, DRUM])
    assert data["images"] == [
        {
            "id": 1,
            "file_name": "images/000/000000000000.jpg",
            "coco_url": "images/000/000000000000.jpg",
            "synthetic": True,
            "width": 16,
            "height": 8,
            "neg_category_ids": [],
            "not_exhaustive_category_ids": [],
        }
    ]
    assert data["annotations"][0] == {
        "id": 1,
        "image_id": 1,
        "category_id": 7,
        "bbox": [3, 2, 2, 4],
        "area": 8,
        "iscrowd": 0,
        "segmentation": rle.encode(BLOCK),
        "score": 0.25,
    }
    assert data["categories"] == [
        {
            "id": 3,
            "name": "drum_(musical_instrument)",
            "synonyms": ["drum_(musical_instrument)"],
            "def": "",
            "synset": "",
            "frequency": "r",
            "image_count": 1,
            "instance_count": 1,
        },
        {
            "id": 7,
            "name": "kite",
            "synonyms": ["kite", "box_kite"],
            "def": "it flies on a string",
            "synset": "kite.n.03",
            "frequency": "c",
            "image_count": 1,
            "instance_count": 1,
        },
    ]


def test_quality_is_written_where_it_is_known() -> None:
    regions = dataclasses.replace(kept(KITE), quality=0.875), kept(DRUM)
    first, second = compile_lvis([canvas(0, *regions)], [KITE, DRUM])["annotations"]
    assert first["quality"] == 0.875
    assert "quality" not in second


@pytest.mark.parametrize(("policy", "ids", "annotations"), [("drop", [1, 6], 4), ("not_exhaustive", [1, 2, 6], 5)])
def test_policies_choose_images_with_rejected_regions(policy: Any, ids: list[int], annotations: int) -> None:
    data = compile_lvis(RECORDS, [KITE, DRUM], policy)
    assert [image["id"] for image in data["images"]] == ids
    assert [annotation["id"] for annotation in data["annotations"]] == list(range(1, annotations + 1))
    marked = {image["id"]: image["not_exhaustive_category_ids"] for image in data["images"]}
    assert marked == {1: [], 6: [], **({2: [3]} if policy == "not_exhaustive" else {})}
    assert [is_used(record, policy) for record in RECORDS] == [record.index + 1 in ids for record in RECORDS]


def test_counts_are_of_images_and_instances() -> None:
    drum, kite = compile_lvis(RECORDS, [KITE, DRUM])["categories"]
    assert (kite["image_count"], kite["instance_count"]) == (2, 3)
    assert (drum["image_count"], drum["instance_count"]) == (1, 1)


@pytest.mark.parametrize(("images", "frequency"), [(0, "r"), (10, "r"), (11, "c"), (100, "c"), (101, "f")])
def test_frequency_is_counted_where_the_vocabulary_has_none(images: int, frequency: str) -> None:
    records = [canvas(index, kept(DRUM), kept(DRUM)) for index in range(images)]
    assert compile_lvis(records, [DRUM])["categories"][0]["frequency"] == frequency


def test_polygons_have_the_same_pixels() -> None:
    ring = np.zeros((8, 16), dtype=bool)
    ring[1:7, 1:9] = True
    ring[3:5, 3:6] = False
    data = compile_lvis([canvas(0, kept(KITE), kept(DRUM, ring))], [KITE, DRUM], masks="polygon")
    for annotation, mask in zip(data["annotations"], (BLOCK, ring), strict=True):
        polygons = annotation["segmentation"]
        assert all(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in polygons)  # detectron2's rule
        assert np.array_equal(rasterise(polygons), mask)
        assert annotation["area"] == mask.sum()


def rasterise(polygons: list[list[float]]) -> np.ndarray[Any, Any]:
    from pycocotools import mask as coco

    return np.asarray(coco.decode(coco.merge(coco.frPyObjects(polygons, 8, 16))), dtype=bool)


def test_pycocotools_reads_it(tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    (tmp_path / "lvis.json").write_bytes(to_bytes(compile_lvis(RECORDS, [KITE, DRUM])))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "lvis.json"))
    first, *_ = coco.loadAnns(coco.getAnnIds(imgIds=[1], catIds=[7]))
    assert np.array_equal(coco.annToMask(first), BLOCK)
    assert coco.getImgIds(catIds=[3]) == [1]


def test_detectron2_finds_the_image() -> None:
    """Its LVIS loader joins the image root with the last two parts of ``coco_url``."""
    (image,) = compile_lvis(RECORDS[:1], [KITE, DRUM])["images"]
    folder, name = image["coco_url"].split("/")[-2:]
    assert f"images/{folder}/{name}" == image["file_name"]


def test_a_run_with_nothing_kept_gives_an_empty_data_set() -> None:
    data = json.loads(to_bytes(compile_lvis(RECORDS[2:3], [KITE, DRUM])))
    assert (data["images"], data["annotations"]) == ([], [])
    assert [category["image_count"] for category in data["categories"]] == [0, 0]


def test_equal_data_gives_equal_bytes() -> None:
    one, two = (to_bytes(compile_lvis(RECORDS, order)) for order in ([KITE, DRUM], [DRUM, KITE]))
    assert one == two


@pytest.mark.parametrize("policy", ["drop", "not_exhaustive"])
@pytest.mark.parametrize("masks", ["rle", "polygon"])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_streamed_json_equals_the_compiled_one(policy: Policy, masks: MaskFormat, count: int) -> None:
    file = io.BytesIO()
    write_lvis(file, iter(RECORDS[:count]), [KITE, DRUM], policy, masks)
    assert file.getvalue() == to_bytes(compile_lvis(RECORDS[:count], [KITE, DRUM], policy, masks))
