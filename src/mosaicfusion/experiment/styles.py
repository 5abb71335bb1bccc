"""AP by drawing style, to compare gains in the style of the synthetic data and in others."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mosaicfusion.dataset.coco import DatasetFile
from mosaicfusion.detectors.evaluation.evaluate import GroundTruth, score
from mosaicfusion.detectors.evaluation.results import read_results
from mosaicfusion.experiment.result import Metrics


class _Annotation(msgspec.Struct):
    style: str | None = None


def score_styles(val: Path, results: Path) -> dict[str, Metrics]:
    """Mask metrics by style, for each value of the annotations' field ``style``, sorted; empty without the field.

    Detections of objects of other styles are ignored. False positives count in every style, so a style's AP is lower than that
    of the whole set: compare variants, not styles.
    """
    styles = [row.style for row in DatasetFile.open(val).parse("annotations", list[_Annotation])]
    truth, detections = GroundTruth.open(val), read_results(results)
    return {
        style: score(truth.counting_only([one == style for one in styles]), detections, ["mask"])["mask"].metrics
        for style in sorted({style for style in styles if style})
    }
