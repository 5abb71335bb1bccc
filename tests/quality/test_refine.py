"""Refining a run made by hand: new masks, kept values, linked images, and calls that are refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.folders import read_files
from support.hand_made_runs import CANVAS_HW, disc, make_run, region

from mosaicfusion.config import OutputSettings
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.build_dataset import build_dataset
from mosaicfusion.masks import rle
from mosaicfusion.masks.iou import mask_iou
from mosaicfusion.models.segmenters import GrabCut
from mosaicfusion.quality.agreement import judge_masks
from mosaicfusion.quality.refine import refine_run
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.records import RegionRecord


class FixedAnnotator:
    """An annotator that gives the same masks for every image."""

    name: Any = "sam"
    model = "fixed"
    identity: dict[str, str] = {"weights": "fixed"}  # noqa: RUF012

    def __init__(self, *masks: np.ndarray[Any, Any]) -> None:
        self.masks = masks

    def segment(self, image: np.ndarray[Any, Any], boxes_xywh: Sequence[Sequence[float]]) -> np.ndarray[Any, Any]:
        return np.stack(self.masks[: len(boxes_xywh)])


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Discs of 20 pixels in place of 16; one rejected region; a canvas without a mask."""
    return make_run(
        tmp_path / "run",
        [
            [region(0, disc(0, 20), quality=0.7), region(1, disc(1, 20))],
            [region(0, None), region(1, disc(1, 20))],
            [region(0, None), region(1, None)],
        ],
    )


def test_masks_areas_and_boxes_are_new_and_earlier_values_are_kept(run: RunFolder, tmp_path: Path) -> None:
    before = read_files(run.path)
    refined = refine_run(run, GrabCut(), tmp_path / "new")
    assert read_files(run.path) == before
    old, new = list(run.records()), list(refined.records())
    assert [record.index for record in new] == [0, 1, 2]
    first, was = new[0].regions[0], old[0].regions[0]
    mask = rle.decode(first.segmentation or {})
    assert mask_iou(mask, disc(0)) > 0.95 > 0.7 > mask_iou(rle.decode(was.segmentation or {}), disc(0))
    assert (first.area, list(first.box_xywh or ())) == (mask.sum(), rle.box_xywh(mask))
    assert first.replaced == {
        "area": was.area,
        "box_xywh": list(was.box_xywh or ()),
        "segmentation": was.segmentation,
        "amodal_segmentation": None,
        "score": was.score,
        "quality": 0.7,
        "measures": {},
        "replaced": None,
    }
    assert first.quality == pytest.approx(mask_iou(mask, rle.decode(was.segmentation or {})), abs=1e-4)
    assert new[1].regions[0] == old[1].regions[0]  # stays rejected
    assert new[2] == old[2]


def test_pixels_outside_of_the_region_are_removed(run: RunFolder, tmp_path: Path) -> None:
    wide = np.zeros(CANVAS_HW, bool)
    wide[10:30, 20:90] = True
    (record, *_) = refine_run(run, FixedAnnotator(wide, wide), tmp_path / "new").records()
    assert [region.box_xywh for region in record.regions] == [(20, 10, 28, 20), (48, 10, 42, 20)]


def test_component_rules_are_applied_again(run: RunFolder, tmp_path: Path) -> None:
    two = np.zeros(CANVAS_HW, bool)
    two[4:24, 4:20] = two[40:60, 4:20] = True
    nothing = np.zeros(CANVAS_HW, bool)
    refined = refine_run(run, FixedAnnotator(two, nothing), tmp_path / "new")
    first, second = next(iter(refined.records())).regions
    assert (first.reason, second.reason) == ("several_components", "empty_mask")
    assert (first.segmentation, first.box_xywh, first.area, first.quality) == (None, None, 0, None)
    assert first.replaced is not None and first.replaced["segmentation"]["size"] == list(CANVAS_HW)
    assert build_dataset(refined).instances == 0


def test_images_are_links_or_copies(run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "images/000/000000000002.jpg"
    linked, copied = (refine_run(run, GrabCut(), tmp_path / str(copy), copy_images=copy) for copy in (False, True))
    inodes = [(folder.path / name).stat().st_ino for folder in (run, linked, copied)]
    assert inodes[0] == inodes[1] != inodes[2]

    def fail(*_: Any) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "hardlink_to", fail)
    fallback = refine_run(run, GrabCut(), tmp_path / "fallback")
    assert read_files(fallback.path)[name] == read_files(copied.path)[name] == read_files(run.path)[name]


