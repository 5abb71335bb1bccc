"""Invalid instances of the bundled model's runs, before and after each filter: wrong labels and bad masks.

    python -m miniature.assets --work build/mini            # the drawings, once: the judge is trained on them
    python -m benchmarks.audit --work build/mini --runs build/audit --sheet build/audit/sheet.png

Generates mosaics of 2 x 2 and 4 x 4 regions and scenes, 38 canvases in all; a run that exists in --runs under one of these names
is taken as it is. Nothing here is the truth, which generated images lack. The estimates: a label is wrong where the judge of
`mini_model/recognition.py`, which is not the CLIP that filters, recognises something else in the object's box, with other objects
painted over; less strictly, where CLIP's first choice is something else too. A mask is bad where its IoU with GrabCut's from the
same box is below 0.5. The sheet shows 120 random instances, to count by eye how far the estimates are right, and which masks hold
several objects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

import mosaicfusion as mf
from benchmarks.mini_model.common import parser, write_results
from benchmarks.mini_model.judge import Judge, load_judge
from miniature.vocabulary import load_vocabulary
from mosaicfusion.categories import Selection
from mosaicfusion.generation.selection import vocabulary_for
from mosaicfusion.masks import rle
from mosaicfusion.masks.iou import mask_iou
from mosaicfusion.models.segmenters import GrabCut
from mosaicfusion.quality.agreement import annotate
from mosaicfusion.quality.semantics import classify_regions
from mosaicfusion.report.overlays import mask_on_crop
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord

RUNS: dict[str, tuple[str, int, dict[str, object]]] = {
    "mosaics 2x2": ("mosaics", 16, {"layout": {"grids": ("2x2",)}}),
    "mosaics 4x4": ("dense", 8, {"layout": {"grids": ("4x4",)}}),
    "scenes": ("scenes", 14, {"layout": {"kind": "scene"}}),
}
"""Name of the folder, canvases, and settings."""

MIN_QUALITY, MIN_SEMANTICS, BAD_IOU = 0.9, 0.1, 0.5
MARGIN = 1.15  # of the box's longer side
PER_LAYOUT, ACROSS, TILE_PX = 40, 12, 150


@dataclass(frozen=True)
class Instance:
    """A requested object. Without a mask, ``reason`` says why, and only the label was estimated.

    ``wrong_label``: for the judge, who sees ``seen``; ``neither``: for CLIP as well.
    """

    name: str
    reason: str | None
    seen: str
    wrong_label: bool
    neither: bool
    bad_mask: bool
    quality: float
    semantics: float
    tile: np.ndarray

    @property
    def invalid(self) -> bool:
        """True if an estimate says so, the judge's for the label, or without a mask."""
        return self.wrong_label or self.bad_mask or self.reason is not None


