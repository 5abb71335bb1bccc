"""evaluate_folder: a trained folder and a json in, typed scores and files out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mosaicfusion.detectors.checkpoint import save_weights
from mosaicfusion.detectors.config import load_recipe
from mosaicfusion.detectors.data.classes import ClassList
from mosaicfusion.detectors.evaluation.folder import ValidationSet, evaluate_folder, evaluate_on
from mosaicfusion.detectors.registry import build_detector
from mosaicfusion.detectors.training.folder import training_folder
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.models.device import DeviceOptions

TINY = {
    "backbone": {"pretrained": False},
    "data": {"test_side_px": 48, "max_side_px": 64},
    "heads": {"proposals_test": [20, 10]},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A detector with random weights for the tiny LVIS set."""
    path = tmp_path_factory.mktemp("detector")
    classes = ClassList.open(request.getfixturevalue("tiny_lvis") / "train.json")
    recipe = load_recipe("mini_lite0", TINY)
    with training_folder(path, recipe, classes):
        save_weights(path, build_detector(recipe, classes))
    return path


def test_scores_files_and_progress(folder: Path, tiny_lvis: Path) -> None:
    progress: list[tuple[int, int]] = []
    result = evaluate_folder(
        folder, tiny_lvis / "val.json", tiny_lvis / "images", device="cpu", workers=0,
        batch_size=3, on_image=lambda done, total: progress.append((done, total)),
    )  # fmt: skip
    assert (result.images, result.left_out) == (4, {})
    assert progress == [(3, 4), (4, 4)]
    assert set(result.scores) == {"box", "mask"}
    assert "AP_novel" not in result.scores["box"].metrics
    assert "<td>box</td>" in result._repr_html_() and "4 images" in result._repr_html_()
    assert result.detections_path == folder / "detections-val.json"
    assert json.loads(result.scores_path.read_text()) == {k: one.to_json() for k, one in result.scores.items()}


def test_an_open_set_gives_the_same_scores(folder: Path, tiny_lvis: Path) -> None:
    val, images = tiny_lvis / "val.json", tiny_lvis / "images"
    one = evaluate_folder(folder, val, images, open_vocabulary=True, device=DeviceOptions("cpu"), workers=0)
    other = evaluate_on(folder, ValidationSet.open(val, images), open_vocabulary=True, device="cpu", workers=0)
    assert one == other
    assert {"AP_novel", "AP_base"} <= one.scores["mask"].metrics.keys()


def test_missing_images_are_left_out_of_samples_and_truth(folder: Path, tiny_lvis: Path, tmp_path: Path) -> None:
    content = json.loads((tiny_lvis / "val.json").read_text())
    content["images"][0]["file_name"] = content["images"][0]["coco_url"] = "val/gone.png"
    (tmp_path / "val.json").write_text(json.dumps(content))
    with pytest.raises(MosaicFusionError, match="1 of 4 images are not under"):
        ValidationSet.open(tmp_path / "val.json", tiny_lvis / "images")
    val = ValidationSet.open(tmp_path / "val.json", tiny_lvis / "images", skip_missing=True)
    assert content["images"][0]["id"] not in val.truth.hw
    result = evaluate_on(folder, val, device="cpu", workers=0)
    assert (result.images, result.left_out) == (3, {"images that are not on disk": 1})


def test_other_categories_are_refused(folder: Path, tiny_lvis: Path, tmp_path: Path) -> None:
    content = json.loads((tiny_lvis / "val.json").read_text())
    content["categories"][0]["name"] = "ring"
    (tmp_path / "val.json").write_text(json.dumps(content))
    with pytest.raises(MosaicFusionError, match='3 is "disc" and "ring"'):
        evaluate_folder(folder, tmp_path / "val.json", tiny_lvis / "images", device="cpu", workers=0)
