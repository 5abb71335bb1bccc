"""The content of canvas number i, as a pure function of the config, the categories and i."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


def main_order(rounds: Sequence[Sequence[int]]) -> NDArray[np.intp]:
    """The main categories of the canvases of some rounds, as positions: intp (canvases,).

    ``rounds[r][k]``: number of canvases of category ``k`` in round ``r``. A round shows its categories in turn, each until it
    has its number.
    """
    turns = [np.flatnonzero(np.asarray(counts) > turn) for counts in rounds for turn in range(max(counts))]
    return np.concatenate(turns) if turns else np.empty(0, np.intp)


@dataclass(frozen=True)
class Plan:
    """Canvas ``i`` shows main category ``i % len(main)``; its other regions show partners; the order is shuffled.

    ``regular``: canvases from this number on show the main categories at the positions of ``extra`` instead; see
    :func:`main_order`. Otherwise nothing depends on the number of canvases, so a run can be extended at any time and canvas
    ``i`` stays the same.
    """

    config: RunConfig
    main: Sequence[Category]
    partners: Sequence[Category]
    latent_factor: int
    regular: int = 0
    extra: tuple[int, ...] = ()

    def spec(self, index: int) -> CanvasSpec:
        """Canvas number ``index``, the same on any machine and in any order."""
        rng = np.random.default_rng([self.config.seed, _CANVAS_STREAM, index])
        canvas = self.canvas(index // self.config.layout.group_size)
        main = self._main(index)
        others = [category for category in self.partners if category.id != main.id] or list(self.partners)
        count = len(canvas.regions) - 1
        rounds = [
            rng.permutation(len(others)) for _ in range(math.ceil(count / len(others)))
        ]  # no category repeats before all have been used
        chosen = [others[k] for k in np.concatenate(rounds)[:count]] if rounds else []
        categories = [main, *chosen]
        backgrounds = self.config.prompt.backgrounds or ("",)
        return CanvasSpec(
            index=index,
            canvas=canvas,
            categories=tuple(categories[k] for k in rng.permutation(len(categories))),
            backgrounds=tuple(backgrounds[k] for k in rng.integers(len(backgrounds), size=len(categories))),
            noise_seed=int(rng.integers(2**63)),
        )

    def _main(self, index: int) -> Category:
        position = index - self.regular
        return self.main[self.extra[position] if 0 <= position < len(self.extra) else index % len(self.main)]

    def canvas(self, group: int) -> Canvas:
        """The geometry that a group of consecutive canvases shares, so that their regions can go through the U-Net together."""
        rng = np.random.default_rng([self.config.seed, _GROUP_STREAM, group])
        return self.config.layout.make_canvas(self.latent_factor, rng)
