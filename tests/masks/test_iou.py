import numpy as np
import pytest

from mosaicfusion.masks.iou import mask_iou


def test_iou_of_small_masks() -> None:
    one, other = np.array([[1, 1, 0, 0]], bool), np.array([[0, 1, 1, 0]], bool)
    assert mask_iou(one, other) == pytest.approx(1 / 3)
    assert mask_iou(one, ~one) == 0
    assert mask_iou(one & ~one, one & ~one) == 1
