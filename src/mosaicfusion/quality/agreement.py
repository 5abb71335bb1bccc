"""How far our masks and an annotator's agree: mean IoU as in the paper, which has 77.2 % against SAM.

run/
  quality/judge-sam/part-00000112.jsonl   one line for each canvas of that part: {"index": 112, "iou": [0.91, null, ...]}
  judge.json                              overall, by category and by quality, for each annotator that was asked
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.atomic import write_atomic
from mosaicfusion.masks import rle
from mosaicfusion.masks.iou import mask_iou
from mosaicfusion.models.segmenters import Annotator
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord, RegionRecord

MaskPair = tuple[NDArray[np.bool_], NDArray[np.bool_]]

_SHARES = (1.0, 0.9, 0.75, 0.5)  # of the instances, best quality first


def judge_masks(
    run: RunFolder, annotator: Annotator, on_progress: Callable[[float, int], None] | None = None
) -> dict[str, Any]:
    """Prompt the annotator with the box of every mask and compare; parts that it judged before are not judged again.

    All masks of the run count, whatever its policy and thresholds. Writes ``judge.json`` and returns the annotator's entry::

        {"model": "OpenCV 5.0.0", "instances": 811, "mean_iou": 0.86, "median_iou": 0.9,
         "categories": {"kite": {"instances": 6, "mean_iou": 0.8}},
         "quality": {"pearson": 0.5, "spearman": 0.6,
                     "kept": [{"share": 0.9, "min_quality": 0.7, "instances": 730, "mean_iou": 0.88}]}}

    ``quality`` relates IoU to the masks' quality, and is ``None`` where they have none or all are equal. Raises
    :class:`MosaicFusionError`, also if there is no mask at all.
    """
    rows: list[tuple[str, float | None, float]] = []  # category, quality, IoU
    for records, ious in _judged_parts(run, annotator, on_progress or (lambda done, total: None)):
        for record, found in zip(records, ious, strict=True):
            for region, iou in zip(record.regions, found, strict=True):
                if iou is not None:
                    rows.append((region.category, region.quality, iou))
    if not rows:
        raise MosaicFusionError(f"{run.path} holds no mask to judge")
    result = {"model": annotator.model, **_summarize(rows)}
    whole = {**read_judgements(run.path), annotator.name: result}
    write_atomic(run.path / "judge.json", json.dumps(whole, indent=1, ensure_ascii=False).encode())
    return result


def read_judgements(folder: Path) -> dict[str, Any]:
    """``judge.json`` of a run, annotator -> its entry as :func:`judge_masks` describes it; empty if there is none.

    Raises :class:`MosaicFusionError` if it is damaged.
    """
    path = folder / "judge.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        for entry in found.values():
            if not isinstance(entry["model"], str):
                raise TypeError("the model is no text")
            numbers = [entry["instances"], entry["mean_iou"], entry["median_iou"]]
            numbers += [c[key] for c in entry["categories"].values() for key in ("instances", "mean_iou")]
            quality = entry["quality"] or {"pearson": 0, "spearman": 0, "kept": []}
            numbers += [quality["pearson"], quality["spearman"]]
            numbers += [k[key] for k in quality["kept"] for key in ("share", "min_quality", "instances", "mean_iou")]
            if not all(isinstance(number, int | float) for number in numbers):
                raise TypeError("a figure is not a number")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise MosaicFusionError(f"{path} is damaged ({error}); delete it and judge the run again") from None
    return dict(found)


def annotate(run: RunFolder, record: CanvasRecord, annotator: Annotator) -> list[MaskPair | None]:
    """Our mask and the annotator's, bool (H, W) each, for every region of a canvas; ``None`` for a rejected one.

    Raises :class:`MosaicFusionError` if the image or a mask cannot be read.
    """
    ours = [_decode(run, record, region) if region.kept else None for region in record.regions]
    boxes = [rle.box_xywh(mask) for mask in ours if mask is not None]
    theirs = iter(annotator.segment(run.read_image(record), boxes) if boxes else ())
    return [None if mask is None else (mask, next(theirs)) for mask in ours]


def _decode(run: RunFolder, record: CanvasRecord, region: RegionRecord) -> NDArray[np.bool_]:
    try:
        mask = rle.decode(region.segmentation or {})
        if mask.shape != record.hw_px or not mask.any():
            raise ValueError(f"{np.count_nonzero(mask)} pixels on {mask.shape}")
    except (ValueError, TypeError, AttributeError) as error:
        raise MosaicFusionError(f"a mask of canvas {record.index} in {run.path} is damaged ({error})") from None
    return mask


def _judged_parts(
    run: RunFolder, annotator: Annotator, on_progress: Callable[[float, int], object]
) -> Iterator[tuple[list[CanvasRecord], list[list[float | None]]]]:
    """Canvases and the IoUs of their regions, a part at a time."""
    folder = run.path / "quality" / f"judge-{annotator.name}"
    total, done, last = len(run.done()), 0, -1
    for file in run.part_files():
        records = [record for record in run.read_part(file) if record.index > last]
        if not records:
            continue  # parts of two batch sizes may overlap
        last = records[-1].index
        ious = _known(folder / file.name, records, annotator)
        if ious is None:
            ious = []
            for record in records:
                on_progress(done + len(ious), total)
                ious.append(_compare(run, record, annotator))
            lines = [{"index": r.index, "iou": found} for r, found in zip(records, ious, strict=True)]
            text = "".join(json.dumps(line) + "\n" for line in (annotator.identity, *lines))
            write_atomic(folder / file.name, text.encode())
        done += len(records)
        on_progress(done, total)
        yield records, ious


def _known(path: Path, records: Sequence[CanvasRecord], annotator: Annotator) -> list[list[float | None]] | None:
    """What this very annotator found earlier, if it fits the records."""
    try:
        head, *lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        found = {line["index"]: line["iou"] for line in lines}
        ious = [found[record.index] for record in records]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not judged yet, or not by us: judged again
    kept = [[region.kept for region in record.regions] for record in records]
    fits = head == annotator.identity and kept == [[isinstance(iou, float) for iou in found] for found in ious]
    return ious if fits else None


def _compare(run: RunFolder, record: CanvasRecord, annotator: Annotator) -> list[float | None]:
    return [pair and round(mask_iou(*pair), 4) for pair in annotate(run, record, annotator)]


def _summarize(rows: Sequence[tuple[str, float | None, float]]) -> dict[str, Any]:
    by_category = defaultdict(list)
    for category, _, iou in rows:
        by_category[category].append(iou)
    ious = [iou for _, _, iou in rows]
    qualities = [quality for _, quality, _ in rows if quality is not None]
    return {
        "instances": len(ious),
        "mean_iou": round(float(np.mean(ious)), 4),
        "median_iou": round(float(np.median(ious)), 4),
        "categories": {
            name: {"instances": len(found), "mean_iou": round(float(np.mean(found)), 4)}
            for name, found in sorted(by_category.items())
        },
        "quality": relate(qualities, ious) if len(qualities) == len(ious) else None,
    }


def relate(qualities: Sequence[float], ious: Sequence[float]) -> dict[str, Any] | None:
    """Correlation of quality and IoU, and what is left above some thresholds; ``None`` if either does not vary."""
    from scipy import stats

    if min(len(set(qualities)), len(set(ious))) < 2:
        return None
    order = np.argsort(qualities)[::-1]
    best, ious_best = np.asarray(qualities)[order], np.asarray(ious)[order]
    counts = [max(1, round(share * len(ious))) for share in _SHARES]
    return {
        "pearson": round(float(stats.pearsonr(qualities, ious)[0]), 4),
        "spearman": round(float(stats.spearmanr(qualities, ious)[0]), 4),
        "kept": [
            {
                "share": share,
                "min_quality": float(best[count - 1]),
                "instances": count,
                "mean_iou": round(float(ious_best[:count].mean()), 4),
            }
            for share, count in zip(_SHARES, counts, strict=True)
        ],
    }
