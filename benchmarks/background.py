"""Findings of CLIP on the backgrounds of scenes, where nothing was asked for, and how much of what is there.

    mosaicfusion experiment minilvis --detectors mask_rcnn --only scenes --out exp  # its scenes; any other run of scenes will do
    python -m benchmarks.background exp/synthetic/scenes --json benchmarks/results/background.json

The windows of `mosaicfusion semantics`. False alarms: windows in which nothing is annotated; --sheet writes the most probable
ones, to check by eye that there is nothing. Recall: each object in turn counts as not annotated, and the windows that this frees
are searched for it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.mini_model.common import write_results
from mosaicfusion.models.clip import load_clip
from mosaicfusion.models.zero_shot import TEMPLATES, Clip, text_vectors
from mosaicfusion.quality.background import Window, background_windows
from mosaicfusion.quality.semantics import choices, compare
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord

THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95)
TILE_PX, ACROSS, DOWN = 128, 10, 6


@dataclass(frozen=True)
class View:
    """A window of a canvas: its pixels, and what CLIP makes of it, (vocabulary,) probabilities."""

    canvas: int
    pixels: np.ndarray
    probability: np.ndarray


def views(run: RunFolder, record: CanvasRecord, windows: list[Window], clip: Clip, texts: np.ndarray) -> list[View]:
    """Classify windows of a canvas."""
    if not windows:
        return []
    image = run.read_image(record)
    crops = [image[top : top + height, left : left + width] for left, top, width, height in windows]
    rows = compare(clip, crops, texts)[1]
    return [View(record.index, crop, row) for crop, row in zip(crops, rows, strict=True)]


def freed(record: CanvasRecord) -> Iterator[tuple[str, list[Window]]]:
    """Each kept object's category, and the windows that are background only without its annotation."""
    before = set(background_windows(record))
    for k, region in enumerate(record.regions):
        if region.kept and len(record.regions) > 1:
            left_out = replace(record, regions=record.regions[:k] + record.regions[k + 1 :])
            yield region.category, [window for window in background_windows(left_out) if window not in before]


def sheet(found: list[View], names: list[str]) -> Image.Image:
    """The most probable windows with their category."""
    page = Image.new("RGB", (ACROSS * TILE_PX, DOWN * (TILE_PX + 14)), "white")
    pen = ImageDraw.Draw(page)
    for k, view in enumerate(sorted(found, key=lambda view: -view.probability.max())[: ACROSS * DOWN]):
        x, y = k % ACROSS * TILE_PX, k // ACROSS * (TILE_PX + 14)
        page.paste(Image.fromarray(view.pixels).resize((TILE_PX - 2, TILE_PX - 2)), (x, y + 14))
        pen.text((x, y), f"{names[view.probability.argmax()]} {view.probability.max():.2f}", fill="black")
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run of scenes")
    parser.add_argument("--json", type=Path, help="also write the results here")
    parser.add_argument("--sheet", type=Path, help="also write the most probable windows here")
    args = parser.parse_args()
    run, clip = RunFolder.open(args.run), load_clip("mini", "cpu")
    vocabulary = choices(run)
    names, texts = [category.name for category in vocabulary], text_vectors(clip, vocabulary, TEMPLATES)
    empty: list[View] = []
    own: list[float] = []
    for record in run.records():
        empty += views(run, record, background_windows(record), clip, texts)
        for name, windows in freed(record):
            tops = [view.probability for view in views(run, record, windows, clip, texts)]
            own.append(max((row.max() for row in tops if names[row.argmax()] == name), default=0.0))
    best = np.array([view.probability.max() for view in empty])
    rows: dict[str, dict[str, float]] = {}
    print(f"{run.total} scenes, {len(empty)} windows without an object, {len(own)} objects left out in turn")
    print("| threshold | windows without an object | canvases | objects found |\n|---|---|---|---|")
    for threshold in THRESHOLDS:
        canvases = len({view.canvas for view in empty if view.probability.max() >= threshold})
        alarms, found = float((best >= threshold).mean()), float((np.array(own) >= threshold).mean())
        rows[str(threshold)] = {"windows": round(alarms, 4), "canvases": canvases, "objects": round(found, 4)}
        print(f"| {threshold} | {alarms:.1%} | {canvases} of {run.total} | {found:.0%} |")
    if args.sheet:
        sheet(empty, names).save(args.sheet)
    write_results(args.json, {"scenes": run.total, "windows": len(empty), "objects": len(own), "thresholds": rows})


if __name__ == "__main__":
    main()
