"""Canvases for the random models of :mod:`support.tiny_models`."""

from __future__ import annotations

from typing import Any

from mosaicfusion.categories import from_names
from mosaicfusion.config import RunConfig
from mosaicfusion.settings import merge_settings

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


def scene_config(**settings: Any) -> RunConfig:
    """Scenes of two to four objects on canvases of 64 x 64 pixels, delivered at half their size."""
    layout = {
        "kind": "scene", "canvas_hw_px": (64, 64), "objects": (2, 4), "smallest_px": 16, "step_px": 8, "group_size": 4,
        "largest": 0.5, "render_scale": 2,
    }  # fmt: skip
    base = tiny_config().model_dump() | {"layout": layout}
    return RunConfig.parse(merge_settings(base, settings))
