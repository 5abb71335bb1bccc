"""The command line, in one process: what is printed, exit codes, and the files that remain."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from PIL import Image
from support.command_line import call
from support.folders import read_files

TINY = [
    *("--grid", "1x2", "--steps", "2"),
    *("--set", "layout.region_hw_px=[64,64]", "--set", "layout.overlap_xy_px=[16,16]", "--set", "layout.group_size=2"),
    *("--set", "masks.min_area=0", "--set", "masks.max_area=1"),
]
TWO = ["--categories", "banana, teapot", "--canvases-per-category", "1", *TINY]


def generate(out: Path, *arguments: Any) -> Result:
    result = call("generate", *TWO, "--out", out, *arguments)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "run"
    generate(path)
    return path


class TestGenerate:
    def test_prints_a_table_and_where_the_data_are(self, run: Path) -> None:
        output = generate(run).stdout
        assert "2 canvases" in output
        assert "banana" in output
        assert f"{run / 'lvis.json'}" in output
        assert f"report: {run / 'report.html'}" in output

    def test_same_seed_same_bytes(self, run: Path, tmp_path: Path) -> None:
        generate(tmp_path / "again", "--seed", "0")
        assert read_files(tmp_path / "again")["lvis.json"] == read_files(run)["lvis.json"]

    def test_settings_of_the_device_change_no_byte(
        self, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        compiled: list[Any] = []  # tests/diffusion/test_compilation.py compiles: it takes minutes
        monkeypatch.setattr("mosaicfusion.diffusion.compilation.compile_parts", compiled.append)
        generate(tmp_path / "again", "--compile", "--offload", "--vae-tiling")
        assert [backend.vae.use_tiling for backend in compiled] == [True]
        for name in ("run.json", "lvis.json"):
            assert read_files(tmp_path / "again")[name] == read_files(run)[name]

    def test_config_of_an_earlier_run_gives_the_same_run(self, run: Path, tmp_path: Path) -> None:
        names = ("--categories", "banana,teapot", "-n", "1")
        result = call("generate", *names, "--config", run / "run.json", "--out", tmp_path / "again")
        assert result.exit_code == 0, result.output
        one, two = (json.loads((path / "run.json").read_text()) for path in (run, tmp_path / "again"))
        assert one == two
        assert read_files(tmp_path / "again")["lvis.json"] == read_files(run)["lvis.json"]

    def test_flags_and_settings_override_the_config(self, run: Path, tmp_path: Path) -> None:
        """One changed setting leaves the others of its group as in the file."""
        changes = ("--seed", "4", "--guidance", "2", "--set", "masks.rounds=1")
        names = ("--categories", "banana,teapot", "-n", "1")
        call("generate", *names, "--config", run / "run.json", *changes, "--out", tmp_path / "new")
        old, new = (json.loads((path / "run.json").read_text())["config"] for path in (run, tmp_path / "new"))
        assert (new["seed"], new["sampling"]["guidance"], new["masks"]["rounds"]) == (4, 2, 1)
        assert new["sampling"]["steps"] == old["sampling"]["steps"] == 2
        assert new["masks"]["max_area"] == old["masks"]["max_area"] == 1
        assert new["layout"] == old["layout"]

    def test_names_are_read_from_a_file_with_main_categories(self, tmp_path: Path) -> None:
        (tmp_path / "names.txt").write_text("# fruit\nbanana\n\nteapot\n", encoding="utf-8-sig")
        out = tmp_path / "run"
        result = call("generate", "-c", tmp_path / "names.txt", "--main", "teapot", "-n", "1", *TINY, "--out", out)
        assert result.exit_code == 0, result.output
        categories = json.loads((out / "run.json").read_text())["categories"]
        assert [c["name"] for c in categories["main"]] == ["teapot"]
        assert [c["name"] for c in categories["partners"]] == ["banana", "teapot"]

    def test_categories_are_chosen_by_frequency(self, tmp_path: Path) -> None:
        records = [{"id": 5, "name": "banana", "frequency": "f"}, {"id": 6, "name": "teapot", "frequency": "r"}]
        (tmp_path / "lvis.json").write_text(json.dumps({"categories": records}))
        source = ("--vocabulary", tmp_path / "lvis.json", "--frequency", "r", "--partners", "f")
        result = call("generate", *source, "-n", "1", *TINY, "--out", tmp_path / "run")
        assert result.exit_code == 0, result.output
        categories = json.loads((tmp_path / "run" / "run.json").read_text())["categories"]
        assert [(c["id"], c["name"]) for c in categories["main"]] == [(6, "teapot")]
        assert [(c["id"], c["name"]) for c in categories["partners"]] == [(5, "banana")]

    def own_json(self, folder: Path) -> Path:
        """A COCO json without frequencies: 12 images of bananas, one of teapots, an instance on each."""
        images = [{"id": k, "file_name": f"{k}.jpg", "width": 8, "height": 8} for k in range(1, 14)]
        boxes = [
            {"id": k, "image_id": k, "category_id": 1 + (k == 13), "bbox": [0, 0, 4, 4], "area": 16}
            for k in range(1, 14)
        ]
        names = [{"id": 1, "name": "banana"}, {"id": 2, "name": "teapot"}]
        path = folder / "own.json"
        path.write_text(json.dumps({"images": images, "annotations": boxes, "categories": names}))
        return path

    def test_frequencies_are_counted_where_the_json_has_none(self, tmp_path: Path) -> None:
        source = ("--vocabulary", self.own_json(tmp_path), "--frequency", "r")
        result = call("generate", *source, "-n", "1", *TINY, "--out", tmp_path / "run")
        assert result.exit_code == 0, result.output
        main = json.loads((tmp_path / "run" / "run.json").read_text())["categories"]["main"]
        assert [(category["name"], category["frequency"]) for category in main] == [("teapot", "r")]

    def test_the_own_data_are_balanced(self, tmp_path: Path) -> None:
        own = self.own_json(tmp_path)
        arguments = ("generate", "--vocabulary", own, "--balance", own, "--instances-per-category", "5", *TINY)
        planned = call(*arguments, "--dry-run")
        assert re.search(r"teapot\W+1\W+0\W+5\W+5\W+4\W", planned.stdout), "real, synthetic, wanted, after, canvases"
        assert re.search(r"banana\W+12\W+0\W+5\W+16\W+0\W", planned.stdout), planned.output
        assert "others: banana +4; --main teapot --partners main generates only these" in planned.stderr
        result = call(*arguments, "--out", tmp_path / "run")
        assert result.exit_code == 0, result.output
        assert re.search(r"teapot\W+1\W+4\W+5\W+5\W", result.stdout), result.output
        data = json.loads((tmp_path / "run" / "lvis.json").read_text())
        shown = [annotation["category_id"] for annotation in data["annotations"]]
        assert shown.count(2) >= 4

    def test_balance_needs_a_number(self, tmp_path: Path) -> None:
        result = call("generate", "-c", "banana", "--balance", self.own_json(tmp_path), "--out", tmp_path / "run")
        assert result.exit_code == 2
        assert "needs --instances-per-category" in result.output

    def test_interrupt_explains_how_to_continue(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "fsync", interrupt)  # while the first file is written
        result = call("generate", *TWO, "--out", tmp_path / "run")
        assert result.exit_code == 130
        assert "run the same command again to continue" in result.stderr


class TestRefused:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["-c", "bananna"], "does not know 'bananna'; nearest: banana"),
            (["-c", "x" * 10_000], "has 10000 characters; at most 100"),
            (["-c", "<script>alert(1)</script>"], "does not know '<script>alert(1)</script>'"),
            (["-c", "../../etc/passwd"], "does not know '../../etc/passwd'"),
            (["-c", "..."], "must be printable and hold at least one letter"),
            (["-c", ""], "the list of categories is empty"),
            (["-c", " , "], "the list of categories is empty"),
            (["-c", "banana,banana"], "holds the name 'banana' 2 times"),
            (["-c", "none.txt"], "there is no file none.txt"),
            (["--vocabulary", "none.json"], "cannot read none.json: No such file"),
            (["-c", "banana", "--vocabulary", "none.json"], "give --categories or --vocabulary, not both"),
            (["--main", "banana", "--frequency", "r"], "give --main or --frequency, not both"),
            (["-c", "banana", "--main", "teapot"], "the list of categories does not know 'teapot'"),
            (["--frequency", "x"], "frequency 'x' is not among r, c, f"),
            (["--frequency", ""], "is not among r, c, f"),
            (["--partners", "gnu"], "does not know 'gnu'"),
            (["--set", "steps"], "--set 'steps' is not KEY=VALUE"),
            (["--set", "sampling.steps=many"], "sampling.steps: 'many' is not a whole number"),
            (["--set", "sampling.steps.x=1"], "steps holds no settings"),
            (["--set", "layout.centre.x=1"], "layout.centre is given as the value 0.45 and as a group of settings"),
            (["--set", "prompt=5"], "prompt is given as the value 5 and as a group of settings"),
            (
                ["--set", "prompt=null", "--set", "nothing=1"],
                "there is no setting nothing; `mosaicfusion settings` lists all",
            ),
            (["--set", "masks.sigma_luma=Infinity"], "masks.sigma_luma: inf is not a finite number"),
            (["--set", "model=3"], "model: 3 is not a text"),
            (["--grid", "2by2"], "grid '2by2' is not ROWSxCOLUMNS"),
            (["--grid", ""], "grid '' is not ROWSxCOLUMNS"),
            (["--set", "layout.region_hw_px=[100,100]"], "region_hw_px=(100, 100) must be multiples of 8"),
            (["--set", "layout.region_hw_px=[32,32]"], "the model needs 64"),
            (["--set", "layout.overlap_xy_px=[20,20]"], "overlap_xy_px=(20, 20) must be multiples of 16"),
            (["--template", "a photo"], "must hold {name} exactly once"),
            (["--backgrounds", "none.txt"], "cannot read none.txt"),
            (["--scheduler", "magic"], "scheduler 'magic'"),
            (["--preset", "huge"], "unknown preset 'huge'"),
            (["--config", "none.json"], "cannot read the settings in none.json"),
            (["--config", "none.json", "--preset", "mini"], "give --preset or --config, not both"),
            (["-c", "banana", "--model", "no such model"], "there is no model folder no such model"),
            (["--model", "x" * 5000, "-c", "banana"], "there is no model folder"),
            (["--model", "nobody/nothing"], "cannot get nobody/nothing from the model hub"),
            (["--device", "cuda:99"], "device 'cuda:99' cannot be used"),
        ],
    )
    def test_invalid_arguments_exit_with_2_and_leave_no_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        result = call("generate", "--out", "run", *arguments)
        assert result.exit_code == 2
        assert message in result.stderr
        assert result.stderr.lstrip().startswith("error: ")
        assert read_files(tmp_path) == {}
        assert not (tmp_path / "run").exists()


def test_a_dry_run_of_an_existing_run_shows_what_is_new(run: Path, tmp_path: Path) -> None:
    before = read_files(run)
    arguments = ("generate", "-c", "banana, teapot", *TINY, "--dry-run", "--out", run)
    more = call(*arguments, "-n", "3")
    assert re.search(r"canvases\W+4\W", more.stdout) and re.search(r"canvases that exist\W+2\W", more.stdout)
    assert "nothing to do: all canvases exist" in call(*arguments, "-n", "1").stdout
    other = call(*arguments, "--seed", "8")
    assert other.exit_code == 2
    assert "holds another run; give another --out, or undo:\n  config.seed: 0 -> 8" in other.stderr
    assert read_files(run) == before


def test_only_a_dry_run_needs_no_folder() -> None:
    assert call("generate", "-c", "banana", "--dry-run").exit_code == 0
    result = call("generate", "-c", "banana")
    assert (result.exit_code, result.stderr[:40]) == (2, "error: give the folder of the run with -")


class TestPartOfAVocabulary:
    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        path = tmp_path / "own.json"
        names = ["Teapot", "my gadget", "Banana"]
        path.write_text(json.dumps({"categories": [{"id": k, "name": name} for k, name in enumerate(names)]}))
        return path

    def test_the_known_ones_are_offered(self, source: Path) -> None:
        refused = call("generate", "--vocabulary", source, "--dry-run")
        assert refused.exit_code == 2
        assert refused.stderr.endswith("or go on with those that it knows: --main 'Teapot, Banana'\n")

    def test_what_is_left_out_is_noted(self, source: Path) -> None:
        result = call("generate", "--vocabulary", source, "--main", "Teapot, Banana", "--dry-run")
        assert result.exit_code == 0, result.output
        assert "note: the model 'mini' does not know 1 category, left out: my gadget" in result.stderr


def test_a_limit_that_was_reached_is_named_with_a_number_to_try(tmp_path: Path) -> None:
    arguments = ("--instances-per-category", "2", "-n", "2", "--min-quality", "1", *TINY)
    result = call("generate", "-c", "banana", *arguments, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert (
        "rejected: banana (0 of 2 after 2 canvases), the limit; try --canvases-per-category 7, or less than --min-quality 1"
        in result.stdout
    )

    def test_an_empty_file_of_backgrounds_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "scenes.txt").write_text("# none yet\n")
        result = call("generate", "--backgrounds", tmp_path / "scenes.txt", "--out", tmp_path / "run")
        assert result.exit_code == 2
        assert "holds no background; write one per line" in result.stderr

    @pytest.mark.parametrize("arguments", [["--steps", "0"], ["-n", "0"], ["--seed", "-1"], ["--policy", "keep"]])
    def test_flags_out_of_range_are_refused(self, tmp_path: Path, arguments: list[str]) -> None:
        assert call("generate", "--out", tmp_path / "run", *arguments).exit_code == 2
        assert not (tmp_path / "run").exists()

    def test_folders_with_other_files_or_another_run_are_refused(self, run: Path, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").write_text("precious")
        result = call("generate", *TWO, "--out", tmp_path)
        assert (result.exit_code, "holds files but no run" in result.stderr) == (2, True)
        assert read_files(tmp_path) == {"thesis.tex": b"precious"}
        before = read_files(run)
        result = call("generate", *TWO, "--seed", "1", "--out", run)
        assert (result.exit_code, "config.seed: 0 -> 1" in result.stderr) == (2, True)
        assert read_files(run) == before


class TestReport:
    def test_report_compiles_with_other_settings(self, run: Path) -> None:
        assert call("report", run, "--policy", "not_exhaustive", "--masks", "polygon").exit_code == 0
        as_chosen = (run / "lvis.json").read_bytes()
        assert call("report", run).exit_code == 0
        assert (run / "lvis.json").read_bytes() == as_chosen
        data = json.loads((run / "lvis.json").read_text())
        assert data["annotations"]
        assert all(isinstance(annotation["segmentation"], list) for annotation in data["annotations"])
        assert call("report", run, "--policy", "not_exhaustive", "--masks", "rle").exit_code == 0

    def test_a_folder_without_a_run_is_refused(self, tmp_path: Path) -> None:
        result = call("report", tmp_path / "none")
        assert (result.exit_code, "holds no run (no run.json)" in result.stderr) == (2, True)


class TestCategories:
    def test_all_categories_are_listed(self) -> None:
        output = call("categories").stdout
        assert re.search(r"(\d+) of \1 categories", output)
        assert "hot-air balloon" in output or "teapot" in output

    def test_categories_are_searched(self) -> None:
        output = call("categories", "--search", "TEAPOT").stdout
        assert "teapot" in output
        assert "banana" not in output

    def test_a_search_without_a_result_suggests_names(self) -> None:
        result = call("categories", "--search", "bananna")
        assert result.exit_code == 2
        assert "no category contains 'bananna'; nearest: banana" in result.stderr

    def test_a_model_without_a_vocabulary_is_refused(self) -> None:
        assert call("categories", "--model", "owner/name").exit_code == 2


class TestExplain:
    def test_writes_one_figure(self, tmp_path: Path) -> None:
        small = ["--set", "sampling.steps=2", "--set", "layout.region_hw_px=[64,64]"]
        arguments = ("explain", "-c", "banana, teapot", "--seed", "3", *small)
        result = call(*arguments, "--out", tmp_path / "figures")
        assert result.exit_code == 0, result.output
        (figure,) = (tmp_path / "figures").iterdir()
        assert figure.name == "banana-teapot-seed3.png"
        assert str(figure) in result.stdout
        with Image.open(figure) as image:
            assert min(image.size) > 100
        call(*arguments, "--offload", "--out", tmp_path / "again")
        assert (tmp_path / "again" / figure.name).read_bytes() == figure.read_bytes()

    def test_shows_a_scene_as_a_run_delivers_it(self, tmp_path: Path) -> None:
        scene = ["canvas_hw_px=[128,160]", "smallest_px=64", "largest=0.6", "render_scale=2", "max_overlap=1"]
        arguments = [
            word for value in ["sampling.steps=2", *(f"layout.{one}" for one in scene)] for word in ("--set", value)
        ]
        result = call("explain", "-c", "banana, teapot, kite", "--layout", "scene", *arguments, "--out", tmp_path)
        assert result.exit_code == 0, result.output
        assert (tmp_path / "banana-teapot-kite-seed0.png").exists(), "in the order of the names"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["-c", "bananna"], "nearest: banana"),
            (["-c", "banana", "--layout", "heap"], "unknown layout 'heap'; choose one of grid, scene"),
            (["-c", "banana", "--layout", "scene", "--set", "layout.sizes=like:none.json"], "none.json"),
            (["-c", "cat,lion,tiger,horse,zebra,cow,pig,giraffe,elephant,rabbit"], "at most 9 categories, not 10"),
            (["-c", "banana", "--set", "layout.region_hw_px=[60,60]"], "must be multiples of 8"),
        ],
    )
    def test_invalid_arguments_are_refused(self, tmp_path: Path, arguments: list[str], message: str) -> None:
        result = call("explain", *arguments, "--out", tmp_path / "figures")
        assert result.exit_code == 2
        assert message in result.stderr
        assert not (tmp_path / "figures").exists()

    def test_a_file_in_place_of_the_output_folder_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "figures").write_text("")
        assert "is a file" in call("explain", "-c", "banana", "--out", tmp_path / "figures").stderr


class TestHelp:
    def test_help_lists_the_commands(self) -> None:
        result = call("--help")
        assert result.exit_code == 0
        for command in ("generate", "explain", "categories", "report"):
            assert command in result.stdout

    @pytest.mark.parametrize("command", ["generate", "explain", "categories", "report"])
    def test_help_has_examples(self, command: str) -> None:
        output = call(command, "--help").stdout
        assert "Example" in output
        assert f"mosaicfusion {command}" in output

    def test_importing_the_command_line_loads_no_heavy_package(self) -> None:
        code = "import sys, mosaicfusion.cli; print(*sys.modules)"
        loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        assert not {"torch", "diffusers", "transformers", "numpy", "PIL", "pydantic"} & set(loaded)


def test_a_separate_process_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    """The whole command as a user starts it; the same bytes as in this process."""
    command = [sys.executable, "-m", "mosaicfusion", "generate", *TWO, "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "report:" in done.stdout
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    assert read_files(tmp_path / "run")["lvis.json"] == read_files(run)["lvis.json"]


def test_a_dry_run_shows_the_job_and_writes_nothing(tmp_path: Path) -> None:
    result = call("generate", "-c", "banana,teapot", "-n", "3", "--out", tmp_path / "run", "--dry-run")
    assert result.exit_code == 0, result.output
    for words in ("canvases", " 6 ", "objects requested", " 24 ", "a photo of a single"):
        assert words in result.stdout
    assert not (tmp_path / "run").exists()
