"""Runs and canvases made by hand: 2 regions side by side on a canvas of 64 x 96 pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.images import encode
from support.manifests import make_manifest

from mosaicfusion.categories import Category
from mosaicfusion.masks import rle
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord, RegionRecord

CANVAS_HW = (64, 96)
REGIONS_XYWH = ((0, 0, 56, 64), (40, 0, 56, 64))


def make_region(k: int, category: str = "teapot", reason: str | None = None, category_id: int = 1) -> RegionRecord:
    common: dict[str, Any] = {
        "category_id": category_id,
        "category": category,
        "prompt": f"a photo of a single {category}",
        "region_xywh": REGIONS_XYWH[k],
    }
    if reason:
        return RegionRecord(**common, reason=reason, values={"components": 3, "largest_area": 0.25})
    left = REGIONS_XYWH[k][0] + 14
    mask = np.zeros(CANVAS_HW, bool)
    mask[16:48, left : left + 28] = True  # a quarter of the region
    return RegionRecord(
        **common, score=0.5, area=int(mask.sum()), box_xywh=(left, 16, 28, 32), segmentation=dict(rle.encode(mask))
    )


def make_record(
    index: int, regions: Sequence[RegionRecord] | None = None, file_name: str | None = None
) -> CanvasRecord:
    return CanvasRecord(
        index, CANVAS_HW, 7, file_name, tuple(regions or (make_region(0), make_region(1, "umbrella", None, 2)))
    )


def grey_jpeg() -> bytes:
    return encode(np.full((*CANVAS_HW, 3), 128, np.uint8))


@pytest.fixture
def region() -> Callable[..., RegionRecord]:
    return make_region


@pytest.fixture
def record() -> Callable[..., CanvasRecord]:
    return make_record


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[..., RunFolder]:
    """``run_of([regions of canvas 0, ...])`` makes a run with an image for each canvas."""

    def make(
        canvases: Sequence[Sequence[RegionRecord] | None], planned: int | None = None, name: str = "run"
    ) -> RunFolder:
        categories = (Category(1, "teapot"), Category(2, "umbrella"), Category(3, "hot-air_balloon"))
        manifest = make_manifest(planned or max(1, len(canvases)), main=categories[:1], partners=categories)
        run = RunFolder.open_or_create(tmp_path / name, manifest)
        records = [make_record(i, regions, run.write_image(i, grey_jpeg())) for i, regions in enumerate(canvases)]
        if records:
            run.write_part(records)
        return run

    return make
