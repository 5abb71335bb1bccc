"""What scenes take from a real set: quantiles over all objects, by category where there are enough, and companions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mosaicfusion.categories import Category
from mosaicfusion.dataset.real_objects import RealObjects
from mosaicfusion.errors import MosaicFusionError

BUS, CUP, KITE = Category(1, "bus"), Category(2, "cup", synonyms=("mug",)), Category(3, "kite")


def write(path: Path, images: list[list[tuple[Any, ...]]]) -> str:
    """Images of 400 x 100 pixels, with (category, left, top, width, height) each; a sixth value makes a crowd."""
    rows = [(image, box) for image, boxes in enumerate(images, start=1) for box in boxes]
    annotations = [
        {"id": k, "image_id": image, "category_id": box[0], "bbox": box[1:5], "iscrowd": int(len(box) > 5)}
        for k, (image, box) in enumerate(rows)
    ]
    names = [{"id": 7, "name": "Bus"}, {"id": 8, "name": "mug"}, {"id": 9, "name": "tree"}]
    sizes = [{"id": k, "file_name": f"{k}.jpg", "width": 400, "height": 100} for k in range(1, len(images) + 1)]
    path.write_text(json.dumps({"images": sizes, "annotations": annotations, "categories": names}))
    return str(path)


def square(category: int, side: float, *crowd: bool) -> tuple[Any, ...]:
    return (category, 0, 0, side, side, *crowd)


def test_categories_with_enough_objects_have_sizes_of_their_own(tmp_path: Path) -> None:
    boxes = [square(7, 80)] * 20 + [square(8, 20)] * 19 + [square(8, 100, True)] + [square(9, 2)] * 50
    table = RealObjects.read(write(tmp_path / "real.json", [boxes]), [BUS, CUP, KITE]).sizes()
    assert table.by_category == {"bus": (0.4,) * 21}
    assert (min(table.overall), max(table.overall)) == (0.1, 0.4), "of the run's categories alone"
    rng = np.random.default_rng(0)
    assert table.sample("bus", rng) == 0.4
    assert {table.sample("kite", rng) for _ in range(50)} > {0.1, 0.4}


def test_positions_are_those_in_the_room_that_a_size_leaves(tmp_path: Path) -> None:
    """Buses stand on the lower edge, whatever their size; cups are in the middle, and as wide as the image."""
    boxes = [(7, 300 - side, 100 - side, side, side) for side in range(20, 60)] + [(8, 0, 40, 400, 20)] * 20
    table = RealObjects.read(write(tmp_path / "real.json", [boxes]), [BUS, CUP]).positions()
    assert table.down.by_category == {"bus": (1.0,) * 21, "cup": (0.5,) * 21}
    assert table.across.by_category["cup"] == (0.5,) * 21
    assert max(table.across.by_category["bus"]) == pytest.approx(280 / 380, abs=1e-4)


def test_objects_are_counted_on_images_with_the_own_categories(tmp_path: Path) -> None:
    with_bus = [[square(7, 10), square(9, 10), square(9, 10)]] * 20
    path = write(tmp_path / "real.json", with_bus + [[square(9, 10)] * 9] * 20 + [[]] * 50)
    assert RealObjects.read(path, [BUS]).objects() == (3.0,) * 21
    every = RealObjects.read(path, [CUP]).objects()
    assert (every[0], every[-1]) == (3.0, 9.0), "of all images with objects, since there is none with a cup"


def test_companions_are_counted_by_image(tmp_path: Path) -> None:
    path = write(tmp_path / "real.json", [[square(7, 9), square(7, 9), square(8, 9), square(9, 9)], [square(7, 9)]])
    table = RealObjects.read(path, [BUS, CUP, KITE]).companions([BUS, KITE])
    assert table.images == {"bus": 2, "cup": 1, "kite": 0}
    assert table.together == {"bus": {"cup": 1}}, "trees are not in use"


def test_a_set_that_says_nothing_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "real.json", [[square(7, 0), square(8, 5, True)]])
    with pytest.raises(MosaicFusionError, match="has 0 objects with a box; a real set with many is needed"):
        RealObjects.read(path, [BUS])
    path = write(tmp_path / "trees.json", [[square(9, 5), square(9, 5)]])
    with pytest.raises(MosaicFusionError, match=r"has no object of this run's categories, .* layout\.companions=any"):
        RealObjects.read(path, [BUS]).companions([BUS])
