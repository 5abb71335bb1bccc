"""The commands train and evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mosaicfusion.cli.app import app
from mosaicfusion.cli.extras import EVALUATING, TRAINING, require_train_extra
from mosaicfusion.cli.options import DeviceOption, ImagesOption, apply_settings
from mosaicfusion.cli.speech import note
from mosaicfusion.errors import MosaicFusionError, counted, first_few, option_renamed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from mosaicfusion.detectors.config import Recipe
    from mosaicfusion.detectors.data.classes import ClassList
    from mosaicfusion.detectors.data.training_set import TrainingSet
    from mosaicfusion.detectors.evaluation.folder import Evaluation, ValidationSet
    from mosaicfusion.detectors.training.init import TakenWeights
    from mosaicfusion.detectors.training.train import TrainOptions, TrainSummary

FolderArgument = Annotated[Path, typer.Argument(help="The folder written by `mosaicfusion train`.")]
ValImagesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--val-images",
        help="The same for --val.",
        show_default="--images if given, else the folder of the json",
    ),
]
SkipOption = Annotated[
    bool, typer.Option("--skip-missing", help="Leave out images that are not on disk or cannot be read.")
]
WorkersOption = Annotated[int, typer.Option(help="Processes that load images, for each device.", min=0)]
TrainOption = Annotated[Path, typer.Option("--train", help="A run folder, or an LVIS or COCO json.")]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Folder of the detector: new, empty, or to be resumed.")]
RecipeOption = Annotated[str, typer.Option("--recipe", "-r", help="Name of a recipe, or a .yaml file.")]
DetectorOption = Annotated[
    str | None, typer.Option(help="Another detector than the recipe's.", show_default="the recipe's")
]
ValOption = Annotated[
    Path | None,
    typer.Option("--val", help="A run folder or json: its categories are checked first, its AP shown at the end."),
]
TextOption = Annotated[
    Path | None, typer.Option(help="File of `mosaicfusion embed-text`, for a classifier of kind text.")
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting as KEY=VALUE, such as --set schedule.batch_size=8; may be repeated."),
]
PretrainedOption = Annotated[
    bool | None,
    typer.Option("--pretrained/--no-pretrained", help="Load pretrained backbone weights.", show_default="the recipe's"),
]
InitOption = Annotated[
    Path | None, typer.Option("--init", help="Start from the weights of the detector in this folder.")
]
CheckpointOption = Annotated[
    int | None, typer.Option(help="Steps between checkpoints.", min=1, show_default="a tenth of all, 1000 at most")
]
_MAX_ROWS = 20
_MAX_LAYERS = 8


@app.command(
    epilog="""**Examples**

`mosaicfusion train --train merged.json --images data/ --recipe lvis_r50 --devices 8 -o exp/mf`

`mosaicfusion train --train runs/fruit --recipe mini_lite0 --set schedule.iterations=300 -o exp/a`

`mosaicfusion train --train own/ --init exp/mf --recipe lvis_r50 --set schedule.iterations=5000 -o exp/own`

`mosaicfusion train --train train.json --val val.json --images data/ --recipe my.yaml --set seed=1 -o exp/seed1`

`mosaicfusion train --train real.json --images photos/ --set data.pool=runs/a -o exp/pool`

Run the same command again to resume an interrupted training. On several machines, start it by SLURM or torchrun on each, with
--nodes."""
)
def train(
    train_source: TrainOption,
    out: OutOption,
    images: ImagesOption = None,
    recipe: RecipeOption = "lvis_r50",
    detector: DetectorOption = None,
    val_source: ValOption = None,
    val_images: ValImagesOption = None,
    text_embeddings: TextOption = None,
    settings: SettingsOption = None,
    pretrained: PretrainedOption = None,
    init: InitOption = None,
    skip_missing: SkipOption = False,
    device: DeviceOption = "auto",
    devices: Annotated[int, typer.Option(help="Devices on this machine.", min=1)] = 1,
    nodes: Annotated[int, typer.Option(help="Machines.", min=1)] = 1,
    workers: WorkersOption = 2,
    checkpoint_every: CheckpointOption = None,
) -> None:
    """Train a detector by a recipe; the same command resumes an interrupted training, exactly on a CPU."""
    require_train_extra(TRAINING)
    chosen = _load_recipe(recipe, detector, settings, pretrained)

    from mosaicfusion.dataset.coco import json_of
    from mosaicfusion.detectors.data.training_set import open_training_set
    from mosaicfusion.detectors.evaluation.folder import ValidationSet
    from mosaicfusion.detectors.training.launch import is_first_process
    from mosaicfusion.detectors.training.train import TrainOptions

    data = open_training_set(chosen.data, train_source, images, skip_missing)
    val = None
    if val_source is not None:  # opened first, so that its errors come before hours of training
        holds_images = json_of(val_source).is_dir()
        with option_renamed("--images", "--val-images"):
            val = ValidationSet.open(val_source, val_images or (None if holds_images else images), skip_missing)
        data.classes.require_all_of(val.truth.classes)
    vectors = _text_embeddings(text_embeddings, chosen, data.classes)
    _train(chosen, data, out, TrainOptions(device, devices, nodes, workers, checkpoint_every), vectors, init)
    if is_first_process():
        if val is not None:
            _evaluate(out, val, False, device, workers, 1)
        else:
            note(f"`mosaicfusion evaluate {out} --val VAL.json --images FOLDER` shows its AP")


@app.command(
    epilog="""**Examples**

