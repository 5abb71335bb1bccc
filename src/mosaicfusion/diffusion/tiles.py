"""Tiles: each region goes through the denoiser on its own, and the predictions are blended (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch.nn import functional

from mosaicfusion.config import RunConfig
from mosaicfusion.diffusion.attention import AttentionRecorder, StrideSums
from mosaicfusion.diffusion.binding import Tile
from mosaicfusion.diffusion.family import DiffusionModel
from mosaicfusion.diffusion.guidance import guidance_halves, guided_prediction, has_halves, subject_rows
from mosaicfusion.diffusion.starts import Starts
from mosaicfusion.layouts.geometry import Canvas, region_weight
from mosaicfusion.mosaic.plan import CanvasSpec
from mosaicfusion.mosaic.prompts import Prompt, render_background

_SHAPED_FROM = 0.1  # part of the steps after which tiles take the shape of their objects
_RAMP = (0.3, 0.6)  # of the attention by its maximum: below, a pixel is ground, above, it belongs to the object


class Tiles:
    """The binding ``tiles``, for any model; see :class:`~mosaicfusion.diffusion.binding.Binding`."""

    def __init__(
        self,
        model: DiffusionModel,
        specs: Sequence[CanvasSpec],
        prompts: Sequence[Sequence[Prompt]],
        config: RunConfig,
        recorder: AttentionRecorder,
        starts: Starts | None = None,
    ) -> None:
        canvases = [spec.canvas for spec in specs]
        self.recorder, self.starts, self.progress = recorder, starts, 0.0
        self.waiting = starts.tiles if starts else frozenset()
        self.calls = [Call(model, tiles, canvases, prompts, config) for tiles in plan_calls(canvases, self.waiting)]
        self.background = Background(model, specs, config) if canvases[0].blend.background > 0 else None
        self.blenders = [Blender(canvas, model.latent_factor, model.device) for canvas in canvases]

    def predict(self, scaled: torch.Tensor, timestep: torch.Tensor, progress: float) -> torch.Tensor:
        """See :class:`~mosaicfusion.diffusion.binding.Binding`."""
        self.progress = progress
        predicted: dict[Tile, torch.Tensor] = {}
        for number, call in enumerate(self.calls):
            if call.tiles[0] in self.waiting:  # then all of them are
                continue
            self.recorder.set_target(number, call.latent_hw, call.subjects, call.conditional)
            predicted.update(call.predict(scaled, timestep))
        self.recorder.clear_target()
        whole = self.background.predict(scaled, timestep) if self.background else torch.zeros_like(scaled)
        shapes = self.shapes()
        return torch.stack(
            [
                blender.blend(whole[b], _of_canvas(predicted, b), _of_canvas(shapes, b))
                for b, blender in enumerate(self.blenders)
            ]
        )

    def shapes(self) -> dict[Tile, torch.Tensor]:
        """The part of each pixel of a tile that belongs to its object, float32 (h, w) in [0, 1]; all of it without one."""
        return {}

    def maps(self, sums: dict[int, StrideSums]) -> dict[Tile, StrideSums]:
        """See :class:`~mosaicfusion.diffusion.binding.Binding`."""
        return {
            tile: {stride: stacked[row] for stride, stacked in sums.get(number, {}).items()}
            for number, call in enumerate(self.calls)
            for row, tile in enumerate(call.tiles)
        }


class Cutouts(Tiles):
    """The binding ``cutouts``: tiles that are blended in the shape of their objects, so that the ground is the background's.

    A tile's own ground differs from the background, and would show as a patch in the shape of the tile. After the first steps the
    attention shows where the object comes to be; elsewhere, the tile's prediction does not count any more.
    """

    def shapes(self) -> dict[Tile, torch.Tensor]:
        """See :meth:`Tiles.shapes`: the attention so far by its maximum, in a ramp; all of the real object it begins from."""
        if self.progress < _SHAPED_FROM:
            return {}
        first, last = _RAMP
        shapes: dict[Tile, torch.Tensor] = {}
        for tile, maps in self.maps(self.recorder.sums).items():
            if not maps:
                continue
            window = self.blenders[tile[0]].windows[tile[1]]
            scaled = [
                functional.interpolate(one[None, None], window.hw, mode="bilinear")[0, 0] / one.max().clamp_min(1e-12)
                for one in maps.values()
            ]
            shape = torch.stack(scaled).mean(0)
            shapes[tile] = ((shape / shape.max().clamp_min(1e-12) - first) / (last - first)).clamp(0, 1)
            if self.starts and tile in self.starts.covered:
                shapes[tile] = shapes[tile].maximum(self.starts.covered[tile].float())
        return shapes


def _of_canvas(tiles: dict[Tile, torch.Tensor], b: int) -> dict[int, torch.Tensor]:
    return {k: one for (canvas, k), one in tiles.items() if canvas == b}


def plan_calls(canvases: Sequence[Canvas], waiting: frozenset[Tile] = frozenset()) -> list[list[Tile]]:
    """The tiles of each call: regions of equal size, whichever canvas they belong to, at most as many as canvases.

    Canvases with the same regions give one call for each region. Tiles that are ``waiting`` share no call with others.
    """
    by_size: dict[tuple[tuple[int, int], bool], list[Tile]] = {}
    for k in range(max(len(canvas.regions) for canvas in canvases)):
        for b, canvas in enumerate(canvases):
            if k < len(canvas.regions):
                by_size.setdefault((canvas.regions[k].hw, (b, k) in waiting), []).append((b, k))
    most = len(canvases)
    return [tiles[first : first + most] for tiles in by_size.values() for first in range(0, len(tiles), most)]


class Call:
    """One call of the denoiser in every step: tiles of one size with their prompts."""

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
        self.text = guidance_halves(model, [prompt.text for prompt in own], config)
        self.subjects = subject_rows([prompt.subject for prompt in own], self.text.embeddings)
        self.conditional = slice(len(tiles), None) if has_halves(model, config) else slice(None)

    def predict(self, scaled: torch.Tensor, timestep: torch.Tensor) -> dict[Tile, torch.Tensor]:
        """The guided prediction for each tile, (C, h, w), of latents (B, C, H, W)."""
        cut = torch.stack(
            [scaled[b][:, *window.slices] for (b, _), window in zip(self.tiles, self.windows, strict=True)]
        )
        guided = guided_prediction(self.model, cut, timestep, self.text, self.config, self.region_hw_px)
        return dict(zip(self.tiles, guided, strict=True))


class Background:
    """One call of the denoiser in every step for whole canvases, with the prompts of their backgrounds."""

    def __init__(self, model: DiffusionModel, specs: Sequence[CanvasSpec], config: RunConfig) -> None:
        self.model, self.config, self.hw_px = model, config, specs[0].canvas.hw_px
        texts = [render_background(config.prompt.scene, spec.backgrounds[0]) for spec in specs]
        self.text = guidance_halves(model, texts, config)

    def predict(self, scaled: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The guided prediction for latents (B, C, H, W), of the same shape."""
        return guided_prediction(self.model, scaled, timestep, self.text, self.config, self.hw_px)


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
        self.hw = [side // factor for side in canvas.hw_px]

    def blend(
        self, whole: torch.Tensor, predictions: Mapping[int, torch.Tensor], shapes: Mapping[int, torch.Tensor]
    ) -> torch.Tensor:
        """Blend the background's prediction (C, H, W) and those of the regions, (C, h, w) each, by their numbers.

        ``shapes``: factors of the regions' weights, (h, w) each, where there are any.
        """
        mixed = whole * self.background
        total = torch.full(self.hw, self.background, device=whole.device)
        for k in sorted(predictions):
            weight = self.weights[k] * shapes[k] if k in shapes else self.weights[k]
            mixed[:, *self.windows[k].slices] += predictions[k] * weight
            total[self.windows[k].slices] += weight
        return mixed / total
