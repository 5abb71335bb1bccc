"""Runs of eight canvases on a model of random weights: a canvas takes a few hundredths of a second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mosaicfusion.config import OutputSettings, RunConfig
from mosaicfusion.diffusion.family import DiffusionModel
from mosaicfusion.diffusion.sampler import SampledCanvas
from mosaicfusion.files.remote import as_folder
from mosaicfusion.generation.amount import Amount, Canvases
from mosaicfusion.generation.batches import Shard
from mosaicfusion.generation.build_dataset import Summary
from mosaicfusion.generation.canvas_sampler import CanvasSampler
from mosaicfusion.generation.engine import Engine, LocalEngine, Record
from mosaicfusion.generation.events import Observer, OnEvent
from mosaicfusion.generation.generate import generate_with, make_engine
from mosaicfusion.generation.presets import make_config
from mosaicfusion.generation.recording import record_canvas
from mosaicfusion.generation.scale import Scale
from mosaicfusion.generation.selection import select
from mosaicfusion.models.device import DeviceOptions
from mosaicfusion.run.manifest import Manifest
from support.folders import read_files

NAMES = ["kite", "drum"]
CANVASES = 8


def small_config(model: Path, **overrides: Any) -> RunConfig:
    """1x2 canvases of 16 x 24 px in two steps, four canvases a layout group."""
    return make_config(
        "paper",
        {
            "model": str(model),
            "layout": {"grids": ("1x2",), "region_hw_px": (16, 16), "overlap_xy_px": (8, 8), "group_size": 4},
            "sampling": {"scheduler": "ddim", "steps": 2},
            "attention": {"strides_px": (2, 4)},
            "masks": {"min_area": 0, "max_area": 1, "refine": False, "threshold": 0.02},
            **overrides,
        },
    )


Watch = Callable[[list[int]], object]


@dataclass(frozen=True)
class WatchedSampler(CanvasSampler):
    """Calls ``watch`` with the indices of every batch that is about to be sampled; its errors are raised there."""

    watch: Watch

    def sample_together(self, indices: Sequence[int], on_step: Any = None) -> list[SampledCanvas]:
        self.watch(list(indices))
        return super().sample_together(indices, on_step)


def watched_engine(watch: Watch, record: Record = record_canvas, options: DeviceOptions | None = None) -> LocalEngine:
    """This process, with a :class:`WatchedSampler`."""

    def load(manifest: Manifest, options: DeviceOptions) -> CanvasSampler:
        sampler = CanvasSampler.load(manifest, options)
        return WatchedSampler(sampler.model, sampler.plan, watch)

    return LocalEngine(options or DeviceOptions(), load, record)


def changed_engine(change: Callable[[DiffusionModel], Any]) -> LocalEngine:
    """This process, with the model that ``change`` makes of the loaded one."""

    def load(manifest: Manifest, options: DeviceOptions) -> CanvasSampler:
        sampler = CanvasSampler.load(manifest, options)
        return replace(sampler, model=change(sampler.model))

    return LocalEngine(DeviceOptions(), load)


def nothing_is_sampled(indices: list[int]) -> None:
    """A watch for :func:`watched_engine`."""
    raise AssertionError(f"canvases {indices} were sampled")


def generate_tiny(
    out: Path | str,
    model: Path,
    *,
    config: RunConfig | None = None,
    output: OutputSettings | None = None,
    batch_size: int = 2,
    shard: str = "1/1",
    scale: Scale | None = None,
    canvases_per_category: int = 4,
    amount: Amount | None = None,
    on_event: OnEvent | None = None,
    engine: Engine | None = None,
) -> Summary:
    """Eight canvases, by default in four batches."""
    options = DeviceOptions(batch_size=batch_size)
    scale = scale or Scale(Shard.parse(shard))
    with nullcontext(engine) if engine else make_engine(scale, options) as generator:
        return generate_with(
            generator,
            select(NAMES, str(model)),
            as_folder(out),
            amount or Canvases(canvases_per_category),
            config or small_config(model),
            output or OutputSettings(policy="not_exhaustive"),
            options,
            scale,
            Observer(on_event),
        )


def content(run: Path) -> dict[str, bytes]:
    """Every file that is the same for the same data."""
    return {name: data for name, data in read_files(run).items() if not name.endswith(".html")}
