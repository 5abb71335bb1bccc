"""Bindings of scenes compared: recognised objects, masks, seams and cost, with dense mosaics beside them.

    OMP_NUM_THREADS=1 python -m benchmarks.bindings --json benchmarks/results/bindings.json

The bundled model and the same scenes for every binding: objects, places, backgrounds and noise. Recognised: the bundled CLIP
finds the category of an object first among all 158, in its region. IoU: of masks with GrabCut's. Seam: the mean difference of
pixels across the edges of regions, by that across lines 16 px outside of them, both where no object is; 1 is no seam. Seconds
of CPU time for sampling and records, without loading the model.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.mini_model.common import parser, write_results
from mosaicfusion import generate, make_config, vocabulary_for
from mosaicfusion.categories import Selection, Vocabulary
from mosaicfusion.files.images import read_rgb
from mosaicfusion.masks import rle
from mosaicfusion.profiling import profiled
from mosaicfusion.quality.agreement import judge_masks
from mosaicfusion.quality.semantics import classify_regions
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord

LAYOUTS: dict[str, dict[str, Any]] = {
    "tiles": {"kind": "scene", "binding": "tiles"},
    "cutouts": {"kind": "scene", "binding": "cutouts"},
    "rendered": {"kind": "scene", "binding": "rendered"},
    "mosaic, 4x4": {"kind": "grid", "grids": ("4x4",)},
}
HALF_PX, BESIDE_PX = 4, 16  # from an edge to the pixels compared across it, and to the line beside it
COLUMNS = {
    "objects": ".0f",
    "kept": ".1%",
    "recognised": ".1%",
    "iou": ".3f",
    "seam": ".2f",
    "canvas_s": ".2f",
    "kept_object_s": ".3f",
}


def measure(layout: dict[str, Any], canvases: int, model: str) -> dict[str, float]:
    """Generate canvases, each led by one of the first categories, and measure them."""
    vocabulary = vocabulary_for("mini")
    selection = Selection(Vocabulary(list(vocabulary)[:canvases]), vocabulary)
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        with profiled() as profile:
            config = make_config(model, {"layout": layout})
            generate(selection, out=Path(folder) / "run", canvases_per_category=1, config=config)
        run = RunFolder.open(Path(folder) / "run")
        loading = sum(total.seconds for total in profile.totals() if total.name == "load the model")
        seconds = time.process_time() - start - loading
        records = list(run.records())
        regions = [region for record in records for region in record.regions]
        kept = sum(region.kept for region in regions)
        differences = [seam(record, run.path) for record in records]
        return {
            "objects": len(regions),
            "kept": kept / len(regions),
            "recognised": float(np.mean([one.top == one.category for one in classify_regions(run)])),
            "iou": judge_masks(run, "grabcut").mean_iou,
            "seam": float(np.divide(*np.mean(differences, axis=0))),
            "canvas_s": seconds / len(records),
            "kept_object_s": seconds / max(1, kept),
        }


def seam(record: CanvasRecord, folder: Path) -> tuple[float, float]:
    """Mean difference of pixels a few apart across the edges of regions, and across lines beside them, where no object is."""
    assert record.file_name is not None
    image = read_rgb(folder / record.file_name).astype(np.float32).mean(-1)
    ground = np.ones(image.shape, bool)
    for region in record.regions:
        if region.segmentation is not None:
            ground &= ~cv2.dilate(rle.decode(region.segmentation).astype(np.uint8), np.ones((9, 9))).astype(bool)
    across: list[float] = []
    beside: list[float] = []
    for turned in (False, True):
        pixels, free = (image.T, ground.T) if turned else (image, ground)
        for region in record.regions:
            left, top, width, height = region.region_xywh
            if turned:
                left, top, width, height = top, left, height, width
            columns = slice(left, left + width)
            for edge, outwards in ((top, -1), (top + height, 1)):
                for line, found in ((edge, across), (edge + outwards * BESIDE_PX, beside)):
                    rows = line - HALF_PX, line + HALF_PX
                    if rows[0] >= 0 and rows[1] < len(pixels):
                        both = free[rows[0], columns] & free[rows[1], columns]
                        found += np.abs(pixels[rows[1], columns] - pixels[rows[0], columns])[both].tolist()
    return float(np.mean(across)), float(np.mean(beside))


def main() -> None:
    cli = parser(__doc__)
    cli.add_argument("--canvases", type=int, default=24)
    cli.add_argument("--only", choices=LAYOUTS, nargs="*", default=LAYOUTS)
    args = cli.parse_args()
    rows: dict[str, dict[str, float]] = {}
    print(f"| | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}", flush=True)
    for name in args.only:
        rows[name] = measure(LAYOUTS[name], args.canvases, args.pipeline)
        print(f"| {name} | {' | '.join(format(rows[name][key], form) for key, form in COLUMNS.items())} |", flush=True)
    write_results(args.json, {"canvases": args.canvases, "rows": rows})


if __name__ == "__main__":
    main()
