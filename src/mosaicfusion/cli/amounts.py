"""Options of generate that say what is generated, and how much of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mosaicfusion.cli.options import CATEGORIES

VocabularyOption = Annotated[
    Path | None, typer.Option(help="Categories of an LVIS or COCO json.", rich_help_panel=CATEGORIES)
]
MainOption = Annotated[
    str | None,
    typer.Option(
        "--main",
        help="Main categories, each shown on a canvas in turn (names or .txt).",
        show_default="all",
        rich_help_panel=CATEGORIES,
    ),
]
FrequencyOption = Annotated[
    str | None,
    typer.Option(
        help="Frequencies of the main categories: r, c, f, or r,c; counted where the json has none.",
        rich_help_panel=CATEGORIES,
    ),
]
PartnersOption = Annotated[
    str,
    typer.Option(
        help="Categories of the other regions: all, main, frequencies as r,c, names or a .txt file.",
        rich_help_panel=CATEGORIES,
    ),
]
CanvasesOption = Annotated[
    int | None,
    typer.Option(
        "--canvases-per-category",
        "-n",
        help="Canvases for each main category; with --instances-per-category, at most.",
        min=1,
        show_default="25",
    ),
]
InstancesOption = Annotated[
    int | None,
    typer.Option(
        help="Generate until the data set holds so many instances of each main category.",
        min=1,
        show_default="by canvases",
    ),
]
BalanceOption = Annotated[
    Path | None,
    typer.Option(
        help="LVIS or COCO json whose instances count as well: rare categories get more.", show_default="none"
    ),
]
