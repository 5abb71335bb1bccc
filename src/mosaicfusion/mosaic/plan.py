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

_NEWTON_STEPS = 30
_CANVAS_STREAM, _GROUP_STREAM, _SCENE_STREAM = 1, 2, 3  # separate the kinds of random choices


@dataclass(frozen=True)
class CanvasSpec:
    """The content of one canvas; ``categories[k]``, ``backgrounds[k]`` and ``templates[k]`` belong to ``canvas.regions[k]``.

    With a prompt for the whole canvas, all backgrounds are the same.
    """

    index: int
    canvas: Canvas
    categories: tuple[Category, ...]
    backgrounds: tuple[str, ...]
    templates: tuple[str, ...]
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
        main = self.main[self.main_position(index)]
        others = self.companions(main)
        weights = self.companion_weights(main)
        count = self.count(index) - 1
        rounds = [
            _shuffled(len(others), weights, rng) for _ in range(math.ceil(count / len(others)))
        ]  # no category repeats before all have been used
        chosen = [others[k] for k in np.concatenate(rounds)[:count]] if rounds else []
        shown = [main, *chosen]
        categories = tuple(shown[k] for k in rng.permutation(len(shown)))
        layout, names = self.config.layout, [category.name for category in categories]
        canvas = layout.make_canvas(self.latent_factor, self._layout_rng(index), names)
        backgrounds = self.config.prompt.backgrounds or ("",)
        chosen_backgrounds = [backgrounds[k] for k in rng.integers(len(backgrounds), size=len(categories))]
        if canvas.blend.background > 0:
            chosen_backgrounds = chosen_backgrounds[:1] * len(categories)
        noise_seed = int(rng.integers(2**63))
        return CanvasSpec(
            index=index,
            canvas=canvas,
            categories=categories,
            backgrounds=tuple(chosen_backgrounds),
            templates=tuple(self._template(name, rng) for name in names),
            noise_seed=noise_seed,
        )

    def companions(self, main: Category) -> list[Category]:
        """The categories that may be beside a main one: the other partners, or itself if there are none."""
        return [category for category in self.partners if category.id != main.id] or list(self.partners)

    def companion_weights(self, main: Category) -> NDArray[np.float64] | None:
        """The frequency with which each of :meth:`companions` is beside ``main``, see :meth:`Layout.companion_weights`."""
        return self.config.layout.companion_weights(main.name, [category.name for category in self.companions(main)])

    def _template(self, name: str, rng: np.random.Generator) -> str:
        prompt = self.config.prompt
        own = prompt.by_category.get(name)
        return own[rng.integers(len(own))] if own else prompt.template

    def count(self, index: int) -> int:
        """The number of regions of canvas number ``index``."""
        return self.config.layout.count(self._layout_rng(index))

    def main_position(self, index: int) -> int:
        """The position in ``main`` of the main category of canvas number ``index``."""
        position = index - self.regular
        return self.extra[position] if 0 <= position < len(self.extra) else index % len(self.main)

    def _layout_rng(self, index: int) -> np.random.Generator:
        """All randomness of a canvas' regions: that of its group, whose regions go through the U-Net together, or its own."""
        layout = self.config.layout
        stream = (_GROUP_STREAM, index // layout.group_size) if layout.shared else (_SCENE_STREAM, index)
        return np.random.default_rng([self.config.seed, *stream])


def _shuffled(count: int, weights: NDArray[np.float64] | None, rng: np.random.Generator) -> NDArray[np.intp]:
    """The numbers below ``count`` in random order; with weights, each is the next one with a probability by its weight."""
    if weights is None:
        return rng.permutation(count)
    return np.argsort(rng.exponential(size=count) / weights)  # the first of several exponential waiting times


def expected_by_weight(weights: NDArray[np.float64], count: float) -> NDArray[np.float64]:
    """Expected numbers of companions among a mean of ``count``, which :class:`Plan` takes by ``weights``: float64 (n,).

    Those whose exponential waiting time is over at a time are taken; Newton's method finds the time at which they are so many.
    """
    rounds, rest = divmod(count, len(weights))
    time = rest
    for _ in range(_NEWTON_STEPS):  # rises to the root, since the sum is concave
        waiting = np.exp(-time * weights)
        time += (rest - (1 - waiting).sum()) / (waiting * weights).sum()
    return rounds + 1 - np.exp(-time * weights)
