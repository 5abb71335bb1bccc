"""Pasting: soft edges, what is hidden, and what must stay visible."""

from __future__ import annotations

import numpy as np
import pytest

from mosaicfusion.pasting.compose import Picture
from mosaicfusion.pasting.cutouts import Cutout


def disc(side: int) -> Cutout:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return Cutout(np.full((side, side, 3), 200, np.uint8), np.hypot(y, x) < side / 2)


def empty(hw: tuple[int, int] = (64, 64)) -> Picture:
    return Picture.of(np.zeros((*hw, 3), np.uint8), [])


@pytest.mark.parametrize(("side", "size"), [(60, 30), (24, 30)])
def test_an_instance_has_the_wanted_size_and_a_soft_edge(side: int, size: int) -> None:
    picture = empty()
    assert picture.paste(disc(side), size, 0.5, np.random.default_rng(0))
    (mask,) = picture.masks
    assert mask.sum() == pytest.approx(np.pi * (size / 2) ** 2, rel=0.06)
    grey = picture.pixels[..., 0]
    assert np.all(grey[mask] >= 100) and np.all(grey[~mask] <= 100)
    assert ((grey > 20) & (grey < 180)).sum() > size, "pixels of the edge are mixed"


def test_an_instance_is_enlarged_a_little_only() -> None:
    picture = empty()
    assert picture.paste(disc(20), 60, 0.5, np.random.default_rng(0))
    assert np.sqrt(picture.masks[0].sum() / np.pi) * 2 == pytest.approx(30, abs=1.5)


@pytest.mark.parametrize("size", [4, 70])
def test_what_is_too_small_or_too_large_is_not_pasted(size: int) -> None:
    picture = empty()
    assert not picture.paste(disc(80), size, 1, np.random.default_rng(0))
    assert not picture.pixels.any() and picture.masks == []


def test_objects_below_lose_what_is_hidden_but_never_too_much_of_it() -> None:
    own = np.zeros((64, 64), bool)
    own[8:56, 8:56] = True
    picture = Picture.of(np.zeros((64, 64, 3), np.uint8), [own.copy()])
    rng = np.random.default_rng(1)
    pasted = sum(picture.paste(disc(24), 24, 0.4, rng) for _ in range(30))
    assert 1 <= pasted < 30
    for mask, whole in zip(picture.masks, picture.whole, strict=True):
        assert mask.sum() >= 0.6 * whole
    assert np.sum(picture.masks, axis=0).max() == 1, "no pixel is of two objects"
