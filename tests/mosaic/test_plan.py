"""The plan is a pure function of the config, the categories and the canvas' number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mosaicfusion.categories import Category
from mosaicfusion.generation.presets import make_config
from mosaicfusion.layouts import SceneLayout
from mosaicfusion.mosaic.plan import Plan, expected_by_weight

CATEGORIES = [Category(i, f"thing {i}") for i in range(1, 8)]


def make_plan(main: int = 3, partners: int = 7, seed: int = 0, **layout: Any) -> Plan:
    config = make_config("paper", {"seed": seed, "layout": layout})
    return Plan(config, CATEGORIES[:main], CATEGORIES[:partners], latent_factor=8)


@settings(deadline=None)
@given(st.permutations(range(40)), st.integers(0, 2**63 - 1))
def test_a_canvas_does_not_depend_on_order_and_number(order: list[int], seed: int) -> None:
    expected = [make_plan(seed=seed).spec(index) for index in range(40)]
    plan = make_plan(seed=seed)
    assert {index: plan.spec(index) for index in order[:20]} == {index: expected[index] for index in order[:20]}


def test_every_main_category_leads_in_turn() -> None:
    plan = make_plan(main=3)
    for index in range(30):
        assert CATEGORIES[index % 3] in plan.spec(index).categories


def test_partners_fill_the_other_regions_without_repeats() -> None:
    plan = make_plan(main=2, partners=7)
    for index in range(30):
        ids = [category.id for category in plan.spec(index).categories]
        assert len(ids) == len(set(ids)) == 4


def test_few_partners_are_repeated() -> None:
    alone = make_plan(main=1, partners=1).spec(0)
    assert [category.id for category in alone.categories] == [1, 1, 1, 1]
    two = make_plan(main=1, partners=2).spec(0)
    assert sorted(category.id for category in two.categories) == [1, 2, 2, 2]


def test_every_partner_is_shown_before_one_is_repeated() -> None:
    for index in range(30):
        shown = [c.id for c in make_plan(main=1, partners=5, grids=("2x3",)).spec(index).categories]
        assert set(shown) == {1, 2, 3, 4, 5} and shown.count(1) == 1


def test_the_lead_is_placed_in_every_region() -> None:
    plan = make_plan(main=1)
    places = [[c.id for c in plan.spec(index).categories].index(1) for index in range(40)]
    assert set(places) == {0, 1, 2, 3}


def test_single_region_shows_the_lead() -> None:
    plan = make_plan(grids=("1x1",))
    assert [plan.spec(index).categories for index in range(3)] == [(category,) for category in CATEGORIES[:3]]


def test_groups_share_a_canvas_layout() -> None:
    plan = make_plan(group_size=4, grids=("2x2", "1x2"))
    canvases = [plan.spec(index).canvas for index in range(40)]
    groups = [canvases[start : start + 4] for start in range(0, 40, 4)]
    assert all(group == [group[0]] * 4 for group in groups)
    assert len({group[0] for group in groups}) > 5


def test_noise_differs_between_canvases_and_seeds() -> None:
    seeds = {make_plan(seed=seed).spec(index).noise_seed for seed in range(5) for index in range(100)}
    assert len(seeds) == 500
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_another_seed_gives_another_plan() -> None:
    one, two = ([make_plan(seed=seed).spec(index) for index in range(20)] for seed in (0, 1))
    assert [spec.canvas for spec in one] != [spec.canvas for spec in two]
    assert [spec.categories for spec in one] != [spec.categories for spec in two]


def test_backgrounds_are_chosen_for_each_region() -> None:
    prompt = {"template": "a {name}[ on {background}]", "backgrounds": ("grass", "sand", "snow")}
    plan = Plan(make_config("paper", {"prompt": prompt}), CATEGORIES[:1], CATEGORIES, 8)
    assert {scene for index in range(20) for scene in plan.spec(index).backgrounds} == {"grass", "sand", "snow"}
    assert make_plan().spec(0).backgrounds == ("", "", "", "")


def test_companions_are_taken_by_their_weight() -> None:
    class Weighted(SceneLayout):
        def companion_weights(self, main: str, others: Sequence[str]) -> NDArray[np.float64]:
            return np.array([0.9, 0.05, 0.03, 0.02])

    config = make_config("paper").model_copy(update={"layout": Weighted(objects=(3, 3))})
    plan = Plan(config, CATEGORIES[:1], CATEGORIES[:5], latent_factor=8)
    shown = Counter(category.id for index in range(1000) for category in plan.spec(index).categories)
    expected = 1000 * expected_by_weight(np.array([0.9, 0.05, 0.03, 0.02]), 2)
    assert [shown[id_] for id_ in (2, 3, 4, 5)] == pytest.approx(expected.tolist(), abs=60)
    assert shown[1] == 1000 and shown[2] > 950
    assert expected_by_weight(np.array([0.5, 0.5]), 5) == pytest.approx([2.5, 2.5])
