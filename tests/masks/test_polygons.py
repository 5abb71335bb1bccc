import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask
from scipy import ndimage

from mosaicfusion.masks.polygons import polygons


def rasterise(outlines: list[list[float]], hw: tuple[int, ...]) -> np.ndarray:
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(outlines, *hw))).astype(bool)


def test_polygon_of_a_small_mask() -> None:
    """The corners of a box are cut where the middles of its edges' first and last pixels are."""
    mask = np.zeros((4, 6), bool)
    mask[1:3, 1:5] = True
    assert polygons(mask) == [[1.5, 1, 4.5, 1, 5, 1.5, 5, 2.5, 4.5, 3, 1.5, 3, 1, 2.5, 1, 1.5]]


def test_one_pixel_is_a_diamond() -> None:
    assert polygons(np.ones((1, 1), bool)) == [[0.5, 0, 1, 0.5, 0.5, 1, 0, 0.5]]


def test_an_empty_mask_has_no_polygon() -> None:
    assert polygons(np.zeros((3, 5), bool)) == []


def test_pixels_that_touch_at_a_corner_are_two_polygons() -> None:
    assert len(polygons(np.array([[1, 1, 0, 0], [0, 0, 1, 1]], bool))) == 2


def test_a_hole_stays_a_hole() -> None:
    mask = np.ones((9, 14), bool)
    mask[3:6, 3:6] = mask[4:7, 8:12] = False
    outlines = polygons(mask)
    assert len(outlines) == 1
    assert (rasterise(outlines, mask.shape) == mask).all()


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=14)))
def test_rasterising_gives_the_same_mask(mask: np.ndarray) -> None:
    outlines = polygons(mask)
    assert all(len(outline) >= 8 and len(outline) % 2 == 0 for outline in outlines)
    if mask.any():
        assert (rasterise(outlines, mask.shape) == mask).all()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("scale", [1.5, 5, 15])
def test_blobs_with_holes_round_trip(scale: float, seed: int) -> None:
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(90, 130)), scale)
    mask = field > np.quantile(field, 0.35)
    assert (rasterise(polygons(mask), mask.shape) == mask).all()
