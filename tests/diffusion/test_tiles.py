"""Tiles of equal size go through the U-Net together, and their predictions become one canvas."""

from __future__ import annotations

import numpy as np
import torch
from support.tiny_configs import CATEGORIES, scene_config

from mosaicfusion.config import RunConfig
from mosaicfusion.diffusion.attention import AttentionRecorder
from mosaicfusion.diffusion.family import DiffusionModel
from mosaicfusion.diffusion.sampler import make_prompts, sample_canvases
from mosaicfusion.diffusion.tiles import Blender, Cutouts, plan_calls
from mosaicfusion.layouts.geometry import Blend, Canvas, Region
from mosaicfusion.mosaic.plan import Plan

LARGE, SMALL, OTHER = Region(0, 0, 32, 32), Region(0, 16, 16, 32), Region(16, 0, 32, 16)


def test_tiles_of_equal_size_share_a_call_whichever_canvas_they_belong_to() -> None:
    canvases = [Canvas((32, 32), (LARGE, SMALL)), Canvas((32, 32), (OTHER, LARGE, SMALL))]
    assert plan_calls(canvases) == [[(0, 0), (1, 1)], [(1, 0), (0, 1)], [(1, 2)]]


def test_canvases_with_the_same_regions_have_one_call_for_each() -> None:
    canvas = Canvas((32, 32), (SMALL, OTHER, LARGE))
    assert plan_calls([canvas, canvas]) == [[(0, 0), (1, 0)], [(0, 1), (1, 1)], [(0, 2), (1, 2)]]


def test_regions_in_front_outweigh_those_behind_and_the_background_fills_the_rest() -> None:
    canvas = Canvas((32, 32), (LARGE, SMALL), Blend(variance=0.04, front=1e6, background=1e-9))
    blender = Blender(canvas, 2, torch.device("cpu"))
    ones = torch.ones(1, 16, 16)
    mixed = blender.blend(0 * ones, {0: 2 * ones, 1: 3 * torch.ones(1, 8, 8)}, {})[0]
    assert torch.allclose(mixed[4, 12], torch.tensor(3.0), atol=1e-3)
    assert torch.allclose(mixed[12, 4], torch.tensor(2.0), atol=1e-3)
    alone = Blender(Canvas((32, 32), (SMALL,), Blend(background=0.1)), 2, torch.device("cpu"))
    filled = alone.blend(5 * ones, {0: 3 * torch.ones(1, 8, 8)}, {})[0]
    assert torch.all(filled[8:] == 5)
    assert 3 < filled[4, 12] < 3.5


def test_scenes_of_a_batch_equal_scenes_alone(tiny_model: DiffusionModel) -> None:
    config: RunConfig = scene_config()
    plan = Plan(config, CATEGORIES, CATEGORIES, tiny_model.latent_factor)
    specs = [plan.spec(index) for index in range(3)]
    assert len({spec.canvas.regions for spec in specs}) == 3
    for spec, sampled in zip(specs, sample_canvases(tiny_model, specs, config), strict=True):
        alone = sample_canvases(tiny_model, [spec], config)[0]
        assert len(sampled.sums) == len(spec.canvas.regions)
        assert sampled.image is not None and alone.image is not None
        assert np.abs(sampled.image.astype(int) - alone.image.astype(int)).max() <= 2
        for region, maps, maps_alone in zip(spec.canvas.regions, sampled.sums, alone.sums, strict=True):
            assert maps[2].shape == (region.hw[0] // 2, region.hw[1] // 2)
            for stride in maps:
                np.testing.assert_allclose(maps[stride], maps_alone[stride], rtol=1e-3, atol=1e-4)


def test_the_background_has_a_prompt_of_its_own(tiny_model: DiffusionModel) -> None:
    images = []
    for background in ("grass", "a table"):
        config = scene_config(prompt={"scene": f"a photo of {background}"})
        spec = Plan(config, CATEGORIES, CATEGORIES, tiny_model.latent_factor).spec(0)
        images.append(sample_canvases(tiny_model, [spec], config)[0].image)
    assert not np.array_equal(images[0], images[1])


def test_cutouts_leave_the_ground_to_the_background() -> None:
    canvas = Canvas((32, 32), (LARGE, SMALL), Blend(background=0.01))
    blender = Blender(canvas, 2, torch.device("cpu"))
    ones = torch.ones(1, 16, 16)
    predictions, shapes = {0: 2 * ones, 1: 3 * torch.ones(1, 8, 8)}, {0: torch.zeros(16, 16)}
    mixed = blender.blend(5 * ones, predictions, shapes)[0]
    assert torch.all(mixed[8:] == 5)
    assert torch.allclose(mixed[4, 12], torch.tensor(3.0), atol=0.1)


def test_cutouts_take_the_shape_of_their_attention(tiny_model: DiffusionModel) -> None:
    config = scene_config(layout={"binding": "cutouts"})
    spec = Plan(config, CATEGORIES, CATEGORIES, tiny_model.latent_factor).spec(0)
    recorder = AttentionRecorder(tiny_model, config.attention)
    with recorder:
        cutouts = Cutouts(tiny_model, [spec], [make_prompts(tiny_model, spec)], config, recorder)
        recorder.start_step(0, 2)
        latents = torch.randn(1, tiny_model.latent_channels, 32, 32, generator=torch.Generator().manual_seed(0))
        cutouts.predict(latents, torch.tensor(500), progress=0.0)
    assert cutouts.shapes() == {}
    cutouts.progress = 0.5
    for (_, k), shape in cutouts.shapes().items():
        assert shape.shape == spec.canvas.regions[k].divided_by(tiny_model.latent_factor).hw
        assert (shape.min(), shape.max()) >= (0, 1)


def test_cutouts_change_the_ground_alone(tiny_model: DiffusionModel) -> None:
    """The random model's attention is flat, so its objects fill their regions: nothing is left to the background."""
    images = []
    for binding in ("tiles", "cutouts"):
        config = scene_config(layout={"binding": binding})
        spec = Plan(config, CATEGORIES, CATEGORIES, tiny_model.latent_factor).spec(0)
        images.append(sample_canvases(tiny_model, [spec], config)[0].image)
    assert np.array_equal(images[0], images[1])
