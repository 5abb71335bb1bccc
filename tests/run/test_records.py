"""Records are the same after a round trip through their line; those that contradict themselves are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaicfusion.run.records import CanvasRecord, RegionRecord

MASK = {"size": [64, 128], "counts": "R22n1000ng7"}
REGION = RegionRecord(
    1, "kite", "a kite", (0, 0, 64, 64), score=0.5, area=6, box_xywh=(1.0, 2.0, 3.0, 2.0), segmentation=MASK
)
REJECTED = RegionRecord(2, "drum", "a drum", (64, 0, 64, 64), reason="several_components", values={"components": 3})
RECORD = CanvasRecord(0, (64, 128), 7, "images/000/000000000000.jpg", (REGION,))


def canvas(index: int, *regions: RegionRecord) -> CanvasRecord:
    return CanvasRecord(index, (64, 128), noise_seed=2**62 + index, file_name=None, regions=regions)


def test_consistent_record_is_read() -> None:
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
def test_contradictory_canvas_is_refused(changes: dict[str, Any], message: str) -> None:
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
        ({"segmentation": {"size": [64, 128], "counts": [1]}}, "region 0 of canvas 0: not compressed"),
        ({"segmentation": {"size": [64, 128], "counts": "abc"}}, r"counts cover \d+ pixels of 64 x 128"),
    ],
)
def test_contradictory_region_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CanvasRecord.from_line(replace(RECORD, regions=(replace(REGION, **changes),)).to_line())


class TestLines:
    def test_round_trip(self) -> None:
        record = canvas(3, REGION, REJECTED)
        assert CanvasRecord.from_line(record.to_line()) == record
        assert (REGION.kept, REJECTED.kept) == (True, False)

    def test_a_line_of_an_earlier_version_without_measures_is_read(self) -> None:
        values = json.loads(canvas(3, REGION).to_line())
        for key in ("measures", "quality", "replaced"):
            del values["regions"][0][key]
        assert CanvasRecord.from_line(json.dumps(values)) == canvas(3, REGION)

    @pytest.mark.parametrize("name", ["/etc/passwd", "../other/images/000/1.jpg", "images/../../x.jpg"])
    def test_images_outside_of_the_run_folder_are_refused(self, name: str) -> None:
        values = {**json.loads(canvas(3, REGION).to_line()), "file_name": name}
        with pytest.raises(ValueError, match="leads out of the run folder"):
            CanvasRecord.from_line(json.dumps(values))

    @settings(deadline=None)
    @given(st.text(st.characters(exclude_categories=["Cs"])))
    def test_any_text_stays_on_one_line(self, text: str) -> None:
        record = canvas(0, RegionRecord(1, text, text, (0, 0, 8, 8), reason="too_small"))
        line = record.to_line()
        assert "\n" not in line
        assert "\r" not in line
        assert CanvasRecord.from_line(line) == record
