"""judge, refine and --min-quality on the command line: tables, exit codes, and the files that remain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command_line import call
from support.folders import read_files
from support.hand_made_runs import disc, make_run, region

from mosaicfusion.run.folder import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return make_run(
        tmp_path / "run",
        [
            [region(0, disc(0), quality=0.95), region(1, disc(1, 20), category="drum", quality=0.4)],
            [region(0, None), region(1, disc(1), quality=0.9)],
        ],
    )


class TestJudge:
    def test_judge_writes_table_file_and_report(self, run: RunFolder) -> None:
        result = call("judge", run.path, "--annotator", "grabcut")
        assert result.exit_code == 0, result.output
        for words in ("our masks against grabcut", "kite", "drum", "quality and IoU: Pearson", "report.html"):
            assert words in result.stdout
        (judgement,) = json.loads((run.path / "judge.json").read_text()).values()
        assert judgement["categories"]["drum"]["mean_iou"] < 0.8 < judgement["categories"]["kite"]["mean_iou"]
        report = (run.path / "report.html").read_text()
        assert "Mask agreement" in report
        assert call("report", run.path).exit_code == 0
        assert (run.path / "report.html").read_text() == report

    def test_worst_and_best_of_many_categories(self, tmp_path: Path) -> None:
        canvases = [
            [region(0, disc(0, 10 + k), category=f"kite {k:02d}"), region(1, disc(1, 10 + k), category=f"drum {k:02d}")]
            for k in range(7)
        ]
        output = call("judge", make_run(tmp_path / "run", canvases).path).stdout
        assert sum(f"{name} {k:02d}" in output for name in ("kite", "drum") for k in range(7)) == 10

    def test_sam_is_loaded_from_a_folder(self, run: RunFolder, tmp_path: Path) -> None:
        from support.tiny_models import save_sam

        model = save_sam(tmp_path / "sam")
        result = call("judge", run.path, "-a", "sam", "-m", model, "--device", "cpu")
        assert result.exit_code == 0, result.output
        assert json.loads((run.path / "judge.json").read_text())["sam"]["instances"] == 3

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["-a", "sam", "-m", "no such model"], "there is no folder no such model"),
            (["-a", "sam2", "-m", "nobody/nothing"], "check the name and the network, or give a local folder"),
            (["-a", "grabcut", "-m", "x"], "grabcut has no weights"),
            (["-a", "sam", "-m", ".", "--device", "cuda:99"], "device 'cuda:99' cannot be used"),
        ],
    )
    def test_invalid_arguments_are_refused(self, run: RunFolder, arguments: list[str], message: str) -> None:
        before = read_files(run.path)
        result = call("judge", run.path, *arguments)
        assert (result.exit_code, message in result.stderr) == (2, True), result.output
        assert read_files(run.path) == before

    def test_a_folder_without_a_run_is_refused(self, tmp_path: Path) -> None:
        result = call("judge", tmp_path / "none")
        assert (result.exit_code, "holds no run" in result.stderr) == (2, True)


class TestRefine:
    def test_refine_writes_a_new_run(self, run: RunFolder, tmp_path: Path) -> None:
        call("report", run.path)
        before = read_files(run.path)
        result = call("refine", run.path, "--out", tmp_path / "new")
        assert result.exit_code == 0, result.output
        assert "3 instances in" in call("report", tmp_path / "new", "--policy", "not_exhaustive").stdout
        assert read_files(run.path) == before
        old, new = (
            {p for p in read_files(folder) if p.endswith((".jpg", ".jsonl"))} for folder in (run.path, tmp_path / "new")
        )
        assert old == new
        assert call("refine", run.path, "--out", tmp_path / "new").exit_code == 0
        assert call("judge", tmp_path / "new").exit_code == 0

    def test_invalid_arguments_are_refused(self, run: RunFolder, tmp_path: Path) -> None:
        for arguments, message in (
            ((run.path, "--out", run.path), "is the run itself"),
            ((tmp_path / "none", "--out", tmp_path / "new"), "holds no run"),
            ((run.path, "--out", tmp_path / "new", "-a", "sam", "-m", "none"), "there is no folder none"),
        ):
            result = call("refine", *arguments)
            assert (result.exit_code, message in result.stderr) == (2, True), result.output
        assert not (tmp_path / "new").exists()


class TestMinQuality:
    def test_report_applies_the_threshold(self, run: RunFolder) -> None:
        output = call("report", run.path, "--policy", "not_exhaustive", "--min-quality", "0.5").stdout
        assert "regions rejected: 1 low quality, 1 too small" in output
        assert "2 instances in" in output
        assert "2 instances in" in call("report", run.path).stdout
        assert "3 instances in" in call("report", run.path, "--min-quality", "0").stdout

    @pytest.mark.parametrize("value", ["-0.1", "1.5", "much"])
    def test_invalid_arguments_are_refused(self, run: RunFolder, tmp_path: Path, value: str) -> None:
        assert call("report", run.path, "--min-quality", value).exit_code == 2
        assert call("generate", "--out", tmp_path / "new", "--min-quality", value).exit_code == 2
        assert not (tmp_path / "new").exists()

    def test_generate_applies_the_threshold_to_the_data_set_only(self, tmp_path: Path) -> None:
        """Masks, measures and qualities do not depend on the threshold; the data set does."""
        small = ["--grid", "1x1", "--steps", "2", "--set", "layout.region_hw_px=[64,64]", "--set", "masks.min_area=0"]
        result = call("generate", "-c", "banana", "-n", "1", *small, "--min-quality", "1", "-o", tmp_path / "run")
        assert result.exit_code == 0, result.output
        assert "0 instances in" in result.stdout
        run = RunFolder.open(tmp_path / "run")
        assert run.manifest.output.min_quality == 1
        ((region,),) = [record.regions for record in run.records()]
        assert region.kept and set(region.measures) >= {"stability", "refinement", "separation", "edge", "touch"}
        assert region.quality is not None and 0 < region.quality < 1
        assert "1 instance in" in call("report", tmp_path / "run", "--min-quality", "0").stdout


@pytest.mark.parametrize("command", ["judge", "refine"])
def test_help_has_examples(command: str) -> None:
    output = call(command, "--help").stdout
    assert f"mosaicfusion {command}" in output
