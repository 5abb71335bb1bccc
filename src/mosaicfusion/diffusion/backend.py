"""What the sampler needs of a model, and how to get it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mosaicfusion.diffusion.model_folder import check_model_folder
from mosaicfusion.errors import MosaicFusionError, first_line

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


@dataclass(frozen=True)
class DeviceOptions:
    """How a machine draws, not what: none is part of a run, and none changes more than rounding does, but tiles their seams.

    ``device``: ``auto`` takes a GPU if there is one. ``threads``: of the CPU; all cores if left out. ``compile``: the U-Net's
    convolutions and the decoder by torch.compile, see :mod:`mosaicfusion.diffusion.compilation`. ``offload``: of text encoders,
    U-Net and autoencoder only the one in use is on the device. ``vae_tiling``: canvases are decoded in overlapping tiles of the
    autoencoder's own picture size (``docs/performance.md`` says what that changes).
    """

    device: str = "auto"
    threads: int | None = None
    compile: bool = False
    offload: bool = False
    vae_tiling: bool = False


@dataclass(frozen=True)
class Conditioning:
    """Encoded prompts. ``embeddings`` (B, tokens, channels); ``pooled`` (B, channels) where the family has it."""

    embeddings: torch.Tensor
    pooled: torch.Tensor | None = None


class Backend(Protocol):
    """A text-to-image diffusion model with a U-Net. Tensors are on ``device``; B counts images."""

    unet: Any
    tokenizer: Any
    device: torch.device
    latent_factor: int
    latent_channels: int

    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """Embeddings of the prompts."""
        ...

    def encode_negative(self, prompt: str, count: int) -> Conditioning:
        """Embeddings of the unconditional half, ``count`` times the same."""
        ...

    def predict(
        self, latents: torch.Tensor, timestep: torch.Tensor, conditioning: Conditioning, region_hw_px: tuple[int, int]
    ) -> torch.Tensor:
        """One U-Net call: (B, C, h, w) float32 -> (B, C, h, w) float32, whatever the model predicts."""
        ...

    def decode(self, latents: torch.Tensor) -> NDArray[np.uint8] | None:
        """Latents of one canvas, (1, C, h, w) float32 -> uint8 RGB (H, W, 3); ``None`` where numbers are not finite."""
        ...

    def scheduler(self, name: str, steps: int) -> Any:
        """A fresh diffusers scheduler with its timesteps set."""
        ...


def load_backend(folder: Path, options: DeviceOptions | str = "auto", dtype: str = "auto") -> Backend:
    """Load a model folder in diffusers format that :func:`mosaicfusion.diffusion.model_folder.find_model` found.

    ``options``: or the name of the device alone. ``dtype``: ``auto`` is float16 on a GPU, float32 elsewhere.
    Raises :class:`MosaicFusionError` when a file cannot be read, the device is not there or nothing can be compiled for it.
    """
    import torch

    from mosaicfusion.diffusion.compilation import compile_parts
    from mosaicfusion.diffusion.sdxl import StableDiffusionXL
    from mosaicfusion.diffusion.stable_diffusion import StableDiffusion

    options = DeviceOptions(options) if isinstance(options, str) else options
    name = check_model_folder(folder)["_class_name"]
    device = resolve_device(options.device)
    family = StableDiffusionXL if name == "StableDiffusionXLPipeline" else StableDiffusion
    backend = family(folder, device, getattr(torch, resolve_dtype(dtype, device)), options.offload, options.vae_tiling)
    if options.compile:
        compile_parts(backend)
    return backend


def resolve_device(device: str) -> torch.device:
    """``auto`` -> the first of CUDA, Apple's MPS, CPU; an unavailable device raises :class:`MosaicFusionError`."""
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        target = torch.device(device)
        torch.empty(1, device=target)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise MosaicFusionError(
            f"device {device!r} cannot be used ({first_line(error, 120)}); try --device cpu"
        ) from None
    return target


def resolve_dtype(dtype: str, device: torch.device) -> str:
    """``auto`` -> ``float16`` on a GPU, ``float32`` elsewhere."""
    return dtype if dtype != "auto" else "float32" if device.type == "cpu" else "float16"
