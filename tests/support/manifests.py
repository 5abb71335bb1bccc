"""Manifests of runs, for tests that build run folders without a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mosaicfusion.categories import Category
from mosaicfusion.config import OutputSettings
from mosaicfusion.generation.presets import make_config
from mosaicfusion.run.manifest import Manifest, ModelIdentity, RunCategories

KITE, DRUM = Category(1, "kite"), Category(2, "drum")


def make_manifest(
    canvases_per_category: int = 2,
    main: Sequence[Category] = (KITE, DRUM),
    partners: Sequence[Category] = (),
    output: OutputSettings | None = None,
    **overrides: Any,
) -> Manifest:
    """The manifest of a run of the bundled model, with the policy drop; ``overrides`` are nested settings of its config."""
    return Manifest(
        config=make_config("mini", overrides),
        categories=RunCategories(main=tuple(main), partners=tuple(partners)),
        model=ModelIdentity(digest="0123456789abcdef"),
        canvases_per_category=canvases_per_category,
        output=output or OutputSettings(policy="drop"),
        versions={"mosaicfusion": "0"},
    )
