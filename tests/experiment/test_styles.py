"""AP by style, on a hand-made set with a known answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.shapes_set import CATEGORIES, DISC, HW, annotation, random_shape

from mosaicfusion.experiment.styles import score_styles


def write_two_discs(folder: Path) -> tuple[Path, list[dict[str, Any]]]:
    """Write two images with a disc each, the first flat, the second solid; return the json and perfect detections."""
    rows = [annotation(k, k, DISC, random_shape(DISC, np.random.default_rng(k))) for k in (1, 2)]
    styled = [{**row, "style": style} for row, style in zip(rows, ("flat", "solid"), strict=True)]
    lists: dict[str, Any] = {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    images = [{"id": k, "file_name": f"{k}.png", "height": HW[0], "width": HW[1], **lists} for k in (1, 2)]
    path = folder / "val.json"
    path.write_text(json.dumps({"images": images, "annotations": styled, "categories": CATEGORIES}))
    keys = ("image_id", "category_id", "bbox", "segmentation")
    return path, [{**{key: row[key] for key in keys}, "score": row["id"] / 2} for row in rows]


def test_only_the_detected_style_scores(tmp_path: Path) -> None:
    val, (flat, _) = write_two_discs(tmp_path)
    results = tmp_path / "found.json"
    results.write_text(json.dumps([flat]))
    styles = score_styles(val, results)
    assert list(styles) == ["flat", "solid"]
    assert [styles[style]["AP"] for style in styles] == pytest.approx([1, 0])
    assert styles["flat"]["AP_f"] == pytest.approx(1)
    assert styles["flat"]["AP_r"] is None


def test_a_detection_in_another_style_is_ignored(tmp_path: Path) -> None:
    """The solid disc has the higher score: a true positive in the whole set, ignored in the flat style."""
    val, detections = write_two_discs(tmp_path)
    results = tmp_path / "found.json"
    results.write_text(json.dumps(detections))
    assert [style["AP"] for style in score_styles(val, results).values()] == pytest.approx([1, 1])
