"""Mosaic geometry: invariants for every grid, size and jitter, and the paper's numbers."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.presets import PRESETS, make_config
from mosaicfusion.layouts.geometry import MIN_REGION_CELLS, Region
from mosaicfusion.layouts.grid import GridLayout

PAPER = GridLayout()


@st.composite
def layouts(draw: st.DrawFn) -> tuple[GridLayout, int]:
    factor = draw(st.sampled_from([2, 8, 16]))
    side = st.integers(MIN_REGION_CELLS, 40).map(lambda cells: cells * factor)
    overlap = st.integers(0, 5).map(lambda cells: cells * 2 * factor)
    config = GridLayout(
        grids=(f"{draw(st.integers(1, 4))}x{draw(st.integers(1, 4))}",),
        region_hw_px=(draw(side), draw(side)),
        overlap_xy_px=(draw(overlap), draw(overlap)),
        centre=draw(st.floats(0.05, 0.5)),
    )
    return config, factor


def is_accepted(config: GridLayout, factor: int) -> bool:
    try:
        config.check(factor)
    except MosaicFusionError:
        return False
    return True


class TestEveryCanvas:
    @settings(deadline=None)
    @given(layouts(), st.integers(0, 2**32))
    def test_regions_tile_the_canvas_with_the_requested_overlap(
        self, layout: tuple[GridLayout, int], seed: int
    ) -> None:
        config, factor = layout
        assume(is_accepted(config, factor))
        canvas = config.make_canvas(factor, np.random.default_rng(seed))
        rows, columns = map(int, config.grids[0].split("x"))
        assert canvas.hw_px == (rows * config.region_hw_px[0], columns * config.region_hw_px[1])
        assert len(canvas.regions) == rows * columns

        covered = np.zeros([side // factor for side in canvas.hw_px], dtype=int)
        for region in canvas.regions:
            assert all(side % factor == 0 for side in (region.top, region.left, region.bottom, region.right))
            assert min(region.hw) >= MIN_REGION_CELLS * factor
            assert rows == 1 or 2 * config.overlap_xy_px[1] <= region.hw[0]
            assert columns == 1 or 2 * config.overlap_xy_px[0] <= region.hw[1]
            assert region.top >= 0 <= region.left
            covered[region.divided_by(factor).slices] += 1
        assert covered.min() == 1
        assert covered.max() <= 4

        (overlap_x, overlap_y), grid = (
            config.overlap_xy_px,
            np.reshape(np.array(canvas.regions, object), (rows, columns)),
        )
        assert all(left.right - right.left == overlap_x for row in grid for left, right in pairwise(row))
        assert all(up.bottom - down.top == overlap_y for up, down in zip(grid[:-1, 0], grid[1:, 0], strict=True))

    @settings(deadline=None)
    @given(st.floats(0.05, 0.5), st.integers(0, 2**32))
    def test_centre_stays_in_its_interval(self, centre: float, seed: int) -> None:
        config = GridLayout(region_hw_px=(256, 160), overlap_xy_px=(0, 0), centre=centre)
        assume(is_accepted(config, 8))
        canvas = config.make_canvas(8, np.random.default_rng(seed))
        y, x = (part / side for part, side in zip(canvas.regions[0].hw, canvas.hw_px, strict=True))
        assert centre - 1e-9 <= y <= 1 - centre + 1e-9
        assert centre - 1e-9 <= x <= 1 - centre + 1e-9


class TestPaper:
    canvases = tuple(PAPER.make_canvas(8, np.random.default_rng(seed)) for seed in range(500))

    def test_canvas_and_overlap(self) -> None:
        for canvas in self.canvases:
            assert canvas.hw_px == (768, 1024)
            top_left, top_right, bottom_left, _ = canvas.regions
            assert top_left.right - top_right.left == 64
            assert top_left.bottom - bottom_left.top == 48

    def test_centre_reaches_both_ends_of_its_interval(self) -> None:
        y = [(canvas.regions[0].bottom - 24) / 768 for canvas in self.canvases]
        x = [(canvas.regions[0].right - 32) / 1024 for canvas in self.canvases]
        for centres in (y, x):
            assert min(centres) == 0.375
            assert max(centres) == 0.625
            assert np.mean(centres) == pytest.approx(0.5, abs=0.02)

    def test_single_region_is_the_canvas(self) -> None:
        canvas = GridLayout(grids=("1x1",)).make_canvas(8, np.random.default_rng(0))
        assert canvas.regions == (Region(0, 0, 384, 512),)

    def test_every_grid_is_chosen(self) -> None:
        config = GridLayout(grids=("1x2", "2x1", "1x1"))
        sizes = {config.make_canvas(8, np.random.default_rng(seed)).hw_px for seed in range(30)}
        assert sizes == {(384, 1024), (768, 512), (384, 512)}

    @pytest.mark.parametrize(("preset", "factor"), [(name, 8) for name in PRESETS])
    def test_presets_fit_their_models(self, preset: str, factor: int) -> None:
        make_config(preset).layout.check(factor)


class TestRefused:
    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"region_hw_px": (380, 512)}, r"region_hw_px=\(380, 512\) must be multiples of 8 .*; try \(384, 512\)"),
            ({"region_hw_px": (384, 3)}, r"try \(384, 8\)"),
            ({"overlap_xy_px": (20, 48)}, r"overlap_xy_px=\(20, 48\) must be multiples of 16 .*; try \(16, 48\)"),
            ({"overlap_xy_px": (8, 0)}, r"try \(16, 0\)"),
            ({"region_hw_px": (56, 512), "grids": ("1x1",)}, "allows a region of 56 px; the model needs 64"),
            (
                {"region_hw_px": (64, 64), "overlap_xy_px": (0, 0)},
                "allows a region of 48 px; the model needs 64: enlarge",
            ),
            ({"grids": ("3x3",), "centre": 0.1}, "allows a region of .* px"),
            ({"overlap_xy_px": (480, 48)}, r"overlap_xy_px=\(480, 48\) is more than half of the smallest region"),
        ],
    )
    def test_impossible_sizes_are_refused(self, values: dict[str, Any], message: str) -> None:
        with pytest.raises(MosaicFusionError, match=message):
            GridLayout(**values).check(8)

    def test_an_outer_region_may_be_the_smallest(self) -> None:
        """It overlaps on one side, an inner one on two: three regions of 128 px become 176, 224 and 176."""
        wide = {"region_hw_px": (128, 128), "overlap_xy_px": (96, 0), "centre": 0.5}
        with pytest.raises(MosaicFusionError, match="more than half of the smallest region \\(176 px\\)"):
            GridLayout(**wide, grids=("1x3",)).check(16)

    def test_overlap_makes_room_for_jitter(self) -> None:
        tight = {"grids": ("2x2",), "region_hw_px": (64, 64), "centre": 0.43}
        GridLayout(**tight, overlap_xy_px=(16, 16)).check(8)
        with pytest.raises(MosaicFusionError, match="allows a region of 56 px"):
            GridLayout(**tight, overlap_xy_px=(16, 0)).check(8)

    def test_an_axis_that_is_not_split_needs_no_room(self) -> None:
        GridLayout(grids=("1x2",), region_hw_px=(64, 96), overlap_xy_px=(16, 480), centre=0.4).check(8)