def test_an_interrupted_refinement_is_continued(run: RunFolder, tmp_path: Path) -> None:
    def stop(done: float, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    whole = refine_run(run, GrabCut(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        refine_run(run, GrabCut(), tmp_path / "new", on_progress=stop)
    part = tmp_path / "new" / "parts" / "part-00000000.jsonl"
    written = part.stat().st_mtime_ns
    assert len(list(part.parent.iterdir())) == 1
    assert read_files(refine_run(run, GrabCut(), tmp_path / "new").path) == read_files(whole.path)
    assert part.stat().st_mtime_ns == written


def test_a_refined_run_is_an_ordinary_run(run: RunFolder, tmp_path: Path) -> None:
    """It is compiled, judged and refined once more; it does not inherit the thresholds of the first run."""
    build_dataset(run, OutputSettings(policy="not_exhaustive", masks="polygon", min_quality=0.8))
    refined = refine_run(run, GrabCut(), tmp_path / "new")
    summary = build_dataset(refined)
    assert refined.manifest.output == run.manifest.output.model_copy(update={"min_quality": 0})
    assert summary.instances == 3
    data = json.loads((refined.path / "lvis.json").read_text())
    assert all(isinstance(annotation["segmentation"], list) for annotation in data["annotations"])
    assert judge_masks(refined, GrabCut()).mean_iou > judge_masks(run, GrabCut()).mean_iou
    assert build_dataset(refined, OutputSettings(min_quality=0.999)).rejections["low_quality"] > 0
    again = next(iter(refine_run(refined, FixedAnnotator(disc(0), disc(1)), tmp_path / "again").records())).regions[0]
    assert again.replaced is not None and again.replaced["replaced"]["quality"] == 0.7


class TestScenes:
    """Objects that hide each other: the front one, of 20 px radius, is refined to 16, and the one behind it from 10 to 12."""

    @pytest.fixture
    def scene(self, tmp_path: Path) -> RunFolder:
        back, front = disc(1, 10, dx=-20), disc(1, 20)
        behind = region(1, back & ~front, amodal_segmentation=dict(rle.encode(back)), region_xywh=(24, 0, 72, 64))
        return make_run(tmp_path / "scene", [[behind, region(1, front, "drum")]], layout={"kind": "scene"})

    def refine(self, scene: RunFolder, *theirs: np.ndarray[Any, Any]) -> list[RegionRecord]:
        refined = refine_run(scene, FixedAnnotator(*theirs), scene.path.parent / "new")
        build_dataset(refined)
        (record,) = refined.records()
        return list(record.regions)

    def test_the_hidden_part_stays_and_the_front_one_hides_it(self, scene: RunFolder) -> None:
        old, seen, front = disc(1, 10, dx=-20), disc(1, 12, dx=-20), disc(1, 16)
        regions = self.refine(scene, seen, front)
        visible, whole = (rle.decode(mask or {}) for mask in (regions[0].segmentation, regions[0].amodal_segmentation))
        assert np.array_equal(visible, seen & ~front)
        assert np.array_equal(whole, (seen & ~front) | (old & front))
        assert regions[0].area == visible.sum()
        assert (regions[1].area, regions[1].amodal_segmentation) == (front.sum(), None)
        assert regions[0].replaced is not None
        assert regions[0].replaced["amodal_segmentation"] == dict(rle.encode(old))

    def test_what_is_not_hidden_any_more_is_whole(self, scene: RunFolder) -> None:
        seen = disc(1, 10, dx=-20)
        behind, _ = self.refine(scene, seen, disc(1, 8))
        assert (behind.area, behind.amodal_segmentation) == (seen.sum(), None)

    def test_what_is_hidden_by_now_is_rejected(self, scene: RunFolder) -> None:
        behind, front = self.refine(scene, disc(1, 10, dx=-20), disc(1, 23.9))
        assert (behind.reason, behind.segmentation, front.kept) == ("hidden", None, True)
        assert behind.values["hidden"] > 0.7


class TestRefused:
    def test_the_run_itself_is_refused_as_output(self, run: RunFolder) -> None:
        before = read_files(run.path)
        with pytest.raises(MosaicFusionError, match="is the run itself; give another folder with --out"):
            refine_run(run, GrabCut(), run.path)
        assert read_files(run.path) == before

    def test_another_annotator_and_another_run_are_refused(self, run: RunFolder, tmp_path: Path) -> None:
        refine_run(run, GrabCut(), tmp_path / "new")
        before = read_files(tmp_path / "new")
        with pytest.raises(
            MosaicFusionError, match=r"holds another run.*\n  model\.refined_by\.annotator: 'grabcut' -> None"
        ):
            refine_run(run, FixedAnnotator(disc(0), disc(1)), tmp_path / "new")
        assert read_files(tmp_path / "new") == before

    def test_a_folder_with_other_files_is_refused(self, run: RunFolder, tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.tex").write_text("precious")
        with pytest.raises(MosaicFusionError, match="holds files but no run"):
            refine_run(run, GrabCut(), tmp_path / "mine")
        assert read_files(tmp_path / "mine") == {"thesis.tex": b"precious"}

    def test_invalid_settings_are_refused(self, run: RunFolder, tmp_path: Path) -> None:
        manifest = json.loads((run.path / "run.json").read_text())
        manifest["config"]["masks"]["min_area"] = "<b>"
        (run.path / "run.json").write_text(json.dumps(manifest))
        with pytest.raises(MosaicFusionError, match=r"masks\.min_area"):
            refine_run(RunFolder.open(run.path), GrabCut(), tmp_path / "new")
        assert not (tmp_path / "new").exists()
