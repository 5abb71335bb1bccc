"""Objects that begin from noised real ones instead of pure noise (SDEdit, arXiv 2108.01073)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from mosaicfusion.diffusion.binding import Tile
from mosaicfusion.diffusion.family import DiffusionModel
from mosaicfusion.layouts.geometry import Canvas


@dataclass(frozen=True)
class Start:
    """A real object in a region: ``pixels`` uint8 RGB (h, w, 3) of the region's size, ``mask`` bool (h, w)."""

    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]


class Starts:
    """The real objects of a batch. Until their step comes, there is only background; then they appear on it, noised."""

    def __init__(
        self,
        model: DiffusionModel,
        canvases: Sequence[Canvas],
        starts: Sequence[Sequence[Start | None]],
        strength: float,
    ) -> None:
        self.model, self.canvases, self.strength = model, canvases, strength
        self.starts = {(b, k): one for b, own in enumerate(starts) for k, one in enumerate(own) if one is not None}
        self.covered = {tile: self._cells(tile) for tile in self.starts}
        """The latent cells of each tile with a real object that it covers, bool (h, w)."""

    @property
    def tiles(self) -> frozenset[Tile]:
        """The tiles with a real object."""
        return frozenset(self.starts)

    def first_step(self, total: int) -> int:
        """The step, of ``total`` ones, at which they appear; at least one is left."""
        return min(total - 1, round(total * (1 - self.strength)))

    def insert(
        self, latents: torch.Tensor, noise: torch.Tensor, scheduler: Any, timestep: torch.Tensor
    ) -> torch.Tensor:
        """Latents (B, C, H, W) with the noised objects on them, those in front last; ``noise``: of the whole canvases."""
        mixed, encoded = latents.clone(), self._encode()
        for tile in sorted(self.starts):
            b, k = tile
            window = self.canvases[b].regions[k].divided_by(self.model.latent_factor)
            own = (slice(b, b + 1), slice(None), *window.slices)
            noised = add_noise(scheduler, encoded[tile][None], noise[own], timestep)
            mixed[own] = torch.where(self.covered[tile], noised, mixed[own])
        return mixed

    def _cells(self, tile: Tile) -> torch.Tensor:
        region = self.canvases[tile[0]].regions[tile[1]]
        mask = torch.from_numpy(self.starts[tile].mask).to(self.model.device, torch.float32)
        size = region.divided_by(self.model.latent_factor).hw
        return functional.interpolate(mask[None, None], size, mode="area")[0, 0] > 0.5

    def _encode(self) -> dict[Tile, torch.Tensor]:
        by_size: defaultdict[tuple[int, ...], list[Tile]] = defaultdict(list)
        for tile, start in self.starts.items():
            by_size[start.mask.shape].append(tile)
        encoded: dict[Tile, torch.Tensor] = {}
        for tiles in by_size.values():
            latents = self.model.encode_images(np.stack([self.starts[tile].pixels for tile in tiles]))
            encoded |= dict(zip(tiles, latents, strict=True))
        return encoded


def add_noise(scheduler: Any, latents: torch.Tensor, noise: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    """Latents (B, C, h, w) as they are at a timestep, by diffusion or by flow matching."""
    if hasattr(scheduler, "add_noise"):
        noised: torch.Tensor = scheduler.add_noise(latents, noise, timestep[None])
    else:
        noised = scheduler.scale_noise(latents, timestep[None], noise)
    return noised
