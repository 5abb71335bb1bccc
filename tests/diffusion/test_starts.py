"""Objects that begin from noised real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.tiny_configs import CATEGORIES, scene_config

from mosaicfusion.config import RunConfig
from mosaicfusion.diffusion.family import DiffusionModel
from mosaicfusion.diffusion.registry import load_model
from mosaicfusion.diffusion.sampler import sample_canvases
from mosaicfusion.diffusion.starts import Start, Starts, add_noise
from mosaicfusion.layouts.geometry import Canvas, Region
from mosaicfusion.mosaic.plan import CanvasSpec, Plan

REGION = Region(16, 0, 48, 32)


def make_start(region: Region, colour: int = 200) -> Start:
    mask = np.zeros(region.hw, bool)
    mask[4:-4, 4:-4] = True
    return Start(np.where(mask[..., None], colour, 127).astype(np.uint8).repeat(3, -1), mask)


def scenes(model: DiffusionModel, count: int, **sampling: Any) -> tuple[RunConfig, list[CanvasSpec]]:
    config = scene_config(references={"strength": 0.6, "digest": "0" * 16}, sampling={"steps": 5, **sampling})
    plan = Plan(config, CATEGORIES, CATEGORIES, model.latent_factor)
    return config, [plan.spec(index) for index in range(count)]


def test_covered_cells_become_the_noised_object_and_others_stay(tiny_model: DiffusionModel) -> None:
    starts = Starts(tiny_model, [Canvas((64, 64), (REGION,))], [[make_start(REGION)]], 0.6)
    scheduler = tiny_model.scheduler("ddim", 10)
    noise = torch.zeros(1, tiny_model.latent_channels, 32, 32)
    before = torch.full_like(noise, 9.0)
    after = starts.insert(before, noise, scheduler, scheduler.timesteps[4])
    inside = after[0, :, 8:24, :16]
    assert torch.all(inside[:, 2:-2, 2:-2] != 9)
    assert (after != before).sum() == tiny_model.latent_channels * 12 * 12
    assert torch.all(before == 9)


@pytest.mark.parametrize(("strength", "step"), [(0.7, 3), (0.98, 0), (0.01, 9)])
def test_the_strength_says_when_they_appear(tiny_model: DiffusionModel, strength: float, step: int) -> None:
    assert Starts(tiny_model, [], [], strength).first_step(10) == step


@pytest.mark.parametrize("scheduler", ["ddim", "dpm++", "lms", "euler"])
def test_other_objects_give_other_images(tiny_model: DiffusionModel, scheduler: str) -> None:
    config, (spec,) = scenes(tiny_model, 1, scheduler=scheduler)
    images = []
    for colour in (0, 255):
        starts = [[make_start(region, colour) for region in spec.canvas.regions]]
        sampled = sample_canvases(tiny_model, [spec], config, starts=starts)[0]
        assert sampled.image is not None
        assert all(maps for maps in sampled.sums)
        images.append(sampled.image)
    assert not np.array_equal(images[0], images[1])


@pytest.mark.parametrize("scheduler", ["euler", "heun", "dpm++"])
def test_flow_matching_begins_from_real_objects_too(tiny_sd3: Path, scheduler: str) -> None:
    """The straight line from image to noise: (1 - sigma) x + sigma n."""
    model = load_model(tiny_sd3, "cpu", "float32")
    made = model.scheduler(scheduler, 5)
    step = 4 if scheduler == "heun" else 2
    latents, noise = torch.full((1, 16, 4, 4), 3.0), torch.ones(1, 16, 4, 4)
    sigma = made.timesteps[step] / 1000
    expected = (1 - sigma) * latents + sigma * noise
    torch.testing.assert_close(add_noise(made, latents, noise, made.timesteps[step]), expected, rtol=1e-2, atol=1e-2)
    settings = {"references": {"strength": 0.6, "digest": "0" * 16}, "sampling": {"scheduler": scheduler, "steps": 5}}
    attention = {"strides_px": (4,), "blocks": ("transformer_blocks",)}
    layout = {"smallest_px": 32, "step_px": 16}
    config = scene_config(layout=layout, attention=attention, **settings)
    (spec,) = [Plan(config, CATEGORIES, CATEGORIES, model.latent_factor).spec(0)]
    images = []
    for colour in (0, 255):
        starts = [[make_start(region, colour) for region in spec.canvas.regions]]
        images.append(sample_canvases(model, [spec], config, starts=starts)[0].image)
    assert images[0] is not None and not np.array_equal(images[0], images[1])


@pytest.mark.parametrize("binding", ["tiles", "cutouts", "rendered"])
def test_a_batch_equals_scenes_alone(tiny_model: DiffusionModel, binding: str) -> None:
    """Also where some objects begin from noise."""
    config, _ = scenes(tiny_model, 0)
    config = scene_config(layout={"binding": binding}, **config.model_dump(include={"references", "sampling"}))
    specs = [Plan(config, CATEGORIES, CATEGORIES, tiny_model.latent_factor).spec(index) for index in range(2)]
    starts = [[make_start(one) if k else None for k, one in enumerate(spec.canvas.regions)] for spec in specs]
    together = sample_canvases(tiny_model, specs, config, starts=starts)
    for spec, own, sampled in zip(specs, starts, together, strict=True):
        alone = sample_canvases(tiny_model, [spec], config, starts=[own])[0]
        assert sampled.image is not None and alone.image is not None
        assert np.abs(sampled.image.astype(int) - alone.image.astype(int)).max() <= 2
        for maps, maps_alone in zip(sampled.sums, alone.sums, strict=True):
            np.testing.assert_allclose(maps[2], maps_alone[2], rtol=1e-3, atol=1e-4)
