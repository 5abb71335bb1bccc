"""Commands about detectors: train, evaluate, predict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mosaicfusion.cli.app import app
from mosaicfusion.cli.options import DeviceOption, apply_settings
from mosaicfusion.errors import MosaicFusionError

if TYPE_CHECKING:
    from torch import Tensor

    from mosaicfusion.detectors.config import Recipe
    from mosaicfusion.detectors.data.classes import ClassList
    from mosaicfusion.detectors.data.dataset import DetectionDataset
    from mosaicfusion.detectors.evaluation.evaluate import GroundTruth, Scores
    from mosaicfusion.detectors.training.train import TrainSummary

FolderArgument = Annotated[Path, typer.Argument(help="The folder that `mosaicfusion train` wrote.")]
ImagesOption = Annotated[Path, typer.Option("--images", help="Folder that the file names of the json are relative to.")]
SkipOption = Annotated[bool, typer.Option("--skip-missing", help="Leave out images that are not on disk.")]
WorkersOption = Annotated[int, typer.Option(help="Processes that load images, for each device.", min=0)]


@app.command(
    epilog="""**Examples**

`mosaicfusion train --train merged.json --images data/ --recipe lvis_r50 --devices 8 -o exp/mf`

`mosaicfusion train --train runs/fruit/lvis.json --images runs/fruit --recipe mini_lite0 --set schedule.iterations=300 -o exp/a`

`mosaicfusion train --train train.json --val val.json --images data/ --recipe my.yaml --set seed=1 -o exp/seed1`

The same command again goes on with an interrupted training. On several machines, start it by SLURM or torchrun on each, with
--nodes."""
)
def train(
    train_json: Annotated[Path, typer.Option("--train", help="LVIS or COCO json to train on.")],
    images: ImagesOption,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the detector: new, empty, or to go on with.")],
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="Name of a recipe, or a .yaml file.")] = "lvis_r50",
    detector: Annotated[
        str | None, typer.Option(help="Detector, if another than the recipe's.", show_default="the recipe's")
    ] = None,
    val_json: Annotated[
        Path | None, typer.Option("--val", help="LVIS json: its categories are checked first, its AP shown at the end.")
    ] = None,
    text_embeddings: Annotated[
        Path | None, typer.Option(help="File of `mosaicfusion embed-text`, for a classifier of kind text.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting as KEY=VALUE, as in --set schedule.batch_size=8; may be repeated."),
    ] = None,
    pretrained: Annotated[
        bool | None,
        typer.Option(
            "--pretrained/--no-pretrained", help="Weights of the backbone, or none.", show_default="the recipe's"
        ),
    ] = None,
    skip_missing: SkipOption = False,
    device: DeviceOption = "auto",
    devices: Annotated[int, typer.Option(help="Devices on this machine.", min=1)] = 1,
    nodes: Annotated[int, typer.Option(help="Machines.", min=1)] = 1,
    workers: WorkersOption = 2,
    checkpoint_every: Annotated[
        int | None,
        typer.Option(help="Steps between checkpoints.", min=1, show_default="a tenth of all, 1000 at most"),
    ] = None,
) -> None:
    """Train a detector by a recipe; it is resumed exactly where it was interrupted."""
    import json

    from mosaicfusion.detectors.config import load_recipe

    choice = [] if pretrained is None else [f"backbone.pretrained={json.dumps(pretrained)}"]
    overrides = apply_settings({"detector": detector} if detector else {}, [*(settings or []), *choice])
    chosen = load_recipe(recipe, overrides)

    from mosaicfusion.detectors.data.training_set import open_training_set
    from mosaicfusion.detectors.training.launch import is_first_process
    from mosaicfusion.detectors.training.train import Options
    from mosaicfusion.detectors.training.train import train as run

    data = open_training_set(chosen.data, train_json, images, skip_missing)
    if val_json is not None:
        data.classes.require_same(_open_val(val_json, images, skip_missing)[0].classes)
    vectors = _text_embeddings(text_embeddings, chosen, data.classes)
    options = Options(device, devices, nodes, workers, checkpoint_every)
    if not is_first_process():
        run(chosen, data, out, options, vectors)
        return
    from mosaicfusion.cli.console import Progress

    with Progress("training", "steps", "loading the data and the model") as progress:
        summary = run(chosen, data, out, options, vectors, progress.show)
    _print_training(summary, data.left_out)
    if val_json is not None:
        evaluate(out, val_json, images, skip_missing=skip_missing, device=device, workers=workers)


@app.command(
    epilog="""**Examples**

`mosaicfusion evaluate exp/mf --val val.json --images data/`

