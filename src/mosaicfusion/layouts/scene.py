"""A scene: objects of many sizes anywhere on one background, those in front hiding those behind."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.layouts.base import Layout
from mosaicfusion.layouts.geometry import MIN_REGION_CELLS, Binding, Blend, Canvas, Region
from mosaicfusion.layouts.real_set import RealSet

LIKE = "like:"  # in front of the file of a real set
FROM_FILE = {"objects": (), "sizes": ("log-normal", "depth"), "positions": ("anywhere",), "companions": ("any",)}
"""Settings that may be ``like:FILE``, with the other words that they may be; they are ``like`` once the file was read."""

_Pixels = Annotated[int, Field(ge=1, le=100_000)]
_Part = Annotated[float, Field(gt=0, le=1)]
_Number = Annotated[int, Field(ge=1, le=100)]
_TRIES = 64  # places tried for an object, of which the first that fits is taken, else the best
_HORIZON = 0.35  # of the canvas' height: with sizes by depth, no object stands above it
_NEAR, _FAR = 1.7, 0.5  # sizes at the lower edge and at the horizon, as multiples of the median
_DEPTH_SPREAD = 0.2  # of the logarithm of sizes at one depth


class SceneLayout(Layout):
    """A scene's geometry, in pixels of the canvas as it is generated.

    The size of an object is the square root of its box's area, as a part of the square root of the canvas' area. Its region is
    larger: an object does not fill the square that a model is asked to generate it in.
    """

    shared: ClassVar[bool] = False
    background: ClassVar[bool] = True

    kind: Literal["scene"] = "scene"
    canvas_hw_px: tuple[_Pixels, _Pixels] = Field((1024, 1024), description="height and width")
    objects: tuple[_Number, _Number] | str = Field(
        (4, 12),
        description="fewest and most objects on a canvas; like:FILE: as many as on an image of a real set",
    )
    objects_between: tuple[_Number, _Number] = Field(
        (1, 20), description="fewest and most, where their number is that of a real set"
    )
    sizes: str = Field(
        "log-normal",
        description="log-normal: around the median; depth: larger and further in front, the lower on the canvas; like:FILE: "
        "those of a real set, by category",
    )
    positions: str = Field("anywhere", description="like:FILE: across and down as in a real set, by category")
    companions: str = Field(
        "any", description="categories beside the main one, all alike; like:FILE: as often as on images of a real set"
    )
    like: RealSet | None = Field(None, description="what was read from FILE; each setting that takes it is like then")
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
    binding: Binding = Field(
        "cutouts",
        description="tiles: each region on its own, then blended; cutouts: blended in the shape of its object; rendered: all "
        "prompts in one pass of the canvas, for models with cross-attention",
    )
    render_scale: Annotated[int, Field(ge=1, le=8)] = Field(
        1, description="images are delivered at the canvas' size divided by this"
    )

    @model_validator(mode="after")
    def _values_fit(self) -> SceneLayout:
        for name in ("objects", "objects_between"):
            limits = getattr(self, name)
            if not isinstance(limits, str) and limits[0] > limits[1]:
                raise ValueError(f"{name}={limits} are the fewest and the most; turn them round")
        for name, words in FROM_FILE.items():
            value = getattr(self, name)
            if isinstance(value, str) and value not in (*words, "like") and not file_of(value):
                choices = ", ".join(words) or "the fewest and the most, such as [4, 12],"
                raise ValueError(f"{name}={value!r:.80} is not {choices} or like:FILE with an LVIS or COCO json")
            if (value == "like") != (getattr(self.like, name, None) is not None):
                text = f"layout.like and {name}=like belong together; {name}=like:FILE reads them from a json"
                raise ValueError(text)
        if self.sizes == "depth" and self.positions != "anywhere":
            raise ValueError(
                "sizes=depth says how high objects stand; set positions=anywhere with it, or take other sizes"
            )
        return self

    @property
    def blend(self) -> Blend:
        """See :class:`Layout`."""
        return Blend(self.variance, self.front, self.background_weight)

    def check(self, factor: int) -> None:
        """Raise :class:`MosaicFusionError` unless canvas and regions divide into latent cells of ``factor`` pixels."""
        unit = math.lcm(factor, self.render_scale)
        for name, value in (("canvas_hw_px", self.canvas_hw_px), ("step_px", (self.step_px,))):
            if any(side % unit for side in value):
                nearest = tuple(max(1, round(side / unit)) * unit for side in value)
                shown, better = (value, nearest) if len(value) > 1 else (value[0], nearest[0])
                raise MosaicFusionError(f"{name}={shown} must be a multiple of {unit} for this model; try {better}")
        for name in FROM_FILE:
            if file_of(getattr(self, name)):
                raise MosaicFusionError(f"layout.{name}={getattr(self, name)!r:.80} has not been read yet")
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
        if not isinstance(self.objects, str):
            return int(rng.integers(self.objects[0], self.objects[1], endpoint=True))
        assert self.like is not None
        fewest, most = self.objects_between
        return min(max(self.like.count(rng), fewest), most)

    def with_count(self, count: int) -> Self:
        """See :class:`Layout`."""
        return self.model_copy(update={"objects": (count, count)})

    def companion_weights(self, main: str, others: Sequence[str]) -> NDArray[np.float64] | None:
        """See :class:`Layout`."""
        table = self.like.companions if self.like else None
        return table.weights(main, others) if table else None

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
            places = self._places(sides[k], feet[k], names[k], unit, rng)
            placed[k] = self._best(places, list(placed.values()))
        regions = tuple(placed[k] for k in range(len(sides)))
        if self.sizes == "depth":
            regions = tuple(sorted(regions, key=lambda region: region.bottom))
        return Canvas(self.canvas_hw_px, regions, self.blend, self.render_scale, self.binding)

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
            if self.like is not None and self.like.sizes is not None:
                size = self.like.sizes.sample(name, rng)
            elif self.sizes == "depth":
                near = rng.random()
                foot = _HORIZON + (1 - _HORIZON) * near
                size *= (_FAR + (_NEAR - _FAR) * near) * math.exp(rng.normal(0, _DEPTH_SPREAD))
            else:
                size *= math.exp(rng.normal(0, self.spread))
            sides.append(int(allowed[np.abs(allowed - size * unit_px).argmin()]))
            feet.append(foot)
        return sides, feet

    def _places(
        self, side: int, foot: float | None, name: str, unit: int, rng: np.random.Generator
    ) -> Iterator[Region]:
        height, width = self.canvas_hw_px
        rows, columns = (height - side) // unit, (width - side) // unit
        table = self.like.positions if self.like else None
        if table is not None:
            down, across = (one.samples(name, rng, _TRIES) for one in (table.down, table.across))
        for k in range(_TRIES):
            if table is not None:
                top, left = round(down[k] * rows), round(across[k] * columns)
            else:
                top, left = int(rng.integers(rows, endpoint=True)), int(rng.integers(columns, endpoint=True))
            if foot is not None:
                top = max(0, round((foot * height - side) / unit))
            yield Region(top * unit, left * unit, top * unit + side, left * unit + side)

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


def file_of(value: Any) -> str | None:
    """The file of a setting that is ``like:FILE``; ``None`` for other values."""
    return value.removeprefix(LIKE) if isinstance(value, str) and value.startswith(LIKE) else None


def _overlap(one: Region, other: Region) -> float:
    """The area that two regions share, as a part of the smaller one's."""
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    width = min(one.right, other.right) - max(one.left, other.left)
    smaller = min(one.hw[0] * one.hw[1], other.hw[0] * other.hw[1])
    return max(0, height) * max(0, width) / smaller
