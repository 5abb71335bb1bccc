"""The tiles that go through the U-Net: which ones together, with which prompts, and how their predictions are blended."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mosaicfusion.config import RunConfig
from mosaicfusion.diffusion.family import Conditioning, DiffusionModel
from mosaicfusion.layouts.geometry import Canvas, region_weight
from mosaicfusion.mosaic.plan import CanvasSpec
from mosaicfusion.mosaic.prompts import Prompt, render_background
from mosaicfusion.profiling import stage

Tile = tuple[int, int]  # number of the canvas in its batch, number of the region on it


def plan_calls(canvases: Sequence[Canvas]) -> list[list[Tile]]:
    """The tiles of each U-Net call: regions of equal size, whichever canvas they belong to, at most as many as canvases.

    Canvases with the same regions give one call for each region.
    """
    by_size: dict[tuple[int, int], list[Tile]] = {}
    for k in range(max(len(canvas.regions) for canvas in canvases)):
        for b, canvas in enumerate(canvases):
            if k < len(canvas.regions):
                by_size.setdefault(canvas.regions[k].hw, []).append((b, k))
    most = len(canvases)
    return [tiles[first : first + most] for tiles in by_size.values() for first in range(0, len(tiles), most)]


class Call:
    """One call of the U-Net in every step: tiles of one size with their prompts."""

    def __init__(
        self,
        model: DiffusionModel,
        tiles: Sequence[Tile],
        canvases: Sequence[Canvas],
        prompts: Sequence[Sequence[Prompt]],
        config: RunConfig,
    ) -> None:
        self.model, self.tiles, self.config = model, tiles, config
        regions = [canvases[b].regions[k] for b, k in tiles]
        self.region_hw_px = regions[0].hw
        self.windows = [region.divided_by(model.latent_factor) for region in regions]
        self.latent_hw = self.windows[0].hw
        own = [prompts[b][k] for b, k in tiles]
        self.text = _guidance_halves(model, [prompt.text for prompt in own], config)
        self.subjects = subject_rows([prompt.subject for prompt in own], self.text.embeddings)
        self.conditional = slice(len(tiles), None) if config.sampling.guidance > 1 else slice(None)

    def predict(self, scaled: torch.Tensor, timestep: torch.Tensor) -> dict[Tile, torch.Tensor]:
        """The guided prediction for each tile, (C, h, w), of latents (B, C, H, W)."""
        cut = torch.stack(
            [scaled[b][:, *window.slices] for (b, _), window in zip(self.tiles, self.windows, strict=True)]
        )
        guided = _guided_prediction(self.model, cut, timestep, self.text, self.config, self.region_hw_px)
        return dict(zip(self.tiles, guided, strict=True))


class Background:
    """One call of the U-Net in every step for whole canvases, with the prompts of their backgrounds."""

    def __init__(self, model: DiffusionModel, specs: Sequence[CanvasSpec], config: RunConfig) -> None:
        self.model, self.config, self.hw_px = model, config, specs[0].canvas.hw_px
        texts = [render_background(config.prompt.scene, spec.backgrounds[0]) for spec in specs]
        self.text = _guidance_halves(model, texts, config)

    def predict(self, scaled: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The guided prediction for latents (B, C, H, W), of the same shape."""
        return _guided_prediction(self.model, scaled, timestep, self.text, self.config, self.hw_px)


class Blender:
    """The weighted mean of the predictions for one canvas."""

    def __init__(self, canvas: Canvas, factor: int, device: torch.device) -> None:
        blend = canvas.blend
        self.background = blend.background
        self.windows = [region.divided_by(factor) for region in canvas.regions]
        self.weights = [
            torch.from_numpy(region_weight(window.hw, blend.variance)).to(device) * blend.front**k
            for k, window in enumerate(self.windows)
        ]
        self.total = torch.full([side // factor for side in canvas.hw_px], blend.background, device=device)
        for window, weight in zip(self.windows, self.weights, strict=True):
            self.total[window.slices] += weight

    def blend(self, whole: torch.Tensor, predictions: Sequence[torch.Tensor]) -> torch.Tensor:
        """Blend the background's prediction (C, H, W) and those of the regions, (C, h, w) each, in their order."""
        mixed = whole * self.background
        for window, weight, prediction in zip(self.windows, self.weights, predictions, strict=True):
            mixed[:, *window.slices] += prediction * weight
        return mixed / self.total


def _guided_prediction(
    model: DiffusionModel,
    tile: torch.Tensor,
    timestep: torch.Tensor,
    conditioning: Conditioning,
    config: RunConfig,
    region_hw_px: tuple[int, int],
) -> torch.Tensor:
    """Classifier-free guidance (Ho & Salimans 2022) in one U-Net call; at guidance 1 the unconditional half is not computed."""
    scale = config.sampling.guidance
    with stage("U-Net"):
        if scale == 1:
            return model.predict(tile, timestep, conditioning, region_hw_px)
        both = model.predict(torch.cat([tile, tile]), timestep, conditioning, region_hw_px)
    unconditional, conditional = both.chunk(2)
    return unconditional + scale * (conditional - unconditional)


def _guidance_halves(model: DiffusionModel, texts: list[str], config: RunConfig) -> Conditioning:
    """The unconditional half first, then the prompts."""
    prompts = model.encode(texts)
    if config.sampling.guidance == 1:
        return prompts
    negative = model.encode_negative(config.prompt.negative, len(texts))
    pooled = None
    if prompts.pooled is not None and negative.pooled is not None:
        pooled = torch.cat([negative.pooled, prompts.pooled])
    return Conditioning(torch.cat([negative.embeddings, prompts.embeddings]), pooled)


def subject_rows(positions: list[tuple[int, ...]], embeddings: torch.Tensor) -> torch.Tensor:
    """Weights of the tokens of each prompt's subject, float32 (prompts, tokens), in rows that sum to 1."""
    rows = torch.zeros(len(positions), embeddings.shape[1])
    for row, subject in zip(rows, positions, strict=True):
        row[list(subject)] = 1 / len(subject)
    return rows.to(embeddings.device)
