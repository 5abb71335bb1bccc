"""The weight of a region in overlaps."""

from __future__ import annotations

import numpy as np
import pytest

from mosaicfusion.layouts.geometry import region_weight


class TestWeight:
    @pytest.mark.parametrize("hw", [(8, 8), (48, 64), (9, 33)])
    def test_peaks_in_the_middle_and_is_never_zero(self, hw: tuple[int, int]) -> None:
        weight = region_weight(hw)
        assert weight.shape == hw
        assert weight.dtype == np.float32
        assert weight.min() > 0
        assert weight.max() <= 1
        assert np.array_equal(weight, weight[::-1, ::-1])
        assert weight.argmax() in (weight.size // 2, np.ravel_multi_index(((hw[0] - 1) // 2, (hw[1] - 1) // 2), hw))

    def test_variance_is_a_hundredth_of_the_squared_side(self) -> None:
        weight = region_weight((1001, 1))[:, 0]
        assert weight[500] == 1
        assert weight[600] == pytest.approx(np.exp(-0.5), rel=0.01)  # one standard deviation is a tenth of the side
