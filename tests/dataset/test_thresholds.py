"""Thresholds reject kept regions; data set, summary, report and run.json show it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.folders import read_files
from support.hand_made_runs import disc, make_run, region

from mosaicfusion.config import OutputSettings
from mosaicfusion.dataset.thresholds import accepted, reject_below
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.build_dataset import build_dataset
from mosaicfusion.run.folder import RunFolder
from mosaicfusion.run.reviews import Verdict, append
from mosaicfusion.run.semantics import BackgroundSemantics, Finding, write_semantics


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return make_run(
        tmp_path / "run",
        [
            [region(0, disc(0), quality=0.95), region(1, disc(1), quality=0.7)],
            [region(0, disc(0), quality=0.8), region(1, disc(1), quality=0.9)],
            [region(0, None), region(1, disc(1), quality=0.2)],
        ],
    )


def test_poor_regions_are_rejected_with_reason_and_values(run: RunFolder) -> None:
    records = list(reject_below(run.records(), OutputSettings(min_quality=0.8)))
    reasons = [[region.reason for region in record.regions] for record in records]
    assert reasons == [[None, "low_quality"], [None, None], ["too_small", "low_quality"]]
    assert records[0].regions[1].values == {"quality": 0.7, "min_quality": 0.8}
    assert records[1] == list(run.records())[1]


def test_threshold_zero_rejects_nothing_and_one_all(run: RunFolder) -> None:
    assert list(reject_below(run.records(), OutputSettings())) == list(run.records())
    assert not any(
        region.kept
        for record in reject_below(run.records(), OutputSettings(min_quality=1))
        for region in record.regions
    )


def test_masks_without_a_quality_are_kept(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [[region(0, None), region(1, disc(1), quality=None)]])
    assert list(reject_below(run.records(), OutputSettings())) == list(run.records())
    with pytest.raises(MosaicFusionError, match=r"canvas 0 holds a mask without a quality.*--min-quality 0"):
        list(reject_below(run.records(), OutputSettings(min_quality=0.5)))


class TestCompiled:
    def test_thresholds_show_in_data_set_summary_and_report(self, run: RunFolder) -> None:
        summary = build_dataset(run, OutputSettings(policy="not_exhaustive", min_quality=0.8))
        assert (summary.instances, summary.used, summary.rejections) == (3, 2, {"low_quality": 2, "too_small": 1})
        data = json.loads((run.path / "lvis.json").read_text())
        assert [annotation["quality"] for annotation in data["annotations"]] == [0.95, 0.8, 0.9]
        assert "low quality" in (run.path / "report.html").read_text()

    def test_a_canvas_with_a_poor_mask_is_dropped(self, run: RunFolder) -> None:
        assert build_dataset(run, OutputSettings(policy="drop", min_quality=0.8)).instances == 2

    def test_thresholds_are_remembered_until_changed(self, run: RunFolder) -> None:
        build_dataset(run, OutputSettings(policy="not_exhaustive", min_quality=0.8))
        again = RunFolder.open(run.path)
        assert build_dataset(again).instances == 3
        assert len(list(accepted(again))) == 3
        assert sum(region.kept for record in accepted(again) for region in record.regions) == 3
        assert build_dataset(again, OutputSettings(min_quality=0)).instances == 5
        assert RunFolder.open(run.path).manifest.output.min_quality == 0

    def test_impossible_settings_change_nothing(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "run", [[region(0, disc(0), quality=None)]])
        build_dataset(run)
        before = read_files(run.path)
        with pytest.raises(MosaicFusionError):
            build_dataset(RunFolder.open(run.path), OutputSettings(min_quality=0.5))
        assert read_files(run.path) == before


def test_people_have_the_last_word(run: RunFolder) -> None:
    said: list[tuple[int, int | None, Any, int | None]] = [
        (0, 0, "wrong_mask", None), (0, 1, "accept", None), (1, 0, "relabel", run.categories[1].id), (1, None, "reject", None),
    ]  # fmt: skip
    append(run.path, [Verdict(canvas, k, word, "anna", category_id=id_) for canvas, k, word, id_ in said])
    records = list(accepted(run, OutputSettings(min_quality=0.8)))
    reasons = [[region.reason for region in record.regions] for record in records]
    assert reasons == [["wrong_mask", None], [None, "reviewed"], ["too_small", "low_quality"]]
    assert records[1].regions[0].category_id == run.categories[1].id, "a word on an object outweighs one on its canvas"
    summary = build_dataset(run, OutputSettings(min_quality=0.8, policy="not_exhaustive"))
    assert (summary.used, summary.instances) == (2, 2)
    assert summary.rejections == {"wrong_mask": 1, "too_small": 1, "low_quality": 1, "reviewed": 1}
    assert "rejected by a person" in (run.path / "report.html").read_text()
    assert stats_of(run.path)["annotations"] == 2


def stats_of(path: Path) -> dict[str, int]:
    data = json.loads((path / "lvis.json").read_text())
    return {name: len(rows) for name, rows in data.items() if isinstance(rows, list)}


class TestBackground:
    @pytest.fixture
    def searched(self, run: RunFolder) -> RunFolder:
        kite, drum = (Finding(id_, name, p, (0, 0, 9, 9)) for id_, name, p in ((1, "kite", 0.6), (2, "drum", 0.9)))
        found: list[tuple[Finding, ...]] = [(drum, kite), (), (kite,)]
        write_semantics(run.path, [], [BackgroundSemantics(k, "mini", 3, line) for k, line in enumerate(found)])
        return run

    def not_exhaustive(self, run: RunFolder) -> dict[int, list[int]]:
        images = json.loads((run.path / "lvis.json").read_text())["images"]
        return {image["id"]: image["not_exhaustive_category_ids"] for image in images}

    def test_what_is_seen_on_the_background_is_not_exhaustive(self, searched: RunFolder) -> None:
        assert build_dataset(searched, {"policy": "not_exhaustive", "mark_background": 0.9}).marked == 1
        assert self.not_exhaustive(searched) == {1: [2], 2: [], 3: [1]}, "canvas 2 has a rejected kite"
        assert build_dataset(searched, {"mark_background": 0.5}).marked == 2
        assert self.not_exhaustive(searched) == {1: [1, 2], 2: [], 3: [1]}
        assert build_dataset(searched, {"mark_background": 0}).marked == 0
        assert self.not_exhaustive(searched) == {1: [], 2: [], 3: [1]}

    def test_a_canvas_with_an_unlabelled_object_is_dropped(self, searched: RunFolder) -> None:
        assert build_dataset(searched, {"policy": "drop", "mark_background": 0.9}).instances == 2
        assert self.not_exhaustive(searched) == {2: []}

    def test_a_run_that_was_not_searched_is_refused(self, run: RunFolder) -> None:
        with pytest.raises(MosaicFusionError, match=r"background of canvas 0 was not searched.*--mark-background 0"):
            build_dataset(run, {"mark_background": 0.9})
        assert build_dataset(run).marked == 0
