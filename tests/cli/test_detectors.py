"""train, evaluate and predict on the command line: tables, exit codes, what is left behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from PIL import Image
from shapes import write_set
from typer.testing import CliRunner

from mosaicfusion.cli import app

TINY = [
    "schedule.iterations=2", "schedule.batch_size=2", "data.train_sides_px=[48]", "data.test_side_px=48",
    "data.max_side_px=64", "heads.proposals_train=[40,20]", "heads.proposals_test=[20,10]",
]  # fmt: skip


def call(*arguments: Any) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "160"})
    assert "Traceback" not in result.output
    return result


def train(folder: Path, *more: Any) -> Result:
    settings = [part for setting in TINY for part in ("--set", setting)]
    return call(
        "train", "--train", folder / "train.json", "--images", folder / "images", "--recipe", "mini_lite0", *settings,
        "--workers", 0, "--device", "cpu", "--out", folder / "exp", *more,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_set(tmp_path, "train", first_id=1, count=4)
    write_set(tmp_path, "val", first_id=101, count=2)
    return tmp_path


def test_train_evaluate_predict(folder: Path) -> None:
    result = train(folder, "--val", folder / "val.json")
    assert result.exit_code == 0, result.output
    for words in ("2 steps in", "waiting for images", "AP in percent on 2 images", "AP_r", "mask"):
        assert words in result.stdout
    exp = folder / "exp"
    names = {path.name for path in exp.iterdir()}
    written = {
        "recipe.yaml",
        "classes.json",
        "model.safetensors",
        "last.ckpt",
        "scores-val.json",
        "detections-val.json",
    }
    assert written <= names
    assert {"AP", "AP_r"} <= json.loads((exp / "scores-val.json").read_text())["mask"]["metrics"].keys()

    again = train(folder)
    assert "all 2 steps were taken before" in again.stdout
    shown = call("evaluate", exp, "--val", folder / "val.json", "--images", folder / "images", "--open-vocabulary",
                 "--workers", 0, "--device", "cpu")  # fmt: skip
    assert shown.exit_code == 0, shown.output
    assert "AP_novel" in shown.stdout

    picture, overlay = next((folder / "images" / "val").iterdir()), folder / "overlay.png"
    result = call("predict", exp, picture, "-o", overlay, "--min-score", 0, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert f"picture: {overlay}" in result.stdout
    with Image.open(overlay) as image:
        assert image.size[0] >= 64
    assert "nothing scores 1 or more" in call("predict", exp, picture, "-o", overlay, "--min-score", 1).stdout


def test_what_is_wrong_is_said_before_anything_is_written(folder: Path) -> None:
    val = json.loads((folder / "val.json").read_text())
    val["categories"][0]["name"] = "ring"
    (folder / "other.json").write_text(json.dumps(val))
    for more, words in (
        (["--val", folder / "other.json"], '3 is "disc" and "ring"'),
        (["--set", "schedule.batch_sise=3"], "schedule.batch_sise"),
        (["--set", "backbone.name=resnet51"], "unknown backbone"),
        (["--detector", "yolo"], "detector"),
        (["--recipe", "lvis_r51"], "unknown recipe"),
        (["--images", folder / "nowhere"], "4 of 4 images are not under"),
    ):
        result = train(folder, *more)
        assert result.exit_code == 2, result.output
        assert words in " ".join(result.output.split())
        assert not (folder / "exp" / "model.safetensors").exists()


def test_predict_needs_a_detector_and_a_picture(folder: Path) -> None:
    picture = folder / "images" / "val" / "000000000101.png"
    assert "holds no detector" in call("predict", folder, picture, "-o", folder / "o.png").output
    assert "must end in .png or .jpg" in call("predict", folder, picture, "-o", folder / "o.gif").output
    assert "as an image" in call("predict", folder, folder / "val.json", "-o", folder / "o.png").output
