"""A run and a COCO json made by hand, with the hard cases: holes, several parts, overlaps, crowds, hostile names."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from support.images import encode
from support.manifests import make_manifest

from mosaicfusion.categories import Category
from mosaicfusion.masks import rle
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord, RegionRecord

HW = (40, 64)
HOSTILE = '../<img src=x onerror=alert(1)>/"a":\n- b # é \u2028 \U0001f600'
CATEGORIES = (
    Category(7, "kite", ("kite", "box_kite"), "it flies", "c", "kite.n.03"),
    Category(3, HOSTILE),
    Category(12, "no"),
)
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Example:
    """A source on disk; ``masks`` and ``category_ids`` by image id, ``images`` as bytes."""

    source: Path
    masks: dict[int, list[Mask]]
    category_ids: dict[int, list[int]]
    images: dict[int, bytes]
    arguments: dict[str, Any]


def box(top: int, left: int, height: int, width: int) -> Mask:
    mask = np.zeros(HW, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def noise(seed: int, hw: tuple[int, int], kind: str = "jpeg") -> bytes:
    return encode(np.random.default_rng(seed).integers(0, 256, (*hw, 3), dtype=np.uint8), kind)


RING = box(2, 2, 20, 24) & ~box(8, 8, 5, 7)
TWO_PARTS = box(1, 30, 6, 6) | box(30, 50, 9, 13)
SMALL = box(4, 20, 8, 12)  # over a part of the ring
DOT = box(39, 63, 1, 1)


def region(category: Category, mask: Mask | None) -> RegionRecord:
    requested: dict[str, Any] = {
        "category_id": category.id,
        "category": category.name,
        "prompt": "",
        "region_xywh": (0, 0, 64, 40),
    }
    if mask is None:
        return RegionRecord(**requested, reason="area", values={"area": 0.01})
    area, box_xywh = rle.area(mask), tuple(rle.box_xywh(mask))
    return RegionRecord(**requested, score=0.5, area=area, box_xywh=box_xywh, segmentation=dict(rle.encode(mask)))


def make_run(path: Path, canvases: list[list[tuple[Category, Mask | None]]]) -> Example:
    run = RunFolder.open_or_create(path, make_manifest(len(canvases), CATEGORIES[:1], CATEGORIES))
    images = {index + 1: noise(index, HW) for index in range(len(canvases))}
    (path / "images/000").mkdir(parents=True)
    records = []
    for index, regions in enumerate(canvases):
        name = run.image_name(index)
        (path / name).write_bytes(images[index + 1])
        records.append(CanvasRecord(index, HW, 0, name, tuple(region(*pair) for pair in regions)))
    for begin in range(0, len(records), 10):
        run.write_part(records[begin : begin + 10])
    kept = {i: pairs for i, pairs in enumerate(canvases, 1) if all(mask is not None for _, mask in pairs)}
    return Example(
        path,
        {i: [mask for _, mask in pairs if mask is not None] for i, pairs in kept.items()},
        {i: [category.id for category, _ in pairs] for i, pairs in kept.items()},
        {i: images[i] for i in kept},
        {},
    )


@pytest.fixture
def run(tmp_path: Path) -> Example:
    """A run of three canvases; the policy decides on the second one, which has a rejected region."""
    kite, hostile, _ = CATEGORIES
    return make_run(
        tmp_path / "run",
        [[(kite, RING), (hostile, SMALL)], [(kite, DOT), (hostile, None)], [(hostile, TWO_PARTS), (kite, DOT)]],
    )


@pytest.fixture
def coco(tmp_path: Path) -> Example:
    """Polygons whose parts overlap, run lengths, a crowd with plain counts; two files of one name; a png; no fields of LVIS."""
    hw = (30, 50)
    parts = [[2.0, 2, 20, 2, 20, 12, 2, 12], [10.0, 6, 30.5, 6, 30.5, 20.25, 10, 20.25]]
    united = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(parts, *hw))).astype(bool)
    whole, crowd = np.zeros((2, *hw), bool)
    whole[5:9, 40:48] = crowd[20:, 10:40] = True
    plain = [int(run) for run in np.diff(np.flatnonzero(np.diff(crowd.T.ravel(), prepend=~crowd[0, 0], append=True)))]
    plain = [0, *plain] if crowd[0, 0] else plain
    plain.append(crowd.size - sum(plain))
    images = {9: noise(9, hw), 5: noise(5, hw, "png"), 6: noise(6, hw)}
    names = {9: "a/same.jpg", 5: "b/same.jpg", 6: "b/empty.v2.jpg"}
    for image_id, name in names.items():
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(images[image_id])
    annotations = [
        {"id": 70, "image_id": 9, "category_id": 90, "bbox": [2, 2, 28.5, 18.25], "area": 380.5, "segmentation": parts},
        {
            "id": 4,
            "image_id": 5,
            "category_id": 1,
            "bbox": [40, 5, 8, 4],
            "area": 32,
            "segmentation": rle.encode(whole),
        },
        {"id": 71, "image_id": 9, "category_id": 1, "bbox": [10, 20, 30, 10], "area": 300, "iscrowd": 1}
        | {"segmentation": {"size": list(hw), "counts": plain}, "unknown": {"kept": [1.5]}},
    ]
    data = {
        "info": {"year": 2026},
        "licenses": [{"id": 1}],
        "images": [{"id": i, "file_name": name, "width": 50, "height": 30, "date": "d"} for i, name in names.items()],
        "annotations": annotations,
        "categories": [{"id": 90, "name": "cup", "supercategory": "kitchen"}, {"id": 1, "name": "person"}],
    }
    (tmp_path / "set.json").write_text(json.dumps(data))
    return Example(
        tmp_path / "set.json",
        {9: [united, crowd], 5: [whole], 6: []},
        {9: [90, 1], 5: [1], 6: []},
        images,
        {"images": tmp_path / "photos"},
    )


@pytest.fixture(params=["run", "coco"])
def example(request: pytest.FixtureRequest) -> Example:
    example: Example = request.getfixturevalue(request.param)
    return example


@pytest.fixture(name="make_run")
def make_run_fixture() -> Callable[[Path, int], Path]:
    """``make_run(path, n)``: a run of n canvases with one object each."""
    return lambda path, count: make_run(path, [[(CATEGORIES[0], RING)]] * count).source
