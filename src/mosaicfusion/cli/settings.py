"""The command settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mosaicfusion.cli.app import app
from mosaicfusion.cli.options import MODEL_HELP, PRESET_HELP, SetOption, apply_settings, read_config
from mosaicfusion.errors import MosaicFusionError


@app.command(
    epilog="""**Examples**

`mosaicfusion settings --preset paper --model CompVis/stable-diffusion-v1-4 > my.yaml`, then `generate --config my.yaml`

`mosaicfusion settings --config runs/fruit/run.json`

`mosaicfusion settings --recipe mini_lite0 > my.yaml`, then `train --recipe my.yaml`"""
)
def settings(
    preset: Annotated[str | None, typer.Option(help=PRESET_HELP, show_default="by the model")] = None,
    config: Annotated[
        Path | None, typer.Option(help="JSON or YAML file with settings, or a run.json, instead of a preset.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help=MODEL_HELP, show_default="mini")] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", "-r", help="The settings of a training instead: a recipe or a .yaml file.")
    ] = None,
    changes: SetOption = None,
) -> None:
    """Print all settings of generate, or of a recipe, as YAML: what --config and --set accept."""
    if sum(value is not None for value in (preset, config, recipe)) > 1 or (recipe and model):
        raise MosaicFusionError("give one of --preset, --config and --recipe; --model goes with the first two")
    if recipe is not None:
        from mosaicfusion.detectors.config import load_recipe

        text = load_recipe(recipe, apply_settings({}, changes)).to_yaml()
    else:
        from mosaicfusion.generation.presets import load_config

        text = read_config(load_config(config) if config else preset, {"model": model}, changes).to_yaml()
    typer.echo(text, nl=False)
