"""A job before it is started."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tiny_runs import generate_tiny

from mosaicfusion.categories import Selection
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.amount import Canvases
from mosaicfusion.generation.presets import make_config
from mosaicfusion.generation.preview import preview
from mosaicfusion.generation.selection import select
from mosaicfusion.run.folder import RunFolder


def test_the_first_canvases_are_those_of_the_run(tiny_sd: Path, tmp_path: Path) -> None:
    generate_tiny(tmp_path / "run", tiny_sd)
    run = RunFolder.open(tmp_path / "run")
    manifest = run.manifest
    names = [category.name for category in manifest.categories.main]
    selection, canvases = select(names, str(tiny_sd)), manifest.canvases_per_category
    planned = preview(selection, manifest.config, Canvases(canvases), latent_factor=2, show=run.total)
    assert planned.canvases == run.total
    generated = [
        [(region.category, region.prompt, region.region_xywh) for region in record.regions] for record in run.records()
    ]
    assert [
        [(one.category, one.prompt, one.region.box_xywh) for one in canvas] for canvas in planned.first
    ] == generated
    assert planned.objects == sum(map(len, generated))


def test_guidance_doubles_the_calls_of_the_model() -> None:
    def calls(guidance: float) -> int:
        config = make_config("mini", {"sampling": {"steps": 5, "guidance": guidance}})
        return preview(select(["banana", "teapot"], "mini"), config, Canvases(10)).unet_calls

    assert (calls(1), calls(4)) == (20 * 4 * 5, 20 * 4 * 5 * 2)


def test_large_jobs_are_estimated_quickly() -> None:
    everything: Selection = select(None, "mini")
    planned = preview(everything, make_config(), Canvases(1_000_000))
    assert planned.canvases == 1_000_000 * len(everything.main)
    assert planned.objects == 4 * planned.canvases


def test_a_layout_that_does_not_fit_is_refused() -> None:
    with pytest.raises(MosaicFusionError, match="must be multiples of 8"):
        preview(select(["banana"], "mini"), make_config("mini", {"layout": {"region_hw_px": (60, 64)}}), Canvases(1))
