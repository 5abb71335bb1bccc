"""The mosaic sampler: all canvases of a batch, region by region, on one latent each (paper, section 3.2)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mosaicfusion.config import RunConfig
from mosaicfusion.diffusion.attention import AttentionRecorder, StrideSums
from mosaicfusion.diffusion.binding import Binding
from mosaicfusion.diffusion.family import DENOISERS, DiffusionModel
from mosaicfusion.diffusion.guidance import encode_prompts, subject_rows
from mosaicfusion.diffusion.rendering import Rendered
from mosaicfusion.diffusion.starts import Start, Starts
from mosaicfusion.diffusion.tiles import Cutouts, Tiles
from mosaicfusion.errors import MosaicFusionError, first_line
from mosaicfusion.layouts.geometry import MIN_REGION_CELLS, Canvas
from mosaicfusion.mosaic.plan import CanvasSpec
from mosaicfusion.mosaic.prompts import Prompt, make_prompt
from mosaicfusion.profiling import stage

StrideMaps = dict[int, NDArray[np.float32]]  # stride in pixels -> float32 (h, w)
BINDINGS: dict[str, Callable[..., Binding]] = {"tiles": Tiles, "cutouts": Cutouts, "rendered": Rendered}


@dataclass(frozen=True)
class SampledCanvas:
    """The result of sampling a canvas: plain arrays, independent of the model.

    ``image``: uint8 RGB (H, W, 3), or ``None`` if latents or pixels became NaN or infinite. ``sums[k]``: the attention sums
    of region k. ``step_sums[k][step]``: the sums of a single step, if requested. ``half_sums[k]``: the sums of the first half
    of the steps, empty if only one was read.
    """

    spec: CanvasSpec
    prompts: tuple[Prompt, ...]
    image: NDArray[np.uint8] | None
    sums: tuple[StrideMaps, ...]
    step_sums: tuple[dict[int, StrideMaps], ...] = field(default=())
    half_sums: tuple[StrideMaps, ...] = field(default=())


@torch.inference_mode()
def sample_canvases(
    model: DiffusionModel,
    specs: Sequence[CanvasSpec],
    config: RunConfig,
    *,
    starts: Sequence[Sequence[Start | None]] | None = None,
    keep_steps: bool = False,
    on_step: Callable[[int, int], None] | None = None,
) -> list[SampledCanvas]:
    """Sample canvases of one size. Regions of equal size, and both guidance halves, go through the denoiser together.

    ``starts[b][k]``: the real object that region k of canvas b begins from, if any; see :class:`ReferenceConfig`.
    ``on_step(done, total)`` is called after every sampling step. The settings must fit the model, see :func:`check_model`.
    """
    assert len({spec.canvas.hw_px for spec in specs}) == 1, "the canvases of a batch have one size"
    for spec in specs:
        check_size(model, spec.canvas)
    prompts = [make_prompts(model, spec) for spec in specs]
    recorder = AttentionRecorder(model, config.attention, keep_steps)
    real = None
    if starts is not None and config.references is not None:
        real = Starts(model, [spec.canvas for spec in specs], starts, config.references.strength)
    with recorder:
        binding = bind(model, specs, prompts, config, recorder, real)
        latents = denoise(model, specs, binding, config, recorder, real, on_step)
    sums, half_sums = binding.maps(recorder.sums), binding.maps(recorder.half_sums)
    step_sums = [(step, binding.maps(maps)) for step, maps in recorder.step_sums.items()]
    return [
        SampledCanvas(
            spec=spec,
            prompts=tuple(prompts[b]),
            image=_decode(model, latents[b : b + 1]),
            sums=tuple(_to_numpy(sums[b, k]) for k in range(len(prompts[b]))),
            step_sums=tuple({step: _to_numpy(maps[b, k]) for step, maps in step_sums} for k in range(len(prompts[b]))),
            half_sums=tuple(_to_numpy(half_sums[b, k]) for k in range(len(prompts[b]))),
        )
        for b, spec in enumerate(specs)
    ]


def _decode(model: DiffusionModel, latents: torch.Tensor) -> NDArray[np.uint8] | None:
    with stage("decode"):
        return model.decode(latents)


def _to_numpy(maps: StrideSums) -> StrideMaps:
    return {stride: tensor.cpu().numpy() for stride, tensor in maps.items()}


@torch.inference_mode()
def check_model(model: DiffusionModel, config: RunConfig) -> None:
    """Run each part of the model once, on a small tile.

    Raises :class:`MosaicFusionError` if the parts do not fit together, give numbers that are not finite, or have no attention
    where it is to be read.
    """
    tile = torch.zeros(1, model.latent_channels, MIN_REGION_CELLS, MIN_REGION_CELLS, device=model.device)
    try:
        prediction = _predict_once(model, config, tile)
        image = model.decode(tile)
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        raise MosaicFusionError(f"the model does not run, even on a small tile: {first_line(error)}") from error
    if not bool(prediction.isfinite().all()) or image is None:
        part = "autoencoder" if bool(prediction.isfinite().all()) else DENOISERS[model.part]
        raise MosaicFusionError(
            f"the model's {part} gives NaN, even for a small tile; try --dtype float32, or download or copy the model again if "
            "its weights are damaged"
        )


def _predict_once(model: DiffusionModel, config: RunConfig, tile: torch.Tensor) -> torch.Tensor:
    """The denoiser's prediction for a tile at the first step that is read; see :func:`check_model`."""
    timesteps = model.scheduler(config.sampling.scheduler, config.sampling.steps).timesteps
    latent_hw = tile.shape[2], tile.shape[3]
    region_hw_px = latent_hw[0] * model.latent_factor, latent_hw[1] * model.latent_factor
    text = encode_prompts(model, ["a"], config)
    with AttentionRecorder(model, config.attention) as recorder:
        for step, timestep in enumerate(timesteps):
            recorder.start_step(step, len(timesteps))
            recorder.set_target(0, latent_hw, subject_rows([(1,)], text.embeddings), slice(None))
            if recorder.recording:
                prediction = model.predict(tile, timestep, text, region_hw_px)
                break
    if not recorder.sums:
        attention = config.attention
        raise MosaicFusionError(
            f"the model has no attention to text at attention.strides_px={attention.strides_px} in blocks {attention.blocks} "
            f"during steps {attention.steps} of {len(timesteps)}; widen one of them"
        )
    return prediction


