"""Agreement of a run's masks with an annotator: values, resuming, and runs that are refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.hand_made_runs import CANVAS_HW, disc, make_run, region

from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.models.segmenters import GrabCut
from mosaicfusion.quality.agreement import judge_masks, read_judgements, relate
from mosaicfusion.run.folder import RunFolder


class BoxAnnotator:
    """An annotator whose mask is the box itself; counts its calls."""

    name: Any = "grabcut"
    model = "boxes"

    def __init__(self, version: str = "1") -> None:
        self.identity = {"boxes": version}
        self.calls = 0

    def segment(self, image: np.ndarray[Any, Any], boxes_xywh: Sequence[Sequence[float]]) -> np.ndarray[Any, Any]:
        self.calls += 1
        masks = np.zeros((len(boxes_xywh), *image.shape[:2]), bool)
        for mask, box in zip(masks, boxes_xywh, strict=True):
            left, top, width, height = map(int, box)
            mask[top : top + height, left : left + width] = True
        return masks


def block(left: int, top: int, width: int, height: int, cut: int = 0) -> np.ndarray[Any, Any]:
    """A rectangle of the canvas without the first ``cut`` of its rows in the left half: the box stays."""
    mask = np.zeros(CANVAS_HW, bool)
    mask[top : top + height, left : left + width] = True
    mask[top : top + cut, left : left + width // 2] = False
    return mask


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """IoUs with their boxes: 1 and 0.75 for kites, 0.5 + for a drum; one region was rejected."""
    return make_run(
        tmp_path / "run",
        [
            [region(0, block(0, 0, 8, 8), quality=0.9), region(1, block(48, 0, 8, 8, cut=4), quality=0.6)],
            [region(0, None), region(1, block(48, 0, 8, 8, cut=6), category="drum", quality=0.4)],
            [region(0, None), region(1, None)],
        ],
    )


def test_every_value_of_the_result(run: RunFolder) -> None:
    result = judge_masks(run, BoxAnnotator())
    assert (result.model, result.instances, result.mean_iou) == ("boxes", 3, round((1 + 0.75 + 0.625) / 3, 4))
    assert result.model_dump()["categories"] == {
        "drum": {"instances": 1, "mean_iou": 0.625},
        "kite": {"instances": 2, "mean_iou": 0.875},
    }
    assert result.quality is not None
    assert result.quality.spearman == 1
    assert result.quality.thresholds[-1].model_dump() == {
        "share": 0.5,
        "min_quality": 0.6,
        "instances": 2,
        "mean_iou": 0.875,
    }
    assert read_judgements(run.path) == {"grabcut": result}


def test_grabcut_agrees_with_a_disc_and_not_with_a_shifted_one(tmp_path: Path) -> None:
    regions = [region(0, disc(0), category="kite"), region(1, disc(1, dx=10), category="drum")]
    by_category = judge_masks(make_run(tmp_path / "run", [regions]), GrabCut()).categories
    assert by_category["kite"].mean_iou > 0.95
    assert by_category["drum"].mean_iou < 0.8


def test_results_of_two_annotators_are_kept(run: RunFolder) -> None:
    judge_masks(run, BoxAnnotator())
    other = BoxAnnotator()
    other.name = "sam"
    judge_masks(run, other)
    assert list(read_judgements(run.path)) == ["grabcut", "sam"]
    assert other.calls == 2


def test_judged_parts_are_not_judged_again(run: RunFolder) -> None:
    first, second, changed = BoxAnnotator(), BoxAnnotator(), BoxAnnotator("2")
    seen: list[tuple[float, int]] = []
    result = judge_masks(run, first, lambda done, total: seen.append((done, total)))
    assert (first.calls, seen[0], seen[-1]) == (2, (0, 3), (3, 3))  # a canvas without a mask is left out
    assert (judge_masks(run, second), second.calls) == (result, 0)
    (run.path / "quality" / "judge-grabcut" / "part-00000000.jsonl").write_text("[]\n{")
    judge_masks(run, second)
    assert second.calls == 2
    judge_masks(run, changed)
    assert changed.calls == 2


def test_overlapping_parts_count_once(run: RunFolder) -> None:
    """Overlapping parts, such as after failed canvases were generated again with their batch."""
    apart = judge_masks(run, BoxAnnotator())
    run.write_part(list(run.records())[1:2])
    seen: list[tuple[float, int]] = []
    assert judge_masks(run, BoxAnnotator("2"), lambda done, total: seen.append((done, total))) == apart
    assert seen[-1] == (3, 3)


def test_an_interrupted_judgement_is_continued(run: RunFolder) -> None:
    """The first part stays judged."""

    def stop(done: float, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    annotator = BoxAnnotator()
    with pytest.raises(KeyboardInterrupt):
        judge_masks(run, annotator, stop)
    assert not (run.path / "judge.json").exists()
    judge_masks(run, annotator)
    assert annotator.calls == 2


def test_masks_without_a_quality_have_no_correlation(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [[region(0, disc(0), quality=None), region(1, disc(1))]])
    assert judge_masks(run, BoxAnnotator()).quality is None
    assert relate([0.5, 0.5], [0.1, 0.9]) is None


class TestRefused:
    def test_a_run_without_a_mask_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(MosaicFusionError, match="has no mask to judge"):
            judge_masks(make_run(tmp_path / "run", [[region(0, None)]]), BoxAnnotator())

    def test_a_missing_image_or_one_of_another_size_is_refused(self, run: RunFolder) -> None:
        from PIL import Image

        image = run.path / "images" / "000" / "000000000001.jpg"
        Image.new("RGB", (8, 8)).save(image)
        with pytest.raises(
            MosaicFusionError, match=r"1\.jpg has \(8, 8\) pixels \(height, width\), its record \(64, 96\)"
        ):
            judge_masks(run, BoxAnnotator())
        image.unlink()
        with pytest.raises(MosaicFusionError, match=r"1\.jpg cannot be read as an image"):
            judge_masks(run, BoxAnnotator())
        assert not (run.path / "judge.json").exists()

    @pytest.mark.parametrize(
        "segmentation",
        [None, {}, {"size": [64, 96], "counts": "0"}, {"size": [1, 1], "counts": "01"}, {"size": 5, "counts": ""}],
    )
    def test_a_damaged_mask_is_refused(self, tmp_path: Path, segmentation: Any) -> None:
        run = make_run(tmp_path / "run", [[region(0, disc(0), segmentation=segmentation)]])
        with pytest.raises(MosaicFusionError, match=r"is damaged"):
            judge_masks(run, BoxAnnotator())

    @pytest.mark.parametrize(
        "text",
        [
            "{",
            "[]",
            '{"sam": 1}',
            '{"sam": {"instances": "<b>"}}',
            "\x00",
            '{"sam": {"instances": 1, "mean_iou": null}}',
            '{"sam": {"instances": 1, "mean_iou": 1, "median_iou": 1, "categories": {}, "quality": null}}',
        ],
    )
    def test_a_damaged_judgement_is_refused(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "judge.json").write_text(text)
        with pytest.raises(MosaicFusionError, match=r"judge\.json is damaged .*; delete it and judge the run again"):
            read_judgements(tmp_path)

    def test_text_in_place_of_a_number_is_refused(self, run: RunFolder) -> None:
        judge_masks(run, BoxAnnotator())
        whole = json.loads((run.path / "judge.json").read_text())
        whole["grabcut"]["categories"]["kite"]["mean_iou"] = "<script>"
        (run.path / "judge.json").write_text(json.dumps(whole))
        with pytest.raises(MosaicFusionError, match=r"grabcut\.categories\.kite\.mean_iou: '<script>' is not a number"):
            read_judgements(run.path)
