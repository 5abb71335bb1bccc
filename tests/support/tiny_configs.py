"""Canvases for the random models of :mod:`support.tiny_models`."""

from __future__ import annotations

from mosaicfusion.categories import from_names
from mosaicfusion.config import RunConfig

CATEGORIES = from_names(["banana", "polar bear", "teapot"])


def tiny_config(grid: str = "1x1", scheduler: str = "ddim", steps: int = 3, guidance: float = 4.0) -> RunConfig:
    return RunConfig.parse(
        {
            "layout": {"grids": (grid,), "region_hw_px": (32, 48), "overlap_xy_px": (8, 4), "group_size": 4},
            "prompt": {"template": "a photo of a single {name}"},
            "sampling": {"scheduler": scheduler, "steps": steps, "guidance": guidance},
            "attention": {"strides_px": (2, 4)},
        }
    )
