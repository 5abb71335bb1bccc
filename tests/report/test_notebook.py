"""What notebooks show of a run, a canvas, a data set and an image."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from mosaicfusion import build_dataset, open_dataset
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import RegionRecord

RunOf = Callable[..., RunFolder]
MakeRegion = Callable[..., RegionRecord]


def pictures(html: str) -> list[str]:
    return re.findall(r'<img src="data:image/(\w+);base64,', html)


def test_a_run_has_a_few_pictures_whatever_its_length(run_of: RunOf) -> None:
    html = run_of([None] * 7)._repr_html_()
    assert "7 of 7 canvases" in html
    assert pictures(html) == ["jpeg"] * 4
    assert len(html) < 200_000


def test_a_canvas_lists_its_regions_over_the_masks(run_of: RunOf, region: MakeRegion) -> None:
    (record,) = run_of([[region(0), region(1, "umbrella", "too_small", 3)]]).records()
    html = record._repr_html_()
    assert "umbrella" in html and "too small" in html
    assert pictures(html) == ["png"]


def test_a_summary_has_the_yield_of_each_category(run_of: RunOf, region: MakeRegion) -> None:
    run = run_of([[region(0), region(1, "umbrella", "too_small", 3)]])
    html = build_dataset(run)._repr_html_()
    assert re.search(r"<td>umbrella</td><td>1</td><td>0</td><td>0\.0 %</td>", html)
    assert pictures(html) == ["jpeg"]


def test_a_data_set_and_its_samples_show_masks(run_of: RunOf) -> None:
    run = run_of([None, None])
    build_dataset(run)
    dataset = open_dataset(run.path)
    html = dataset._repr_html_()
    assert "2 images" in html and pictures(html) == ["jpeg"] * 2
    assert pictures(next(iter(dataset))._repr_html_()) == ["jpeg"]


def test_names_are_escaped_and_missing_images_passed_over(tmp_path: Path) -> None:
    box = {"bbox": [0, 0, 2, 2], "area": 4, "iscrowd": 0, "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]]}
    data = {
        "images": [{"id": 1, "file_name": "gone.jpg", "height": 4, "width": 4}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, **box}],
        "categories": [{"id": number, "name": f"<script>{number}"} for number in range(1, 14)],
    }
    (tmp_path / "own.json").write_text(json.dumps(data))
    dataset = open_dataset(tmp_path / "own.json", tmp_path)
    html = dataset._repr_html_()
    assert "<script>" not in html and "&lt;script&gt;1" in html and "... 3 more" in html
    assert pictures(html) == []
    assert "there is no file" in next(iter(dataset))._repr_html_()
