"""Area and box of a segmentation in each of its forms, against the mask itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from mosaicfusion.dataset.validate.measure import measure
from mosaicfusion.masks import rle

HW = (5, 7)


@settings(deadline=None)
@given(mask=arrays(bool, HW).filter(np.any))
def test_run_lengths_of_any_mask(mask: np.ndarray[Any, Any]) -> None:
    shape = measure(rle.encode(mask), HW)
    assert (shape.area, shape.box_xywh) == (rle.area(mask), rle.box_xywh(mask))
    column = mask.T.ravel()
    edges = np.flatnonzero(np.diff(column)) + 1
    plain = np.diff([0, *([0] if column[0] else []), *edges, column.size]).tolist()
    assert measure({"size": list(HW), "counts": plain}, HW) == shape


@settings(deadline=None)
@given(mask=arrays(bool, HW).filter(np.any))
def test_drawn_polygons_have_the_area_of_their_pixels(mask: np.ndarray[Any, Any]) -> None:
    shape = measure(rle.polygons(mask), HW)
    assert shape.area == rle.area(mask)
    assert shape.has_area(rle.area(mask))
    assert shape.has_box(rle.box_xywh(mask))


def test_polygons_of_people() -> None:
    shape = measure([[0.5, 0.5, 4.5, 0.5, 4.5, 3.5, 0.5, 3.5], [5, 4, 7, 4, 7, 5]], HW)
    assert shape.own_area == 13
    assert shape.box_xywh == [0.5, 0.5, 6.5, 4.5]


def test_tolerance() -> None:
    square = measure([[10, 10, 60, 10, 60, 60, 10, 60]], (100, 100))
    assert [square.has_area(area) for area in (2500, 2600, 2400, 2800, 2200)] == [True, True, True, False, False]
    boxes = ([10, 10, 50, 50], [10.9, 9.1, 50, 50], [12, 10, 48, 50], [10, 10, 50, 48], [60, 60, 50, 50])
    assert [square.has_box(box) for box in boxes] == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("segmentation", "said"),
    [
        (None, "neither a list of polygons nor run lengths"),
        ([], "is empty"),
        ("52203", "neither"),
        ([[]], "a polygon of 0 numbers"),
        ([[0, 0, 4, 4]], "a polygon of 4 numbers"),
        ([[0, 0, 4, 4, 0, 4, 1]], "a polygon of 7 numbers"),
        ([[0, 0, 4, 4, 0, "4"]], "not a list of numbers"),
        ([[0, 0, 4, 4, 0, True]], "not a list of numbers"),
        ([0, 0, 4, 4, 0, 4], "not a list of numbers"),
        ([[0, 0, 4e9, 4, 0, 4]], "far from its 7 x 5 image"),
        ({"counts": "0"}, "has the size None"),
        ({"size": "\x1b[31m"}, r"has the size '\x1b[31m'"),
        ({"size": [7, 5], "counts": "0"}, "has the size [7, 5], its image [5, 7]"),
        ({"size": [5, 7]}, "not compressed run lengths"),
        ({"size": [5, 7], "counts": "3"}, "cover 3 pixels of 5 x 7"),
        ({"size": [5, 7], "counts": [1, 2]}, "do not fill its 5 x 7 pixels"),
        ({"size": [5, 7], "counts": [40, -5]}, "do not fill"),
        ({"size": [5, 7], "counts": [35]}, "covers no pixel"),
        ({"size": [5, 7], "counts": []}, "do not fill"),
    ],
)
def test_what_no_loader_reads(segmentation: Any, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        measure(segmentation, HW)
    assert said in str(caught.value)
