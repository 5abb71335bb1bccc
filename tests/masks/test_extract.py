import numpy as np
import pytest

from mosaicfusion.config import MaskConfig
from mosaicfusion.masks.extract import extract_mask
from mosaicfusion.masks.rejection import Rejection

HW = (96, 128)


def scene(*centres: tuple[float, float], radius: float = 26) -> tuple[dict[int, np.ndarray], np.ndarray, np.ndarray]:
    """Attention sums at 1/8 and 1/16, an image and the truth, with a red disc at every centre (y, x)."""
    y, x = np.mgrid[: HW[0], : HW[1]] + 0.5
    truth = np.zeros(HW, bool)
    for cy, cx in centres:
        truth |= (y - cy) ** 2 + (x - cx) ** 2 < radius**2
    grain = np.random.default_rng(0).normal(0, 5, (*HW, 3))
    image = np.clip(np.where(truth[..., None], (210, 60, 50), (90, 160, 90)) + grain, 0, 255).astype(np.uint8)
    sums = {s: 30 * truth.reshape(HW[0] // s, s, HW[1] // s, s).mean((1, 3)).astype(np.float32) + 5 for s in (8, 16)}
    return sums, image, truth


def test_a_disc_is_segmented() -> None:
    sums, image, truth = scene((50, 60))
    extraction = extract_mask(sums, image)
    assert extraction.mask is not None and extraction.rejection is None
    assert (extraction.mask & truth).sum() / (extraction.mask | truth).sum() > 0.98
    assert extraction.heat.shape == HW and extraction.heat.dtype == np.float32
    assert 0.6 < extraction.score <= 1


def test_without_refinement_the_mask_is_the_thresholded_heat() -> None:
    sums, image, _ = scene((50, 60))
    extraction = extract_mask(sums, image, MaskConfig(threshold=0.4, refine=False))
    assert extraction.mask is not None
    assert (extraction.mask == (extraction.heat > 0.4)).all() and (extraction.mask == extraction.coarse).all()


def test_the_mask_before_refinement_is_kept_too() -> None:
    sums, image, _ = scene((48, 30), (48, 98))
    extraction = extract_mask(sums, image, MaskConfig(threshold=0.4))
    assert extraction.mask is None and (extraction.coarse == (extraction.heat > 0.4)).all()


def test_two_discs_are_rejected() -> None:
    sums, image, _ = scene((48, 30), (48, 98))
    extraction = extract_mask(sums, image)
    assert extraction.mask is None and extraction.score == 0
    assert isinstance(extraction.rejection, Rejection)
    assert extraction.rejection.reason == "several_components" and extraction.rejection.values["left"] == 2


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_attention_without_a_peak_is_an_empty_mask(value: float) -> None:
    _, image, _ = scene((50, 60))
    extraction = extract_mask({8: np.full((12, 16), value)}, image)
    assert extraction.rejection == Rejection("empty_mask") and not extraction.heat.any()


def test_the_score_falls_when_attention_is_scattered() -> None:
    sums, image, _ = scene((50, 60))
    scattered = {stride: attention + 40 for stride, attention in sums.items()}
    rng = np.random.default_rng(0)
    scattered = {stride: attention + rng.uniform(0, 25, attention.shape) for stride, attention in scattered.items()}
    assert extract_mask(scattered, image).score < extract_mask(sums, image).score


def test_an_image_of_floats_is_refused() -> None:
    sums, image, _ = scene((50, 60))
    with pytest.raises(ValueError, match="float32"):
        extract_mask(sums, image.astype(np.float32))
