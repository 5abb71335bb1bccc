"""Repeat factors by hand, and the stream of samples."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from mosaicfusion.detectors.data.sampling import RepeatFactorSampler, repeat_factors, with_share
from mosaicfusion.errors import MosaicFusionError


def labels(*images: list[int]) -> list[np.ndarray]:
    return [np.array(of_image, np.int64) for of_image in images]


def test_factors_by_hand() -> None:
    """Label 1 is in 3 of 4 images, label 2 in 1: at t = 0.5 only the second is below it, sqrt(0.5 / 0.25) = 1.414."""
    factors = repeat_factors(labels([1], [1, 1, 1], [1, 2, 2], []), threshold=0.5)
    assert factors == pytest.approx([1, 1, 2**0.5, 1])


def test_factors_of_a_category_in_one_image_of_lvis() -> None:
    images = [*labels(*[[1]] * 99_999), np.array([1, 7])]
    assert repeat_factors(images)[-1] == pytest.approx((1e-3 / 1e-5) ** 0.5)  # 10
    assert repeat_factors(images)[:-1].max() == 1


def test_factors_follow_the_annotations() -> None:
    """Synthetic images of a rare category lower its factor, because it is less rare."""
    before = repeat_factors(labels([1], [1], [1], [2]), threshold=1)[3]
    after = repeat_factors(labels([1], [1], [1], [2], [2], [2]), threshold=1)[3]
    assert before == pytest.approx(2)
    assert after == pytest.approx(2**0.5)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_share_scales_synthetic_images_and_leaves_real_ones(share: float) -> None:
    factors, synthetic = np.array([1, 2, 1.5, 3, 1]), np.array([False, True, False, True, True])
    scaled = with_share(factors, synthetic, share, "plus.json")
    assert scaled[~synthetic].tolist() == [1, 1.5]
    assert scaled[synthetic].sum() / scaled.sum() == pytest.approx(share)
    epochs = np.concatenate([RepeatFactorSampler(scaled).epoch(k) for k in range(400)])
    assert synthetic[epochs].mean() == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize(("synthetic", "share"), [([True, True], 0.5), ([False, False], 0.5), ([True, False], 1.0)])
def test_a_share_needs_images_of_both_kinds(synthetic: list[bool], share: float) -> None:
    with pytest.raises(MosaicFusionError, match=r"data.synthetic_share=.*; plus.json: . of its 2 images are synthetic"):
        with_share(np.ones(2), np.array(synthetic), share, "plus.json")


def test_an_epoch_rounds_at_random_with_the_right_mean() -> None:
    sampler = RepeatFactorSampler(np.array([1, 2.25, 1.5]), seed=3)
    counts = [Counter(sampler.epoch(number).tolist()) for number in range(100)]
    assert {count[0] for count in counts} == {1}
    assert {count[1] for count in counts} == {2, 3}
    assert np.mean([count[1] for count in counts]) == pytest.approx(2.25, abs=0.15)
    assert np.mean([count[2] for count in counts]) == pytest.approx(1.5, abs=0.15)


def test_the_stream_resumes_anywhere() -> None:
    factors = np.array([1, 2.5, 1.2, 1])
    whole = list(islice(RepeatFactorSampler(factors, seed=1), 40))
    for start in (0, 1, 5, 6, 17, 30):
        assert list(islice(RepeatFactorSampler(factors, seed=1, start=start), 40 - start)) == whole[start:]
    assert len({index.seed for index in whole}) == 40
    assert list(islice(RepeatFactorSampler(factors, seed=2), 40)) != whole


def test_ranks_share_the_sample_stream() -> None:
    factors = np.array([1, 2.5, 1.2])
    whole = list(islice(RepeatFactorSampler(factors, start=4), 20))
    parts = [list(islice(RepeatFactorSampler(factors, start=4, rank=rank, ranks=2), 10)) for rank in range(2)]
    assert [index for pair in zip(*parts, strict=True) for index in pair] == whole


def test_an_empty_sampler_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        RepeatFactorSampler(np.zeros(0))
