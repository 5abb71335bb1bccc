"""Recipes: the paper's numbers, and errors of wrong settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from mosaicfusion.detectors.config import load_recipe, recipe_names
from mosaicfusion.errors import MosaicFusionError


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_survives_being_written(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.to_yaml())
    assert load_recipe(path) == recipe


def test_the_papers_numbers() -> None:
    recipe = load_recipe("lvis_r50")
    schedule, data = recipe.schedule, recipe.data
    assert (schedule.iterations, schedule.batch_size, schedule.steps) == (90_000, 16, (60_000, 80_000))
    assert (schedule.optimizer, schedule.learning_rate, data.repeat_threshold) == ("sgd", 0.02, 1e-3)
    assert (min(data.train_sides_px), max(data.train_sides_px), data.max_side_px) == (640, 800, 1333)
    assert recipe.heads.detections == 300
    assert load_recipe("lvis_r101").backbone.name == "resnet101"
    loss = load_recipe("lvis_r50_federated").loss
    assert (loss.kind, loss.federated, loss.federated_classes, loss.federated_power) == ("sigmoid", True, 50, 0.5)


def test_overrides_replace_single_values() -> None:
    recipe = load_recipe("mini_lite0", {"schedule": {"batch_size": 2}, "seed": 5})
    assert (recipe.schedule.batch_size, recipe.seed) == (2, 5)
    assert recipe.schedule.iterations == load_recipe("mini_lite0").schedule.iterations


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schedule: {batch_size: 0}", "^schedule.batch_size: 0 is not a number from 1 on$"),
        ("schedule: {batch_sise: 4}", "there is no setting schedule.batch_sise; nearest: schedule.batch_size;"),
        ("loss: {federated: true}", "needs loss.kind=sigmoid"),
        ("schedule: {batch_size: 6, accumulate: 4}", "cannot be split"),
        ("backbone: {strides: [4, 16, 32]}", r"backbone.strides: strides \(4, 16, 32\) must double up to 32"),
        ("[1, 2]", "instead of settings"),
        ("a: &a [*a]", "aliases such as"),
        ("seed: 2024-99-99", "seed: '2024-99-99' is not a whole number"),
        ("seed: !!timestamp soon", "not valid YAML"),
        ("a: [", "not valid YAML"),
        ("detector: !!python/object/apply:os.getcwd []", "not valid YAML"),
    ],
)
def test_a_wrong_recipe_is_named_with_its_place(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(MosaicFusionError, match=message):
        load_recipe(path)


def test_an_unknown_recipe_lists_the_choices() -> None:
    with pytest.raises(MosaicFusionError, match=r"lvis_r50, .*mini_lite0"):
        load_recipe("lvis_r51")
    with pytest.raises(MosaicFusionError, match=r"cannot read the settings in absent\.yaml"):
        load_recipe("absent.yaml")
