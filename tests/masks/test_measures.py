"""Measures of masks on images with an obvious answer, and the order of predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mosaicfusion.masks.extract import Extraction, extract_mask
from mosaicfusion.masks.measures import MEASURES, measure_mask, predict_iou

HW = (96, 128)
GOOD = {"contrast": 0.5, "stability": 0.95, "refinement": 0.9, "separation": 1.0, "edge": 0.9, "touch": 0.0}


def disc(cy: float = 48, cx: float = 64, radius: float = 28) -> np.ndarray[Any, Any]:
    y, x = np.mgrid[: HW[0], : HW[1]] + 0.5
    return (y - cy) ** 2 + (x - cx) ** 2 < radius**2


def image_of(truth: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    grain = np.random.default_rng(0).normal(0, 4, (*HW, 3))
    return np.clip(np.where(truth[..., None], (210, 60, 50), (90, 160, 90)) + grain, 0, 255).astype(np.uint8)


def sums(mask: np.ndarray[Any, Any]) -> dict[int, np.ndarray[Any, Any]]:
    return {8: mask.reshape(HW[0] // 8, 8, HW[1] // 8, 8).mean((1, 3)).astype(np.float32)}


def measured(mask: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> dict[str, float]:
    extraction = Extraction(mask=mask, rejection=None, heat=mask.astype(np.float32), coarse=mask, score=1.0)
    return measure_mask(extraction, image_of(truth), {})


def test_a_fitting_mask_has_high_measures() -> None:
    truth = disc()
    extraction = extract_mask(sums(truth), image_of(truth))
    values = measure_mask(extraction, image_of(truth), sums(truth))
    assert list(values) == ["contrast", "stability", "refinement", "separation", "edge", "touch"]
    assert (values["stability"], values["touch"], values["contrast"]) == (1, 0, round(extraction.score, 4))
    assert min(values["separation"], values["edge"], values["refinement"]) > 0.8
    assert predict_iou(values) > 0.85


def test_each_measure_falls_with_its_fault() -> None:
    truth = disc()
    good, shifted = measured(truth, truth), measured(disc(cx=78), truth)
    assert shifted["separation"] < good["separation"] - 0.1
    assert shifted["edge"] < good["edge"] - 0.05
    reaching = truth.copy()
    reaching[:24] = True
    assert measured(reaching, truth)["touch"] == pytest.approx((128 + 2 * 24) / (2 * 128 + 2 * 96), abs=1e-4)
    extraction = extract_mask(sums(truth), image_of(truth))
    assert measure_mask(extraction, image_of(truth), sums(disc(cx=44)))["stability"] < 0.7
    moved = Extraction(mask=disc(), rejection=None, heat=extraction.heat, coarse=disc(cx=92), score=0.5)
    assert measure_mask(moved, image_of(truth), {})["refinement"] == pytest.approx(1 / 3, abs=0.1)


def test_one_step_has_no_stability() -> None:
    values = measured(disc(), disc())
    assert "stability" not in values
    assert predict_iou(values) > 0.8


def test_measures_of_extreme_masks_are_finite() -> None:
    """All of the region, one pixel, one colour: numbers in [0, 1]."""
    flat = np.full((*HW, 3), 128, np.uint8)
    one = np.zeros(HW, bool)
    one[0, 0] = True
    for mask in (np.ones(HW, bool), one, disc()):
        extraction = Extraction(mask=mask, rejection=None, heat=np.zeros(HW, np.float32), coarse=mask, score=0.0)
        values = measure_mask(extraction, flat, sums(disc()))
        assert all(0 <= value <= 1 for value in values.values())
        assert 0 < predict_iou(values) < 1


@pytest.mark.parametrize("name", MEASURES)
def test_the_prediction_falls_with_each_measure(name: str) -> None:
    worse = {**GOOD, name: 0.3 if name == "touch" else GOOD[name] - 0.3}
    assert 0 < predict_iou(worse) < predict_iou(GOOD) < 1


def test_measures_do_not_depend_on_the_position_of_the_region() -> None:
    """Only what is in the region counts, wherever the disc is in it."""
    one, two = measured(disc(40, 50), disc(40, 50)), measured(disc(56, 78), disc(56, 78))
    assert all(one[name] == pytest.approx(two[name], abs=0.02) for name in one)
