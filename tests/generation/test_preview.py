"""A job before it is started."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tiny_runs import generate_tiny

from mosaicfusion.categories import Selection
from mosaicfusion.errors import MosaicFusionError
from mosaicfusion.generation.amount import Amount, Canvases, Instances
from mosaicfusion.generation.build_dataset import summarize
from mosaicfusion.generation.presets import make_config
from mosaicfusion.generation.preview import Preview, preview
from mosaicfusion.generation.selection import select
from mosaicfusion.run.folder import RunFolder


def test_the_size_of_cells_and_the_halves_are_those_of_the_model(tiny_sd: Path, tiny_flux: Path) -> None:
    def planned(model: Path) -> Preview:
        return preview(select(["kite"], str(model)), make_config(None, {"model": str(model)}), Canvases(1))

    stable, flux = planned(tiny_sd), planned(tiny_flux)
    assert stable.unet_calls == stable.objects * 50 * 2
    assert flux.unet_calls == flux.objects * 28  # the guidance is an input
    (regions,) = flux.first.values()
    assert all(side % 16 == 0 for one in regions for side in one.region.hw)


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
        [(one.category, one.prompt, one.region.box_xywh) for one in canvas] for canvas in planned.first.values()
    ] == generated
    assert planned.objects == sum(map(len, generated))


class TestOfAnExistingRun:
    @pytest.fixture
    def run(self, tiny_sd: Path, tmp_path: Path) -> RunFolder:
        """Eight canvases."""
        generate_tiny(tmp_path / "run", tiny_sd)
        return RunFolder.open(tmp_path / "run")

    def plan(self, run: RunFolder, amount: Amount) -> Preview:
        selection = select([category.name for category in run.manifest.categories.main], run.manifest.config.model)
        return preview(selection, run.manifest.config, amount, existing=run, latent_factor=2)

    def test_only_new_canvases_are_planned(self, run: RunFolder) -> None:
        planned = self.plan(run, Canvases(5))
        assert (planned.existing, planned.canvases, list(planned.first)) == (8, 2, [8, 9])
        assert planned.objects == 4
        nothing = self.plan(run, Canvases(4))
        assert (nothing.canvases, nothing.objects, nothing.first) == (0, 0, {})

    def test_lost_parts_are_planned_again(self, run: RunFolder) -> None:
        run.part_files()[1].unlink()
        planned = self.plan(run, Instances({"kite": 50, "drum": 50}))
        assert (planned.existing, list(planned.first)) == (6, [2, 3]), "planned canvases are completed first"
        assert planned.aims["kite"].canvases == 4
        assert planned.aims["kite"].synthetic < planned.aims["kite"].after

    def test_instances_that_exist_count(self, run: RunFolder) -> None:
        have = summarize(run).per_category["kite"].used
        planned = self.plan(run, Instances({"kite": have + 3, "drum": 0}))
        assert planned.canvases >= 1
        assert planned.aims["kite"].synthetic == have
        assert planned.aims["kite"].after >= have + 3

    def test_another_run_is_refused(self, run: RunFolder) -> None:
        config = run.manifest.config.model_copy(update={"seed": 9})
        with pytest.raises(MosaicFusionError, match=r"holds another run; .*\n  config.seed: 0 -> 9"):
            preview(select(["kite", "drum"], config.model), config, Canvases(4), existing=run, latent_factor=2)


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
