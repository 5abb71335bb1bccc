from __future__ import annotations

import numpy as np
import pytest

from mosaicfusion.categories import Category
from mosaicfusion.quality.background import background_windows, count_canvases, find_categories
from mosaicfusion.run.records import CanvasRecord, RegionRecord, mask_fields
from mosaicfusion.run.semantics import BackgroundSemantics, Finding

HW = (40, 60)


def region(left: int, top: int, width: int, height: int, kept: bool = True, whole: int = 0) -> RegionRecord:
    """An object that fills its region, hidden below the first ``whole`` rows of it if there are any."""
    place = (left, top, width, height)
    if not kept:
        return RegionRecord(1, "kite", "", place, reason="too_small")
    mask = np.zeros(HW, np.bool_)
    mask[top : top + height, left : left + width] = True
    seen = mask.copy()
    seen[top : top + whole] = False
    return RegionRecord(1, "kite", "", place, **mask_fields(seen, mask))


def canvas(*regions: RegionRecord) -> CanvasRecord:
    return CanvasRecord(0, HW, 0, "images/000/000000000000.jpg", regions)


def test_windows_lie_where_nothing_is_annotated() -> None:
    windows = background_windows(canvas(region(0, 0, 20, 20)))
    assert windows == [
        *[(left, 0, 20, 20) for left in (20, 30, 40)],
        *[(left, 10, 20, 20) for left in (20, 30, 40)],
        *[(left, 20, 20, 20) for left in (0, 10, 20, 30, 40)],
    ]


@pytest.mark.parametrize("width", [1, 2])
def test_less_than_a_tenth_of_a_window_may_be_covered(width: int) -> None:
    object_ = region(30, 0, width, 20)
    object_ = RegionRecord(**{**vars(object_), "region_xywh": (20, 0, 20, 20)})
    assert ((20, 0, 20, 20) in background_windows(canvas(object_))) is (width == 1)


def test_windows_have_the_sides_of_the_smallest_region_and_reach_the_border() -> None:
    windows = background_windows(canvas(region(0, 0, 30, 40), region(30, 0, 24, 14)))
    assert {window[2:] for window in windows} == {(24, 14)}
    assert max(left for left, *_ in windows) == 60 - 24
    assert max(top for _, top, *_ in windows) == 40 - 14


def test_hidden_parts_and_whole_regions_without_a_mask_are_no_background() -> None:
    hidden, rejected = region(0, 0, 20, 20, whole=15), region(40, 20, 20, 20, kept=False)
    windows = background_windows(canvas(hidden, rejected))
    assert (0, 0, 20, 20) not in windows
    assert (40, 20, 20, 20) not in windows
    assert (0, 20, 20, 20) in windows


def test_a_canvas_full_of_objects_has_no_window() -> None:
    assert background_windows(canvas(region(0, 0, 60, 40))) == []


def test_each_category_of_the_run_is_found_once_in_its_best_window() -> None:
    own = [Category(7, "kite"), Category(9, "drum")]
    windows = [(0, 0, 9, 9), (1, 0, 9, 9), (2, 0, 9, 9), (3, 0, 9, 9)]
    probability = np.array([[0.6, 0.3, 0.1], [0.8, 0.1, 0.1], [0.1, 0.9, 0], [0.2, 0.1, 0.7]], np.float32)
    assert find_categories(windows, probability, own) == (
        Finding(9, "drum", 0.9, (2, 0, 9, 9)),
        Finding(7, "kite", 0.8, (1, 0, 9, 9)),
    )
    assert find_categories([], np.zeros((0, 3), np.float32), own) == ()


def test_canvases_are_counted_by_their_most_probable_finding() -> None:
    found = (Finding(9, "drum", 0.9, (2, 0, 9, 9)), Finding(7, "kite", 0.6, (1, 0, 9, 9)))
    lines = [BackgroundSemantics(0, "mini", 4, found), BackgroundSemantics(1, "mini", 4, found[1:])]
    assert count_canvases([*lines, BackgroundSemantics(2, "mini", 4)]) == {0.5: 2, 0.8: 1, 0.9: 1, 0.95: 0}
