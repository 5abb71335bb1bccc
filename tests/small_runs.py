"""Runs of eight canvases on a model of random weights: a canvas takes a few hundredths of a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mosaicfusion.config import RunConfig
from mosaicfusion.generation.build_dataset import Summary
from mosaicfusion.generation.generate import generate
from mosaicfusion.generation.presets import make_config

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


def draw(out: Path | str, model: Path, **options: Any) -> Summary:
    """Eight canvases in four batches."""
    options = {"canvases_per_category": 4, "policy": "not_exhaustive", "batch_size": 2, **options}
    return generate(NAMES, out=out, config=options.pop("config", None) or small_config(model), **options)


def content(run: Path) -> dict[str, bytes]:
    """Every file that is the same for the same data."""
    files = [path for path in run.rglob("*") if path.is_file() and path.suffix != ".html"]
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in files}
