"""A scene: objects of many sizes anywhere on one background, those in front hiding those behind."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.layouts.base import Layout
from mosaicfusion.layouts.geometry import MIN_REGION_CELLS, Blend, Canvas, Region
from mosaicfusion.settings import Settings

LIKE = "like:"  # in front of the file that sizes are taken from
_Pixels = Annotated[int, Field(ge=1, le=100_000)]
_Part = Annotated[float, Field(gt=0, le=1)]
_Quantiles = Annotated[tuple[Annotated[float, Field(gt=0, le=10)], ...], Field(min_length=2, max_length=101)]
_TRIES = 64  # places tried for an object, of which the first that fits is taken, else the best
_HORIZON = 0.35  # of the canvas' height: with sizes by depth, no object stands above it
_NEAR, _FAR = 1.7, 0.5  # sizes at the lower edge and at the horizon, as multiples of the median
_DEPTH_SPREAD = 0.2  # of the logarithm of sizes at one depth


class SizeTable(Settings):
    """Sizes of the objects of a real set, as parts of the square root of their image's area: quantiles in equal steps.

    ``by_category``: those of the categories with enough objects, by name; the others use ``overall``.
    """

    overall: _Quantiles
    by_category: dict[str, _Quantiles] = Field(default_factory=dict)

    def sample(self, name: str, rng: np.random.Generator) -> float:
        """A size of the category called ``name``."""
        quantiles = self.by_category.get(name, self.overall)
        return float(np.interp(rng.random(), np.linspace(0, 1, len(quantiles)), quantiles))


class SceneLayout(Layout):
    """A scene's geometry, in pixels of the canvas as it is generated.

    The size of an object is the square root of its box's area, as a part of the square root of the canvas' area. Its region is
    larger: an object does not fill the square that a model is asked to generate it in.
    """

    shared: ClassVar[bool] = False

    kind: Literal["scene"] = "scene"
    canvas_hw_px: tuple[_Pixels, _Pixels] = Field((1024, 1024), description="height and width")
    objects: tuple[Annotated[int, Field(ge=1, le=100)], Annotated[int, Field(ge=1, le=100)]] = Field(
        (4, 12), description="fewest and most objects on a canvas"
    )
    sizes: str = Field(
        "log-normal",
        description="log-normal: around the median; depth: larger and further in front, the lower on the canvas; like:FILE: "
        "those of a real set, by category",
    )
    like: SizeTable | None = Field(None, description="the sizes that were read from FILE; sizes is like then")
    median: _Part = Field(0.2, description="median size of an object")
    spread: Annotated[float, Field(ge=0, le=2)] = Field(0.5, description="standard deviation of the logarithm of sizes")
    fill: _Part = Field(0.75, description="part of the side of its region that an object fills")
    smallest_px: _Pixels = Field(256, description="smallest side of a region: below, a model generates badly")
    largest: _Part = Field(0.7, description="largest side of a region, as a part of the canvas' shorter side")
    step_px: _Pixels = Field(64, description="sides of regions are multiples; equal ones go through the U-Net together")
    max_overlap: Annotated[float, Field(ge=0, le=1)] = Field(
        0.3,
        description="most that two regions share, as a part of the smaller one; without room, the least possible",
    )
    variance: Annotated[float, Field(gt=0, le=1)] = Field(0.04, description="of regions' weights, by the squared side")
    front: Annotated[float, Field(ge=1, le=100)] = Field(
        2.0, description="weight of a region by that of the one behind"
    )
    background_weight: Annotated[float, Field(gt=0, le=1)] = Field(
        0.02, description="weight of the background's prediction, where that of an object is up to 1 or more"
    )
    render_scale: Annotated[int, Field(ge=1, le=8)] = Field(
        1, description="images are delivered at the canvas' size divided by this"
    )

    @model_validator(mode="after")
    def _values_fit(self) -> SceneLayout:
        if self.objects[0] > self.objects[1]:
            raise ValueError(f"objects={self.objects} are the fewest and the most; turn them round")
        of_file = self.sizes.startswith(LIKE) and len(self.sizes) > len(LIKE)
        if self.sizes not in ("log-normal", "depth", "like") and not of_file:
            raise ValueError(
                f"sizes={self.sizes!r:.80} is not log-normal, depth or like:FILE with an LVIS or COCO json"
            )
        if (self.sizes == "like") != (self.like is not None):
            raise ValueError("layout.like and sizes=like belong together; sizes=like:FILE reads them from a json")
        return self

    def check(self, factor: int) -> None:
        """Raise :class:`MosaicFusionError` unless canvas and regions divide into latent cells of ``factor`` pixels."""
        unit = math.lcm(factor, self.render_scale)
        for name, value in (("canvas_hw_px", self.canvas_hw_px), ("step_px", (self.step_px,))):
            if any(side % unit for side in value):
                nearest = tuple(max(1, round(side / unit)) * unit for side in value)
                shown, better = (value, nearest) if len(value) > 1 else (value[0], nearest[0])
                raise MosaicFusionError(f"{name}={shown} must be a multiple of {unit} for this model; try {better}")
        if self.sizes.startswith(LIKE):
            raise MosaicFusionError(f"layout.sizes={self.sizes!r:.80} has not been read yet")
        if self.smallest_px < MIN_REGION_CELLS * factor:
            raise MosaicFusionError(
                f"smallest_px={self.smallest_px}: the model needs {MIN_REGION_CELLS * factor} or more"
            )
        if self._sides()[0] > min(self.canvas_hw_px):
            raise MosaicFusionError(
                f"smallest_px={self.smallest_px} in steps of {self.step_px} px is more than canvas_hw_px={self.canvas_hw_px} has"
            )

    def count(self, rng: np.random.Generator) -> int:
        """See :class:`Layout`."""
        return int(rng.integers(self.objects[0], self.objects[1], endpoint=True))

    def make_canvas(self, factor: int, rng: np.random.Generator, names: Sequence[str]) -> Canvas:
        """Objects at random places, from back to front.

        The largest are placed first. Each takes the first of 64 random places where it shares no more than ``max_overlap`` with
        another, or else the one where it shares the least.
        """
        self.count(rng)  # what has been asked before
        unit = math.lcm(factor, self.render_scale)
        sides, feet = self._sizes(names, rng)
        placed: dict[int, Region] = {}
        for k in sorted(range(len(sides)), key=lambda k: -sides[k]):
            placed[k] = self._best(self._places(sides[k], feet[k], unit, rng), list(placed.values()))
        regions = tuple(placed[k] for k in range(len(sides)))
        if self.sizes == "depth":
            regions = tuple(sorted(regions, key=lambda region: region.bottom))
        return Canvas(
            self.canvas_hw_px, regions, Blend(self.variance, self.front, self.background_weight), self.render_scale
        )

    def _sides(self) -> list[int]:
        """The sides that regions may have."""
        first = -(-self.smallest_px // self.step_px)
        last = max(first, int(self.largest * min(self.canvas_hw_px)) // self.step_px)
        return [k * self.step_px for k in range(first, last + 1)]

    def _sizes(self, names: Sequence[str], rng: np.random.Generator) -> tuple[list[int], list[float | None]]:
        """For each object the side of its region, and the height of its foot on the canvas where the size follows from it."""
        allowed = np.array(self._sides())
        unit_px = math.sqrt(self.canvas_hw_px[0] * self.canvas_hw_px[1]) / self.fill
        sides: list[int] = []
        feet: list[float | None] = []
        for name in names:
            foot, size = None, self.median
            if self.like is not None:
                size = self.like.sample(name, rng)
            elif self.sizes == "depth":
                near = rng.random()
                foot = _HORIZON + (1 - _HORIZON) * near
                size *= (_FAR + (_NEAR - _FAR) * near) * math.exp(rng.normal(0, _DEPTH_SPREAD))
            else:
                size *= math.exp(rng.normal(0, self.spread))
            sides.append(int(allowed[np.abs(allowed - size * unit_px).argmin()]))
            feet.append(foot)
        return sides, feet

    def _places(self, side: int, foot: float | None, unit: int, rng: np.random.Generator) -> Iterator[Region]:
        height, width = self.canvas_hw_px
        for _ in range(_TRIES):
            top = int(rng.integers((height - side) // unit, endpoint=True)) * unit
            left = int(rng.integers((width - side) // unit, endpoint=True)) * unit
            if foot is not None:
                top = max(0, round((foot * height - side) / unit) * unit)
            yield Region(top, left, top + side, left + side)

    def _best(self, places: Iterator[Region], others: Sequence[Region]) -> Region:
        best, least = None, math.inf
        for place in places:
            overlap = max((_overlap(place, other) for other in others), default=0.0)
            if overlap < least:
                best, least = place, overlap
            if least <= self.max_overlap:
                break
        assert best is not None
        return best


def _overlap(one: Region, other: Region) -> float:
    """The area that two regions share, as a part of the smaller one's."""
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    width = min(one.right, other.right) - max(one.left, other.left)
    smaller = min(one.hw[0] * one.hw[1], other.hw[0] * other.hw[1])
    return max(0, height) * max(0, width) / smaller
