"""The command models."""

from __future__ import annotations

import typer

from mosaicfusion.cli.app import app


@app.command(
    epilog="""**Examples**

`mosaicfusion models`

`mosaicfusion settings --model stabilityai/stable-diffusion-3.5-medium` prints all settings of a model's preset"""
)
def models() -> None:
    """List the families of models, their presets, the memory of their weights, and what was verified."""
    from rich.console import Console

    from mosaicfusion.cli.console import make_table
    from mosaicfusion.generation.presets import families

    table = make_table("family", "attention", "preset", "region", "steps", "weights", words=3)
    for family, (height, width), steps in families():
        names = family.title, family.attention, family.preset
        table.add_row(*names, f"{width}x{height}", str(steps), f"{family.weights_gb} GB")
    Console().print(table)
    typer.echo(_NOTES)


_NOTES = """
weights:  of published models in 16 bits, by their numbers of parameters;
          --offload keeps one part at a time on the device
verified: on small random models of each format: an image of one region equals
          that of diffusers' own pipeline, the attention that is read equals
          an explicit softmax over all keys, a batch equals its canvases alone;
          no published weights were run
scenes:   tiles and cutouts for all families, rendered for cross-attention
presets:  also pixart-512 and flux-schnell, chosen by the model's files"""
