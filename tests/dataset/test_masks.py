"""Masks of annotations in every form; invalid ones are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from mosaicfusion.dataset.masks import parse_mask
from mosaicfusion.dataset.sample import Annotation
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


def annotated(segmentation: Any, **fields: Any) -> Annotation:
    return Annotation({"id": 8, "category_id": 1, "segmentation": segmentation, **fields}, HW)


@pytest.mark.parametrize("form", [PLAIN, rle.encode(BLOCK), rle.polygons(BLOCK)])
def test_every_mask_form_converts_to_every_other(form: Any) -> None:
    mask = parse_mask(form, HW)
    assert mask.run_lengths() == rle.encode(BLOCK)
    assert mask.polygons() == rle.polygons(BLOCK)
    assert mask.area == BLOCK.sum()
    assert annotated(form).segmentation("rle") == rle.encode(BLOCK)
    assert annotated(form).segmentation("polygon") == rle.polygons(BLOCK)
    assert isinstance(annotated(form).segmentation(None), type(form))


def test_polygons_stay_as_they_are() -> None:
    exact = [[0.25, 0.5, 3.75, 0.5, 3.75, 3.125], [1, 1, 2, 1, 2, 2]]
    assert parse_mask(exact, HW).polygons() is exact


def test_overlapping_parts_are_united() -> None:
    two = [[0, 0, 4, 0, 4, 2, 0, 2], [2, 0, 6, 0, 6, 2, 2, 2]]
    pixels = rle.decode(parse_mask(two, HW).run_lengths())
    assert pixels.tolist() == [[True] * 6] * 2 + [[False] * 6] * 2


def test_a_crowd_stays_run_lengths() -> None:
    assert annotated(PLAIN, iscrowd=1).segmentation("polygon") == rle.encode(BLOCK)


@settings(deadline=None)
@given(mask=arrays(bool, (5, 7)).filter(np.any))
def test_run_lengths_of_any_mask_round_trip(mask: np.ndarray[Any, Any]) -> None:
    parsed = parse_mask(rle.encode(mask), (5, 7))
    assert (parsed.area, parsed.box_xywh) == (rle.area(mask), rle.box_xywh(mask))
    column = mask.T.ravel()
    edges = np.flatnonzero(np.diff(column)) + 1
    plain = np.diff([0, *([0] if column[0] else []), *edges, column.size]).tolist()
    again = parse_mask({"size": [5, 7], "counts": plain}, (5, 7))
    assert (again.area, again.box_xywh, again.run_lengths()) == (parsed.area, parsed.box_xywh, parsed.run_lengths())


def test_outlines_drawn_by_people_are_accepted() -> None:
    mask = parse_mask([[0.5, 0.5, 4.5, 0.5, 4.5, 3.5, 0.5, 3.5], [5, 4, 7, 4, 7, 5]], (5, 7))
    assert mask.own_area == 13
    assert mask.box_xywh == [0.5, 0.5, 6.5, 4.5]


def test_a_polygon_may_reach_one_image_size_outside() -> None:
    """The same rule everywhere: 90 % of the width outside is valid, more than the whole width is not."""
    assert parse_mask([[-5.4, 0, 3, 0, 3, 3]], HW).area > 0
    assert parse_mask([[0, 0, 11.4, 0, 3, 3]], HW).area > 0
    with pytest.raises(ValueError, match="far outside its 6 x 4 image"):
        parse_mask([[-6.1, 0, 3, 0, 3, 3]], HW)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (None, "neither a list of polygons nor run lengths"),
        ([], "is empty"),
        ("52203", "neither"),
        ([[]], "a polygon of 0 numbers"),
        ([[1, 1, 2, 2]], "a polygon of 4 numbers"),
        ([[1, 1, 2, 2, 3]], "a polygon of 5 numbers"),
        ([[0, 0, 4, 4, 0, 4, 1]], "a polygon of 7 numbers"),
        ([["a"] * 6], "not a list of numbers"),
        ([["1.5"] * 6], "not a list of numbers"),
        ([[0, 0, 4, 4, 0, True]], "not a list of numbers"),
        ([{"x": 1}], "not a list of numbers"),
        ([1, 1, 2, 2, 3, 3], "not a list of numbers"),
        ([[0, 0, 1e9, 0, 1e9, 1e9]], "far outside its 6 x 4 image"),
        ([[10**400, 1, 1, 1, 2, 2]], "numbers that are too large"),
        ([[0, 0, float("nan"), 0, 1, 1]], "not a list of numbers"),
        ({}, r"has the size None, its image \[4, 6\]"),
        ({"size": "\x1b[31m"}, r"has the size '\\x1b\[31m'"),
        ({"size": [6, 4], "counts": "0"}, r"has the size \[6, 4\]"),
        ({"size": [4, 6]}, "not compressed run lengths"),
        ({"size": [4, 6], "counts": "5"}, "counts cover 5 pixels of 4 x 6"),
        ({"size": [4, 6], "counts": 24}, "not compressed run lengths"),
        ({"size": [4, 6], "counts": "\u2028"}, "counts|damaged"),
        ({"size": [4, 6], "counts": [20, 3]}, "do not fill its 4 x 6 pixels"),
        ({"size": [4, 6], "counts": [25, -1]}, "do not fill"),
        ({"size": [4, 6], "counts": [24.0]}, "do not fill"),
        ({"size": [4, 6], "counts": [True] * 24}, "do not fill"),
        ({"size": [4, 6], "counts": []}, "do not fill"),
    ],
)
def test_invalid_segmentations_are_refused(segmentation: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_mask(segmentation, HW)
    with pytest.raises(MosaicFusionError, match=f"annotation 8: the segmentation .*({message})"):
        _ = annotated(segmentation).mask


def test_a_mask_without_a_pixel_has_no_box() -> None:
    with pytest.raises(ValueError, match="covers no pixel"):
        _ = parse_mask({"size": [4, 6], "counts": [24]}, HW).box_xywh
