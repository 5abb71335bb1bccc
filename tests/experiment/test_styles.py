"""AP by style, on a hand-made set where the answer is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shapes import CATEGORIES, DISC, HW, annotation, draw_shape

from mosaicfusion.experiment.styles import score_styles


def write_two_discs(folder: Path) -> tuple[Path, list[dict[str, Any]]]:
    """A set of two images with a disc each, the first flat, the second solid; and perfect detections of both."""
    rows = [annotation(k, k, DISC, draw_shape(DISC, np.random.default_rng(k))) for k in (1, 2)]
    styled = [{**row, "style": style} for row, style in zip(rows, ("flat", "solid"), strict=True)]
    lists: dict[str, Any] = {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    images = [{"id": k, "file_name": f"{k}.png", "height": HW[0], "width": HW[1], **lists} for k in (1, 2)]
    path = folder / "val.json"
    path.write_text(json.dumps({"images": images, "annotations": styled, "categories": CATEGORIES}))
    keys = ("image_id", "category_id", "bbox", "segmentation")
    return path, [{**{key: row[key] for key in keys}, "score": row["id"] / 2} for row in rows]


def test_only_the_style_that_is_found_scores(tmp_path: Path) -> None:
    val, (flat, _) = write_two_discs(tmp_path)
    found = tmp_path / "found.json"
    found.write_text(json.dumps([flat]))
    styles = score_styles(val, found)
    assert list(styles) == ["flat", "solid"]
    assert [styles[style]["AP"] for style in styles] == pytest.approx([1, 0])
    assert styles["flat"]["AP_f"] == pytest.approx(1)
    assert styles["flat"]["AP_r"] is None


def test_a_find_in_another_style_is_no_error(tmp_path: Path) -> None:
    """The solid disc is found with the better score: in the whole set right, in the flat style ignored."""
    val, detections = write_two_discs(tmp_path)
    found = tmp_path / "found.json"
    found.write_text(json.dumps(detections))
    assert [style["AP"] for style in score_styles(val, found).values()] == pytest.approx([1, 1])
