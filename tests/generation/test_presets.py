"""Presets, and configs from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mosaicfusion.config import RunConfig
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.presets import PRESETS, as_config, load_config, make_config


class TestPresets:
    @pytest.mark.parametrize("preset", PRESETS)
    def test_presets_round_trip_through_json(self, preset: str) -> None:
        config = make_config(preset)
        assert RunConfig.parse(json.loads(json.dumps(config.model_dump(mode="json")))) == config

    def test_paper_preset_has_the_numbers_of_the_paper(self) -> None:
        paper = make_config("paper")
        assert (paper.layout.region_hw_px, paper.layout.overlap_xy_px, paper.layout.centre) == (
            (384, 512),
            (64, 48),
            0.375,
        )
        assert (paper.sampling.scheduler, paper.sampling.steps, paper.sampling.guidance) == ("lms", 50, 7.5)
        assert (paper.masks.min_area, paper.masks.max_area, paper.masks.threshold) == (0.05, 0.95, "otsu")

    def test_the_model_chooses_the_preset(self) -> None:
        assert make_config() == make_config("mini") == make_config(None, {"model": "mini"})
        with pytest.raises(MosaicFusionError, match="there is no model folder no-such-model"):
            make_config(None, {"model": "no-such-model"})

    def test_an_unknown_preset_is_refused(self) -> None:
        with pytest.raises(
            MosaicFusionError, match="unknown preset 'papr'; choose one of mini, paper, fast, zero-snr, sdxl"
        ):
            make_config("papr")


def test_each_family_has_its_own_preset(
    tiny_sd: Path, tiny_sdxl: Path, tiny_pixart: Path, tiny_sd3: Path, tiny_flux: Path, tiny_flux_schnell: Path
) -> None:
    assert make_config(None, {"model": str(tiny_sdxl)}).layout.region_hw_px == (768, 1024)
    assert make_config(None, {"model": str(tiny_sd)}).layout.region_hw_px == (384, 512)

    for folder, values in ((tiny_flux, ("model", 28, 3.5)), (tiny_flux_schnell, ("model", 4, 1))):
        sampling = make_config(None, {"model": str(folder)}).sampling
        assert (sampling.scheduler, sampling.steps, sampling.guidance) == values
    assert make_config(None, {"model": str(tiny_sd3)}).attention.blocks == ("transformer_blocks.9",)
    assert make_config(None, {"model": str(tiny_pixart)}).attention.strides_px == (16,)


class TestLoadConfig:
    config = make_config("fast", {"seed": 9, "prompt": {"template": "one {name}"}})

    @pytest.mark.parametrize("wrapped", [True, False])
    def test_a_config_is_read_alone_or_from_run_json(self, tmp_path: Path, wrapped: bool) -> None:
        values = self.config.model_dump(mode="json")
        path = tmp_path / "run.json"
        path.write_text(json.dumps({"format": 1, "config": values} if wrapped else values))
        assert load_config(path) == self.config

    def test_missing_settings_come_from_the_preset_of_the_model(self, tmp_path: Path, tiny_sd: Path) -> None:
        (tmp_path / "c.json").write_text('{"seed": 5}')
        assert load_config(tmp_path / "c.json") == make_config("mini", {"seed": 5})
        (tmp_path / "c.json").write_text(json.dumps({"model": str(tiny_sd)}))
        assert load_config(tmp_path / "c.json") == make_config("paper", {"model": str(tiny_sd)})

    def test_a_config_is_read_from_yaml(self, tmp_path: Path) -> None:
        (tmp_path / "c.yaml").write_text("seed: 5\nsampling: {steps: 3}\n")
        assert load_config(tmp_path / "c.yaml") == make_config("mini", {"seed": 5, "sampling": {"steps": 3}})

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "not valid JSON"),
            ("[" * 100_000, "nested too deeply"),
            ("[]", "holds a list instead of settings"),
            ('{"config": 3}', "3 is not a group of settings"),
            ('{"steps": 3}', "there is no setting steps; nearest: sampling.steps, attention.steps"),
        ],
    )
    def test_invalid_configs_are_refused(self, tmp_path: Path, text: str, message: str) -> None:
        (tmp_path / "c.json").write_text(text)
        with pytest.raises(MosaicFusionError, match=message):
            load_config(tmp_path / "c.json")

    def test_a_missing_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(MosaicFusionError, match="cannot read the settings in"):
            load_config(tmp_path / "none.json")


class TestAsConfig:
    def test_a_preset_a_path_and_nested_settings_are_accepted(self, tmp_path: Path, tiny_sd: Path) -> None:
        (tmp_path / "c.yaml").write_text("seed: 5")
        assert as_config(None) == as_config("mini") == make_config()
        assert as_config(str(tmp_path / "c.yaml")) == as_config(tmp_path / "c.yaml") == as_config({"seed": 5})
        fast = {"preset": "fast", "model": str(tiny_sd)}
        assert as_config(fast) == make_config("fast", {"model": str(tiny_sd)})

    @pytest.mark.parametrize("config", ["sdxl", {"preset": "sdxl"}, {"preset": "paper", "model": "mini"}])
    def test_the_bundled_model_refuses_presets_of_others(self, config: Any) -> None:
        with pytest.raises(MosaicFusionError, match="is for other models than the bundled one"):
            as_config(config)

    @pytest.mark.parametrize(
        ("preset", "message"),
        [("papr", "unknown preset 'papr'"), (3, "preset: 3 is neither"), (["mini"], r"preset: \['mini'\] is neither")],
    )
    def test_an_unknown_preset_is_refused(self, preset: Any, message: str) -> None:
        with pytest.raises(MosaicFusionError, match=message):
            as_config({"preset": preset})
