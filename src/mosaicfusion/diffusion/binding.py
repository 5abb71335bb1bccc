"""The interface of a binding: how objects come to their places on a canvas, and where their attention is found."""

from __future__ import annotations

from typing import Protocol

import torch

from mosaicfusion.diffusion.attention import StrideSums

Tile = tuple[int, int]  # number of the canvas in its batch, number of the region on it


class Binding(Protocol):
    """Predicts the noise of a batch of canvases whose regions have prompts of their own, and tells the recorder what it reads.

    ``waiting``: tiles whose objects are not there yet; all of those that it was made with, or none.
    """

    waiting: frozenset[Tile]

    def predict(self, scaled: torch.Tensor, timestep: torch.Tensor, progress: float) -> torch.Tensor:
        """The guided prediction for latents (B, C, H, W), of the same shape; ``progress``: part of the steps done, in [0, 1)."""
        ...

    def maps(self, sums: dict[int, StrideSums]) -> dict[Tile, StrideSums]:
        """The attention of each region by stride, float32 (h, w), from what the recorder has."""
        ...
