"""One annotation in every form, and what is not a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mosaicfusion.dataset import masks
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.masks import rle

HW = (4, 6)
BLOCK = np.array(
    [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 0, 0, 0],
        [0, 1, 1, 0, 0, 1],
        [0, 0, 0, 0, 0, 0],
    ],
    dtype=bool,
)
PLAIN = {"size": [4, 6], "counts": [5, 2, 2, 2, 11, 1, 1]}


def annotation(segmentation: Any) -> dict[str, Any]:
    return {"id": 8, "segmentation": segmentation}


@pytest.mark.parametrize("form", [PLAIN, rle.encode(BLOCK), rle.polygons(BLOCK)])
def test_every_form_to_every_form(form: Any) -> None:
    assert np.array_equal(masks.pixels(annotation(form), HW), BLOCK)
    assert masks.run_lengths(annotation(form), HW) == rle.encode(BLOCK)
    assert masks.polygons(annotation(form), HW) == rle.polygons(BLOCK)
    assert masks.segmentation(annotation(form), HW, "rle") == rle.encode(BLOCK)
    assert masks.segmentation(annotation(form), HW, "polygon") == rle.polygons(BLOCK)
    assert isinstance(masks.segmentation(annotation(form), HW, None), type(form))


def test_polygons_stay_as_they_are() -> None:
    exact = [[0.25, 0.5, 3.75, 0.5, 3.75, 3.125], [1, 1, 2, 1, 2, 2]]
    assert masks.polygons(annotation(exact), HW) is exact


def test_overlapping_parts_are_united() -> None:
    two = [[0, 0, 4, 0, 4, 2, 0, 2], [2, 0, 6, 0, 6, 2, 2, 2]]
    assert masks.pixels(annotation(two), HW).tolist() == [[True] * 6] * 2 + [[False] * 6] * 2


def test_a_crowd_stays_run_lengths() -> None:
    crowd = {**annotation(PLAIN), "iscrowd": 1}
    assert masks.segmentation(crowd, HW, "polygon") == rle.encode(BLOCK)


@pytest.mark.parametrize(
    ("segmentation", "said"),
    [
        ([], "segmentation is empty"),
        ([[]], "fewer than 3 corners"),
        ([[1, 1, 2, 2]], "fewer than 3 corners"),
        ([[1, 1, 2, 2, 3]], "is not a list of x, y"),
        ([["a"] * 6], "is not a list of x, y"),
        ([{"x": 1}], "is not a list of x, y"),
        ([1, 1, 2, 2, 3, 3], "is not a list of x, y|fewer than 3 corners"),
        ([[0, 0, 1e9, 0, 1e9, 1e9]], r"reaches far outside the image of \[4, 6\]"),
        ([[0, 0, float("nan"), 0, 1, 1]], "reaches far outside"),
        ({}, r"run lengths of size None for an image of \[4, 6\]"),
        ({"size": [6, 4], "counts": "0"}, r"run lengths of size \[6, 4\]"),
        ({"size": [4, 6], "counts": "5"}, "counts cover 5 pixels of 4 x 6"),
        ({"size": [4, 6], "counts": 24}, "not compressed run lengths"),
        ({"size": [4, 6], "counts": "\u2028"}, "counts|damaged"),
        ({"size": [4, 6], "counts": [20, 3]}, "counts that do not fill the image"),
        ({"size": [4, 6], "counts": [25, -1]}, "counts that do not fill the image"),
        ({"size": [4, 6], "counts": [24.0]}, "counts that do not fill the image"),
        ({"size": [4, 6], "counts": [True] * 24}, "counts that do not fill the image"),
    ],
)
def test_not_a_mask(segmentation: Any, said: str) -> None:
    for function in (masks.pixels, masks.run_lengths, masks.polygons):
        with pytest.raises(MosaicFusionError, match=f"annotation 8 has no mask that can be read: .*({said})"):
            function(annotation(segmentation), HW)
