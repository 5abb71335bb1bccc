"""The list of families."""

from __future__ import annotations

import pytest
from support.command_line import call

from mosaicfusion.diffusion.registry import FAMILIES
from mosaicfusion.generation.presets import PRESETS


def test_every_family_is_listed_with_its_preset_and_what_was_verified() -> None:
    lines = call("models", columns=80).stdout.splitlines()
    for family in FAMILIES.values():
        (line,) = (line for line in lines if f"│ {family.title} " in line)
        assert f"│ {family.preset} " in line and family.attention in line and f"{family.weights_gb} GB" in line
    assert any("no published weights were run" in line for line in lines)


@pytest.mark.parametrize("name", FAMILIES)
def test_families_have_presets_and_classes(name: str) -> None:
    family = FAMILIES[name]
    assert family.preset in PRESETS
    assert callable(family.load_class())
