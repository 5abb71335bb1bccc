import numpy as np
import pytest

from mosaicfusion.masks.components import Kept, keep_single_component
from mosaicfusion.masks.rejection import Rejection


def grid(*rows: str) -> np.ndarray:
    return np.array([[sign == "#" for sign in row] for row in rows])


def test_the_only_component_is_kept() -> None:
    mask = grid(".##.", ".##.", "....")
    kept = keep_single_component(mask)
    assert isinstance(kept, Kept)
    assert (kept.mask == mask).all() and kept.mask.dtype == np.bool_
    assert kept.area == pytest.approx(4 / 12) and kept.dropped == 0


def test_specks_are_dropped() -> None:
    kept = keep_single_component(grid("##..#", "##...", "....#"), min_area=0.1)
    assert isinstance(kept, Kept)
    assert (kept.mask == grid("##...", "##...", ".....")).all()
    assert kept.dropped == 2


def test_pixels_that_touch_at_a_corner_are_two_components() -> None:
    assert keep_single_component(grid("##..", "##..", "..##", "..##")) == Rejection(
        "several_components", {"components": 2, "left": 2, "largest_area": 0.25}
    )


def test_a_mask_without_a_pixel_is_rejected() -> None:
    assert keep_single_component(np.zeros((3, 4), bool)) == Rejection("empty_mask", {})


def test_a_mask_that_is_too_small_is_rejected() -> None:
    assert keep_single_component(grid("#...", "...#", "...."), min_area=0.1) == Rejection(
        "too_small", {"components": 2, "left": 0, "largest_area": 0.083333}
    )


def test_a_mask_that_is_too_large_is_rejected() -> None:
    assert keep_single_component(np.ones((3, 4), bool)) == Rejection(
        "too_large", {"components": 1, "left": 0, "largest_area": 1.0}
    )


def test_both_bounds_are_inclusive() -> None:
    mask = grid("##", "..")
    assert isinstance(keep_single_component(mask, min_area=0.5, max_area=0.5), Kept)


def test_keeping_twice_changes_nothing() -> None:
    once = keep_single_component(grid("###.#", "#.#..", "###.."), min_area=0.1)
    assert isinstance(once, Kept)
    twice = keep_single_component(once.mask, min_area=0.1)
    assert isinstance(twice, Kept)
    assert (twice.mask == once.mask).all()


@pytest.mark.parametrize("bounds", [(-0.1, 0.9), (0.9, 0.1), (0.1, 1.1), (float("nan"), 0.9)])
def test_bounds_out_of_order_are_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="min_area"):
        keep_single_component(np.ones((2, 3), bool), *bounds)


def test_a_mask_of_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match=r"uint8 \(2, 3\)"):
        keep_single_component(np.ones((2, 3), np.uint8))
