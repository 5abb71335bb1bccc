"""Small data sets made by hand: a real LVIS json, a real COCO json, and runs whose canvases have images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mosaicfusion.categories import Category
from mosaicfusion.masks import rle
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord, RegionRecord
from support.images import encode
from support.manifests import make_manifest

CANVAS_HW = (32, 48)
KITE, BOW, RIBBON = 4, 7, 9

# Odd spacing, a long float, an escape, unknown fields: all of it must stay.
REAL_LVIS = r"""{ "info": {"note": "a\u0301 \u00e9"}, "extra": [1.10, {"deep": null}],
 "annotations": [
  {"id": 3, "image_id": 50, "category_id": 4, "area": 64.0, "bbox": [2.0, 3.00, 8, 8],
   "segmentation": [[2.0, 3.00, 10.0, 3.0, 10.0, 11.0, 2.0, 11.0]], "mood": "good"},
  {"id": 8, "image_id": 50, "category_id": 7, "area": 32, "bbox": [20, 3, 8.000000000000001, 4],
   "segmentation": [[20, 3, 28.000000000000001, 3, 28, 7, 20, 7]]},
  {"id": 9, "image_id": 51, "category_id": 4, "area": 16, "bbox": [0, 0, 4, 4],
   "segmentation": [[0, 0, 4, 0, 4, 4, 0, 4]]} ],
 "images": [
  {"id": 50, "coco_url": "http://images.cocodataset.org/train2017/000000000050.jpg", "height": 32, "width": 48,
   "neg_category_ids": [9], "not_exhaustive_category_ids": [], "license": 3},
  {"id": 51, "coco_url": "http://images.cocodataset.org/train2017/000000000051.jpg", "height": 32, "width": 48,
   "neg_category_ids": [], "not_exhaustive_category_ids": [4]} ],
 "licenses": [{"id": 3}],
 "categories": [
  {"id": 4, "name": "kite", "synonyms": ["kite", "box_kite"], "synset": "kite.n.03", "def": "it flies", "frequency": "f",
   "image_count": 2, "instance_count": 2},
  {"id": 7, "name": "bow_(weapon)", "synonyms": ["bow_(weapon)", "longbow"], "synset": "bow.n.04", "def": "it shoots",
   "frequency": "r", "image_count": 1, "instance_count": 1},
  {"id": 9, "name": "bow_(decorative_ribbons)", "synonyms": ["bow"], "synset": "bow.n.08", "def": "it is tied",
   "frequency": "c", "image_count": 0, "instance_count": 0} ] }"""

REAL_COCO = {
    "images": [{"id": 1, "file_name": "000000000001.jpg", "height": 32, "width": 48}],
    "annotations": [
        {"id": 5, "image_id": 1, "category_id": 2, "bbox": [0, 0, 4, 4], "area": 16, "iscrowd": 0,
         "segmentation": [[0, 0, 4, 0, 4, 4, 0, 4]]}
    ],
    "categories": [{"id": 2, "name": "kite", "supercategory": "toy"}],
}  # fmt: skip


def write_lvis(folder: Path) -> Path:
    """The LVIS json as a file."""
    path = folder / "real.json"
    path.write_text(REAL_LVIS, encoding="utf-8")
    return path


def write_json(path: Path, data: Any) -> Path:
    """Any data as a file."""
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def read(path: Path) -> Any:
    """The JSON of a file."""
    return json.loads(path.read_text(encoding="utf-8"))


def category(id_: int, name: str, synset: str | None = None, synonyms: Sequence[str] = ()) -> Category:
    """A category of a run."""
    return Category(id_, name, tuple(synonyms), synset=synset)


def jpeg(seed: int = 0) -> bytes:
    """A grey image of the canvas' size; each seed has its own."""
    return encode(np.full(CANVAS_HW, seed % 256, np.uint8))


def make_run(path: Path, categories: Sequence[Category], canvases: Sequence[Sequence[tuple[int, bool]]]) -> Path:
    """A run: for each canvas its regions, as ids of categories and whether the region was kept."""
    run = RunFolder.open_or_create(path, make_manifest(max(1, len(canvases)), categories))
    names = {c.id: c.name for c in categories}
    records = [
        CanvasRecord(
            index, CANVAS_HW, 0, run.write_image(index, jpeg(index)),
            tuple(_region(k, id_, names[id_], kept) for k, (id_, kept) in enumerate(regions)),
        )
        for index, regions in enumerate(canvases)
    ]  # fmt: skip
    if records:
        run.write_part(records)
    return path


def _region(k: int, category_id: int, name: str, kept: bool) -> RegionRecord:
    requested: Any = (category_id, name, f"a {name}", (0, 0, 48, 32))
    if not kept:
        return RegionRecord(*requested, reason="too_small")
    mask = np.zeros(CANVAS_HW, bool)
    mask[4:20, 2 + 5 * k : 14 + 5 * k] = True
    mask[4, 2 + 5 * k] = False  # not just its box
    left, top, width, height = rle.box_xywh(mask)
    return RegionRecord(
        *requested,
        score=0.5,
        area=rle.area(mask),
        box_xywh=(left, top, width, height),
        segmentation=dict(rle.encode(mask)),
        quality=0.9 - 0.2 * k,
    )
