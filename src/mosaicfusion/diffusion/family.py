"""What the sampler needs of a model, and how to get it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


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
