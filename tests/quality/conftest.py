"""Sets of plain colours: each image holds one square object, and features are mean colours."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mosaicfusion.quality.measure_diversity import ImageSet

Colour = tuple[int, int, int]


class ColourFeatures:
    """A stand-in for a backbone: the feature is the mean colour of a crop."""

    name = "colour"
    side_px = 8

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        return crops.mean(axis=(1, 2)).astype(np.float32)


@pytest.fixture
def colour_features() -> ColourFeatures:
    return ColourFeatures()


@pytest.fixture
def image_set(tmp_path: Path) -> Callable[..., ImageSet]:
    """``image_set({"kite": [colour, ...]})``: a 16 x 16 object of that colour in the middle of grey, 32 x 32."""

    def make(objects: Mapping[str, Sequence[Colour]], name: str = "set") -> ImageSet:
        folder = tmp_path / name
        folder.mkdir()
        images, annotations = [], []
        for category_id, colours in enumerate(objects.values(), start=1):
            for colour in colours:
                k = len(images) + 1
                pixels = np.full((32, 32, 3), 100, np.uint8)
                pixels[8:24, 8:24] = colour
                Image.fromarray(pixels).save(folder / f"{k:03d}.png")
                images.append({"id": k, "file_name": f"{k:03d}.png", "width": 32, "height": 32})
                square = [8, 8, 24, 8, 24, 24, 8, 24]
                place = {"id": k, "image_id": k, "category_id": category_id}
                annotations.append({**place, "bbox": [8, 8, 16, 16], "area": 256, "segmentation": [square]})
        categories = [{"id": i, "name": category} for i, category in enumerate(objects, start=1)]
        data = {"images": images, "annotations": annotations, "categories": categories}
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(data))
        return ImageSet(path, folder)

    return make
