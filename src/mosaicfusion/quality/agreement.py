"""Agreement of our masks with an annotator's: mean IoU, as in the paper, which reports 77.2 % against SAM.

run/
  quality/judge-sam/part-00000112.jsonl   one line for each canvas of that part: {"index": 112, "iou": [0.91, null, ...]}
  judge.json                              overall, by category and by quality, for each annotator that judged the run
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from mosaicfusion.arguments import checked
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.files.atomic import write_atomic
from mosaicfusion.masks import rle
from mosaicfusion.masks.iou import mask_iou
from mosaicfusion.models.segmenters import Annotator, AnnotatorName, as_annotator
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import CanvasRecord, RegionRecord
from mosaicfusion.settings import problems

if TYPE_CHECKING:
    from mosaicfusion.progress import OnProgress

MaskPair = tuple[NDArray[np.bool_], NDArray[np.bool_]]

_SHARES = (1.0, 0.9, 0.75, 0.5)  # of the instances, best quality first


class _Row(NamedTuple):
    category: str
    quality: float | None
    iou: float


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class CategoryAgreement(_Result):
    """Mean IoU over the masks of one category."""

    instances: int
    mean_iou: float


class ThresholdAgreement(_Result):
    """Mean IoU over the masks with at least ``min_quality``, which are the ``share`` of all, in (0, 1]."""

    share: float
    min_quality: float
    instances: int
    mean_iou: float


class QualityRelation(_Result):
    """Correlation of the masks' quality and their IoU, and the mean IoU above thresholds of quality."""

    pearson: float
    spearman: float
    thresholds: tuple[ThresholdAgreement, ...]


class Judgement(_Result):
    """An annotator's entry in ``judge.json``. ``quality`` is ``None`` where masks have none or all are equal."""

    model: str
    instances: int
    mean_iou: float
    median_iou: float
    categories: dict[str, CategoryAgreement]
    quality: QualityRelation | None


_JUDGEMENTS = TypeAdapter(dict[str, Judgement])


@checked
def judge_masks(
    run: RunFolder | str | Path,
    annotator: Annotator | AnnotatorName = "grabcut",
    on_progress: OnProgress | None = None,
) -> Judgement:
    """Prompt the annotator with the box of every mask and compare; parts that it has judged before are not judged again.

    ``annotator``: one of :func:`mosaicfusion.models.segmenters.load_annotator`, or its name. All masks of the run count, whatever
    its policy and thresholds. Writes ``judge.json`` and returns the annotator's entry. Raises :class:`MosaicFusionError`, also if
    the run has no mask at all.
    """
    run, annotator, rows = RunFolder.of(run), as_annotator(annotator), list[_Row]()
    for records, ious in _judge_parts(run, annotator, on_progress or (lambda done, total: None)):
        for record, region_ious in zip(records, ious, strict=True):
            for region, iou in zip(record.regions, region_ious, strict=True):
                if iou is not None:
                    rows.append(_Row(region.category, region.quality, iou))
    if not rows:
        raise MosaicFusionError(f"{run.path} has no mask to judge")
    judgement = _summarize(annotator.model, rows)
    judgements = {**read_judgements(run.path), annotator.name: judgement}
    write_atomic(run.path / "judge.json", _JUDGEMENTS.dump_json(judgements, indent=1))
    return judgement


def read_judgements(folder: Path) -> dict[str, Judgement]:
    """``judge.json`` of a run: annotator -> its entry; empty if there is none.

    Raises :class:`MosaicFusionError` if it is damaged.
    """
    path = folder / "judge.json"
    try:
        return _JUDGEMENTS.validate_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValidationError) as error:
        problem = problems(error)[0] if isinstance(error, ValidationError) else error
        raise MosaicFusionError(f"{path} is damaged ({problem}); delete it and judge the run again") from None


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


def _judge_parts(
    run: RunFolder, annotator: Annotator, on_progress: OnProgress
) -> Iterator[tuple[list[CanvasRecord], list[list[float | None]]]]:
    """Canvases and the IoUs of their regions, one part at a time."""
    folder = run.path / "quality" / f"judge-{annotator.name}"
    total, done, last = int(run.done().sum()), 0, -1
    for file in run.part_files():
        records = [record for record in run.read_part(file) if record.index > last]
        if not records:
            continue  # parts of two batch sizes may overlap
        last = records[-1].index
        ious = _earlier_ious(folder / file.name, records, annotator)
        if ious is None:
            ious = []
            for record in records:
                on_progress(done + len(ious), total)
                ious.append(_compare(run, record, annotator))
            lines = [{"index": record.index, "iou": canvas} for record, canvas in zip(records, ious, strict=True)]
            text = "".join(json.dumps(line) + "\n" for line in (annotator.identity, *lines))
            write_atomic(folder / file.name, text.encode())
        done += len(records)
        on_progress(done, total)
        yield records, ious


def _earlier_ious(path: Path, records: Sequence[CanvasRecord], annotator: Annotator) -> list[list[float | None]] | None:
    """IoUs from an earlier call with the same annotator, if they fit the records."""
    try:
        head, *lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        by_index = {line["index"]: line["iou"] for line in lines}
        ious = [by_index[record.index] for record in records]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not judged yet, or not a file of ours: judge it again
    kept = [[region.kept for region in record.regions] for record in records]
    fits = head == annotator.identity and kept == [[isinstance(iou, float) for iou in canvas] for canvas in ious]
    return ious if fits else None


def _compare(run: RunFolder, record: CanvasRecord, annotator: Annotator) -> list[float | None]:
    return [pair and round(mask_iou(*pair), 4) for pair in annotate(run, record, annotator)]


def _summarize(model: str, rows: Sequence[_Row]) -> Judgement:
    by_category = defaultdict(list)
    for row in rows:
        by_category[row.category].append(row.iou)
    ious = [row.iou for row in rows]
    qualities = [row.quality for row in rows if row.quality is not None]
    return Judgement(
        model=model,
        instances=len(ious),
        mean_iou=_mean(ious),
        median_iou=round(float(np.median(ious)), 4),
        categories={
            name: CategoryAgreement(instances=len(some), mean_iou=_mean(some))
            for name, some in sorted(by_category.items())
        },
        quality=relate(qualities, ious) if len(qualities) == len(ious) else None,
    )


def relate(qualities: Sequence[float], ious: Sequence[float]) -> QualityRelation | None:
    """Relate quality and IoU of the same masks; ``None`` if either does not vary."""
    from scipy import stats

    if min(len(set(qualities)), len(set(ious))) < 2:
        return None
    order = np.argsort(qualities)[::-1]
    best_qualities, best_ious = np.asarray(qualities)[order], np.asarray(ious)[order]
    counts = [max(1, round(share * len(ious))) for share in _SHARES]
    return QualityRelation(
        pearson=round(float(stats.pearsonr(qualities, ious)[0]), 4),
        spearman=round(float(stats.spearmanr(qualities, ious)[0]), 4),
        thresholds=tuple(
            ThresholdAgreement(
                share=share,
                min_quality=float(best_qualities[count - 1]),
                instances=count,
                mean_iou=_mean(best_ious[:count]),
            )
            for share, count in zip(_SHARES, counts, strict=True)
        ),
    )


def _mean(ious: Sequence[float] | NDArray[np.float64]) -> float:
    return round(float(np.mean(ious)), 4)
