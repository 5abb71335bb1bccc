import numpy as np
import pytest

from mosaicfusion.quality.domain_gap import classifier_accuracy, fid, kid, precision_recall


def column(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


def test_fid_of_two_gaussians_by_hand() -> None:
    assert fid(column(0, 2), column(1, 3)) == pytest.approx(1)  # equal variances, means 1 apart
    assert fid(column(0, 2), column(0, 4)) == pytest.approx(1 + 2)  # variances 2 and 8: (√8 - √2)² more
    assert fid(column(0, 2), column(0, 2)) == pytest.approx(0, abs=1e-9)


def test_fid_of_diagonal_gaussians_with_fewer_and_with_more_instances_than_dimensions() -> None:
    rng = np.random.default_rng(0)
    real, synthetic = rng.normal(size=(20_000, 3)), 3 * rng.normal(size=(20_000, 3)) + 1
    assert fid(real, synthetic) == pytest.approx(3 * 1 + 3 * 4, rel=0.03)
    wide = np.concatenate([real[:50], np.zeros((50, 97))], axis=1)  # a singular covariance
    assert fid(wide, wide + 1) == pytest.approx(100)


def test_kid_by_hand() -> None:
    # One dimension, so the kernel is (x y + 1)^3: 1 among zeros, 8 among ones, 1 between.
    assert kid(column(0, 0), column(1, 1)) == pytest.approx(1 + 8 - 2)


def test_kid_is_unbiased() -> None:
    rng = np.random.default_rng(0)
    values = [kid(*rng.normal(size=(2, 8, 4))) for _ in range(2000)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


def test_precision_and_recall_by_hand() -> None:
    real, synthetic = column(0, 1, 10), column(0.5, 30)
    # With k = 1 the real points reach 1, 1 and 9 far: 0.5 is near 0, and 30 near none. The synthetic ones reach 29.5.
    assert precision_recall(real, synthetic, k=1) == (0.5, 1.0)


def test_precision_falls_with_outliers_and_recall_with_missing_modes() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=(300, 2))
    same = rng.normal(size=(300, 2))
    assert min(precision_recall(real, same)) > 0.9
    precision, recall = precision_recall(real, 0.1 * same)
    assert precision > 0.9 > 0.3 > recall
    precision, recall = precision_recall(0.1 * real, same)
    assert recall > 0.9 > 0.3 > precision


def test_classifier_separates_different_sets_and_guesses_on_equal_ones() -> None:
    rng = np.random.default_rng(0)
    real, synthetic = rng.normal(size=(2, 200, 20))
    images = [str(i) for i in range(200)]
    assert classifier_accuracy(real, synthetic + 3, images, images) == 1
    assert 0.4 < classifier_accuracy(real, synthetic, images, images) < 0.6


def test_classifier_is_tested_on_unseen_images() -> None:
    """Ten instances look like their image; the classifier is tested on whole images that it was not trained on."""
    rng = np.random.default_rng(0)
    looks = 5 * rng.normal(size=(2, 20, 100))
    real, synthetic = (np.repeat(side, 10, axis=0) + rng.normal(size=(200, 100)) for side in looks)
    grouped = [str(i // 10) for i in range(200)]
    alone = [str(i) for i in range(200)]
    assert classifier_accuracy(real, synthetic, alone, alone) > 0.95
    assert classifier_accuracy(real, synthetic, grouped, grouped) < 0.75


def test_classifier_does_not_profit_from_unequal_numbers() -> None:
    rng = np.random.default_rng(0)
    real, synthetic = rng.normal(size=(300, 3)), rng.normal(size=(30, 3))
    accuracy = classifier_accuracy(real, synthetic, [str(i) for i in range(300)], [str(i) for i in range(30)])
    assert accuracy == pytest.approx(0.5, abs=0.1)