`mosaicfusion evaluate exp/mf --val val.json --images data/`

`mosaicfusion evaluate exp/mf --val val.json --images data/ --open-vocabulary`"""
)
def evaluate(
    folder: FolderArgument,
    val_source: Annotated[Path, typer.Option("--val", help="A run folder, or an LVIS or COCO json.")],
    images: ImagesOption = None,
    open_vocabulary: Annotated[
        bool, typer.Option("--open-vocabulary", help="Also show AP of novel (rare) and base categories.")
    ] = False,
    skip_missing: SkipOption = False,
    device: DeviceOption = "auto",
    workers: WorkersOption = 2,
    batch_size: Annotated[int, typer.Option(help="Images at a time.", min=1)] = 1,
) -> None:
    """Show the AP of boxes and masks, LVIS' if the images have its lists, else COCO's; scores and detections are kept."""
    require_train_extra(EVALUATING)
    from mosaicfusion.detectors.evaluation.folder import ValidationSet

    val = ValidationSet.open(val_source, images, skip_missing)
    _evaluate(folder, val, open_vocabulary, device, workers, batch_size)


def _load_recipe(name: str, detector: str | None, settings: Sequence[str] | None, pretrained: bool | None) -> Recipe:
    import json

    from mosaicfusion.detectors.config import load_recipe

    choice = [] if pretrained is None else [f"backbone.pretrained={json.dumps(pretrained)}"]
    overrides = apply_settings({"detector": detector} if detector else {}, [*(settings or []), *choice])
    return load_recipe(name, overrides)


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


def _train(
    recipe: Recipe,
    data: TrainingSet,
    out: Path,
    options: TrainOptions,
    text_embeddings: Tensor | None,
    init: Path | None,
) -> None:
    """Train; the first process shows a bar and a summary."""
    from mosaicfusion.cli.console import progress_bar
    from mosaicfusion.detectors.training.launch import is_first_process
    from mosaicfusion.detectors.training.train import train

    if not is_first_process():
        train(recipe, data, out, options, text_embeddings, init=init)
        return
    with progress_bar("training", "step", "loading the data and the model") as progress:
        summary = train(
            recipe,
            data,
            out,
            options,
            text_embeddings,
            on_progress=progress.show,
            on_loss=lambda loss: progress.note(f"loss {loss:.3f}"),
            init=init,
            on_init=_print_taken,
        )
    _print_notes(data.notes, data.left_out)
    _print_training(summary)


def _evaluate(
    folder: Path, val: ValidationSet, open_vocabulary: bool, device: str, workers: int, batch_size: int
) -> None:
    from mosaicfusion.cli.console import progress_bar
    from mosaicfusion.detectors.evaluation.folder import evaluate_on

    with progress_bar("detecting", "image", "loading the detector") as progress:
        result = evaluate_on(
            folder,
            val,
            open_vocabulary=open_vocabulary,
            device=device,
            workers=workers,
            batch_size=batch_size,
            on_image=progress.show,
        )
    _print_notes([*val.truth.notes, *val.samples.notes], result.left_out)
    _print_scores(result)
    typer.echo(f"scores by category: {result.scores_path}")
    note(f"`mosaicfusion predict {folder} PHOTOS -o found` shows what it finds in a folder of photos")


def _print_training(summary: TrainSummary) -> None:
    if summary.steps == 0:
        typer.echo(f"all {counted(summary.iterations, 'step')} taken before")
    else:
        loss = "" if summary.loss is None else f", loss {summary.loss:.3f}"
        typer.echo(
            f"{counted(summary.steps, 'step')} in {summary.seconds:.0f} s, {summary.seconds / summary.steps:.2f} s a step, "
            f"{summary.data_share:.1%} of it waiting for images{loss}"
        )
    typer.echo(f"detector: {summary.path}")


def _print_taken(weights: TakenWeights) -> None:
    total = len(weights.taken) + len(weights.of_classes) + len(weights.unfit)
    typer.echo(f"weights of {weights.source}: {len(weights.taken)} of {counted(total, 'tensor')} taken")
    for reason, names in (("of other classes", weights.of_classes), ("of another shape, or missing", weights.unfit)):
        layers = list(dict.fromkeys(name.rpartition(".")[0] or name for name in names))
        if layers:
            typer.echo(f"not taken, {reason}: {first_few(layers, _MAX_LAYERS)}")


def _print_notes(notes: Sequence[str], left_out: Mapping[str, int]) -> None:
    for text in notes:
        note(text)
    for reason, count in left_out.items():
        note(f"left out: {reason}: {count}")


def _print_scores(result: Evaluation) -> None:
    from rich.console import Console
    from rich.text import Text

    from mosaicfusion.cli.console import make_table, percent

    first = next(iter(result.scores.values()))
    kind = "LVIS' AP" if first.federated else "COCO's AP"
    table = make_table("", *first.metrics, title=f"{kind} in percent on {counted(result.images, 'image')}")
    for iou_type, scores in result.scores.items():
        table.add_row(iou_type, *(percent(scores.metrics[name]) for name in first.metrics))
    Console().print(table)
    if len(first.per_category) <= _MAX_ROWS:
        by_category = make_table("category", *result.scores, title="by category")
        for name in first.per_category:
            by_category.add_row(Text(name), *(percent(scores.per_category[name]) for scores in result.scores.values()))
        Console().print(by_category)
