import numpy as np
import pytest

from mosaicfusion.masks.threshold import binarize, otsu_threshold


def test_otsu_lies_in_the_middle_between_two_modes() -> None:
    heat = np.array([[0.2, 0.2, 0.8], [0.2, 0.8, 0.8]], np.float32)
    assert otsu_threshold(heat) == pytest.approx(0.5, abs=1 / 256)
    assert binarize(heat).tolist() == [[False, False, True], [False, True, True]]


def test_otsu_maximises_the_variance_between_the_two_sides() -> None:
    rng = np.random.default_rng(0)
    levels = np.concatenate([rng.normal(70, 20, 6000), rng.normal(170, 30, 2000)]).clip(1, 256).astype(int)
    heat = (levels.reshape(80, 100) / 256).astype(np.float32)

    def variance(threshold: float) -> float:
        above = heat > threshold
        return float(above.mean() * (~above).mean() * (heat[above].mean() - heat[~above].mean()) ** 2)

    best = max((k / 256 for k in range(levels.min(), levels.max())), key=variance)
    np.testing.assert_array_equal(binarize(heat), heat > best)
    assert otsu_threshold(heat) == pytest.approx(best, abs=1 / 256)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_nothing_is_above_the_threshold_of_a_constant_map(value: float) -> None:
    assert not binarize(np.full((3, 5), value, np.float32)).any()


def test_two_close_values_are_separated() -> None:
    heat = np.array([[0.5001, 0.5001, 0.5010]], np.float32)
    assert binarize(heat).tolist() == [[False, False, True]]


def test_a_fixed_threshold_is_strict() -> None:
    heat = np.array([[0.0, 0.25, 0.5], [0.75, 1.0, 0.5]], np.float32)
    assert binarize(heat, 0.5).tolist() == [[False, False, False], [True, True, False]]


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.2, float("nan"), "mean"])
def test_a_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold="):
        binarize(np.zeros((2, 3), np.float32), threshold)


@pytest.mark.parametrize("heat", [np.array([[0.0, 1.5]]), np.array([[-0.1, 1.0]]), np.array([[np.nan, 1.0]])])
def test_a_heat_map_out_of_range_is_refused(heat: np.ndarray) -> None:
    with pytest.raises(ValueError, match="spans"):
        otsu_threshold(heat)


def test_an_integer_map_is_refused() -> None:
    with pytest.raises(ValueError, match="int64"):
        binarize(np.array([[0, 1]]))
