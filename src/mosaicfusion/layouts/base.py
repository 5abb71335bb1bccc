"""The interface of a layout."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mosaicfusion.layouts.geometry import Blend, Canvas
from mosaicfusion.settings import Settings


class Layout(Settings):
    """Settings of a layout, and the canvases they describe. A subclass fixes ``kind``, its name in settings and run.json."""

    shared: ClassVar[bool] = True
    """True if all canvases of a group have the same regions, False if each has its own."""

    background: ClassVar[bool] = False
    """True if canvases have a background with a prompt of its own."""

    kind: str
    group_size: Annotated[int, Field(ge=1, le=10_000)] = Field(
        16, description="consecutive canvases that may be denoised in one batch; those of a grid share their regions"
    )

    @property
    def blend(self) -> Blend:
        """The way in which the predictions of overlapping regions become one, on every canvas."""
        return Blend()

    @abstractmethod
    def check(self, factor: int) -> None:
        """Raise :class:`MosaicFusionError` unless every canvas divides into latent cells of ``factor`` pixels."""

    @abstractmethod
    def count(self, rng: np.random.Generator) -> int:
        """The number of regions of the canvas that :meth:`make_canvas` makes with an equal ``rng``."""

    def companion_weights(self, main: str, others: Sequence[str]) -> NDArray[np.float64] | None:
        """The share of each of ``others``, by name, beside the main category: float64 (others,), above 0 and 1 in total.

        ``None`` if all are alike.
        """
        return None

    def with_count(self, count: int) -> Self:
        """A layout whose canvases show ``count`` objects, for figures; those of a layout with a number of its own show that."""
        return self

    @abstractmethod
    def make_canvas(self, factor: int, rng: np.random.Generator, names: Sequence[str]) -> Canvas:
        """One canvas with a region for each of ``names``, the categories' names; there are :meth:`count` of them.

        All sides are multiples of ``factor`` pixels; all randomness comes from ``rng``.
        """
