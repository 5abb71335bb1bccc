"""The options of real objects that generated ones begin from, and the settings built from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mosaicfusion.errors import MosaicFusionError

_PANEL = "Real objects to begin from"
ReferenceOption = Annotated[
    Path | None,
    typer.Option(
        help="LVIS or COCO json, or a run folder: an object begins from a noised real one of its category.",
        rich_help_panel=_PANEL,
    ),
]
ReferenceImagesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--images",
        help="Folder of the images of --reference; may be repeated.",
        show_default="that of the json",
        rich_help_panel=_PANEL,
    ),
]
StrengthOption = Annotated[
    float | None,
    typer.Option(
        help="Part of the steps after the real object: low is close to it, high is free.",
        show_default="0.7",
        rich_help_panel=_PANEL,
    ),
]


def make_references(reference: Path | None, images: list[Path] | None, strength: float | None) -> dict[str, Any]:
    """The settings of the references; raises :class:`MosaicFusionError` for options without a file."""
    if reference is None:
        for name, value in (("--images", images), ("--strength", strength)):
            if value is not None and value != []:
                raise MosaicFusionError(f"{name} is for real objects to begin from; name their json with --reference")
        return {}
    settings = {
        "file": str(reference),
        "images": tuple(map(str, images)) if images else None,
        "strength": strength,
    }
    return {"references": {name: value for name, value in settings.items() if value is not None}}
