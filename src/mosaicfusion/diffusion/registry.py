"""The model families, and how to load a model."""

from __future__ import annotations

from pathlib import Path

from mosaicfusion.diffusion.family import Backend
from mosaicfusion.models.device import DeviceOptions, resolve_device, resolve_dtype
from mosaicfusion.models.hub import check_model_folder


def load_backend(folder: Path, options: DeviceOptions | str = "auto", dtype: str = "auto") -> Backend:
    """Load a model folder in diffusers format that :func:`mosaicfusion.models.hub.find_model` found.

    ``options``: or the name of the device alone. ``dtype``: ``auto`` is float16 on a GPU, float32 elsewhere.
    Raises :class:`MosaicFusionError` when a file cannot be read, the device is not there or nothing can be compiled for it.
    """
    import torch

    from mosaicfusion.diffusion.compilation import compile_parts
    from mosaicfusion.diffusion.families.sdxl import StableDiffusionXL
    from mosaicfusion.diffusion.families.stable_diffusion import StableDiffusion

    options = DeviceOptions(options) if isinstance(options, str) else options
    name = check_model_folder(folder)["_class_name"]
    device = resolve_device(options.device)
    family = StableDiffusionXL if name == "StableDiffusionXLPipeline" else StableDiffusion
    backend = family(folder, device, getattr(torch, resolve_dtype(dtype, device)), options.offload, options.vae_tiling)
    if options.compile:
        compile_parts(backend)
    return backend
