"""Rectangles on a canvas, and the weight of each pixel in a region."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Binding = Literal["tiles", "cutouts", "rendered"]
MIN_REGION_CELLS = 8  # latent cells a side: below, the U-Net's deepest maps have a single cell


@dataclass(frozen=True)
class Region:
    """A rectangle of the canvas, in pixels or, after :meth:`divided_by`, in latent cells; half-open: ``top <= y < bottom``."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    @property
    def box_xywh(self) -> tuple[int, int, int, int]:
        """Left, top, width, height: the order of COCO."""
        return self.left, self.top, self.right - self.left, self.bottom - self.top

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the region in an image of shape (H, W, ...)."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def divided_by(self, factor: int) -> Region:
        """The same rectangle in cells of ``factor`` pixels; every side must be a multiple."""
        return Region(*(side // factor for side in (self.top, self.left, self.bottom, self.right)))


@dataclass(frozen=True)
class Blend:
    """How the noise predictions of overlapping regions become one: a weighted mean.

    ``variance``: of a region's Gaussian weight, as a part of the squared side; 0.01 in the paper. ``front``: the weight of each
    region is that of the one before it times ``front``, so that later regions hide earlier ones. ``background``: the constant
    weight of a prediction for the whole canvas, which has a prompt of its own; 0 for none.
    """

    variance: float = 0.01
    front: float = 1.0
    background: float = 0.0

    @property
    def layered(self) -> bool:
        """True if later regions hide earlier ones."""
        return self.front > 1


@dataclass(frozen=True)
class Canvas:
    """Height and width in pixels, regions, and the blend of their predictions.

    Either the regions cover the canvas, or the blend has a background. With a layered blend they are ordered from back to front.
    ``render_scale``: the image is delivered at its size divided by this; every coordinate is a multiple of it. ``binding``: how
    the objects come to their regions; all but ``tiles`` need a background.
    """

    hw_px: tuple[int, int]
    regions: tuple[Region, ...]
    blend: Blend = Blend()
    render_scale: int = 1
    binding: Binding = "tiles"

    @property
    def delivered_hw(self) -> tuple[int, int]:
        """Height and width of the image that is delivered."""
        return self.hw_px[0] // self.render_scale, self.hw_px[1] // self.render_scale


def region_weight(region_hw: tuple[int, int], variance: float = 0.01) -> NDArray[np.float32]:
    """Gaussian weight of a region's noise prediction, float32 (h, w), 1 at the centre.

    ``variance``: of the squared side, per axis; 0.01 in the paper (section 3.2). Corners far out of the centre keep a tiny
    positive weight, so that a weighted mean is always defined.
    """
    axes = [np.exp(-(((np.arange(side) + 0.5) / side - 0.5) ** 2) / (2 * variance)) for side in region_hw]
    return np.asarray(np.outer(*axes), dtype=np.float32)
