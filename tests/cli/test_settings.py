"""Settings as YAML, and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.command_line import call

from mosaicfusion.detectors.config import load_recipe
from mosaicfusion.generation.presets import load_config, make_config


@pytest.mark.parametrize("preset", ["mini", "paper", "fast", "sdxl"])
def test_the_settings_of_a_preset_are_read_back(tmp_path: Path, preset: str) -> None:
    result = call("settings", "--preset", preset, "--set", "masks.threshold=0.4")
    assert result.exit_code == 0, result.output
    (tmp_path / "my.yaml").write_text(result.stdout)
    assert load_config(tmp_path / "my.yaml") == make_config(preset, {"masks": {"threshold": 0.4}})


def test_settings_are_described() -> None:
    assert "guidance: 4.0  # classifier-free guidance scale; 1 is none" in call("settings").stdout


def test_the_settings_of_a_recipe_are_read_back(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(call("settings", "--recipe", "mini_lite0", "--set", "seed=3").stdout)
    assert load_recipe(tmp_path / "my.yaml") == load_recipe("mini_lite0", {"seed": 3})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "mini", "--recipe", "mini_lite0"], "give one of --preset, --config and --recipe"),
        (["--recipe", "lvis"], "unknown recipe 'lvis'"),
        (["--set", "masks.treshold=1"], "there is no setting masks.treshold; nearest: masks.threshold;"),
    ],
)
def test_contradicting_and_unknown_values_are_refused(arguments: list[str], message: str) -> None:
    result = call("settings", *arguments)
    assert result.exit_code == 2
    assert message in result.output
