"""mosaicfusion: data sets for large-vocabulary instance segmentation, drawn by diffusion models (arXiv 2309.13042)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mosaicfusion.errors import MosaicFusionError

if TYPE_CHECKING:
    from mosaicfusion.categories import Category, Selection, Vocabulary
    from mosaicfusion.config import RunConfig
    from mosaicfusion.dataset.export import export
    from mosaicfusion.dataset.merge.merge import merge
    from mosaicfusion.generation.build_dataset import Summary
    from mosaicfusion.generation.generate import generate
    from mosaicfusion.generation.presets import load_config, make_config
    from mosaicfusion.generation.selection import vocabulary_for
    from mosaicfusion.run.folder import RunFolder
    from mosaicfusion.run.records import CanvasRecord, RegionRecord

_HOMES = {
    "RunConfig": "config",
    "load_config": "generation.presets",
    "make_config": "generation.presets",
    "Selection": "categories",
    "Summary": "generation.build_dataset",
    "export": "dataset.export",
    "merge": "dataset.merge.merge",
    "generate": "generation.generate",
    "vocabulary_for": "generation.selection",
    "CanvasRecord": "run.records",
    "RegionRecord": "run.records",
    "RunFolder": "run.folder",
    "Category": "categories",
    "Vocabulary": "categories",
}

__all__ = [
    "CanvasRecord",
    "Category",
    "MosaicFusionError",
    "RegionRecord",
    "RunConfig",
    "RunFolder",
    "Selection",
    "Summary",
    "Vocabulary",
    "export",
    "generate",
    "load_config",
    "make_config",
    "merge",
    "vocabulary_for",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: ``mosaicfusion --help`` loads none of them."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
