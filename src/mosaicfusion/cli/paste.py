"""The command paste: instances of runs on real images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mosaicfusion.cli.app import app
from mosaicfusion.cli.options import ImagesOption
from mosaicfusion.cli.speech import note
from mosaicfusion.errors import counted, first_few, printable

if TYPE_CHECKING:
    from mosaicfusion.pasting.paste import PasteSummary

_MAX_ROWS = 20


@app.command(
    epilog="""**Examples**

`mosaicfusion paste my_coco.json runs/mine --images photos/ -o data/pasted.json`

`mosaicfusion paste train.json runs/a runs/b --images data/ --count 2000 --objects 2-6 -o data/pasted.json`

`mosaicfusion merge my_coco.json data/pasted.json -o data/plus.json --images photos/ --link-images`

`mosaicfusion report RUN --min-quality 0.9` first leaves out instances with doubtful masks."""
)
def paste(
    real: Annotated[Path, typer.Argument(help="LVIS or COCO json whose images are pasted on.")],
    sources: Annotated[list[Path], typer.Argument(help="Run folders, or jsons beside their images.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The json to write; its images lie beside it.")],
    images: ImagesOption = None,
    count: Annotated[int, typer.Option(help="Number of images to write.", min=1)] = 500,
    objects: Annotated[str, typer.Option(help="Fewest and most instances to paste on an image.")] = "4-8",
    max_hidden: Annotated[
        float, typer.Option(help="Most of any object's area that instances may hide.", min=0, max=1)
    ] = 0.5,
    seed: Annotated[int, typer.Option(help="The same seed gives the same set.", min=0)] = 0,
) -> None:
    """Paste instances of runs on real images, at real sizes, the rarer a category the more."""
    from mosaicfusion.cli.console import progress_bar
    from mosaicfusion.cli.layouts import parse_range
    from mosaicfusion.pasting.paste import paste as run

    with progress_bar("pasting", "image", f"reading {real.name}") as progress:
        summary = run(
            real,
            sources,
            out,
            images=images,
            count=count,
            objects=parse_range(objects),
            max_hidden=max_hidden,
            seed=seed,
            on_image=progress.show,
        )
    _print(summary)


def _print(summary: PasteSummary) -> None:
    from rich.console import Console
    from rich.text import Text

    from mosaicfusion.cli.console import make_table

    total = summary.pasted.total()
    title = f"{counted(total, 'instance')} pasted on {counted(summary.images, 'image')}"
    table = make_table("category", "pasted", title=title)
    for name, pasted in summary.pasted.most_common(_MAX_ROWS):
        table.add_row(Text(printable(name)), str(pasted))
    if len(summary.pasted) > _MAX_ROWS:
        table.add_row(f"... {len(summary.pasted) - _MAX_ROWS} more, pasted less often", "")
    Console().print(table)
    if summary.unmatched:
        typer.echo(f"not in the real set, and left out: {first_few(summary.unmatched, 10)}")
    for reason, count in summary.left_out.items():
        note(f"left out: {reason}: {count}")
    typer.echo(f"{counted(summary.annotations, 'instance')} with those of the images: {summary.out}")
    typer.echo(f"add it to the real set: mosaicfusion merge REAL.json {summary.out} -o plus.json")
