"""Every family of transformers, small and random: its own pipeline, the softmax that is read, and batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from support.tiny_configs import CATEGORIES, tiny_config

from mosaicfusion.config import RunConfig
from mosaicfusion.diffusion.attention import AttentionCall, AttentionRecorder, Tap
from mosaicfusion.diffusion.family import DiffusionModel
from mosaicfusion.diffusion.guidance import encode_prompts, subject_rows
from mosaicfusion.diffusion.registry import load_model
from mosaicfusion.diffusion.sampler import bind, check_size, denoise, make_prompts, sample_canvases
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.models.device import DeviceOptions
from mosaicfusion.mosaic.plan import Plan

CROSS = ("tiny_pixart", "tiny_pixart_sigma", "tiny_sana")
JOINT = ("tiny_sd3", "tiny_flux", "tiny_flux_schnell")
# What a pipeline would do to prompt or size, or cut off, unless it is told; see the families.
CALLS: dict[str, dict[str, Any]] = {
    "tiny_pixart": {"clean_caption": False, "use_resolution_binning": False},
    "tiny_pixart_sigma": {"clean_caption": False, "use_resolution_binning": False},
    "tiny_sana": {"clean_caption": False, "use_resolution_binning": False},
    "tiny_flux_schnell": {"max_sequence_length": 256},
}


def config_for(grid: str = "1x1", **changes: Any) -> RunConfig:
    config = tiny_config(grid, **{"scheduler": "model", **changes})
    blocks = ("transformer_blocks", "single_transformer_blocks")
    attention = config.attention.model_copy(update={"strides_px": (4,), "blocks": blocks})
    layout = config.layout.model_copy(update={"region_hw_px": (32, 64)})  # Sana's pipeline wants multiples of 32
    return config.model_copy(update={"attention": attention, "layout": layout})


@pytest.fixture(params=CROSS + JOINT)
def family(request: pytest.FixtureRequest) -> tuple[str, Path]:
    return request.param, request.getfixturevalue(request.param)


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_one_region_equals_the_familys_own_pipeline(family: tuple[str, Path], guidance: float) -> None:
    name, folder = family
    if name == "tiny_flux_schnell" and guidance > 1:
        return  # its pipeline has another name for true guidance, see below
    model: Any = load_model(folder, "cpu", "float32")
    config = config_for(guidance=guidance)
    torch.testing.assert_close(final(model, config), own(name, folder, model, config), rtol=1e-3, atol=1e-3)


def test_schnell_can_have_two_halves(tiny_flux_schnell: Path) -> None:
    model: Any = load_model(tiny_flux_schnell, "cpu", "float32")
    config = config_for(guidance=3.0)
    options = {"true_cfg_scale": 3.0, "negative_prompt": ""}
    expected = own("tiny_flux_schnell", tiny_flux_schnell, model, config, **options)
    torch.testing.assert_close(final(model, config), expected, rtol=1e-3, atol=1e-3)


def final(model: Any, config: RunConfig) -> torch.Tensor:
    """Latents of canvas 0 as its autoencoder takes them."""
    spec = Plan(config, CATEGORIES, CATEGORIES, model.latent_factor).spec(0)
    with torch.inference_mode(), AttentionRecorder(model, config.attention) as recorder:
        binding = bind(model, [spec], [make_prompts(model, spec)], config, recorder)
        return model.unpack(denoise(model, [spec], binding, config, recorder))


def own(name: str, folder: Path, model: Any, config: RunConfig, **options: Any) -> torch.Tensor:
    """The same by the pipeline of diffusers."""
    spec = Plan(config, CATEGORIES, CATEGORIES, model.latent_factor).spec(0)
    height, width = spec.canvas.hw_px
    shape = model.latent_channels, height // model.latent_factor, width // model.latent_factor
    noise = torch.randn(1, *shape, generator=torch.Generator().manual_seed(spec.noise_seed))
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    packed = "flux" in name
    images = pipeline(
        make_prompts(model, spec)[0].text,
        height=height,
        width=width,
        num_inference_steps=config.sampling.steps,
        guidance_scale=config.sampling.guidance,
        latents=noise.flatten(2).transpose(1, 2) if packed else model.unpack(noise),
        output_type="latent",
        **CALLS.get(name, {}),
        **options,
    ).images
    return pipeline._unpack_latents(images, height, width, pipeline.vae_scale_factor) if packed else images


def test_the_map_is_the_softmax_over_all_keys(family: tuple[str, Path]) -> None:
    model: Any = load_model(family[1], "cpu", "float32")
    config, hw = config_for(), (8, 12)
    prompt = make_prompts(model, Plan(config, CATEGORIES, CATEGORIES, model.latent_factor).spec(0))[0]
    latents = torch.randn(1, model.latent_channels, *hw, generator=torch.Generator().manual_seed(0))
    calls: list[AttentionCall] = []
    with torch.inference_mode(), AttentionRecorder(model, config.attention) as recorder, Tap(calls.append):
        text = encode_prompts(model, [prompt.text], config)
        calls.clear()
        subject = subject_rows([prompt.subject], text.embeddings)
        recorder.start_step(0, 1)
        recorder.set_target(0, hw, subject, slice(None))
        model.predict(latents, torch.tensor(500.0), text, (32, 48))
    cells, tokens = hw[0] * hw[1], subject.shape[1]
    joint = family[0] in JOINT
    read = [call for call in calls if call.key.shape[2] == tokens + cells * joint]
    assert len(read) == 2
    first = tokens if family[0].startswith("tiny_flux") else 0  # of the image among the queries
    place = slice(cells, None) if family[0] == "tiny_sd3" else slice(tokens)
    expected = torch.zeros(cells)
    for call in read:
        scores = call.query @ call.key.transpose(-1, -2) / call.query.shape[-1] ** 0.5
        scores = scores if call.mask is None else scores + call.mask
        chances = scores.softmax(-1)[:, :, first : first + cells, place] if joint else scores.softmax(-1)
        expected += (chances * subject).sum(-1).mean(1)[0]
    torch.testing.assert_close(recorder.sums[0][4][0].flatten(), expected, rtol=1e-5, atol=1e-5)


def test_the_keys_of_the_subject_are_those_of_its_embeddings(family: tuple[str, Path]) -> None:
    """Another embedding of one token changes one key of the first layer that reads text: that which the reader takes."""
    model: Any = load_model(family[1], "cpu", "float32")
    config, hw, token = config_for(), (8, 8), 5
    keys = []
    for change in (0, 1):
        seen: list[AttentionCall] = []
        with torch.inference_mode(), Tap(seen.append):
            text = encode_prompts(model, ["a photo of a banana"], config)
            text.embeddings[:, token] += change * torch.randn(text.embeddings.shape[-1])
            seen.clear()
            model.predict(torch.zeros(1, model.latent_channels, *hw), torch.tensor(500.0), text, (32, 32))
        joint = family[0] in JOINT
        length = text.embeddings.shape[1] + 64 * joint
        keys.append(next(call.key for call in seen if call.key.shape[2] == length))
    changed = (keys[0] != keys[1]).any(-1).any(1)[0].nonzero().flatten().tolist()
    assert changed == [token + 64 * (model.text_place == "last")]


def test_a_batch_of_two_equals_two_of_one(family: tuple[str, Path]) -> None:
    model = load_model(family[1], "cpu", "float32")
    config = config_for("1x2")
    plan = Plan(config, CATEGORIES, CATEGORIES, model.latent_factor)
    specs = [plan.spec(0), plan.spec(1)]
    for spec, sampled in zip(specs, sample_canvases(model, specs, config), strict=True):
        alone = sample_canvases(model, [spec], config)[0]
        assert sampled.image is not None and alone.image is not None
        assert np.abs(sampled.image.astype(int) - alone.image.astype(int)).max() <= 2
        for region, maps, maps_alone in zip(spec.canvas.regions, sampled.sums, alone.sums, strict=True):
            assert maps[4].shape == (region.hw[0] // 4, region.hw[1] // 4)
            np.testing.assert_allclose(maps[4], maps_alone[4], rtol=1e-3, atol=1e-5)
            assert maps[4].max() > maps[4].min()


def test_offloading_gives_the_same_images(family: tuple[str, Path]) -> None:
    config = config_for()
    images = []
    for offload in (False, True):
        model = load_model(family[1], DeviceOptions("cpu", offload=offload), "float32")
        plan = Plan(config, CATEGORIES, CATEGORIES, model.latent_factor)
        images.append(sample_canvases(model, [plan.spec(0)], config)[0].image)
    assert images[0] is not None
    np.testing.assert_array_equal(*images)


def test_images_are_encoded_as_they_are_decoded(family: tuple[str, Path]) -> None:
    model: DiffusionModel = load_model(family[1], "cpu", "float32")
    pixels = np.random.default_rng(0).integers(0, 255, (1, 32, 48, 3), np.uint8)
    with torch.inference_mode():
        latents = model.encode_images(pixels)
        decoded = model.decode(latents)
    assert latents.shape == (1, model.latent_channels, 8, 12)
    assert decoded is not None and decoded.shape == (32, 48, 3)


def test_a_subject_is_found_in_the_text_of_every_encoder(tiny_sd3: Path) -> None:
    model: Any = load_model(tiny_sd3, "cpu", "float32")
    config = config_for()
    prompt = make_prompts(model, Plan(config, CATEGORIES, CATEGORIES, model.latent_factor).spec(0))[0]
    clip = [position for position in prompt.subject if position < 32]
    t5 = [position - 32 for position in prompt.subject if position >= 32]
    name = prompt.text.removeprefix("a photo of a single ")
    for tokenizer, positions in ((model.pipeline.tokenizer, clip), (model.pipeline.tokenizer_3, t5)):
        tokens = tokenizer(prompt.text)["input_ids"]
        assert tokenizer.decode([tokens[position] for position in positions]).strip() == name


def test_a_subject_is_found_behind_an_instruction(tiny_sana: Path) -> None:
    """The embeddings of the denoiser are those of the language model at the end of a long text."""
    model: Any = load_model(tiny_sana, "cpu", "float32")
    config = config_for()
    prompt = make_prompts(model, Plan(config, CATEGORIES, CATEGORIES, model.latent_factor).spec(0))[0]
    instruction = "\n".join(model.instruction)
    tokens = model.tokenizer.spans[0].tokenizer(instruction + prompt.text)["input_ids"]
    with torch.inference_mode():
        whole = model.pipeline.text_encoder(torch.tensor([tokens]))[0][0]
        given = model.encode([prompt.text]).embeddings[0]
    name = prompt.text.removeprefix("a photo of a single ")
    own = [
        position
        for position, vector in enumerate(whole)
        if any(torch.allclose(vector, given[k], atol=1e-5) for k in prompt.subject)
    ]
    decoded = model.pipeline.tokenizer.decode([tokens[position] for position in own])
    assert decoded.strip() == name


def test_images_larger_than_the_positions_are_refused(tiny_sd3: Path) -> None:
    model = load_model(tiny_sd3, "cpu", "float32")
    config = RunConfig.parse({"layout": {"grids": ("1x1",), "region_hw_px": (64, 256), "overlap_xy_px": (8, 8)}})
    plan = Plan(config, CATEGORIES, CATEGORIES, model.latent_factor)
    with pytest.raises(MosaicFusionError, match="takes images of up to 192 px a side; its regions have 256"):
        check_size(model, plan.spec(0).canvas)
