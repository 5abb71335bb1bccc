import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from mosaicfusion.masks import rle

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=20))

FOUR = np.array([[0, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]], bool)


def test_run_lengths_of_small_masks() -> None:
    assert rle.area(FOUR) == 5
    assert rle.box_xywh(FOUR) == [1.0, 1.0, 3.0, 2.0]
    assert rle.encode(FOUR)["size"] == [4, 5]
    column_by_column = {"size": [4, 5], "counts": [5, 2, 2, 2, 3, 1, 5]}
    assert rle.encode(FOUR)["counts"].encode() == coco_mask.frPyObjects(column_by_column, 4, 5)["counts"]


@given(MASKS)
def test_round_trip_through_json(mask: np.ndarray) -> None:
    again = rle.decode(json.loads(json.dumps(rle.encode(mask))))
    assert again.dtype == np.bool_ and again.shape == mask.shape and (again == mask).all()


@given(MASKS)
def test_area_and_box_agree_with_pycocotools(mask: np.ndarray) -> None:
    encoded = rle.encode(mask)
    assert rle.area(mask) == int(coco_mask.area(encoded))
    if mask.any():
        assert rle.box_xywh(mask) == coco_mask.toBbox(encoded).tolist()


@given(MASKS, st.integers(0, 7), st.integers(0, 5))
def test_placing_only_moves_the_mask(mask: np.ndarray, top: int, left: int) -> None:
    height, width = mask.shape
    canvas = rle.paste(mask, (top, left), (height + 7, width + 5))
    assert canvas.shape == (height + 7, width + 5)
    assert (canvas[top : top + height, left : left + width] == mask).all()
    assert canvas.sum() == mask.sum()


@pytest.mark.parametrize("top_left", [(-1, 0), (0, -1), (2, 0), (0, 2)])
def test_a_region_beyond_the_canvas_is_refused(top_left: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="extends beyond the canvas of 5 x 6"):
        rle.paste(FOUR, top_left, (5, 6))


def test_an_empty_mask_has_no_box() -> None:
    with pytest.raises(ValueError, match="empty mask"):
        rle.box_xywh(np.zeros((3, 4), bool))


@given(MASKS)
def test_decoding_agrees_with_pycocotools(mask: np.ndarray) -> None:
    theirs = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    assert (rle.decode(theirs) == mask).all()


@pytest.mark.parametrize("counts", ["", "01", "09", "0PP", "zzzz"])
def test_damaged_counts_are_refused(counts: str) -> None:
    with pytest.raises(ValueError, match="of 2 x 3"):
        rle.decode({"size": [2, 3], "counts": counts})


def test_uncompressed_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="compressed"):
        rle.decode({"size": [2, 2], "counts": [0, 4]})


def test_a_mask_of_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="int64"):
        rle.encode(FOUR.astype(np.int64))
