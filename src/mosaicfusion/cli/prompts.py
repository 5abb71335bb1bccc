"""The command prompts: lists of prompts by category, to be reviewed and given to generate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mosaicfusion.cli.app import app
from mosaicfusion.cli.options import DeviceOption
from mosaicfusion.errors import MosaicFusionError, counted


@app.command(
    epilog="""**Examples**

`mosaicfusion prompts -c "mug, kettle" --per-category 32 -o prompts.json`

`mosaicfusion prompts --vocabulary my_coco.json --llm Qwen/Qwen2.5-1.5B-Instruct -o prompts.json`

`mosaicfusion generate -c "mug, kettle" --prompts prompts.json --model CompVis/stable-diffusion-v1-4 --out runs/mugs`

Read the file, and change what you do not like: each line holds {name}, or the category's name."""
)
def prompts(
    out: Annotated[Path, typer.Option("--out", "-o", help="The json to write.")],
    categories: Annotated[
        str | None, typer.Option("--categories", "-c", help="Comma-separated names, or a .txt file with one per line.")
    ] = None,
    vocabulary: Annotated[Path | None, typer.Option(help="Categories of an LVIS or COCO json.")] = None,
    per_category: Annotated[int, typer.Option(help="Different prompts for each category.", min=1, max=500)] = 32,
    llm: Annotated[
        str | None,
        typer.Option(
            help="Language model: a folder in transformers' format, or a hub id.", show_default="none: by rules"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same prompts.", min=0)] = 0,
    device: DeviceOption = "auto",
) -> None:
    """Write prompts of many kinds for each category: viewpoints, light, places, or what a language model thinks of."""
    from mosaicfusion.categories import from_names, split_names
    from mosaicfusion.cli.console import progress_bar
    from mosaicfusion.dataset.vocabulary import read_vocabulary
    from mosaicfusion.files.atomic import write_atomic
    from mosaicfusion.generation.prompt_lists import write_prompts

    if (categories is None) == (vocabulary is None):
        raise MosaicFusionError("give --categories or --vocabulary, one of the two")
    wanted = read_vocabulary(vocabulary) if vocabulary else from_names(split_names(str(categories)))
    write = None
    if llm:
        from mosaicfusion.models.language import load_language_model

        write = load_language_model(llm, device, seed)
    with progress_bar("writing", "category") as progress:
        found = write_prompts(list(wanted), per_category, seed, write, progress.show)
    write_atomic(out, found.to_json())
    total = per_category * len(found.lists)
    typer.echo(f"{counted(total, 'prompt')} for {counted(len(found.lists), 'category')}: {out}")
    if llm:
        typer.echo(f"{found.by_model} of them are the model's, the others follow the rules")
    typer.echo(f"read them, then: mosaicfusion generate ... --prompts {out}")
