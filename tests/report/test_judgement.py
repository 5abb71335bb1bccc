"""The report's section on agreement with annotators."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mosaicfusion.report.html import write_report
from mosaicfusion.run.folder import RunFolder

ENTRY: dict[str, Any] = {
    "model": "OpenCV 5",
    "instances": 12,
    "mean_iou": 0.9,
    "median_iou": 0.95,
    "categories": {"tea_pot": {"instances": 5, "mean_iou": 0.8}, "umbrella": {"instances": 7, "mean_iou": 0.97}},
    "quality": {
        "pearson": 0.81,
        "spearman": 0.76,
        "thresholds": [
            {"share": 1.0, "min_quality": 0.2, "instances": 12, "mean_iou": 0.9},
            {"share": 0.5, "min_quality": 0.93, "instances": 6, "mean_iou": 0.98},
        ],
    },
}


def page(run: RunFolder, judgement: Any) -> str:
    (run.path / "judge.json").write_text(judgement if isinstance(judgement, str) else json.dumps(judgement))
    return Path(write_report(run)).read_text()


def test_figures_worst_category_first(run_of: Callable[..., RunFolder]) -> None:
    text = page(run_of([None]), {"grabcut": ENTRY})
    assert "grabcut, OpenCV 5: mean IoU 90.0 %, median 95.0 %." in text
    assert "Pearson 0.81, Spearman 0.76" in text
    assert "best 50% by quality: from 0.93" in text
    assert "best 100%" not in text
    agreement = text[text.index('id="mask-agreement"') :]
    assert agreement.index("tea pot") < agreement.index(">umbrella<")


def test_nothing_was_judged(run_of: Callable[..., RunFolder]) -> None:
    assert "Mask agreement" not in Path(write_report(run_of([None]))).read_text()


def test_names_from_outside_do_no_harm(run_of: Callable[..., RunFolder]) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    entry = {**ENTRY, "model": hostile, "categories": {hostile: {"instances": 5, "mean_iou": 0.8}}, "quality": None}
    text = page(run_of([None]), {hostile: entry})
    assert hostile not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text


def test_a_damaged_file_is_said(run_of: Callable[..., RunFolder]) -> None:
    assert "judge.json is damaged" in page(run_of([None]), "{<b>")
