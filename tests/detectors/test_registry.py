"""A detector is added by a module, a recipe and one line in the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mosaicfusion.detectors.checkpoint import load_detector
from mosaicfusion.detectors.config import load_recipe, recipe_names
from mosaicfusion.detectors.data.training_set import open_training_set
from mosaicfusion.detectors.evaluation.folder import evaluate_folder
from mosaicfusion.detectors.evaluation.predict import predict
from mosaicfusion.detectors.registry import BUILDERS
from mosaicfusion.detectors.training.train import TrainOptions, train
from mosaicfusion.errors import MosaicFusionError

RECIPE = """
detector: one_box
data: {train_sides_px: [48]}
schedule: {iterations: 1, batch_size: 2}
"""


def test_a_detector_registered_by_one_line_is_trained_and_evaluated(
    tiny_lvis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setitem(BUILDERS, "one_box", "one_box")
    (tmp_path / "my.yaml").write_text(RECIPE)
    recipe = load_recipe(tmp_path / "my.yaml")
    data = open_training_set(recipe.data, tiny_lvis / "train.json", tiny_lvis / "images")
    summary = train(recipe, data, tmp_path / "exp", TrainOptions(device="cpu", workers=0))
    assert summary.steps == 1
    result = evaluate_folder(tmp_path / "exp", tiny_lvis / "val.json", tiny_lvis / "images", device="cpu", workers=0)
    assert result.images == 4
    assert set(result.scores) == {"box", "mask"}
    (found,) = predict(load_detector(tmp_path / "exp", "cpu"), np.zeros((48, 64, 3), np.uint8), min_score=0)
    assert found.box_xyxy == (0, 0, 64, 48)
    assert predict(load_detector(tmp_path / "exp", "cpu"), np.zeros((48, 64, 3), np.uint8), min_score=1) == []


def test_an_unknown_detector_is_refused_with_the_choices(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("detector: yolo")
    with pytest.raises(MosaicFusionError, match=r"detector: unknown detector 'yolo'; choose one of mask_rcnn, .*fvlm"):
        load_recipe(tmp_path / "my.yaml")


@pytest.mark.parametrize("name", BUILDERS)
def test_every_detector_has_a_recipe(name: str) -> None:
    assert name in {load_recipe(recipe).detector for recipe in recipe_names()}
