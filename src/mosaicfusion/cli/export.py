"""The command export: a data set in the formats of trainers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mosaicfusion.cli.app import app
from mosaicfusion.cli.options import ImagesOption, PolicyOption
from mosaicfusion.cli.speech import note

if TYPE_CHECKING:
    from mosaicfusion.dataset.export import Exported


@app.command(
    epilog="""**Examples**

`mosaicfusion export runs/fruit --to coco --masks polygon -o fruit-coco`

`mosaicfusion export runs/fruit --to lvis --policy not_exhaustive -o fruit-lvis`

`mosaicfusion export runs/fruit --to yolo --val-fraction 0.1 -o fruit-yolo`

`mosaicfusion export data/plus.json --to yolo --val my_val.json --val-images photos/ -o plus-yolo`

`mosaicfusion export runs/fruit --to voc -o fruit-voc`

`mosaicfusion export runs/rare --to lvis --categories lvis_v1_train.json -o rare-lvis`

`mosaicfusion export train_plus.json --images data/ --to webdataset --shard-size 5000 -o s3://bucket/train_plus`

`mosaicfusion export roboflow/train --to yolo -o fruit-yolo`, a folder with images and _annotations.coco.json

`mosaicfusion export runs/fruit --to hf -o fruit-hf`, then `datasets.load_dataset("fruit-hf")`

`mosaicfusion export runs/fruit --to label_studio -o fruit-ls`, fiftyone or cvat; `review --from` takes back what changed

The folder appears complete or not at all. Images are copied byte by byte and named by their id (yolo: by their own
names); categories.json lists the categories. Notes at the end say what the format could not hold."""
)
def export(
    source: Annotated[Path, typer.Argument(help="A run folder, or an LVIS or COCO json.")],
    to: Annotated[
        str,
        typer.Option(metavar="FORMAT", help="coco, lvis, yolo, voc, webdataset, hf, fiftyone, label_studio or cvat."),
    ],
    out: Annotated[str, typer.Option("--out", "-o", help="New or empty folder, or a URL such as s3://bucket/folder.")],
    images: ImagesOption = None,
    masks: Annotated[
        Literal["rle", "polygon"] | None,
        typer.Option(help="Format of the masks; not for yolo and voc.", show_default="as they are"),
    ] = None,
    policy: PolicyOption = None,
    val_fraction: Annotated[
        float,
        typer.Option(
            help="Fraction of the images (of a merged set: the real ones) for val, by their ids; for yolo and voc."
        ),
    ] = 0.0,
    val: Annotated[
        Path | None,
        typer.Option(help="Your validation json: it becomes val, and all of the source train; for yolo and voc."),
    ] = None,
    val_images: Annotated[
        list[Path] | None, typer.Option(help="Folder of the images of --val.", show_default="the folder of the json")
    ] = None,
    categories: Annotated[
        Path | None,
        typer.Option(
            help="A json whose categories the export has, all and with their ids, such as lvis_v1_train.json."
        ),
    ] = None,
    shard_size: Annotated[int, typer.Option(help="Images per file of webdataset or hf.")] = 1000,
) -> None:
    """Write a run or a json for trainers (COCO, LVIS, YOLO, Pascal VOC, WebDataset, parquet) or tools to look at it."""
    from mosaicfusion.cli.console import progress_bar
    from mosaicfusion.dataset.export import export as run

    with progress_bar("exporting", "image", "reading the source") as progress:
        exported = run(
            source,
            to,
            out,
            images=images,
            policy=policy,
            masks=masks,
            val_fraction=val_fraction,
            val=val,
            val_images=val_images,
            categories=categories,
            shard_size=shard_size,
            on_progress=progress.show,
        )
    _print(exported)


def _print(exported: Exported) -> None:
    from rich.console import Console
    from rich.filesize import decimal

    from mosaicfusion.cli.console import make_table

    console = Console()
    table = make_table("images", "instances", "categories", "size", words=0)
    counts = (exported.images, exported.instances, exported.categories)
    table.add_row(*map(str, counts), decimal(exported.size))
    console.print(table)
    for text in exported.notes:
        note(text)
    console.print(f"data set: {exported.out}", markup=False, soft_wrap=True)