def make_prompts(model: DiffusionModel, spec: CanvasSpec) -> list[Prompt]:
    """The prompt of each region of a canvas."""
    return [
        make_prompt(template, category, background, model.tokenizer)
        for template, category, background in zip(spec.templates, spec.categories, spec.backgrounds, strict=True)
    ]


def bind(
    model: DiffusionModel,
    specs: Sequence[CanvasSpec],
    prompts: Sequence[Sequence[Prompt]],
    config: RunConfig,
    recorder: AttentionRecorder,
    starts: Starts | None = None,
) -> Binding:
    """The binding of canvases of one layout; ``prompts[b][k]`` belongs to region k of canvas b."""
    with stage("encode prompts", log=True):
        return BINDINGS[specs[0].canvas.binding](model, specs, prompts, config, recorder, starts)


def denoise(
    model: DiffusionModel,
    specs: Sequence[CanvasSpec],
    binding: Binding,
    config: RunConfig,
    recorder: AttentionRecorder,
    starts: Starts | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> torch.Tensor:
    """Final latents (B, C, H/f, W/f) float32 of B canvases of one size."""
    cells = largest_image(specs[0].canvas, model.latent_factor)
    scheduler = model.scheduler(config.sampling.scheduler, config.sampling.steps, cells)
    generators = [torch.Generator().manual_seed(spec.noise_seed) for spec in specs]
    noise = _initial_noise(model, specs[0].canvas, generators)
    latents: torch.Tensor = noise * getattr(scheduler, "init_noise_sigma", 1)  # flow matching has no other scale
    takes_generator = "generator" in inspect.signature(scheduler.step).parameters
    step_options: dict[str, Any] = {"return_dict": False, **({"generator": generators} if takes_generator else {})}

    timesteps, total = scheduler.timesteps, len(scheduler.timesteps)
    for step, timestep in enumerate(timesteps):
        if starts is not None and step == starts.first_step(total):
            # One that knows of no step before.
            scheduler = model.scheduler(config.sampling.scheduler, config.sampling.steps, cells)
            if hasattr(scheduler, "set_begin_index"):  # others keep no state
                scheduler.set_begin_index(step)
            latents = starts.insert(latents, noise, scheduler, timestep)
            binding.waiting = frozenset()
        recorder.start_step(step, total)
        scaled = scheduler.scale_model_input(latents, timestep) if hasattr(scheduler, "scale_model_input") else latents
        predicted = binding.predict(scaled, timestep, step / total)
        with stage("scheduler"):
            latents = scheduler.step(predicted, timestep, latents, **step_options)[0]
        if on_step:
            on_step(step + 1, total)
    return latents


def largest_image(canvas: Canvas, factor: int) -> int:
    """Cells of the largest image that goes through the denoiser: the canvas where it has a background, else a region."""
    return max(height * width for height, width in _image_sizes(canvas)) // factor**2


def check_size(model: DiffusionModel, canvas: Canvas) -> None:
    """Raise :class:`MosaicFusionError` if an image that goes through the denoiser is larger than it takes."""
    longest = max(max(size) for size in _image_sizes(canvas))
    if model.largest_side is not None and longest > (most := model.largest_side * model.latent_factor):
        what = "its canvases have" if canvas.blend.background > 0 else "its regions have"
        raise MosaicFusionError(
            f"the model takes images of up to {most} px a side; {what} {longest}: make them smaller"
        )


def _image_sizes(canvas: Canvas) -> list[tuple[int, int]]:
    return [canvas.hw_px] if canvas.blend.background > 0 else [region.hw for region in canvas.regions]


def _initial_noise(model: DiffusionModel, canvas: Canvas, generators: list[torch.Generator]) -> torch.Tensor:
    """The initial noise of each whole canvas, sampled on the CPU: the same on every device and in every batch."""
    shape = (model.latent_channels, *(side // model.latent_factor for side in canvas.hw_px))
    return torch.stack([torch.randn(shape, generator=generator) for generator in generators]).to(model.device)
