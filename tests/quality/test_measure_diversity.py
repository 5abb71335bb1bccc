from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.quality.measure_diversity import ImageSet, measure_diversity

MakeSet = Callable[..., ImageSet]


def colours(count: int, seed: int = 0, low: int = 0) -> list[tuple[int, ...]]:
    return [tuple(row) for row in np.random.default_rng(seed).integers(low, 256, (count, 3)).tolist()]


def test_diversity_is_measured_by_category(image_set: MakeSet, colour_features: Any) -> None:
    made = image_set({"same": [(200, 0, 0)] * 6, "varied": colours(6), "few": colours(3)})
    seen: list[tuple[float, int]] = []
    result = measure_diversity(made, colour_features, on_progress=lambda done, total: seen.append((done, total)))
    by_name = {category.category: category for category in result.categories}
    assert by_name["same"].vendi == pytest.approx(1, abs=1e-3)
    assert by_name["same"].distance == pytest.approx(0, abs=1e-3)
    assert (by_name["varied"].vendi or 0) > 1.1
    assert (by_name["few"].instances, by_name["few"].vendi) == (3, None)
    assert (result.instances, result.features, result.gap) == (15, "colour", None)
    assert seen[-1] == (15, 15)


def test_scores_against_itself_and_against_another_set(image_set: MakeSet, colour_features: Any) -> None:
    made = image_set({"kite": colours(70), "drum": colours(70, 1)})
    other = image_set({"drum": colours(60, 2, low=180), "kite": colours(60, 3, low=180), "fan": colours(9)}, "other")
    same = measure_diversity(made, colour_features, made)
    differs = measure_diversity(made, colour_features, other)
    assert same.gap and differs.gap
    assert (same.gap.pairs, differs.gap.pairs, differs.instances) == (140, 120, 140)
    assert (same.gap.precision, same.gap.recall) == (1, 1)
    assert abs(same.gap.kid) < 0.01 * differs.gap.kid
    assert differs.gap.fid > 3 * differs.gap.fid_floor
    assert same.gap.classifier < 0.6 < 0.8 < differs.gap.classifier
    kite = next(category for category in differs.categories if category.category == "kite")
    assert kite.against
    assert kite.against.instances == 60
    assert kite.against.vendi_synthetic > kite.against.vendi_real


def test_too_few_pairs_give_no_scores_and_missing_categories_are_skipped(
    image_set: MakeSet, colour_features: Any
) -> None:
    made = image_set({"kite": colours(6), "drum": colours(6)})
    other = image_set({"Kite": colours(4)}, "other")
    result = measure_diversity(made, colour_features, other)
    assert (result.pairs, result.gap, result.unmatched) == (4, None, ("drum",))
    assert all(category.against is None for category in result.categories)
    assert measure_diversity(made, colour_features, image_set({"fan": colours(4)}, "fans")).pairs == 0


def test_a_sample_of_each_category_is_measured(image_set: MakeSet, colour_features: Any) -> None:
    result = measure_diversity(image_set({"kite": colours(30)}), colour_features, per_category=7)
    assert result.instances == 7


def test_too_few_instances_are_refused(image_set: MakeSet, colour_features: Any) -> None:
    with pytest.raises(MosaicFusionError, match="holds 4 instances; at least 5"):
        measure_diversity(image_set({"kite": colours(4)}), colour_features)
