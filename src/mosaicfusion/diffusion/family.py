"""The interface of a model family: everything that the sampler needs of a text-to-image model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from mosaicfusion.models.device import DeviceOptions


TextPlace = Literal[
    "apart", "first", "last"
]  # of the text among the keys: in cross-attention, before or after the image


@dataclass(frozen=True)
class Conditioning:
    """Encoded prompts. ``embeddings`` (B, tokens, channels); ``pooled`` (B, channels) where the family has it."""

    embeddings: torch.Tensor
    pooled: torch.Tensor | None = None


class DiffusionModel(Protocol):
    """A text-to-image diffusion model with a U-Net. Tensors are on ``device``; B counts images.

    ``latent_factor``: pixels of the image per latent cell. ``vae``: has a ``decoder``, which ``--compile`` compiles.
    """

    denoiser: Any
    text_place: TextPlace
    vae: Any
    tokenizer: Any
    device: torch.device
    latent_factor: int
    latent_channels: int

    def __init__(
        self, folder: Path, device: torch.device, dtype: torch.dtype, options: DeviceOptions, variant: str | None = None
    ) -> None:
        """Load a folder in diffusers format; ``options``: offload and VAE tiling; ``variant``: of its weights."""
        ...

    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """Embeddings of the prompts."""
        ...

    def encode_negative(self, prompt: str, count: int) -> Conditioning:
        """Embeddings of the unconditional half, ``count`` times the same."""
        ...

    def predict(
        self, latents: torch.Tensor, timestep: torch.Tensor, conditioning: Conditioning, region_hw_px: tuple[int, int]
    ) -> torch.Tensor:
        """One U-Net call: (B, C, h, w) float32 -> (B, C, h, w) float32, in the model's own prediction type."""
        ...

    def encode_images(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """Images of one size, uint8 RGB (B, H, W, 3) -> latents (B, C, h, w) float32, the inverse of :meth:`decode`."""
        ...

    def decode(self, latents: torch.Tensor) -> NDArray[np.uint8] | None:
        """Latents of one canvas, (1, C, h, w) float32 -> uint8 RGB (H, W, 3); ``None`` where numbers are not finite."""
        ...

    def scheduler(self, name: str, steps: int) -> Any:
        """A fresh diffusers scheduler with its timesteps set."""
        ...
