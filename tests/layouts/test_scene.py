"""Scenes: objects of the wanted sizes anywhere on the canvas, the same for the same seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.layouts import GridLayout, SceneLayout
from mosaicfusion.layouts.geometry import Canvas, Region
from mosaicfusion.layouts.real_set import QuantileTable, RealSet

SMALL: dict[str, Any] = {"canvas_hw_px": (512, 640), "smallest_px": 64, "step_px": 32, "objects": (3, 9)}


def canvases(count: int = 40, names: list[str] | None = None, **settings: Any) -> list[Canvas]:
    layout = SceneLayout.model_validate(SMALL | settings)
    layout.check(8)
    made = []
    for seed in range(count):
        number = layout.count(np.random.default_rng(seed))
        shown = [(names or ["kite"])[k % len(names or ["kite"])] for k in range(number)]
        made.append(layout.make_canvas(8, np.random.default_rng(seed), shown))
    return made


def sides(made: list[Canvas]) -> list[int]:
    return [region.hw[0] for canvas in made for region in canvas.regions]


def overlap(one: Region, other: Region) -> float:
    grid = np.zeros((2, 640, 640), bool)
    for layer, region in zip(grid, (one, other), strict=True):
        layer[region.slices] = True
    return float((grid[0] & grid[1]).sum() / min(grid[0].sum(), grid[1].sum()))


def test_regions_are_squares_of_allowed_sides_on_the_canvas() -> None:
    made = canvases(render_scale=2)
    assert {len(canvas.regions) for canvas in made} == set(range(3, 10))
    for canvas in made:
        assert canvas.hw_px == (512, 640)
        assert canvas.render_scale == 2
        assert canvas.blend.layered and canvas.blend.background > 0
        for region in canvas.regions:
            assert region.hw[0] == region.hw[1]
            assert region.hw[0] % 32 == 0 and 64 <= region.hw[0] <= 0.7 * 512
            assert region.top % 8 == region.left % 8 == 0
            assert region.top >= 0 and region.bottom <= 512 and region.left >= 0 and region.right <= 640


def test_an_equal_generator_gives_an_equal_canvas() -> None:
    assert canvases(5) == canvases(5)
    assert len({canvas.regions for canvas in canvases(5)}) == 5


def test_a_figure_has_a_number_of_objects_of_its_own() -> None:
    layout = SceneLayout(objects="like", like=RealSet(objects=(2, 9))).with_count(3)
    assert {layout.count(np.random.default_rng(seed)) for seed in range(9)} == {3}
    assert [GridLayout().with_count(count).grids for count in (1, 2, 5, 9)] == [("1x1",), ("1x2",), ("2x3",), ("3x3",)]


@pytest.mark.parametrize(
    ("settings", "regions"),
    [
        ({}, [(392, 56, 160), (472, 248, 128), (0, 16, 224)]),
        ({"sizes": "depth"}, [(472, 96, 96), (0, 200, 192), (232, 192, 256)]),
        ({"sizes": "like", "like": {"overall": (0.1, 0.3)}}, [(8, 24, 160), (416, 64, 128), (496, 272, 96)]),
    ],
)
def test_scenes_of_earlier_runs_stay_the_same(settings: dict[str, Any], regions: list[tuple[int, int, int]]) -> None:
    """Left, top and side: a run that is continued must not change."""
    (canvas,) = canvases(1, objects=(3, 3), **settings)
    assert [region.box_xywh[:3] for region in canvas.regions] == regions


def test_regions_share_no_more_than_allowed_where_there_is_room() -> None:
    for canvas in canvases(10, objects=(4, 4), max_overlap=0.1, median=0.12):
        pairs = [(a, b) for k, a in enumerate(canvas.regions) for b in canvas.regions[:k]]
        assert max(overlap(*pair) for pair in pairs) <= 0.1
    crowded = canvases(3, objects=(30, 30), max_overlap=0)
    assert all(len(canvas.regions) == 30 for canvas in crowded), "without room there is overlap, and no object less"


def test_sizes_are_log_normal_around_the_median() -> None:
    found = np.array(sides(canvases(200, median=0.2, spread=0.3)))
    expected = 0.2 * np.sqrt(512 * 640) / 0.75
    assert np.median(found) == pytest.approx(expected, abs=16)
    assert np.log(found).std() == pytest.approx(0.3, abs=0.05)
    assert set(sides(canvases(20, spread=0))) == {160}


def test_objects_further_down_are_larger_and_in_front() -> None:
    made = canvases(60, sizes="depth")
    for canvas in made:
        feet = [region.bottom for region in canvas.regions]
        assert feet == sorted(feet)
        assert min(feet) >= 0.35 * 512 - 8
    regions = [region for canvas in made for region in canvas.regions]
    low = [region.hw[0] for region in regions if region.bottom > 440]
    high = [region.hw[0] for region in regions if region.bottom < 260]
    assert np.mean(low) > 1.5 * np.mean(high)


def test_sizes_of_a_real_set_belong_to_the_category() -> None:
    table = QuantileTable(overall=(0.1, 0.2), by_category={"bus": (0.4, 0.42)})
    made = canvases(30, names=["bus", "cup"], sizes="like", like=RealSet(sizes=table))
    buses = [region.hw[0] for canvas in made for region in canvas.regions[::2]]
    cups = [region.hw[0] for canvas in made for region in canvas.regions[1::2]]
    assert {round(side / 32) * 32 for side in buses} <= {288, 320}
    assert max(cups) <= 160 and min(cups) >= 64


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objects": (5, 2)}, "are the fewest and the most"),
        ({"objects_between": (5, 2)}, r"objects_between=\(5, 2\) are the fewest and the most"),
        ({"sizes": "large"}, "sizes='large' is not log-normal, depth or like:FILE"),
        ({"sizes": "like:"}, "is not log-normal"),
        ({"sizes": "like"}, "belong together"),
        ({"like": RealSet(objects=(1, 2))}, "layout.like and objects=like belong together"),
        ({"like": {"overall": [-1, 1]}, "sizes": "like"}, "greater than or equal to 0"),
        ({"objects": "many"}, r"objects='many' is not the fewest and the most, such as \[4, 12\], or like:FILE"),
        ({"positions": "top"}, "positions='top' is not anywhere or like:FILE"),
        ({"companions": "like:"}, "companions='like:' is not any or like:FILE"),
        ({"sizes": "depth", "positions": "like:real.json"}, "sizes=depth says how high objects stand"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SceneLayout.model_validate(SMALL | settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"canvas_hw_px": (500, 640)}, r"canvas_hw_px=\(500, 640\) must be a multiple of 8 .* try \(496, 640\)"),
        ({"step_px": 20}, "step_px=20 must be a multiple of 8 for this model; try 16"),
        ({"render_scale": 3}, "must be a multiple of 24"),
        ({"smallest_px": 32}, "smallest_px=32: the model needs 64 or more"),
        ({"smallest_px": 544}, "more than canvas_hw_px"),
        ({"sizes": "like:real.json"}, "layout.sizes='like:real.json' has not been read yet"),
        ({"objects": "like:real.json"}, "layout.objects='like:real.json' has not been read yet"),
    ],
)
def test_settings_that_the_model_cannot_follow_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(MosaicFusionError, match=message):
        SceneLayout.model_validate(SMALL | settings).check(8)
