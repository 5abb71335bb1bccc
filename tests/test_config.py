"""Settings: overrides, and messages on invalid values."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from mosaicfusion.config import OutputSettings, RunConfig
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.presets import make_config
from mosaicfusion.layouts import LAYOUTS, GridLayout


def refusal(overrides: dict[str, Any], preset: str = "paper") -> str:
    with pytest.raises(MosaicFusionError) as caught:
        make_config(preset, overrides)
    return str(caught.value)


class TestOverrides:
    def test_none_changes_nothing(self) -> None:
        overrides = {
            "seed": None,
            "sampling": {"steps": 7, "guidance": None},
            "prompt": {"template": None},
            "layout": None,
        }
        config = make_config("mini", overrides)
        assert config.sampling.steps == 7
        assert config.sampling.guidance == make_config("mini").sampling.guidance
        assert config.prompt == make_config("mini").prompt

    def test_a_config_in_place_of_a_preset(self) -> None:
        base = make_config("mini", {"seed": 5, "sampling": {"steps": 7}})
        changed = make_config(base, {"sampling": {"guidance": 2}})
        assert (changed.seed, changed.sampling.steps, changed.sampling.guidance) == (5, 7, 2)
        assert make_config(base) == base

    def test_own_template_drops_the_backgrounds_of_the_preset(self) -> None:
        assert make_config("mini", {"prompt": {"template": "a {name}"}}).prompt.backgrounds == ()
        assert make_config("mini", {"prompt": {"template": "a {name} in {background}"}}).prompt.backgrounds


class TestRefused:
    @pytest.mark.parametrize(
        ("overrides", "message"),
        [
            ({"sampling": {"steps": 0}}, "sampling.steps: 0 is not a number from 1 on"),
            ({"sampling": {"guidance": 0.5}}, "sampling.guidance"),
            ({"sampling": {"guidance": float("nan")}}, "sampling.guidance"),
            ({"sampling": {"dtype": "int8"}}, "sampling.dtype"),
            ({"sampling": {"step": 5}}, "there is no setting sampling.step; nearest: sampling.steps; `mosaicfusion"),
            ({"sampling": 5}, "sampling: 5 is not a group of settings"),
            ({"prompt": 5}, "prompt: 5 is not a group of settings"),
            ({"layout": {"centre": {"x": 1}}}, "layout.centre"),
            ({"layout": {"centre": 0.6}}, "layout.centre"),
            ({"layout": {"grids": ["2x2", "2by2"]}}, "layout.grids: grid '2by2' is not ROWSxCOLUMNS"),
            ({"layout": {"grids": ["0x2"]}}, "try 2x2"),
            ({"layout": {"grids": []}}, "layout.grids"),
            ({"layout": {"region_hw_px": [64]}}, "layout.region_hw_px"),
            ({"layout": {"group_size": 0}}, "layout.group_size"),
            ({"attention": {"steps": [0.5, 0.5]}}, "attention.steps: attention steps (0.5, 0.5) are empty"),
            ({"attention": {"steps": [0, 1.5]}}, "attention.steps.1"),
            ({"attention": {"strides_px": []}}, "attention.strides_px"),
            ({"masks": {"threshold": 1.0}}, "masks.threshold"),
            ({"masks": {"threshold": "auto"}}, "masks.threshold: 'auto' is neither 'otsu' nor a number"),
            ({"masks": {"threshold": 1.5}}, "masks.threshold: 1.5 is neither 'otsu' nor a number below 1"),
            ({"steps": 5}, "there is no setting steps; nearest: sampling.steps, attention.steps;"),
            ({"layout": {"objects": 5}}, "layout.objects is a setting of another kind of layout"),
            ({"masks": {"sigma_luma": float("inf")}}, "masks.sigma_luma"),
            ({"masks": {"smoothness": 0}}, "masks.smoothness"),
            ({"masks": {"rounds": 0}}, "masks.rounds"),
            ({"masks": {"cut": 1.0}}, "masks.cut"),
            ({"masks": {"min_area": -1}}, "masks.min_area"),
            ({"seed": -1}, "seed"),
            ({"seed": 2**63}, "seed"),
            ({"sead": 1}, "there is no setting sead; nearest: seed;"),
        ],
    )
    def test_an_invalid_setting_is_named(self, overrides: dict[str, Any], message: str) -> None:
        assert message in refusal(overrides)

    def test_all_problems_are_listed_at_once(self) -> None:
        message = refusal({"seed": -1, "sampling": {"steps": 0}})
        assert "seed:" in message
        assert "sampling.steps:" in message

    @pytest.mark.parametrize(
        ("template", "message"),
        [
            ("a photo", "must hold {name} exactly once"),
            ("{name} and {name}", "must hold {name} exactly once"),
            ("a {name} of {colour}", "unknown field {colour}"),
            ("a {name}s", "must stand alone"),
            ("pre{name}", "must stand alone"),
            ("a photo[ of {name}]", "outside of them"),
            ("a {name}[ on {background}", "close every [optional part]"),
            ("a {name}[ on [the] {background}]", "close every [optional part]"),
            ("{name} " + "x" * 400, "at most 400 characters"),
        ],
    )
    def test_invalid_templates_are_refused(self, template: str, message: str) -> None:
        assert message in refusal({"prompt": {"template": template}})

    def test_backgrounds_without_a_placeholder_are_refused(self) -> None:
        assert "has no {background}" in refusal({"prompt": {"backgrounds": ["grass"]}})

    def test_a_config_is_frozen(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            make_config().seed = 3  # type: ignore[misc]


class TestOutputSettings:
    def test_only_explicit_values_replace_earlier_ones(self) -> None:
        earlier = OutputSettings(policy="not_exhaustive", min_quality=0.5)
        assert earlier.updated(None) == earlier.updated(OutputSettings()) == earlier
        later = earlier.updated(OutputSettings(min_quality=0.0, masks="polygon"))
        assert later == OutputSettings(policy="not_exhaustive", masks="polygon")

    @pytest.mark.parametrize(
        "values", [{"min_quality": 1.5}, {"min_semantics": -1}, {"policy": "keep"}, {"mask": "rle"}]
    )
    def test_invalid_values_are_refused(self, values: dict[str, Any]) -> None:
        with pytest.raises(MosaicFusionError, match=next(iter(values))):
            OutputSettings.parse(values)


class TestLayoutKinds:
    def test_grid_is_the_default(self) -> None:
        assert RunConfig.parse({"layout": {"grids": ["1x2"]}}).layout == GridLayout(grids=("1x2",))

    def test_another_kind_drops_the_values_of_the_preset(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Pair(GridLayout):
            kind: Literal["pair"] = "pair"  # type: ignore[assignment]

        monkeypatch.setitem(LAYOUTS, "pair", Pair)
        chosen = make_config("mini", {"layout": {"kind": "pair", "centre": 0.5}})
        assert chosen.layout == Pair(centre=0.5)
        assert make_config(chosen, {"seed": 3}).layout == Pair(centre=0.5)
        assert make_config(chosen, {"layout": {"kind": "grid"}}).layout == GridLayout()

    def test_unknown(self) -> None:
        with pytest.raises(MosaicFusionError, match="layout: unknown layout 'spiral'; choose one of grid"):
            RunConfig.parse({"layout": {"kind": "spiral"}})

    def test_a_wrong_value_is_named_with_its_location(self) -> None:
        with pytest.raises(MosaicFusionError, match=r"layout\.region_hw_px\.0: 0 is not a number from 1 on"):
            RunConfig.parse({"layout": {"region_hw_px": [0, 8]}})


def test_areas_that_allow_no_mask_are_refused() -> None:
    with pytest.raises(MosaicFusionError, match=r"min_area=0\.9 is above max_area=0\.1"):
        make_config("mini", {"masks": {"min_area": 0.9, "max_area": 0.1}})


def test_a_config_made_by_hand_is_refused_like_one_of_a_file() -> None:
    with pytest.raises(MosaicFusionError, match=r"^min_quality: 9 is not a number up to 1$"):
        OutputSettings(min_quality=9)
    with pytest.raises(
        MosaicFusionError, match=r"^there is no setting min_qualty; nearest: min_quality; known: policy, "
    ):
        OutputSettings(min_qualty=0.5)  # type: ignore[call-arg]
