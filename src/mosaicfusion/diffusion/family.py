"""The interface of a model: everything that the sampler needs of a text-to-image model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mosaicfusion.models.device import DeviceOptions


TextPlace = Literal[
    "apart", "first", "last"
]  # of the text among the keys: in cross-attention, before or after the image

Part = Literal["unet", "transformer"]
DENOISERS: dict[Part, str] = {"unet": "U-Net", "transformer": "transformer"}  # the words for the parts


@dataclass(frozen=True)
class Conditioning:
    """Encoded prompts. ``embeddings`` (B, tokens, channels); where the family has them, ``pooled`` (B, channels), ``mask``
    (B, tokens), 1 for tokens that count and 0 for padding, and the ``guidance`` scale that the denoiser takes as an input.
    """

    embeddings: torch.Tensor
    pooled: torch.Tensor | None = None
    mask: torch.Tensor | None = None
    guidance: float | None = None

    def followed_by(self, other: Conditioning) -> Conditioning:
        """The prompts of both, in one batch."""
        return Conditioning(
            torch.cat([self.embeddings, other.embeddings]),
            _both(self.pooled, other.pooled),
            _both(self.mask, other.mask),
        )


def _both(first: torch.Tensor | None, second: torch.Tensor | None) -> torch.Tensor | None:
    return None if first is None or second is None else torch.cat([first, second])


class DiffusionModel(Protocol):
    """A text-to-image diffusion model with a U-Net or a transformer. Tensors are on ``device``; B counts images.

    ``denoiser``: the U-Net or transformer (``part``), whose attention layers have processors of diffusers. ``text_place``: of the
    text among the keys of its attention. ``embeds_guidance``: it takes the guidance scale as an input. ``latent_factor``: pixels
    of the image per latent cell; a cell is a token of the denoiser at its finest. ``largest_side``: most cells of an image's
    side, ``None`` for any number. ``vae``: has a ``decoder``, which ``--compile`` compiles. ``tokenizer``: called with a prompt,
    gives the offsets of the tokens that the denoiser reads.
    """

    denoiser: Any
    vae: Any
    tokenizer: Any
    device: torch.device
    latent_factor: int
    latent_channels: int

    @property
    def part(self) -> Part:
        """The denoiser's name in the pipeline."""
        ...

    @property
    def text_place(self) -> TextPlace:
        """See above."""
        ...

    @property
    def embeds_guidance(self) -> bool:
        """See above."""
        ...

    @property
    def largest_side(self) -> int | None:
        """See above."""
        ...

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

    def project(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Embeddings of prompts (B, tokens, channels) as the attention layers of the denoiser get them."""
        ...

    def predict(
        self, latents: torch.Tensor, timestep: torch.Tensor, conditioning: Conditioning, region_hw_px: tuple[int, int]
    ) -> torch.Tensor:
        """One call of the denoiser: (B, C, h, w) float32 -> (B, C, h, w) float32, in the model's own prediction type."""
        ...

    def encode_images(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """Images of one size, uint8 RGB (B, H, W, 3) -> latents (B, C, h, w) float32, the inverse of :meth:`decode`."""
        ...

    def decode(self, latents: torch.Tensor) -> NDArray[np.uint8] | None:
        """Latents of one canvas, (1, C, h, w) float32 -> uint8 RGB (H, W, 3); ``None`` where numbers are not finite."""
        ...

    def scheduler(self, name: str, steps: int, cells: int | None = None) -> Any:
        """A fresh diffusers scheduler with its timesteps set; ``cells``: of the largest image that the denoiser sees."""
        ...
