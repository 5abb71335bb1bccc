"""The sizes of a real set: quantiles over all objects, and by category where there are enough."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mosaicfusion.categories import Category, Selection, Vocabulary
from mosaicfusion.dataset.object_sizes import read_sizes
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.presets import make_config
from mosaicfusion.generation.real_sizes import with_real_sizes
from mosaicfusion.layouts import SceneLayout

BUS, CUP, KITE = Category(1, "bus"), Category(2, "cup", synonyms=("mug",)), Category(3, "kite")


def write(path: Path, boxes: list[tuple[int, float, int]]) -> str:
    """Boxes on an image of 100 x 400 pixels: category, side, crowd."""
    annotations = [
        {"id": k, "image_id": 1, "category_id": id_, "bbox": [0, 0, side, side], "area": side**2, "iscrowd": crowd}
        for k, (id_, side, crowd) in enumerate(boxes)
    ]
    names = [{"id": 7, "name": "Bus"}, {"id": 8, "name": "mug"}, {"id": 9, "name": "tree"}]
    image = {"id": 1, "file_name": "a.jpg", "width": 400, "height": 100}
    path.write_text(json.dumps({"images": [image], "annotations": annotations, "categories": names}))
    return str(path)


def test_categories_with_enough_objects_have_sizes_of_their_own(tmp_path: Path) -> None:
    boxes = [(7, 80.0, 0)] * 20 + [(8, 20.0, 0)] * 19 + [(8, 100.0, 1)] + [(9, 2.0, 0)] * 50
    table = read_sizes(write(tmp_path / "real.json", boxes), [BUS, CUP, KITE])
    assert table.by_category == {"bus": (0.4,) * 21}
    assert (min(table.overall), max(table.overall)) == (0.1, 0.4), "of the run's categories alone"
    rng = np.random.default_rng(0)
    assert table.sample("bus", rng) == 0.4
    assert {table.sample("kite", rng) for _ in range(50)} > {0.1, 0.4}


def test_a_set_without_boxes_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "real.json", [(7, 0.0, 0), (8, 5.0, 1)])
    with pytest.raises(MosaicFusionError, match="has 0 objects with a box"):
        read_sizes(path, [BUS])


def test_the_file_is_read_once_and_its_sizes_belong_to_the_settings(tmp_path: Path) -> None:
    path = write(tmp_path / "real.json", [(7, 80.0, 0), (8, 40.0, 0)])
    selection = Selection(Vocabulary([BUS]), Vocabulary([BUS, CUP]))
    layout: dict[str, Any] = {"kind": "scene", "sizes": f"like:{path}"}
    config = make_config("mini", {"layout": layout})
    found = with_real_sizes(config, selection)
    assert isinstance(found.layout, SceneLayout)
    assert (found.layout.sizes, found.layout.objects) == ("like", (6, 12))
    assert found.layout.like is not None
    assert found.layout.like.overall[::20] == (0.2, 0.4)
    found.layout.check(8)
    assert with_real_sizes(found, selection) is found
    assert type(found).parse(found.model_dump()) == found
