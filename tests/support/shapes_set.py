"""A tiny LVIS set: images of 48 x 64 pixels with one to three shapes in plain colours on noise, rendered by numpy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mosaicfusion.masks import rle

HW = (48, 64)
DISC, SQUARE, BAR = 3, 5, 8  # ids of the categories, so the labels are 1, 2 and 3
CATEGORIES = [
    {"id": DISC, "name": "disc", "synonyms": ["disc"], "def": "it is round", "synset": "disc.n.01", "frequency": "f"},
    {"id": SQUARE, "name": "square", "synonyms": ["square"], "def": "", "synset": "square.n.01", "frequency": "c"},
    {"id": BAR, "name": "bar", "synonyms": ["bar"], "def": "it is long", "synset": "bar.n.01", "frequency": "r"},
]
COLOURS = {DISC: (220, 40, 40), SQUARE: (40, 200, 60), BAR: (50, 80, 230)}


def write_set(folder: Path, name: str, first_id: int, count: int) -> None:
    """Images with the ids from ``first_id`` on under ``images/``, and their json."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for id_ in range(first_id, first_id + count):
        rng = np.random.default_rng(id_)
        shown = [DISC, *([SQUARE] if id_ % 2 else []), *([BAR] if id_ % 3 == 0 else [])]
        pixels = rng.integers(90, 150, (*HW, 3), np.uint8)
        taken = np.zeros(HW, bool)
        for category in shown:
            mask = random_shape(category, rng) & ~taken
            if not mask.any():
                continue
            taken |= mask
            pixels[mask] = COLOURS[category]
            annotations.append(annotation(len(annotations) + 1, id_, category, mask, polygon=len(annotations) % 2 == 0))
        file_name = f"{name}/{id_:012d}.png"
        (folder / "images" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "images" / file_name)
        images.append(
            {
                "id": id_, "file_name": file_name, "coco_url": f"http://images.example/{file_name}",
                "height": HW[0], "width": HW[1],
                "neg_category_ids": [c for c in (SQUARE, BAR) if c not in shown], "not_exhaustive_category_ids": [],
            }
        )  # fmt: skip
    data = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    (folder / f"{name}.json").write_text(json.dumps(data))


def random_shape(category: int, rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """bool (48, 64): a shape of the category at a random place."""
    y, x = np.ogrid[: HW[0], : HW[1]]
    size = int(rng.integers(6, 10))
    top, left = rng.integers(size, HW[0] - size), rng.integers(size, HW[1] - size)
    if category == DISC:
        return np.hypot(y - top, x - left) < size
    height, width = (size, size) if category == SQUARE else (3, 2 * size)
    return (abs(y - top) < height) & (abs(x - left) < width)


def annotation(
    id_: int, image_id: int, category: int, mask: np.ndarray[Any, np.dtype[np.bool_]], polygon: bool = False
) -> dict[str, Any]:
    """One annotation of an LVIS json."""
    return {
        "id": id_, "image_id": image_id, "category_id": category, "bbox": rle.box_xywh(mask), "area": rle.area(mask),
        "segmentation": rle.polygons(mask) if polygon else dict(rle.encode(mask)), "iscrowd": 0,
    }  # fmt: skip
