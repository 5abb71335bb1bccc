from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from support.tiny_configs import CATEGORIES, tiny_config
from support.tiny_models import ChangedModel

from mosaicfusion.config import RunConfig
from mosaicfusion.diffusion.attention import AttentionRecorder
from mosaicfusion.diffusion.family import DiffusionModel
from mosaicfusion.diffusion.registry import load_model
from mosaicfusion.diffusion.sampler import bind, check_model, denoise, make_prompts, sample_canvases
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.models.hub import find_model
from mosaicfusion.mosaic.plan import Plan


def final_latents(model: DiffusionModel, config: RunConfig, count: int = 1) -> torch.Tensor:
    plan = Plan(config, CATEGORIES, CATEGORIES, model.latent_factor)
    specs = [plan.spec(i) for i in range(count)]
    prompts = [make_prompts(model, spec) for spec in specs]
    with torch.inference_mode(), AttentionRecorder(model, config.attention) as recorder:
        return denoise(model, specs, bind(model, specs, prompts, config, recorder), config, recorder)


def pipeline_latents(folder: Path, model: DiffusionModel, config: RunConfig) -> torch.Tensor:
    """The same canvas by the diffusers pipeline itself."""
    spec = Plan(config, CATEGORIES, CATEGORIES, model.latent_factor).spec(0)
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = type(model.scheduler(config.sampling.scheduler, config.sampling.steps)).from_config(
        pipeline.scheduler.config
    )
    generator = torch.Generator().manual_seed(spec.noise_seed)
    height, width = spec.canvas.hw_px
    noise = torch.randn(1, model.latent_channels, height // 2, width // 2, generator=generator)
    return pipeline(
        make_prompts(model, spec)[0].text,
        height=height,
        width=width,
        num_inference_steps=config.sampling.steps,
        guidance_scale=config.sampling.guidance,
        latents=noise,
        generator=generator,
        output_type="latent",
    ).images


@pytest.mark.parametrize(
    "scheduler", ["lms", "dpm++", "ddim", "euler", "euler-a", "pndm", "unipc", "HeunDiscreteScheduler"]
)
def test_one_region_equals_plain_sampling(tiny_sd: Path, tiny_model: DiffusionModel, scheduler: str) -> None:
    config = tiny_config(scheduler=scheduler, steps=4)
    expected = pipeline_latents(tiny_sd, tiny_model, config)
    torch.testing.assert_close(final_latents(tiny_model, config), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", ["tiny_sd2", "tiny_sdxl"])
def test_other_families_equal_plain_sampling(family: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(family)
    model = load_model(folder, "cpu", "float32")
    config = tiny_config(scheduler="model")
    expected = pipeline_latents(folder, model, config)
    torch.testing.assert_close(final_latents(model, config), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", ["tiny_sd", "tiny_sdxl"])
def test_a_unet_that_takes_the_guidance_equals_plain_sampling(
    family: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = Path(shutil.copytree(request.getfixturevalue(family), tmp_path / "model"))
    config_file = folder / "unet" / "config.json"
    changed = json.loads(config_file.read_text()) | {"time_cond_proj_dim": 8}
    diffusers.UNet2DConditionModel.from_config(changed).save_pretrained(folder / "unet")
    model = load_model(folder, "cpu", "float32")
    config = tiny_config(scheduler="model", guidance=8)
    expected = pipeline_latents(folder, model, config)
    torch.testing.assert_close(final_latents(model, config), expected, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(expected, final_latents(model, tiny_config(scheduler="model", guidance=2)), atol=1e-3)


def test_latents_with_moments_are_decoded_as_the_pipeline_does(tiny_sdxl: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_sdxl, tmp_path / "model"))
    path = folder / "vae" / "config.json"
    moments = {"latents_mean": [0.5, -1.0, 0.0, 2.0], "latents_std": [2.0, 1.0, 3.0, 0.5]}
    path.write_text(json.dumps(json.loads(path.read_text()) | moments))
    model: Any = load_model(folder, "cpu", "float32")
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    with torch.inference_mode():
        scale = pipeline.vae.config.scaling_factor
        mean, deviation = (torch.tensor(moments[name])[None, :, None, None] for name in moments)
        image = pipeline.vae.decode(latents * deviation / scale + mean, return_dict=False)[0]
        expected = pipeline.image_processor.postprocess(image, output_type="np")[0] * 255
        decoded = model.decode(latents)
    assert np.abs(decoded - expected).max() <= 0.51


def test_without_guidance_the_unconditional_half_is_not_needed(tiny_sd: Path, tiny_model: DiffusionModel) -> None:
    config = tiny_config(guidance=1)
    expected = pipeline_latents(tiny_sd, tiny_model, config)
    torch.testing.assert_close(final_latents(tiny_model, config), expected, rtol=1e-3, atol=1e-3)


def test_a_batch_of_two_equals_two_of_one(tiny_model: DiffusionModel) -> None:
    config = tiny_config("2x2", scheduler="euler-a")
    plan = Plan(config, CATEGORIES, CATEGORIES, tiny_model.latent_factor)
    specs = [plan.spec(0), plan.spec(1)]
    together = sample_canvases(tiny_model, specs, config)
    for spec, sampled in zip(specs, together, strict=True):
        alone = sample_canvases(tiny_model, [spec], config)[0]
        assert sampled.image is not None and alone.image is not None
        assert np.abs(sampled.image.astype(int) - alone.image.astype(int)).max() <= 2
        for maps, maps_alone in zip(sampled.sums, alone.sums, strict=True):
            assert maps.keys() == maps_alone.keys() == {2, 4}
            for stride in maps:
                np.testing.assert_allclose(maps[stride], maps_alone[stride], rtol=1e-3, atol=1e-4)


def test_regions_depend_on_their_own_prompts(tiny_model: DiffusionModel) -> None:
    config = tiny_config("1x2")
    plan = Plan(config, CATEGORIES, CATEGORIES, tiny_model.latent_factor)
    spec = plan.spec(0)
    first, second = sample_canvases(tiny_model, [spec], config)[0].prompts
    assert first.text.endswith(spec.categories[0].display_name) and second.text.endswith(
        spec.categories[1].display_name
    )
    changed = replace(spec, categories=(spec.categories[0], CATEGORIES.find("teapot")))
    if changed == spec:
        changed = replace(spec, categories=(spec.categories[0], CATEGORIES.find("banana")))
    before, after = (sample_canvases(tiny_model, [s], config)[0] for s in (spec, changed))
    right = spec.canvas.regions[1]
    assert not np.array_equal(before.sums[1][2], after.sums[1][2])
    assert before.image is not None and after.image is not None
    untouched = before.image[:, : right.left // 2], after.image[:, : right.left // 2]
    assert np.abs(untouched[0].astype(int) - untouched[1].astype(int)).mean() < 5


def test_the_canvas_is_not_square_and_maps_follow_their_regions(tiny_model: DiffusionModel) -> None:
    config = tiny_config("1x2")
    plan = Plan(config, CATEGORIES, CATEGORIES, tiny_model.latent_factor)
    config.layout.check(tiny_model.latent_factor)
    sampled = sample_canvases(tiny_model, [plan.spec(0)], config)[0]
    assert sampled.image is not None and sampled.image.shape == (32, 96, 3) and sampled.image.dtype == np.uint8
    for region, maps in zip(sampled.spec.canvas.regions, sampled.sums, strict=True):
        height, width = region.hw
        assert maps[2].shape == (height // 2, width // 2)
        assert maps[4].shape == (-(-height // 4), -(-width // 4))


def test_the_sums_of_single_steps_add_up_to_the_sums(tiny_model: DiffusionModel) -> None:
    config = tiny_config("1x2")
    plan = Plan(config, CATEGORIES, CATEGORIES, tiny_model.latent_factor)
    sampled = sample_canvases(tiny_model, [plan.spec(0)], config, keep_steps=True)[0]
    assert set(sampled.step_sums[0]) == {0, 1, 2}
    for k, sums in enumerate(sampled.sums):
        for stride, total in sums.items():
            np.testing.assert_allclose(sum(step[stride] for step in sampled.step_sums[k].values()), total, rtol=1e-5)


def test_nan_latents_give_no_image(tiny_model: DiffusionModel) -> None:
    model: Any = ChangedModel(tiny_model, predict=lambda tile, *_: torch.full_like(tile, float("nan")))
    assert tiny_model.decode(final_latents(model, tiny_config())) is None


def test_infinite_latents_give_no_image_even_if_the_decoder_removes_them() -> None:
    model = load_model(find_model("mini"), "cpu", "float32")
    latents = torch.zeros(1, model.latent_channels, 16, 16)
    assert model.decode(latents) is not None
    latents[0, 0, 3, 3] = torch.inf
    assert model.decode(latents) is None


def test_unknown_scheduler_is_refused_with_the_choices(tiny_model: DiffusionModel) -> None:
    for name in ("nonsense", "FlowMatchEulerDiscreteScheduler", "DiffusionPipeline", "EDMEulerScheduler"):
        with pytest.raises(MosaicFusionError, match=r"does not fit this model.*; choose one of lms, dpm\+\+"):
            tiny_model.scheduler(name, 4)


def test_attention_where_the_model_has_none_is_an_error(tiny_model: DiffusionModel) -> None:
    config = tiny_config().model_copy(
        update={"attention": RunConfig.parse({"attention": {"strides_px": (64,)}}).attention}
    )
    with pytest.raises(MosaicFusionError, match="no attention to text at"):
        check_model(tiny_model, config)


def test_a_range_without_a_step_is_an_error(tiny_model: DiffusionModel) -> None:
    attention = RunConfig.parse({"attention": {"strides_px": (2,), "steps": (0.4, 0.6)}}).attention
    check_model(tiny_model, tiny_config(steps=4).model_copy(update={"attention": attention}))
    with pytest.raises(MosaicFusionError, match="during steps"):
        check_model(tiny_model, tiny_config(steps=3).model_copy(update={"attention": attention}))


def test_progress_counts_every_step(tiny_model: DiffusionModel) -> None:
    seen: list[tuple[int, int]] = []
    plan = Plan(tiny_config(), CATEGORIES, CATEGORIES, tiny_model.latent_factor)
    sample_canvases(tiny_model, [plan.spec(0)], tiny_config(), on_step=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("family", ["tiny_sd", "tiny_sdxl"])
def test_bfloat16_gives_nearly_the_same_image(family: str, request: pytest.FixtureRequest) -> None:
    folder, config = request.getfixturevalue(family), tiny_config("1x2")
    images, maps = [], []
    for dtype in ("float32", "bfloat16"):
        model = load_model(folder, "cpu", dtype)
        plan = Plan(config, CATEGORIES, CATEGORIES, model.latent_factor)
        sampled = sample_canvases(model, [plan.spec(0)], config)[0]
        assert sampled.image is not None
        images.append(sampled.image.astype(int))
        maps.append(sampled.sums[0][4])
        assert maps[-1].dtype == np.float32
    assert np.abs(images[0] - images[1]).mean() < 5
    np.testing.assert_allclose(*maps, rtol=0.1)
