"""The audit counts invalid instances among those that a filter leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.audit import Instance, shares, sheet, view
from mosaicfusion.run.records import CanvasRecord, RegionRecord, mask_fields


def instance(**values: Any) -> Instance:
    fields: dict[str, Any] = {
        "name": "kite", "reason": None, "seen": "kite", "wrong_label": False, "neither": False, "bad_mask": False,
        "quality": 0.95, "semantics": 0.5, "tile": np.zeros((150, 150, 3), np.uint8),
    }  # fmt: skip
    return Instance(**{**fields, **values})


def test_shares_are_of_the_instances_that_pass_a_filter() -> None:
    rows = shares(
        [
            instance(),
            instance(wrong_label=True, neither=True, semantics=0.02),
            instance(bad_mask=True, quality=0.5),
            instance(reason="too_small", quality=0.0),
        ]
    )
    assert {name: (row["instances"], row["invalid"]) for name, row in rows.items()} == {
        "requested": (4, 0.75),
        "with a mask": (3, pytest.approx(2 / 3, abs=1e-4)),
        "min_quality 0.9": (2, 0.5),
        "min_semantics 0.1": (2, 0.5),
        "both": (1, 0.0),
    }
    assert (rows["requested"]["wrong_label"], rows["requested"]["neither"], rows["requested"]["bad_mask"]) == (
        0.25,
    ) * 3


def test_other_objects_are_painted_over_in_the_view_of_one() -> None:
    image = np.full((40, 60, 3), 50, np.uint8)
    masks = np.zeros((2, 40, 60), np.bool_)
    masks[0, 10:30, 10:30] = True
    masks[1, 10:30, 30:50] = True
    image[masks[0]], image[masks[1]] = 200, 255
    regions = tuple(RegionRecord(1, "kite", "", (0, 0, 40, 40), **mask_fields(mask, mask)) for mask in masks)
    seen = view(image, CanvasRecord(0, (40, 60), 0, None, regions), 0)
    assert seen.shape == (23, 23, 3)
    assert set(np.unique(seen)) == {50, 200}


def test_a_sheet_holds_rows_of_twelve() -> None:
    assert sheet([instance()] * 13).size == (12 * 150, 2 * 164)
