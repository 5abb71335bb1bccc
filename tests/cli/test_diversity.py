"""The commands diversity and semantics, in one process, on a small run of the bundled model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.command_line import call
from support.hand_made_runs import disc, make_run, region

from mosaicfusion.run.folder import RunFolder

SMALL = [
    *("--categories", "banana, teapot", "-n", "3", "--grid", "2x2", "--steps", "4"),
    *("--set", "layout.region_hw_px=[64,64]", "--set", "layout.overlap_xy_px=[16,16]"),
    *("--set", "masks.min_area=0", "--set", "masks.max_area=1", "--policy", "not_exhaustive"),
]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "run"
    result = call("generate", *SMALL, "--out", path)
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture
def run(generated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(generated, tmp_path / "run"))


class TestDiversity:
    def test_a_run_is_compared_with_itself(self, run: Path) -> None:
        result = call("diversity", run, "--against", run, "--mask-background", "--device", "cpu")
        assert result.exit_code == 0, result.output
        values = json.loads((run / "diversity.json").read_text())
        assert {category["category"] for category in values["categories"]} == {"banana", "teapot"}
        assert values["features"] == "efficientnet_lite0"
        assert 1 < values["vendi"] <= values["instances"]
        assert "Vendi real" in result.stdout
        assert "pairs of the same category: scores of the whole set need 100" in result.stdout
        assert "Diversity" in (run / "report.html").read_text()

    def test_a_json_with_its_images_writes_only_the_output_file(self, run: Path, tmp_path: Path) -> None:
        before = sorted(path.name for path in run.iterdir())
        assert call("diversity", run / "lvis.json", "--images", run, "--per-category", "6").exit_code == 0
        assert sorted(path.name for path in run.iterdir()) == before
        result = call("diversity", run / "lvis.json", "--images", run, "--per-category", "6", "-o", tmp_path / "d.json")
        assert result.exit_code == 0
        assert json.loads((tmp_path / "d.json").read_text())["instances"] <= 12

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["none.json"], "cannot read none.json"),
            (["none.json", "--images", "."], "cannot read none.json"),
            (["."], "holds no run (no run.json)"),
            (["{run}", "--against", "none.json"], "cannot read none.json"),
            (["{run}", "--against", "{run}/lvis.json", "--images", "."], "there is no image images/000"),
            (["{run}", "--features", "nope"], "timm has no pretrained model 'nope'"),
            (["{run}", "--device", "cuda:99"], "device 'cuda:99' cannot be used"),
        ],
    )
    def test_invalid_arguments_are_refused(
        self, run: Path, arguments: list[str], message: str, tmp_path: Path, monkeypatch: Any
    ) -> None:
        (tmp_path / "empty").mkdir()
        monkeypatch.chdir(tmp_path / "empty")
        result = call("diversity", *(argument.replace("{run}", str(run)) for argument in arguments))
        assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
        assert not (run / "diversity.json").exists()
        assert list((tmp_path / "empty").iterdir()) == []

    def test_a_run_without_a_compiled_data_set_is_measured(self, run: Path, tmp_path: Path) -> None:
        copied = tmp_path / "copy"
        shutil.copytree(run, copied)
        (copied / "lvis.json").unlink()
        assert call("diversity", copied).exit_code == 0


class TestSemantics:
    def test_every_region_has_a_line_in_order(self, run: Path, clip: Path) -> None:
        result = call("semantics", run, "--clip", clip, "--device", "cpu")
        assert result.exit_code == 0, result.output
        lines = [json.loads(line) for line in (run / "semantics.jsonl").read_text().splitlines()]
        regions = [
            (r.index, k, region.category) for r in RunFolder.open(run).records() for k, region in enumerate(r.regions)
        ]
        assert [(line["canvas"], line["region"], line["category"]) for line in lines] == regions
        assert all(1 <= line["rank"] <= 158 and 0 <= line["probability"] <= 1 for line in lines)
        assert "among 158 categories" in result.stdout
        assert f"note: `mosaicfusion report {run} --min-semantics 0.1` leaves out" in result.stderr
        assert "mistaken for" in (run / "report.html").read_text()

    def test_a_second_call_computes_nothing(self, run: Path, clip: Path) -> None:
        call("semantics", run, "--clip", clip)
        once = (run / "semantics.jsonl").read_bytes()
        call("semantics", run, "--clip", clip)
        assert (run / "semantics.jsonl").read_bytes() == once

    def test_more_categories_and_templates_can_be_given(self, run: Path, clip: Path, tmp_path: Path) -> None:
        more = {"categories": [{"id": 1, "name": "kite"}, {"id": 2, "name": "teapot"}, {"id": 3, "name": "<b>"}]}
        (tmp_path / "more.json").write_text(json.dumps(more | {"categories": more["categories"][:2]}))
        (tmp_path / "texts.txt").write_text("a {name}\na drawing of a {name}\n")
        options = ("--vocabulary", tmp_path / "more.json", "--templates", tmp_path / "texts.txt")
        assert "among 3" in call("semantics", run, "--clip", clip, *options).stdout

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["."], "holds no run"),
            (["{run}", "--clip", "nope"], "there is no CLIP model 'nope'"),
            (["{run}", "--vocabulary", "none.json"], "cannot read none.json"),
            (["{run}", "--templates", "none.txt"], "cannot read none.txt"),
            (["{run}", "--templates", "{bad}", "--clip", "{clip}"], "must hold {name} exactly once"),
        ],
    )
    def test_invalid_arguments_are_refused(
        self, run: Path, clip: Path, arguments: list[str], message: str, tmp_path: Path, monkeypatch: Any
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "bad.txt").write_text("a photo\n")
        places = {"{run}": run, "{clip}": clip, "{bad}": tmp_path / "bad.txt"}
        result = call("semantics", *(places.get(argument, argument) for argument in arguments))
        assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
        assert not (run / "semantics.jsonl").exists()


class TestMinSemantics:
    def test_report_rejects_regions_that_show_something_else(self, run: Path, clip: Path) -> None:
        assert "run `mosaicfusion semantics` on the run first" in call("report", run, "--min-semantics", "0.5").stderr
        call("semantics", run, "--clip", clip)
        lines = [json.loads(line) for line in (run / "semantics.jsonl").read_text().splitlines()]
        kept = {
            (r.index, k) for r in RunFolder.open(run).records() for k, region in enumerate(r.regions) if region.kept
        }
        probabilities = sorted(line["probability"] for line in lines if (line["canvas"], line["region"]) in kept)
        minimum = probabilities[len(probabilities) // 2]
        result = call("report", run, "--min-semantics", minimum)
        assert result.exit_code == 0, result.output
        wrong = sum(probability < minimum for probability in probabilities)
        assert f"{wrong} wrong object" in result.stdout
        assert len(json.loads((run / "lvis.json").read_text())["annotations"]) == len(kept) - wrong
        assert "wrong object" in (run / "report.html").read_text()
        assert "wrong object" not in call("report", run, "--min-semantics", "0").stdout

    def test_generate_judges_and_continues_with_the_same_model(self, run: Path, clip: Path) -> None:
        result = call("generate", *SMALL, "--out", run, "--min-semantics", "1", "--clip", clip)
        assert result.exit_code == 0, result.output
        assert "wrong object" in result.stdout
        before = (run / "semantics.jsonl").read_bytes()
        more = [argument if argument != "3" else "4" for argument in SMALL]
        assert call("generate", *more, "--out", run).exit_code == 0
        after = (run / "semantics.jsonl").read_bytes()
        assert after.startswith(before)
        assert len(after.splitlines()) == 8 * 4

    def test_an_unknown_model_is_refused_before_anything_is_generated(self, tmp_path: Path) -> None:
        result = call("generate", *SMALL, "--clip", "nope", "--min-semantics", "0.2", "--out", tmp_path / "new")
        assert result.exit_code == 2
        assert "there is no CLIP model 'nope'" in result.stderr
        assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize("minimum", ["-0.1", "1.1", "nan"])
    def test_a_threshold_out_of_range_is_refused(self, run: Path, minimum: str) -> None:
        before = (run / "run.json").read_bytes()
        assert call("report", run, "--min-semantics", minimum).exit_code == 2
        assert (run / "run.json").read_bytes() == before


class TestMarkBackground:
    @pytest.fixture
    def scene(self, tmp_path: Path) -> Path:
        """A disc in a small region; the other disc was not asked for."""
        return make_run(tmp_path / "scene", [[region(0, disc(0), region_xywh=(8, 16, 32, 32))]]).path

    def test_what_is_found_is_listed_as_not_exhaustive(self, scene: Path, clip: Path) -> None:
        refused = call("report", scene, "--mark-background", "0.5")
        assert (refused.exit_code, "run `mosaicfusion semantics` on the run first" in refused.stderr) == (2, True)
        (scene / "kites.json").write_text(json.dumps({"categories": [{"id": 1, "name": "kite"}]}))
        result = call("semantics", scene, "--clip", clip, "--vocabulary", scene / "kites.json", "--device", "cpu")
        assert "windows of 1 canvas where nothing is annotated; a category at a probability of 0.5 on" in result.stdout
        (line,) = (json.loads(line) for line in (scene / "background.jsonl").read_text().splitlines())
        best = line["found"][0]
        result = call("report", scene, "--policy", "not_exhaustive", "--mark-background", best["probability"])
        assert "1 canvas with a category on the background" in result.stdout
        (image,) = json.loads((scene / "lvis.json").read_text())["images"]
        assert best["category_id"] in image["not_exhaustive_category_ids"]
        assert "1 canvases." in (scene / "report.html").read_text()

    def test_generate_searches_before_it_compiles(self, run: Path, clip: Path) -> None:
        result = call("generate", *SMALL, "--out", run, "--mark-background", "0.9", "--clip", clip)
        assert "0 canvases with a category on the background" in result.stdout, result.output
        assert len((run / "background.jsonl").read_text().splitlines()) == 6


@pytest.mark.parametrize("command", ["diversity", "semantics"])
def test_help_has_examples(command: str) -> None:
    output = call(command, "--help").stdout
    assert "Example" in output
    assert f"mosaicfusion {command}" in output
