"""Records that contradict themselves are refused when they are read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mosaicfusion.run.records import CanvasRecord, RegionRecord

MASK = {"size": [64, 128], "counts": "abc"}
REGION = RegionRecord(1, "kite", "a kite", (0, 0, 64, 64), area=6, box_xywh=(1, 2, 3, 2), segmentation=MASK)
RECORD = CanvasRecord(0, (64, 128), 7, "images/000/000000000000.jpg", (REGION,))


def test_a_sound_record() -> None:
    assert CanvasRecord.from_line(RECORD.to_line()) == RECORD


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"index": -1}, "canvas -1 of 64 x 128 pixels cannot be"),
        ({"hw_px": (0, 128)}, "cannot be"),
        ({"hw_px": (300_000, 300_000)}, "cannot be"),
        ({"file_name": "../secret.jpg"}, "leads out of the run folder"),
        ({"file_name": "/etc/passwd"}, "leads out of the run folder"),
    ],
)
def test_canvases(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CanvasRecord.from_line(replace(RECORD, **changes).to_line())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"region_xywh": (0, 0, 0, 64)}, "is not on the canvas"),
        ({"region_xywh": (-1, 0, 64, 64)}, "is not on the canvas"),
        ({"region_xywh": (100, 0, 64, 64)}, "is not on the canvas"),
        ({"segmentation": None}, "its mask or box does not fit the canvas"),
        ({"box_xywh": None}, "its mask or box does not fit the canvas"),
        ({"segmentation": {"size": [300_000, 300_000], "counts": "abc"}}, "does not fit the canvas"),
        ({"segmentation": {"size": [64, 128], "counts": [1]}}, "does not fit the canvas"),
    ],
)
def test_regions(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CanvasRecord.from_line(replace(RECORD, regions=(replace(REGION, **changes),)).to_line())
