"""The command predict: the objects that a detector finds in images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mosaicfusion.cli.app import app
from mosaicfusion.cli.extras import DETECTING, require_train_extra
from mosaicfusion.cli.options import DeviceOption
from mosaicfusion.cli.speech import warn
from mosaicfusion.errors import MosaicFusionError, counted, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mosaicfusion.detectors.evaluation.predict import PredictedObject
    from mosaicfusion.detectors.evaluation.predict_images import Predictions

_MAX_ROWS = 20


@app.command(
    epilog="""**Examples**

`mosaicfusion predict exp/mf image.jpg -o overlay.png --min-score 0.3`

`mosaicfusion predict exp/mf photos/ -o found/`"""
)
def predict(
    folder: Annotated[Path, typer.Argument(help="The folder written by `mosaicfusion train`.")],
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of images with their subfolders.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="For one image the overlay, as .png or .jpg; else a folder of overlays and a COCO json."
        ),
    ],
    min_score: Annotated[float, typer.Option(help="Lowest score of the objects to keep.", min=0, max=1)] = 0.5,
    device: DeviceOption = "auto",
) -> None:
    """Detect the objects of images: overlays, and a COCO json of masks, boxes and scores."""
    require_train_extra(DETECTING)
    from mosaicfusion.detectors.evaluation.predict_images import FORMATS

    one_image = len(images) == 1 and not images[0].is_dir()
    if one_image and out.suffix and not out.is_dir():
        _predict_one(folder, images[0], out, min_score, device)
        return
    if out.suffix.lower() in FORMATS and not out.is_dir():
        raise MosaicFusionError(f"--out {out} is the name of one image, but there may be more; give a folder")
    _predict_many(folder, images, out, min_score, device)


def _predict_one(folder: Path, image: Path, out: Path, min_score: float, device: str) -> None:
    from mosaicfusion.detectors.checkpoint import load_detector
    from mosaicfusion.detectors.evaluation.predict import predict as detect
    from mosaicfusion.detectors.evaluation.predict_images import FORMATS, encode_overlay
    from mosaicfusion.files.atomic import write_atomic
    from mosaicfusion.files.images import read_rgb

    if out.suffix.lower() not in FORMATS:
        raise MosaicFusionError(f"--out {out} must end in .png or .jpg, or be a folder")
    if out.resolve() == image.resolve():
        raise MosaicFusionError(f"--out {out} is the image itself and would overwrite it; give another name")
    pixels = read_rgb(image, upright=True)
    objects = detect(load_detector(folder, device), pixels, min_score)
    write_atomic(out, encode_overlay(pixels, objects, out.name))
    _print_objects(objects, min_score)
    typer.echo(f"image: {out}")


def _predict_many(folder: Path, images: Sequence[Path], out: Path, min_score: float, device: str) -> None:
    from mosaicfusion.cli.console import progress_bar
    from mosaicfusion.detectors.evaluation.predict_images import predict_folder

    with progress_bar("detecting", "image", "loading the detector") as progress:
        result = predict_folder(folder, images, out, min_score=min_score, device=device, on_image=progress.show)
    _print_categories(result, min_score)
    for name, reason in list(result.unreadable.items())[:_MAX_ROWS]:
        warn(f"{shown(name)} was left out: {reason}")
    if result.unreadable:
        total = result.images + len(result.unreadable)
        typer.echo(f"left out: {len(result.unreadable)} of {counted(total, 'image')}, which cannot be read")
    typer.echo(f"overlays: {out}")
    typer.echo(f"objects: {result.path}")


def _print_categories(result: Predictions, min_score: float) -> None:
    from rich.console import Console
    from rich.text import Text

    from mosaicfusion.cli.console import make_table

    total = result.objects.total()
    if not total:
        typer.echo(
            f"nothing in {counted(result.images, 'image')} scores {min_score:g} or more; try a lower --min-score"
        )
        return
    table = make_table("category", "objects", title=f"{counted(total, 'object')} in {counted(result.images, 'image')}")
    for name, count in result.objects.most_common(_MAX_ROWS):
        table.add_row(Text(name), str(count))
    Console().print(table)


def _print_objects(objects: Sequence[PredictedObject], min_score: float) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not objects:
        typer.echo(f"nothing scores {min_score:g} or more; try a lower --min-score")
        return
    title = f"objects with a score of at least {min_score:g}: {len(objects)}"
    table = Table("category", "score", "box (x, y, x, y)", title=title)
    for one in objects[:_MAX_ROWS]:
        table.add_row(Text(one.category), f"{one.score:.2f}", ", ".join(f"{side:.0f}" for side in one.box_xyxy))
    Console().print(table)
