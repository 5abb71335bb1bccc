"""Rendered scenes: objects are composed inside the cross-attention of one pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.tiny_configs import CATEGORIES, scene_config

from mosaicfusion.config import RunConfig
from mosaicfusion.diffusion.attention import AttentionRecorder
from mosaicfusion.diffusion.family import DiffusionModel
from mosaicfusion.diffusion.rendering import Rendered
from mosaicfusion.diffusion.sampler import make_prompts, sample_canvases
from mosaicfusion.layouts.geometry import Region
from mosaicfusion.mosaic.plan import CanvasSpec, Plan

BACK, FRONT = Region(0, 0, 32, 32), Region(16, 16, 48, 48)


def rendered_specs(model: DiffusionModel, count: int, guidance: float = 4.0) -> tuple[RunConfig, list[CanvasSpec]]:
    config = scene_config(layout={"binding": "rendered", "objects": (2, 2)}, sampling={"guidance": guidance})
    plan = Plan(config, CATEGORIES, CATEGORIES, model.latent_factor)
    return config, [plan.spec(index) for index in range(count)]


def scene_of_two(model: DiffusionModel, guidance: float = 4.0) -> Rendered:
    """A scene with one object behind another, whose regions share a corner."""
    config, (spec,) = rendered_specs(model, 1, guidance)
    spec = replace(spec, canvas=replace(spec.canvas, regions=(BACK, FRONT)))
    recorder = AttentionRecorder(model, config.attention)
    return Rendered(model, [spec], [make_prompts(model, spec)], config, recorder)


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_front_objects_hide_those_behind_and_the_ground_stays(tiny_model: DiffusionModel, guidance: float) -> None:
    scene = scene_of_two(tiny_model, guidance)
    height, width = scene.latent_hw
    samples = len(scene.text.embeddings)
    answers = torch.stack([torch.full((height * width, 1), float(value)) for value in (*range(samples), 100, 200)])
    mixed = scene.compose(answers, torch.ones(2, height * width)).reshape(samples, height, width)
    assert torch.all(
        mixed[: samples - 1] == torch.arange(samples - 1)[:, None, None]
    )  # the unconditional half is plain
    ground, (behind, before) = samples - 1, (window.slices for window in (BACK.divided_by(2), FRONT.divided_by(2)))
    assert torch.allclose(mixed[ground][before], torch.tensor(200.0), atol=0.1)
    assert torch.allclose(mixed[ground][behind][:8, :8], torch.tensor(100.0), atol=0.1)
    assert torch.all(mixed[ground][24:] == ground)


def test_an_object_is_where_its_attention_is(tiny_model: DiffusionModel) -> None:
    scene = scene_of_two(tiny_model)
    attention = torch.zeros(2, *scene.latent_hw)
    attention[0, 2, 3] = 0.2
    output = torch.zeros(4, attention[0].numel(), 1)
    output[2:] = 1
    mixed = scene.compose(output, attention.flatten(1))[1].reshape(scene.latent_hw)
    assert mixed[2, 3] > 0.99
    assert mixed.sum() == mixed[2, 3]


def test_maps_are_the_regions_part_of_the_canvas(tiny_model: DiffusionModel) -> None:
    scene = scene_of_two(tiny_model)
    rows = torch.arange(32.0)[:, None].expand(32, 32)
    fine = torch.stack([rows, 2 * rows])
    coarse = fine.reshape(2, 16, 2, 16, 2).mean((2, 4))
    maps = scene.maps({0: {2: fine, 4: coarse}})
    assert maps[0, 0][2].tolist() == rows[:16, :16].tolist()
    assert maps[0, 1][2].tolist() == (2 * rows[8:24, 8:24]).tolist()
    assert maps[0, 1][4].tolist() == (coarse[1, 4:12, 4:12]).tolist()


def test_a_batch_equals_scenes_alone_and_leaves_the_model_as_it_was(tiny_model: DiffusionModel) -> None:
    before = dict(tiny_model.denoiser.attn_processors)
    config, specs = rendered_specs(tiny_model, 3)
    for spec, sampled in zip(specs, sample_canvases(tiny_model, specs, config), strict=True):
        alone = sample_canvases(tiny_model, [spec], config)[0]
        assert sampled.image is not None and alone.image is not None
        assert np.abs(sampled.image.astype(int) - alone.image.astype(int)).max() <= 2
        for region, maps, maps_alone in zip(spec.canvas.regions, sampled.sums, alone.sums, strict=True):
            assert maps[2].shape == (region.hw[0] // 2, region.hw[1] // 2)
            for stride in maps:
                np.testing.assert_allclose(maps[stride], maps_alone[stride], rtol=1e-3, atol=1e-4)
    assert tiny_model.denoiser.attn_processors == before


def test_objects_change_the_image(tiny_model: DiffusionModel) -> None:
    config, (spec,) = rendered_specs(tiny_model, 1)
    other = replace(spec, categories=tuple(reversed(spec.categories)))
    images = [sample_canvases(tiny_model, [one], config)[0].image for one in (spec, other)]
    assert spec.categories != other.categories
    assert not np.array_equal(images[0], images[1])
