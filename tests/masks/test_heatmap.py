import numpy as np
import pytest

from mosaicfusion.masks.heatmap import heat_map


def test_spans_zero_to_one_on_a_canvas_that_is_not_square() -> None:
    sums = {16: np.array([[0.0, 2.0, 4.0], [4.0, 6.0, 8.0]])}
    heat = heat_map(sums, (32, 48))
    assert heat.shape == (32, 48) and heat.dtype == np.float32
    assert heat.min() == 0 and heat.max() == 1
    assert heat[-1, -1] == 1 and heat[0, 0] == 0


def test_pixel_centres_keep_a_symmetric_map_symmetric() -> None:
    peak = np.zeros((3, 5), np.float32)
    peak[1, 2] = 1
    heat = heat_map({8: peak}, (24, 40))
    np.testing.assert_allclose(heat, heat[::-1, ::-1], atol=1e-6)
    assert heat[11:13, 19:21].min() > 0.8


def test_same_size_is_only_scaled() -> None:
    heat = heat_map({1: np.array([[1.0, 3.0], [2.0, 5.0]])}, (2, 2))
    np.testing.assert_allclose(heat, [[0, 0.5], [0.25, 1]], atol=1e-6)


def test_every_resolution_has_the_same_weight() -> None:
    left, right = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    np.testing.assert_allclose(
        heat_map({8: left, 16: 1000 * right}, (4, 6)), heat_map({8: left, 16: right}, (4, 6)), atol=1e-6
    )


def test_a_resolution_without_attention_changes_nothing() -> None:
    some = np.array([[1.0, 0.0, 0.5]])
    np.testing.assert_allclose(heat_map({8: some, 32: np.zeros((1, 1))}, (8, 24)), heat_map({8: some}, (8, 24)))


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_a_constant_map_is_zero(value: float) -> None:
    assert not heat_map({8: np.full((3, 4), value)}, (24, 32)).any()


@pytest.mark.parametrize(
    ("sums", "message"),
    [
        ({}, "empty"),
        ({8: np.array([[np.nan, 1.0]])}, r"sums\[8\] spans"),
        ({8: np.array([[np.inf, 1.0]])}, "finite"),
        ({8: np.array([[-1.0, 1.0]])}, "not negative"),
        ({8: np.zeros((2, 3, 4))}, r"shape \(2, 3, 4\)"),
    ],
)
def test_malformed_sums_are_refused(sums: dict[int, np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        heat_map(sums, (24, 32))


def test_an_impossible_size_is_refused() -> None:
    with pytest.raises(ValueError, match="out_hw"):
        heat_map({8: np.ones((2, 2))}, (0, 32))
