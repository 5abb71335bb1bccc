"""AP by the style of a drawing: whether a gain is in the style that the drawn data has, or in all of them."""

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
    """AP of masks by style, for each value of the annotations' field ``style``, in order; empty without it.

    Detections of objects in another style are ignored. Those of no object at all count in every style, so a style's AP is
    lower than that of the whole set: compare variants, not styles.
    """
    styles = [row.style for row in DatasetFile.open(val).parse("annotations", list[_Annotation])]
    truth, found = GroundTruth.open(val), read_results(results)
    return {
        style: score(truth.counting_only([one == style for one in styles]), found, ["mask"])["mask"].metrics
        for style in sorted({style for style in styles if style})
    }
