"""The paper's mosaic: rows x columns of regions with jittered split lines and overlap (section 3.2)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, field_validator

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.layouts.base import Layout
from mosaicfusion.layouts.geometry import MIN_REGION_CELLS, Canvas, Region

_Pixels = Annotated[int, Field(ge=1)]
_Overlap = Annotated[int, Field(ge=0)]


class GridLayout(Layout):
    """A mosaic's geometry, in pixels of the image."""

    kind: Literal["grid"] = "grid"
    grids: tuple[str, ...] = Field(("2x2",), min_length=1, description="rows x columns; each group gets one of them")
    region_hw_px: tuple[_Pixels, _Pixels] = Field((384, 512), description="nominal region, before jitter and overlap")
    overlap_xy_px: tuple[_Overlap, _Overlap] = Field((64, 48), description="pixels that neighbours share")
    centre: Annotated[float, Field(gt=0, le=0.5)] = Field(
        0.375, description="paper's s: the centre of a 2 x 2 canvas lies in [s, 1 - s] of its side; 0.5 is no jitter"
    )

    @field_validator("grids")
    @classmethod
    def _grids_are_rows_x_columns(cls, grids: tuple[str, ...]) -> tuple[str, ...]:
        for grid in grids:
            if not re.fullmatch(r"[1-9]x[1-9]", grid):
                raise ValueError(f"grid {grid!r} is not ROWSxCOLUMNS with 1 to 9 of each; try 2x2")
        return grids

    def check(self, factor: int) -> None:
        """Raise :class:`MosaicFusionError` unless every grid divides into latent cells of ``factor`` pixels."""
        for name, value, step in (
            ("region_hw_px", self.region_hw_px, factor),
            # Each region extends half of the overlap beyond its split line.
            ("overlap_xy_px", self.overlap_xy_px, 2 * factor),
        ):
            if any(side % step for side in value):
                nearest = tuple(max(round(side / step), int(side > 0)) * step for side in value)
                raise MosaicFusionError(f"{name}={value} must be multiples of {step} for this model; try {nearest}")
        counts = zip(*(map(int, grid.split("x")) for grid in self.grids), strict=True)
        sides = zip(map(max, counts), self.region_hw_px, reversed(self.overlap_xy_px), strict=True)
        for count, side, overlap in sides:
            self._check_smallest(self._smallest_side(count, side, overlap, factor), count, overlap, factor)

    def _check_smallest(self, smallest: int, count: int, overlap: int, factor: int) -> None:
        if smallest < MIN_REGION_CELLS * factor:
            raise MosaicFusionError(
                f"region_hw_px={self.region_hw_px} with centre={self.centre} allows a region of {smallest} px; "
                f"the model needs {MIN_REGION_CELLS * factor}: enlarge the region or move centre to 0.5"
            )
        if count > 1 and overlap > smallest / 2:
            raise MosaicFusionError(
                f"overlap_xy_px={self.overlap_xy_px} is more than half of the smallest region ({smallest} px); lower it"
            )

    def count(self, rng: np.random.Generator) -> int:
        """See :class:`Layout`."""
        rows, columns = self._rows_and_columns(rng)
        return rows * columns

    def with_count(self, count: int) -> Self:
        """The squarest grid with ``count`` regions, or more where there is none, such as of 5."""
        rows = math.isqrt(count)
        return self.model_copy(update={"grids": (f"{rows}x{math.ceil(count / rows)}",)})

    def make_canvas(self, factor: int, rng: np.random.Generator, names: Sequence[str] = ()) -> Canvas:
        """A grid with split lines at random positions. All sides are multiples of ``factor``.

        A split line moves by at most ``(1 - 2 s)`` of a region's side, which for a 2 x 2 canvas puts the mosaic's centre
        into ``[s, 1 - s]`` of the canvas, as in the paper.
        """
        rows, columns = self._rows_and_columns(rng)
        (region_h, region_w), (overlap_x, overlap_y) = self.region_hw_px, self.overlap_xy_px
        spans_y = self._spans(rows, region_h, overlap_y, factor, rng)
        spans_x = self._spans(columns, region_w, overlap_x, factor, rng)
        regions = tuple(Region(top, left, bottom, right) for top, bottom in spans_y for left, right in spans_x)
        return Canvas((rows * region_h, columns * region_w), regions)

    def _rows_and_columns(self, rng: np.random.Generator) -> tuple[int, int]:
        rows, columns = map(int, self.grids[rng.integers(len(self.grids))].split("x"))
        return rows, columns

    def _spans(
        self, count: int, side_px: int, overlap_px: int, factor: int, rng: np.random.Generator
    ) -> list[tuple[int, int]]:
        """Start and end of each row or column, in pixels."""
        reach = self._reach(side_px, factor)
        shifts = rng.integers(-reach, reach, count - 1, endpoint=True) * factor
        splits = [k * side_px + int(shift) for k, shift in enumerate(shifts, start=1)]
        starts = [0, *(split - overlap_px // 2 for split in splits)]
        ends = [*(split + overlap_px // 2 for split in splits), count * side_px]
        return list(zip(starts, ends, strict=True))

    def _reach(self, side_px: int, factor: int) -> int:
        """Latent cells that a split line may move to either side."""
        return int((1 - 2 * self.centre) * side_px / factor + 1e-9)

    def _smallest_side(self, count: int, side_px: int, overlap_px: int, factor: int) -> int:
        """The smallest side, in pixels, that jitter can give: an outer region has one split line, an inner one two."""
        inward = self._reach(side_px, factor) * factor - overlap_px // 2  # negative: the overlap outweighs the jitter
        return side_px - min(count - 1, 2 if inward > 0 else 1) * inward
