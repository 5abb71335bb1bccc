"""A run made by hand: bright discs on dark canvases of 64 x 96 pixels, 2 regions side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mosaicfusion.masks import rle
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord, RegionRecord
from support.images import encode
from support.manifests import DRUM, KITE, make_manifest

CANVAS_HW = (64, 96)
REGIONS_XYWH = ((0, 0, 48, 64), (48, 0, 48, 64))


def disc(k: int, radius: float = 16, dx: float = 0) -> np.ndarray[Any, Any]:
    """The object of region k, bool (64, 96), shifted to the right by ``dx`` pixels."""
    y, x = np.mgrid[: CANVAS_HW[0], : CANVAS_HW[1]] + 0.5
    return (x - 24 - 48 * k - dx) ** 2 + (y - 32) ** 2 < radius**2


def region(k: int, mask: np.ndarray[Any, Any] | None, category: str = "kite", **values: Any) -> RegionRecord:
    """Kept with a mask of the canvas, bool (64, 96), or rejected without."""
    requested: dict[str, Any] = {
        "category_id": 1 if category == "kite" else 2,
        "category": category,
        "prompt": f"a {category}",
        "region_xywh": REGIONS_XYWH[k],
    }
    if mask is None:
        return RegionRecord(**requested, reason="too_small")
    found: dict[str, Any] = {"box_xywh": tuple(rle.box_xywh(mask)), "segmentation": dict(rle.encode(mask))}
    return RegionRecord(**{**requested, "score": 0.5, "area": rle.area(mask), "quality": 0.9, **found, **values})


def make_run(path: Path, canvases: list[list[RegionRecord]], in_a_part: int = 2, **settings: Any) -> RunFolder:
    """A run with these regions and nested settings; every image shows the two discs."""
    rng = np.random.default_rng(0)
    run = RunFolder.open_or_create(path, make_manifest(len(canvases), [KITE], [KITE, DRUM], **settings))
    records = []
    for index, regions in enumerate(canvases):
        image = np.where((disc(0) | disc(1))[..., None], (220, 60, 40), (30, 60, 110)) + rng.normal(
            0, 6, (*CANVAS_HW, 3)
        )
        name = run.write_image(index, encode(np.clip(image, 0, 255).astype(np.uint8), quality=95, subsampling=0))
        records.append(CanvasRecord(index, CANVAS_HW, 7, name, tuple(regions)))
    for start in range(0, len(records), in_a_part):
        run.write_part(records[start : start + in_a_part])
    return run