`mosaicfusion evaluate exp/mf --val val.json --images data/ --open-vocabulary`"""
)
def evaluate(
    folder: FolderArgument,
    val_json: Annotated[Path, typer.Option("--val", help="LVIS json to evaluate on.")],
    images: ImagesOption,
    open_vocabulary: Annotated[
        bool, typer.Option("--open-vocabulary", help="Also AP of novel (rare) and base categories.")
    ] = False,
    skip_missing: SkipOption = False,
    device: DeviceOption = "auto",
    workers: WorkersOption = 2,
    batch_size: Annotated[int, typer.Option(help="Images at a time.", min=1)] = 1,
) -> None:
    """Show the AP of boxes and masks, as LVIS defines it; scores and detections are kept in the folder."""
    import json

    from mosaicfusion.cli.console import Progress
    from mosaicfusion.detectors.checkpoint import load_detector, read_classes
    from mosaicfusion.detectors.data.samples import make_loader
    from mosaicfusion.detectors.evaluation.evaluate import score
    from mosaicfusion.detectors.evaluation.results import read_results, write_results
    from mosaicfusion.files.atomic import write_atomic

    truth, samples = _open_val(val_json, images, skip_missing)
    detector = load_detector(folder, device)
    read_classes(folder).require_same(truth.classes)
    results = folder / f"detections-{val_json.stem}.json"
    target = next(detector.model.parameters()).device
    with Progress("detecting", "images", "loading the detector") as progress:
        write_results(
            detector.model,
            make_loader(samples, None, batch_size, workers),
            detector.classes,
            results,
            target,
            on_image=lambda done: progress.show(done, len(samples)),
        )
    scores = score(truth, read_results(results), open_vocabulary=open_vocabulary, source=str(results))
    plain = json.dumps({kind: of_kind.to_json() for kind, of_kind in scores.items()}, indent=1, ensure_ascii=False)
    write_atomic(folder / f"scores-{val_json.stem}.json", plain.encode())
    _print_left_out(samples.left_out)
    _print_scores(scores, len(samples))
    typer.echo(f"scores by category: {folder / f'scores-{val_json.stem}.json'}")


@app.command(epilog="**Example**\n\n`mosaicfusion predict exp/mf image.jpg -o overlay.png --min-score 0.3`")
def predict(
    folder: FolderArgument,
    image: Annotated[Path, typer.Argument(help="A picture.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture with masks, as .png or .jpg.")],
    min_score: Annotated[float, typer.Option(help="Show what scores as much.", min=0, max=1)] = 0.5,
    device: DeviceOption = "auto",
) -> None:
    """Draw what a detector finds in one picture."""
    import io

    from PIL import Image
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from mosaicfusion.detectors.checkpoint import load_detector
    from mosaicfusion.detectors.evaluation.predict import predict as find
    from mosaicfusion.detectors.evaluation.predict import render_detections
    from mosaicfusion.files.atomic import write_atomic
    from mosaicfusion.files.images import read_rgb

    formats = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
    if out.suffix.lower() not in formats:
        raise MosaicFusionError(f"--out {out} must end in .png or .jpg")
    if out.resolve() == image.resolve():
        raise MosaicFusionError(f"--out {out} is the picture itself, which would be lost; give another name")
    picture = read_rgb(image, upright=True)
    found = find(load_detector(folder, device), picture, min_score)
    buffer = io.BytesIO()
    Image.fromarray(render_detections(picture, found)).save(buffer, formats[out.suffix.lower()])
    write_atomic(out, buffer.getvalue())
    table = Table(
        "category", "score", "box (x, y, x, y)", title=f"objects with a score of at least {min_score:g}: {len(found)}"
    )
    for one in found[:20]:
        table.add_row(Text(one.category), f"{one.score:.2f}", ", ".join(f"{side:.0f}" for side in one.box_xyxy))
    if found:
        Console().print(table)
    else:
        typer.echo(f"nothing scores {min_score:g} or more; try a lower --min-score")
    typer.echo(f"picture: {out}")


def _open_val(path: Path, images: Path, skip_missing: bool) -> tuple[GroundTruth, DetectionDataset]:
    """Of the same images. What cannot be evaluated is said before, not after, hours of training or detection."""
    from mosaicfusion.detectors.data.dataset import DetectionDataset
    from mosaicfusion.detectors.evaluation.evaluate import GroundTruth

    truth, samples = GroundTruth.open(path), DetectionDataset(path, images, skip_missing=skip_missing)
    return truth.of_images({image.id for image in samples.images}), samples


def _text_embeddings(path: Path | None, recipe: Recipe, classes: ClassList) -> Tensor | None:
    if path is None:
        return None
    if recipe.classifier.kind != "text":
        raise MosaicFusionError(
            f"--text-embeddings {path} has no use in a recipe whose classifier.kind is {recipe.classifier.kind}; leave it "
            "out, or add --set classifier.kind=text"
        )
    from mosaicfusion.detectors.models.text_embeddings import read_text_embeddings

    embeddings = read_text_embeddings(path)
    if recipe.backbone.clip is not None:
        embeddings.require_clip(recipe.backbone.clip)
    return embeddings.by_label(classes)


def _print_training(summary: TrainSummary, left_out: dict[str, int]) -> None:
    _print_left_out(left_out)
    if summary.steps == 0:
        typer.echo(f"all {summary.iterations} steps were taken before")
    else:
        loss = "" if summary.loss is None else f", loss {summary.loss:.3f}"
        typer.echo(
            f"{summary.steps} steps in {summary.seconds:.0f} s, {summary.seconds / summary.steps:.2f} s a step, "
            f"{summary.data_share:.1%} of it waiting for images{loss}"
        )
    typer.echo(f"detector: {summary.path}")


def _print_left_out(left_out: Mapping[str, int]) -> None:
    for reason, count in left_out.items():
        typer.echo(f"left out: {count} {reason}")


def _print_scores(scores: dict[Any, Scores], images: int) -> None:
    from rich.console import Console

    from mosaicfusion.cli.console import make_table

    names = list(next(iter(scores.values())).metrics)
    table = make_table("", *names, title=f"AP in percent on {images} images")
    for kind, of_kind in scores.items():
        values = (of_kind.metrics[name] for name in names)
        table.add_row(kind, *("-" if value is None else f"{100 * value:.1f}" for value in values))
    Console().print(table)
