"""The band at the edge of a mask, on tiny ones."""

from __future__ import annotations

import numpy as np
import pytest

from mosaicfusion.masks.edges import edge_band


def square(hw: tuple[int, int], box_xyxy: tuple[int, int, int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    mask = np.zeros(hw, bool)
    left, top, right, bottom = box_xyxy
    mask[top:bottom, left:right] = True
    return mask


def to_text(mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> list[str]:
    return ["".join("#" if cell else "." for cell in row) for row in mask]


def test_a_band_has_pixels_of_both_sides() -> None:
    """The object is 4 px large: an eighth of it reaches the centres of the pixels at the edge, but not diagonal ones."""
    assert to_text(edge_band(square((7, 9), (2, 1, 6, 5)), 0.125)) == [
        "..####...",
        ".######..",
        ".##..##..",
        ".##..##..",
        ".######..",
        "..####...",
        ".........",
    ]


@pytest.mark.parametrize(("part", "width"), [(0.01, 0), (0.05, 2), (0.1, 4), (0.2, 8)])
def test_the_width_is_a_part_of_the_size(part: float, width: int) -> None:
    """An object of 20 px in the left half: the band counts the pixels of a line across its right edge."""
    band = edge_band(square((40, 60), (0, 10, 20, 30)), part)
    assert band[20, 10:].sum() == width


def test_a_long_object_has_the_same_width_all_around() -> None:
    band = edge_band(square((40, 120), (10, 15, 110, 19)), 0.05)  # 100 x 4: size 20, reach 1
    assert np.flatnonzero(band[:, 60]).tolist() == [14, 15, 18, 19]
    assert np.flatnonzero(band[16]).tolist() == [9, 10, 109, 110]


def test_the_border_of_the_image_is_no_edge() -> None:
    assert not edge_band(np.ones((6, 8), bool), 0.4).any()
    band = edge_band(square((6, 8), (0, 0, 4, 6)), 0.11)
    assert to_text(band) == ["...##..."] * 6
