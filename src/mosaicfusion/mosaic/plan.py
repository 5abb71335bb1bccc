"""The content of canvas number i, as a pure function of the config, the categories and i."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mosaicfusion.categories import Category
from mosaicfusion.config import RunConfig
from mosaicfusion.layouts.geometry import Canvas

_CANVAS_STREAM, _GROUP_STREAM = 1, 2  # separate the two kinds of random choices


@dataclass(frozen=True)
class CanvasSpec:
    """The content of one canvas; ``categories[k]`` and ``backgrounds[k]`` belong to ``canvas.regions[k]``."""

    index: int
    canvas: Canvas
    categories: tuple[Category, ...]
    backgrounds: tuple[str, ...]
    noise_seed: int


@dataclass(frozen=True)
class Plan:
    """Canvas ``i`` shows main category ``i % len(main)``; its other regions show partners; the order is shuffled.

    Nothing depends on the number of canvases, so a run can be extended at any time and canvas ``i`` stays the same.
    """

    config: RunConfig
    main: Sequence[Category]
    partners: Sequence[Category]
    latent_factor: int

    def spec(self, index: int) -> CanvasSpec:
        """Canvas number ``index``, the same on any machine and in any order."""
        rng = np.random.default_rng([self.config.seed, _CANVAS_STREAM, index])
        canvas = self.canvas(index // self.config.layout.group_size)
        lead = self.main[index % len(self.main)]
        others = [category for category in self.partners if category.id != lead.id] or list(self.partners)
        count = len(canvas.regions) - 1
        rounds = [
            rng.permutation(len(others)) for _ in range(math.ceil(count / len(others)))
        ]  # no category repeats before all have been used
        chosen = [others[k] for k in np.concatenate(rounds)[:count]] if rounds else []
        categories = [lead, *chosen]
        backgrounds = self.config.prompt.backgrounds or ("",)
        return CanvasSpec(
            index=index,
            canvas=canvas,
            categories=tuple(categories[k] for k in rng.permutation(len(categories))),
            backgrounds=tuple(backgrounds[k] for k in rng.integers(len(backgrounds), size=len(categories))),
            noise_seed=int(rng.integers(2**63)),
        )

    def canvas(self, group: int) -> Canvas:
        """The geometry that a group of consecutive canvases shares, so that their regions can go through the U-Net together."""
        rng = np.random.default_rng([self.config.seed, _GROUP_STREAM, group])
        return self.config.layout.make_canvas(self.latent_factor, rng)
