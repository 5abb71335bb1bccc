"""`generate --layout scene` on the command line."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from support.command_line import call
from support.folders import read_files

from mosaicfusion.layouts.scene import FROM_FILE
from mosaicfusion.run.folder import RunFolder

SCENE = [
    *("--categories", "banana, teapot", "--layout", "scene", "--objects", "2-3", "--steps", "2", "--sizes", "depth"),
    *("--set", "layout.canvas_hw_px=[128,160]", "--set", "layout.smallest_px=64", "--set", "layout.largest=0.6"),
    *("--set", "layout.group_size=2", "--set", "masks.min_area=0", "--set", "masks.max_area=1"),
]


def generate(out: Path, *arguments: Any) -> Result:
    return call("generate", *SCENE, "--out", out, *arguments)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenes") / "run"
    result = generate(path, "-n", 2, "--max-overlap", 0.5, "--render-scale", 2)
    assert result.exit_code == 0, result.output
    return path


def test_the_data_set_has_the_delivered_size_and_hidden_parts(run: Path) -> None:
    data = json.loads((run / "lvis.json").read_text())
    assert {(image["height"], image["width"]) for image in data["images"]} == {(64, 80)}
    assert all(one["segmentation"]["size"] == [64, 80] for one in data["annotations"])
    whole = [one["amodal_segmentation"] for one in data["annotations"] if "amodal_segmentation" in one]
    assert all(mask["size"] == [64, 80] for mask in whole)
    canvases = list(RunFolder.open(run).records())
    assert {len(canvas.regions) for canvas in canvases} <= {2, 3}
    grounds = [{region.prompt.partition(" on ")[2] for region in canvas.regions} for canvas in canvases]
    assert all(len(ground) == 1 for ground in grounds), "all objects of a scene share its background"
    assert call("validate", run / "lvis.json").exit_code == 0


def test_a_run_that_grew_equals_one_generated_at_once(run: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        assert generate(tmp_path / "grown", "-n", number, "--max-overlap", 0.5, "--render-scale", 2).exit_code == 0
    assert read_files(tmp_path / "grown")["lvis.json"] == read_files(run)["lvis.json"]


def test_sizes_of_a_real_set_are_kept_in_the_run(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "real.json"
    path.write_bytes((run / "lvis.json").read_bytes())
    options = ("-n", 1, "--sizes", f"like:{path}")
    assert generate(tmp_path / "like", *options).exit_code == 0
    settings = json.loads((tmp_path / "like/run.json").read_text())["config"]["layout"]
    assert settings["sizes"] == "like"
    assert len(settings["like"]["sizes"]["overall"]) == 21
    assert "nothing to do" in generate(tmp_path / "like", *options).stdout


def test_a_run_of_earlier_sizes_goes_on(run: Path, tmp_path: Path) -> None:
    """Its run.json has nothing but the sizes, and no setting that came later."""
    path = tmp_path / "real.json"
    path.write_bytes((run / "lvis.json").read_bytes())
    options = ("-n", 1, "--sizes", f"like:{path}")
    assert generate(tmp_path / "like", *options).exit_code == 0
    manifest = json.loads((tmp_path / "like/run.json").read_text())
    layout = manifest["config"]["layout"]
    layout["like"] = layout["like"]["sizes"]
    for name in ("objects_between", "positions", "companions"):
        del layout[name]
    (tmp_path / "like/run.json").write_text(json.dumps(manifest))
    assert "nothing to do" in generate(tmp_path / "like", *options).stdout


def test_like_takes_everything_that_no_other_option_gives(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "real.json"
    path.write_bytes((run / "lvis.json").read_bytes())
    arguments = [*SCENE[:4], *SCENE[6:8], *SCENE[10:], "--like", path, "--set", "layout.companions=any", "-n", 1]
    assert call("generate", *arguments, "--out", tmp_path / "like").exit_code == 0
    layout = json.loads((tmp_path / "like/run.json").read_text())["config"]["layout"]
    assert [layout[name] for name in FROM_FILE] == ["like", "like", "like", "any"]
    assert {name for name, table in layout["like"].items() if table} == {"objects", "sizes", "positions"}
    path.unlink()
    more = call("generate", "--config", tmp_path / "like/run.json", *SCENE[:2], "-n", 2, "--out", tmp_path / "like")
    assert more.exit_code == 0, "the file is not needed any more"
    assert len(list(RunFolder.open(tmp_path / "like").records())) == 4
    depth = generate(tmp_path / "depth", "--like", run / "lvis.json")
    assert "sizes=depth says how high objects stand; set positions=anywhere with it" in depth.stderr


def test_objects_begin_from_real_ones_that_the_run_keeps(run: Path, tmp_path: Path) -> None:
    real = tmp_path / "real"
    shutil.copytree(run, real)
    options = ("--reference", real, "--set", "references.smallest_px=8", "--max-overlap", 0.5)
    for number in (1, 2):
        result = generate(tmp_path / "grown", "-n", number, *options)
        assert result.exit_code == 0, result.output
    assert generate(tmp_path / "at_once", "-n", 2, *options).exit_code == 0
    assert read_files(tmp_path / "grown")["lvis.json"] == read_files(tmp_path / "at_once")["lvis.json"]
    assert generate(tmp_path / "plain", "-n", 2, "--max-overlap", 0.5).exit_code == 0
    images = {name: read_files(tmp_path / name / "images") for name in ("grown", "at_once", "plain")}
    assert images["grown"] == images["at_once"] != images["plain"]
    shutil.rmtree(real)
    more = call("generate", "--config", tmp_path / "grown/run.json", *SCENE[:2], "-n", 3, "--out", tmp_path / "grown")
    assert more.exit_code == 0, "the real set is not needed any more"
    new = call("generate", "--config", tmp_path / "grown/run.json", *SCENE[:2], "-n", 1, "--out", tmp_path / "new")
    assert "name their file with --reference" in new.stderr
    other = generate(tmp_path / "grown", "-n", 3, "--strength", 0.5, *options[2:])
    assert (other.exit_code, "--strength is for real objects" in other.stderr) == (2, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--reference", "none.json"), "there is no none.json"),
        (("--images", "photos"), "--images is for real objects to begin from; name their json with --reference"),
        (("--layout", "grid", "--objects", "3"), "--objects is for scenes; add --layout scene"),
        (("--grid", "2x2"), "--grid is for mosaics; leave out --grid, or --layout scene"),
        (("--objects", "many"), "--objects 'many' is not FEWEST-MOST, such as 4-12"),
        (("--objects", "5-2"), "are the fewest and the most"),
        (("--sizes", "like:none.json"), "none.json"),
        (("--sizes", "log-normal", "--like", "none.json"), "none.json"),
        (("--layout", "grid", "--like", "none.json"), "--like is for scenes; add --layout scene"),
        (("--sizes", "huge"), "is not log-normal, depth or like:FILE"),
        (("--layout", "heap"), "unknown layout 'heap'; choose one of grid, scene"),
        (("--set", "layout.step_px=20"), "step_px=20 must be a multiple of 8 for this model"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_a_model_is_loaded(
    tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    result = generate(tmp_path / "run", *options)
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
    assert not (tmp_path / "run").exists()


def test_the_preview_shows_the_objects_and_the_shared_background(tmp_path: Path) -> None:
    result = generate(tmp_path / "run", "-n", 3, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "a photo of a single" in result.stdout
    assert re.search(r"U-Net calls of a whole canvas +│ +24 ", result.stdout), "6 canvases, 2 steps, with guidance"
