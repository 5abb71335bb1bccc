"""What was read from a real set gives values and weights."""

from __future__ import annotations

import numpy as np
import pytest

from mosaicfusion.layouts.real_set import CompanionTable, QuantileTable, RealSet


def test_values_follow_the_quantiles() -> None:
    table = QuantileTable(overall=(0, 1, 3), by_category={"bus": (7, 7)})
    rng = np.random.default_rng(0)
    found = [table.sample("cup", rng) for _ in range(2000)]
    assert np.quantile(found, [0.25, 0.5, 0.75]) == pytest.approx([0.5, 1, 2], abs=0.1)
    assert table.sample("bus", rng) == 7


def test_companions_weigh_as_often_as_they_are_together() -> None:
    table = CompanionTable(images={"bus": 99, "cup": 9}, together={"bus": {"cup": 90, "tree": 10}})
    cup, tree, fork = table.weights("bus", ["cup", "tree", "fork"])
    assert cup > 8 * tree > 8 * fork > 0
    assert cup + tree + fork == pytest.approx(1)


def test_a_category_that_is_on_no_image_has_the_frequent_companions() -> None:
    table = CompanionTable(images={"bus": 99, "cup": 9}, together={})
    assert table.weights("kite", ["bus", "cup", "fork"]) == pytest.approx(np.array([100, 10, 1]) / 111)


def test_sizes_of_early_runs_are_read() -> None:
    early = {"overall": [0.1, 0.2], "by_category": {"bus": [0.4, 0.5]}}
    assert RealSet.parse(early) == RealSet(sizes=QuantileTable.parse(early))
