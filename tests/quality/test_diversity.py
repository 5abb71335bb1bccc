from pathlib import Path

import numpy as np
import pytest

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.quality.diversity import FILE_NAME, mean_cosine_distance, read_diversity, vendi_score


def test_vendi_score_counts_different_instances() -> None:
    assert vendi_score(np.ones((4, 3))) == pytest.approx(1)
    assert vendi_score(np.eye(4)) == pytest.approx(4)
    assert vendi_score(np.array([[1, 0], [5, 0], [0, 1], [0, 2]])) == pytest.approx(2), "length does not count"


def test_vendi_score_with_more_instances_than_dimensions_and_with_zeros() -> None:
    assert vendi_score(np.repeat(np.eye(3), 50, axis=0)) == pytest.approx(3)
    assert np.isfinite(vendi_score(np.zeros((5, 3))))


def test_mean_cosine_distance() -> None:
    assert mean_cosine_distance(np.ones((4, 3))) == pytest.approx(0)
    assert mean_cosine_distance(np.eye(3)) == pytest.approx(1)
    assert mean_cosine_distance(np.array([[1, 0], [1, 0], [0, 1]])) == pytest.approx(2 / 3)  # 2 of 3 pairs differ


def test_a_missing_result_is_none_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    assert read_diversity(tmp_path) is None
    (tmp_path / FILE_NAME).write_text('{"features": 3}')
    with pytest.raises(MosaicFusionError, match=r"diversity\.json is damaged"):
        read_diversity(tmp_path)
