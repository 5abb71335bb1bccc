"""Box and area of an annotation against its mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from mosaicfusion.dataset.masks import parse_mask
from mosaicfusion.dataset.validate.annotations import has_area, same_box
from mosaicfusion.masks import rle

HW = (5, 7)


@settings(deadline=None)
@given(mask=arrays(bool, HW).filter(np.any))
def test_polygons_of_pixels_have_their_area_and_box(mask: np.ndarray[Any, Any]) -> None:
    parsed = parse_mask(rle.polygons(mask), HW)
    assert parsed.area == rle.area(mask)
    assert has_area(parsed, rle.area(mask))
    assert same_box(parsed.box_xywh, rle.box_xywh(mask))


def test_deviations_within_the_tolerance_are_accepted() -> None:
    square = parse_mask([[10, 10, 60, 10, 60, 60, 10, 60]], (100, 100))
    assert [has_area(square, area) for area in (2500, 2600, 2400, 2800, 2200)] == [True, True, True, False, False]
    boxes = ([10, 10, 50, 50], [10.9, 9.1, 50, 50], [12, 10, 48, 50], [10, 10, 50, 48], [60, 60, 50, 50])
    assert [same_box(square.box_xywh, box) for box in boxes] == [True, True, False, False, False]
