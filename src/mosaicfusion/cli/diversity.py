"""The commands diversity and semantics, which judge the images of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mosaicfusion.cli.app import app
from mosaicfusion.cli.options import CLIP_HELP, DeviceOption, ImagesOption
from mosaicfusion.cli.speech import note


@app.command(
    epilog="""**Examples**

`mosaicfusion diversity runs/rare`

`mosaicfusion diversity runs/rare --against lvis_v1_train.json --images data/coco`

`mosaicfusion diversity train_plus.json --images data/ --features vit_small_patch14_dinov2.lvd142m --mask-background`"""
)
def diversity(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or an LVIS or COCO json.")],
    against: Annotated[
        Path | None, typer.Option(help="Real set to compare with: an LVIS or COCO json, or a run folder.")
    ] = None,
    images: ImagesOption = None,
    against_images: Annotated[
        list[Path] | None,
        typer.Option(help="The same for --against.", show_default="--images if given, else the folder of the json"),
    ] = None,
    features: Annotated[
        str, typer.Option(help="Image backbone: any pretrained timm model; the default needs no network.")
    ] = "efficientnet_lite0",
    per_category: Annotated[int, typer.Option(help="Maximum number of instances used per category.", min=5)] = 100,
    mask_background: Annotated[
        bool, typer.Option("--mask-background", help="Grey out everything outside of the masks.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File of the result.", show_default="RUN/diversity.json")
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Measure the variety of the instances of each category, and their distance from a real set."""
    from mosaicfusion.cli.console import progress_bar
    from mosaicfusion.cli.tables import print_diversity
    from mosaicfusion.files.atomic import write_atomic
    from mosaicfusion.generation.build_dataset import build_dataset
    from mosaicfusion.models.backbones import load_backbone
    from mosaicfusion.quality.diversity import FILE_NAME
    from mosaicfusion.quality.measure_diversity import ImageSet, measure_diversity
    from mosaicfusion.run.folder import RunFolder

    synthetic = ImageSet(run_folder, None if run_folder.is_dir() else images)
    real = ImageSet(against, against_images or (None if against.is_dir() else images)) if against else None
    if out is None and run_folder.is_dir():
        out = run_folder / FILE_NAME
    with progress_bar("comparing", "crop", "reading the data") as progress:
        result = measure_diversity(
            synthetic, load_backbone(features, device), real, per_category, mask_background, progress.show
        )
    if out is not None:
        write_atomic(out, result.model_dump_json(indent=1).encode())
    print_diversity(result)
    if out is not None:
        typer.echo(f"result: {out}")
    if out == run_folder / FILE_NAME:
        typer.echo(f"report: {build_dataset(RunFolder.open(run_folder)).path / 'report.html'}")


@app.command(
    epilog="""**Examples**

`mosaicfusion semantics runs/fruit`

`mosaicfusion semantics runs/rare --clip ViT-B-32:laion2b_s34b_b79k --vocabulary lvis_v1_train.json`

`mosaicfusion report runs/rare --min-semantics 0.1` then rejects regions that do not look like their category.

`mosaicfusion report runs/rooms --mark-background 0.9` lists as not exhaustive what is seen where nothing is annotated."""
)
def semantics(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder; it may be unfinished.")],
    clip: Annotated[str, typer.Option(help=CLIP_HELP)] = "mini",
    vocabulary: Annotated[
        Path | None,
        typer.Option(
            help="LVIS or COCO json with the other categories to choose from.",
            show_default="the bundled model's categories",
        ),
    ] = None,
    templates: Annotated[
        Path | None,
        typer.Option(
            help="Text file with one template per line; their text vectors are averaged.",
            show_default="a photo of a single {name}",
        ),
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Classify each region with a CLIP model: score, probability and rank of its category; search the background."""
    from mosaicfusion.categories import read_lines
    from mosaicfusion.cli.console import progress_bar
    from mosaicfusion.cli.tables import print_background, print_semantics
    from mosaicfusion.dataset.vocabulary import read_vocabulary
    from mosaicfusion.generation.build_dataset import build_dataset
    from mosaicfusion.models.clip import load_clip
    from mosaicfusion.models.zero_shot import TEMPLATES
    from mosaicfusion.quality.semantics import classify_regions
    from mosaicfusion.run.folder import RunFolder
    from mosaicfusion.run.semantics import SEMANTICS, read_background

    run = RunFolder.open(run_folder)
    others = read_vocabulary(vocabulary) if vocabulary else None
    texts = read_lines(templates) if templates else TEMPLATES
    with progress_bar("classifying", "canvas") as progress:
        judged = classify_regions(run, load_clip(clip, device), others, texts, progress.show)
    print_semantics(judged)
    print_background((read_background(run.path) or {}).values())
    typer.echo(f"result: {run.path / SEMANTICS}")
    summary = build_dataset(run)
    typer.echo(f"report: {summary.path / 'report.html'}")
    if not summary.output.min_semantics:
        note(f"`mosaicfusion report {run.path} --min-semantics 0.1` leaves out what does not look like its category")
