"""mosaicfusion: data sets for large-vocabulary instance segmentation, drawn by diffusion models (arXiv 2309.13042)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mosaicfusion.errors import MosaicFusionError

if TYPE_CHECKING:
    from mosaicfusion.config import RunConfig, load_config, make_config
    from mosaicfusion.dataset.export import export
    from mosaicfusion.dataset.merge import merge
    from mosaicfusion.run.compile import Summary
    from mosaicfusion.run.folder import RunFolder
    from mosaicfusion.run.records import CanvasRecord, RegionRecord
    from mosaicfusion.run.runner import generate
    from mosaicfusion.selection import Selection, vocabulary_for
    from mosaicfusion.vocabulary import Category, Vocabulary

_HOMES = {
    "RunConfig": "config",
    "load_config": "config",
    "make_config": "config",
    "Selection": "selection",
    "Summary": "run.compile",
    "export": "dataset.export",
    "merge": "dataset.merge",
    "generate": "run.runner",
    "vocabulary_for": "selection",
    "CanvasRecord": "run.records",
    "RegionRecord": "run.records",
    "RunFolder": "run.folder",
    "Category": "vocabulary",
    "Vocabulary": "vocabulary",
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
