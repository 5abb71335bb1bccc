"""The options of layouts, and the settings built from them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from mosaicfusion.cli.options import IMAGES
from mosaicfusion.errors import MosaicFusionError

GridOption = Annotated[
    str | None,
    typer.Option(
        help="Rows x columns; of several, such as 1x2,2x1, each group gets one at random.", rich_help_panel=IMAGES
    ),
]
LayoutOption = Annotated[
    str | None,
    typer.Option(
        help="grid: a mosaic, as in the paper; scene: objects of many sizes on one background.",
        show_default="grid",
        rich_help_panel=IMAGES,
    ),
]
ObjectsOption = Annotated[
    str | None,
    typer.Option(help="Scenes: fewest and most objects, such as 4-12, or like:FILE.", rich_help_panel=IMAGES),
]
LikeOption = Annotated[
    Path | None,
    typer.Option(
        help="Scenes: sizes, positions and numbers of objects, and which are together, as in an LVIS or COCO json.",
        rich_help_panel=IMAGES,
    ),
]
SizesOption = Annotated[
    str | None,
    typer.Option(
        help="Scenes: log-normal, depth, or like:FILE, the sizes by category of an LVIS or COCO json.",
        rich_help_panel=IMAGES,
    ),
]
MaxOverlapOption = Annotated[
    float | None, typer.Option(help="Scenes: most that two regions share.", min=0, max=1, rich_help_panel=IMAGES)
]
RenderScaleOption = Annotated[
    int | None,
    typer.Option(help="Scenes: deliver images at their size divided by this.", min=1, max=8, rich_help_panel=IMAGES),
]

BindingOption = Annotated[
    str | None,
    typer.Option(
        help="Scenes: tiles, each region on its own; cutouts, in the shape of its object; rendered, all in one pass.",
        show_default="cutouts",
        rich_help_panel=IMAGES,
    ),
]


def make_layout(
    kind: str | None,
    grid: str | None,
    like: Path | None,
    objects: str | None,
    sizes: str | None,
    max_overlap: float | None,
    render_scale: int | None,
    binding: str | None,
) -> dict[str, Any]:
    """The settings of the layout; raises :class:`MosaicFusionError` for options of another layout than the chosen one."""
    from mosaicfusion.layouts.scene import FROM_FILE, LIKE

    scene = {
        "--like": like,
        "--objects": objects,
        "--sizes": sizes,
        "--max-overlap": max_overlap,
        "--render-scale": render_scale,
        "--binding": binding,
    }
    given = [name for name, value in scene.items() if value is not None]
    if given and kind in (None, "grid"):
        raise MosaicFusionError(f"{given[0]} is for scenes; add --layout scene")
    if grid is not None and kind not in (None, "grid"):
        raise MosaicFusionError(f"--grid is for mosaics; leave out --grid, or --layout {kind}")
    values = {
        "kind": kind,
        "grids": None if grid is None else tuple(part.strip() for part in grid.split(",")),
        "objects": objects if objects is None or objects.startswith(LIKE) else parse_range(objects),
        "sizes": sizes,
        "max_overlap": max_overlap,
        "render_scale": render_scale,
        "binding": binding,
    }
    of_file = {} if like is None else dict.fromkeys(FROM_FILE, f"{LIKE}{like}")
    return values | {name: value for name, value in of_file.items() if values.get(name) is None}


def parse_range(text: str) -> tuple[int, int]:
    """Read ``4-12`` or ``8``."""
    numbers = re.fullmatch(r"([0-9]{1,3})(?:-([0-9]{1,3}))?", text.strip())
    if not numbers:
        raise MosaicFusionError(f"--objects {text!r:.40} is not FEWEST-MOST, such as 4-12")
    return int(numbers[1]), int(numbers[2] or numbers[1])
