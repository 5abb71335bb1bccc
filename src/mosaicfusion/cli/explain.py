"""Commands that show what a model does: explain, categories."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mosaicfusion.cli.app import app
from mosaicfusion.cli.options import (
    PRESET_HELP,
    DeviceOption,
    ModelOption,
    OffloadOption,
    SeedOption,
    SetOption,
    VaeTilingOption,
    make_selection,
    read_config,
)
from mosaicfusion.errors import MosaicFusionError, counted


@app.command(
    epilog="""**Examples**

`mosaicfusion explain --categories "banana, teapot" --seed 3 --out figures/`

`mosaicfusion explain --categories "banana, teapot, umbrella" --layout scene --out figures/`"""
)
def explain(
    categories: Annotated[str, typer.Option("--categories", "-c", help="1 to 9 comma-separated names.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the figure.")],
    seed: SeedOption = 0,
    model: ModelOption = "mini",
    preset: Annotated[str | None, typer.Option(help=PRESET_HELP, show_default="by the model")] = None,
    layout: Annotated[str | None, typer.Option(help="grid or scene.", show_default="grid")] = None,
    settings: SetOption = None,
    device: DeviceOption = "auto",
    offload: OffloadOption = False,
    vae_tiling: VaeTilingOption = False,
) -> None:
    """Show how the masks of one canvas are made: heat maps over steps and resolutions."""
    from mosaicfusion.generation.explain import explain as render
    from mosaicfusion.generation.presets import check_model
    from mosaicfusion.models.device import DeviceOptions

    overrides = {"model": model, "seed": seed, "layout": {"kind": layout}}
    settings_used = check_model(read_config(preset, overrides, settings), preset)
    options = DeviceOptions(device, offload=offload, vae_tiling=vae_tiling)
    path = render(make_selection(settings_used.model, categories).main, out, settings_used, options)
    typer.echo(f"figure: {path}")


@app.command(epilog="**Example**\n\n`mosaicfusion categories --search cup`")
def categories(
    search: Annotated[str | None, typer.Option(help="Text in the name, a synonym or the definition.")] = None,
    model: ModelOption = "mini",
) -> None:
    """List the categories that the bundled model knows."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from mosaicfusion.generation.selection import vocabulary_for

    vocabulary = vocabulary_for(model)
    found = vocabulary.search(search) if search else list(vocabulary)
    if not found:
        near = ", ".join(vocabulary.nearest(search or ""))
        raise MosaicFusionError(f"no category contains {search!r}" + (f"; nearest: {near}" if near else ""))
    table = Table(
        "name", "LVIS name", "frequency", "definition", title=f"{len(found)} of {counted(len(vocabulary), 'category')}"
    )
    for category in found:
        cells = (category.display_name, category.name, category.frequency or "-", category.definition)
        table.add_row(*(Text(cell) for cell in cells))
    Console().print(table)
