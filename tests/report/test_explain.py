from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mosaicfusion.categories import Category
from mosaicfusion.diffusion.sampler import SampledCanvas
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.presets import make_config
from mosaicfusion.layouts.geometry import Blend, Canvas, Region
from mosaicfusion.masks import rle
from mosaicfusion.masks.heatmap import heat_map
from mosaicfusion.mosaic.plan import CanvasSpec
from mosaicfusion.mosaic.prompts import Prompt
from mosaicfusion.report.explain import explain_figure, step_ranges
from mosaicfusion.report.overlays import colour_map, resize
from mosaicfusion.run.records import CanvasRecord, RegionRecord

MakeRegion = Callable[..., RegionRecord]
MakeRecord = Callable[..., CanvasRecord]
CONFIG = make_config()


def sampled_canvas(steps: int = 20, strides: tuple[int, ...] = (8, 16)) -> SampledCanvas:
    """Two regions of 64 x 56 pixels with random attention, as in conftest."""
    rng = np.random.default_rng(0)
    step_sums = tuple(
        {i: {s: rng.random((64 // s, 56 // s), np.float32) for s in strides} for i in range(steps)} for _ in range(2)
    )
    sums = tuple({s: np.sum([maps[s] for maps in region.values()], axis=0) for s in strides} for region in step_sums)
    canvas = Canvas((64, 96), (Region(0, 0, 64, 56), Region(0, 40, 64, 96)))
    spec = CanvasSpec(0, canvas, (Category(1, "teapot"), Category(2, "umbrella")), ("", ""), ("", ""), 7)
    image = rng.integers(0, 255, (64, 96, 3), np.uint8)
    return SampledCanvas(spec, (Prompt("a teapot", (2,)), Prompt("an umbrella", (2,))), image, sums, step_sums)


def test_the_framed_cell_is_the_heat_map_of_the_product(record: MakeRecord) -> None:
    sampled = sampled_canvas()
    figure = np.asarray(explain_figure(sampled, record(0), CONFIG))
    cell_hw = (round(118 * 64 / 56), 118)
    cell = resize(colour_map(heat_map(sampled.sums[0], (64, 56))), cell_hw)
    positions = np.argwhere((figure == cell[0, 0]).all(-1))
    matches = [(y, x) for y, x in positions if np.array_equal(figure[y : y + cell_hw[0], x : x + cell_hw[1]], cell)]
    assert len(matches) == 1


@pytest.mark.parametrize(("strides", "rows"), [((8,), 2), ((8, 16), 3), ((8, 16, 32), 4)])
def test_a_row_for_each_resolution_and_one_for_those_in_use(
    record: MakeRecord, strides: tuple[int, ...], rows: int
) -> None:
    shortest = explain_figure(sampled_canvas(strides=(8,)), record(0), CONFIG)
    figure = explain_figure(sampled_canvas(strides=strides), record(0), CONFIG)
    assert figure.mode == "RGB"
    assert figure.width == shortest.width
    assert figure.height == shortest.height + 2 * (rows - 2) * (round(118 * 64 / 56) + 6)


@pytest.mark.parametrize("steps", [1, 3, 8, 50])
def test_any_number_of_steps_is_shown(record: MakeRecord, steps: int) -> None:
    assert explain_figure(sampled_canvas(steps), record(0), CONFIG).getpixel((1, 1)) == (255, 255, 255)


def test_a_scene_shows_what_is_seen_of_each_object(record: MakeRecord, region: MakeRegion) -> None:
    """The page is wider by a column, which holds the mask with its hidden part."""
    sampled = sampled_canvas()
    canvas = replace(sampled.spec.canvas, blend=Blend(front=2))
    scene = replace(sampled, spec=replace(sampled.spec, canvas=canvas))
    whole = np.zeros((64, 96), bool)
    whole[16:60, 14:50] = True
    behind = replace(region(0), amodal_segmentation=dict(rle.encode(whole)))
    mosaic = explain_figure(sampled, record(0), CONFIG)
    shown, hidden = (explain_figure(scene, record(0, [one, region(1)]), CONFIG) for one in (region(0), behind))
    assert shown.width == hidden.width == mosaic.width + 118 + 6
    changed = np.argwhere((np.asarray(shown) != np.asarray(hidden)).any(-1))
    assert changed[:, 1].max() > mosaic.width - 40, "in the new column"


def test_an_image_of_a_larger_canvas_is_shown_as_delivered(record: MakeRecord) -> None:
    sampled = sampled_canvas()
    assert sampled.image is not None
    regions = tuple(
        Region(*(2 * side for side in (one.top, one.left, one.bottom, one.right)))
        for one in sampled.spec.canvas.regions
    )
    canvas = Canvas((128, 192), regions, render_scale=2)
    large = replace(
        sampled, spec=replace(sampled.spec, canvas=canvas), image=sampled.image.repeat(2, axis=0).repeat(2, axis=1)
    )
    figures = [np.asarray(explain_figure(one, record(0), CONFIG)) for one in (sampled, large)]
    top = np.s_[90:500]  # the canvas, plain and with its masks
    assert np.array_equal(figures[0][top], figures[1][top])


def test_rejected_regions_and_hostile_names_are_rendered(record: MakeRecord, region: MakeRegion) -> None:
    rejected = record(0, [region(0, "too_large \u8336 <b>" * 9, "too_large"), region(1, "teapot", "empty_mask")])
    assert explain_figure(sampled_canvas(), rejected, CONFIG).height > 1000


def test_attention_that_is_not_finite_is_rendered_grey(record: MakeRecord, region: MakeRegion) -> None:
    sampled = sampled_canvas()
    broken = {s: np.full_like(m, np.nan) for s, m in sampled.sums[0].items()}
    sampled = replace(sampled, sums=(broken, sampled.sums[1]))
    assert explain_figure(sampled, record(0, [region(0, "teapot", "nan_latents"), region(1)]), CONFIG).height > 1000


def test_without_refinement_one_mask_is_shown(record: MakeRecord) -> None:
    sampled, config = sampled_canvas(), make_config(overrides={"masks": {"refine": False}})
    figures = [np.asarray(explain_figure(sampled, record(0), c)) for c in (CONFIG, config)]
    assert (figures[0] < 250).sum() > (figures[1] < 250).sum()


def test_a_canvas_without_an_image_is_refused(record: MakeRecord) -> None:
    with pytest.raises(MosaicFusionError, match="canvas 0 has no image"):
        explain_figure(replace(sampled_canvas(), image=None), record(0), CONFIG)


def test_a_canvas_without_the_steps_is_refused(record: MakeRecord) -> None:
    with pytest.raises(MosaicFusionError, match="keep_steps=True"):
        explain_figure(replace(sampled_canvas(), step_sums=({}, {})), record(0), CONFIG)


def test_steps_are_cut_into_ranges() -> None:
    assert step_ranges([3, 1, 2]) == [[1], [2], [3]]
    assert step_ranges(range(5), max_ranges=2) == [[0, 1, 2], [3, 4]]
    assert [step for part in step_ranges(range(50)) for step in part] == list(range(50))