def open_run(folder: Path, count: int, settings: dict[str, object]) -> RunFolder:
    """A run of ``count`` canvases with as many main categories, evenly chosen of the vocabulary; generated unless it exists."""
    if not (folder / "lvis.json").exists():
        known = vocabulary_for("mini")
        names = [category.name for category in known]
        main = known.select([names[k * len(names) // count] for k in range(count)])
        mf.generate(Selection(main, known), folder, canvases_per_category=1, config=settings)
    return RunFolder.open(folder)


def view(image: np.ndarray, record: CanvasRecord, k: int) -> np.ndarray:
    """The square around an object, with what others cover painted in the colour of the rest: uint8 (H, W, 3)."""
    region = record.regions[k]
    left, top, width, height = region.region_xywh
    if not region.kept:
        return image[top : top + height, left : left + width]
    own = rle.decode(region.amodal_segmentation or region.segmentation or {})
    others = np.zeros(record.hw_px, np.bool_)
    for number, other in enumerate(record.regions):
        if number != k and other.kept:
            others |= rle.decode(other.segmentation or {})
    others &= ~rle.decode(region.segmentation or {})
    left, top, width, height = (round(value) for value in rle.box_xywh(own))
    side = round(MARGIN * max(width, height))
    y, x = top + (height - side) // 2, left + (width - side) // 2
    window = np.s_[max(0, y) : y + side, max(0, x) : x + side]
    crop, plain = image[window].copy(), ~(others | own)[window]
    crop[others[window]] = np.median(crop[plain], axis=0) if plain.any() else 124
    return np.asarray(crop)


def audit(run: RunFolder, judge: Judge) -> list[Instance]:
    """All requested objects of a run with their estimates."""
    semantics = {(line.canvas, line.region): line for line in classify_regions(run, "mini")}
    entries = [entry.prompt_name for entry in load_vocabulary()]
    numbers = {category.id: entries.index(category.display_name) for category in run.categories}
    instances = []
    for record in run.records():
        image, pairs = run.read_image(record), annotate(run, record, GrabCut())
        views = [view(image, record, k) for k in range(len(record.regions))]
        for k, (region, pair, guess) in enumerate(zip(record.regions, pairs, judge.classify(views), strict=True)):
            wrong, by_clip = bool(guess != numbers[region.category_id]), semantics[record.index, k]
            instances.append(
                Instance(
                    name=region.category,
                    reason=region.reason,
                    seen=entries[guess],
                    wrong_label=wrong,
                    neither=wrong and by_clip.rank > 1,
                    bad_mask=pair is not None and mask_iou(*pair) < BAD_IOU,
                    quality=region.quality or 0.0,
                    semantics=by_clip.probability,
                    tile=tile(image, record, k),
                )
            )
    return instances


def tile(image: np.ndarray, record: CanvasRecord, k: int) -> np.ndarray:
    """A region with its mask, uint8 (TILE_PX, TILE_PX, 3)."""
    region = record.regions[k]
    left, top, width, height = region.region_xywh
    window, size = np.s_[top : top + height, left : left + width], (TILE_PX, TILE_PX)
    crop = np.asarray(cv2.resize(image[window], size, interpolation=cv2.INTER_AREA), np.uint8)
    if not region.kept:
        return crop
    mask = rle.decode(region.segmentation or {})[window].astype(np.uint8)
    return mask_on_crop(crop, np.asarray(cv2.resize(mask, size)) > 0, (255, 0, 255))


SHARES = ("wrong_label", "neither", "bad_mask", "invalid")
FILTERS: dict[str, Callable[[Instance], bool]] = {
    "requested": lambda one: True,
    "with a mask": lambda one: one.reason is None,
    f"min_quality {MIN_QUALITY}": lambda one: one.reason is None and one.quality >= MIN_QUALITY,
    f"min_semantics {MIN_SEMANTICS}": lambda one: one.reason is None and one.semantics >= MIN_SEMANTICS,
    "both": lambda one: one.reason is None and one.quality >= MIN_QUALITY and one.semantics >= MIN_SEMANTICS,
}


def shares(instances: list[Instance]) -> dict[str, dict[str, float]]:
    """For each filter the instances that pass, and the shares of invalid ones among them."""
    rows = {}
    for name, passes in FILTERS.items():
        left = [one for one in instances if passes(one)]
        row = {key: round(float(np.mean([getattr(one, key) for one in left])), 4) for key in SHARES}
        rows[name] = {"instances": len(left), **row}
    return rows


def sheet(instances: list[Instance]) -> Image.Image:
    """Instances with their number and the requested category."""
    page = Image.new("RGB", (ACROSS * TILE_PX, -(-len(instances) // ACROSS) * (TILE_PX + 14)), "white")
    pen = ImageDraw.Draw(page)
    for number, one in enumerate(instances):
        x, y = number % ACROSS * TILE_PX, number // ACROSS * (TILE_PX + 14)
        page.paste(Image.fromarray(one.tile), (x, y + 14))
        pen.text((x + 2, y), f"{number} {one.name}", fill="black")
    return page


def main() -> None:
    cli = parser(__doc__)
    cli.add_argument("--runs", type=Path, default=Path("build/audit"), help="folder of the runs")
    cli.add_argument("--sheet", type=Path, help="also write random instances here")
    args = cli.parse_args()
    judge, rng = load_judge(args.work), np.random.default_rng(0)
    results, shown = {}, []
    print("| | filter | instances | wrong label | for CLIP too | bad mask | invalid |\n|---|---|---|---|---|---|---|")
    for layout, (name, count, settings) in RUNS.items():
        run = open_run(args.runs / name, count, settings)
        instances = audit(run, judge)
        kept = [one for one in instances if one.reason is None]
        shown += [kept[k] for k in sorted(rng.choice(len(kept), min(PER_LAYOUT, len(kept)), replace=False))]
        results[layout] = {"canvases": run.total, "filters": shares(instances)}
        for filter_, row in shares(instances).items():
            values = " | ".join(f"{row[key]:.1%}" for key in SHARES)
            print(f"| {layout} | {filter_} | {row['instances']:.0f} | {values} |", flush=True)
    if args.sheet:
        sheet(shown).save(args.sheet)
    listed = [{key: value for key, value in asdict(one).items() if key not in ("tile", "reason")} for one in shown]
    write_results(args.json, {"judge_ceiling": judge.ceiling, "layouts": results, "sheet": listed})


if __name__ == "__main__":
    main()
