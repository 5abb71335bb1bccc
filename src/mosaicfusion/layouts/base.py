"""The interface of a layout."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated

import numpy as np
from pydantic import Field

from mosaicfusion.layouts.geometry import Canvas
from mosaicfusion.settings import Settings


class Layout(Settings):
    """Settings of a layout, and the canvases they describe. A subclass fixes ``kind``, its name in settings and run.json."""

    kind: str
    group_size: Annotated[int, Field(ge=1, le=10_000)] = Field(
        16, description="consecutive canvases that share their regions, so that they can be denoised in one batch"
    )

    @abstractmethod
    def check(self, factor: int) -> None:
        """Raise :class:`MosaicFusionError` unless every canvas divides into latent cells of ``factor`` pixels."""

    @abstractmethod
    def make_canvas(self, factor: int, rng: np.random.Generator) -> Canvas:
        """The canvas of one group. All sides are multiples of ``factor`` pixels; all randomness comes from ``rng``."""
